"""What `make arm64` runs: edgekit on an emulated ARM processor beside this one, answer by answer.

    python benchmarks/arm64/run.py --out arm64-output [--made]

An aarch64 root is built (root.py; kept in --cache) and run by qemu-user: doctor, predict, eval and verify of a
classifier and a detector in fp32 and int8-arm, a camera on a made hive, bench. Models and pictures are made on this
machine, the classifier is a real one where EDGEKIT_DATA has it. The same commands run here, and whatever differs is
listed, with the nodes and library functions that it comes from. Ends with 3 where answers differ by more than arm-cpu's
limits, with 5 where there is no qemu or apt. An emulator shows what is computed, and nothing of how fast.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import answers
import made
import numpy as np
from made import Subject
from root import TREE, cached_root, call, missing

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.config.target import load_target
from edgekit.cores import usable_cpus

HERE = Path(__file__).parent
PRECISIONS = ("fp32", made.SCHEME)
JSON = ("--format", "json")
Start = Callable[..., Future[str]]  # of a command: `start(*words)`
# what a report has that is no answer: places, names and versions of files, times
NO_ANSWERS = ("data", "backend", "model", "seconds")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("arm64-output"))
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "edgekit" / "arm64", help="of the root")
    parser.add_argument("--pictures", type=int, default=50, help="for each model")
    parser.add_argument("--frames", type=int, default=300, help="that the camera sees")
    parser.add_argument("--jobs", type=int, default=usable_cpus(), help="commands at once")
    parser.add_argument("--made", action="store_true", help="no real pictures, also where EDGEKIT_DATA has some")
    args = parser.parse_args()
    if why := missing():
        print(f"nothing was run: {why}", file=sys.stderr)
        return 5
    began = time.perf_counter()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    root = cached_root(args.cache.expanduser().resolve(), print)
    # PYTHONSAFEPATH: this tree, where the command may be run, is not the wheel
    env = {"PYTHONPATH": str(wheel(out / "wheel")), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    real = None if args.made else made.real_data()
    (work := out / "work").mkdir(exist_ok=True)
    show = partial(command, [sys.executable], {}, show=True)
    subjects = [made.classifier(work, args.pictures, real, show), made.detector(work, args.pictures, print)]
    made.clip(work, args.frames)
    with ThreadPoolExecutor(args.jobs) as pool:
        arm = partial(pool.submit, command, [root / "python"], env)
        here = partial(pool.submit, command, [sys.executable], {})
        probe = arm(HERE / "probe.py", out / "arm64.npz", work)  # the longest, so it begins first
        asked = [Asked(subject, i, here, arm, out) for subject in subjects for i in range(len(PRECISIONS))]
        verified = [Verified(subject, here, arm) for subject in subjects]
        rows = looked(arm, subjects[1].files[1], out)
        for one in (*asked, *verified):
            rows += one.compared()
        probe.result()
        rows += probed(work, here, out)
    told = {
        "machine": json.loads((root / "root.json").read_text()),
        "rows": [vars(row) for row in rows],
        "wall_seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])),
    }
    (out / "report.json").write_text(json.dumps(told, indent=1) + "\n")
    wrong = [row for row in rows if row.problem]
    print(f"{len(rows) - len(wrong)} of {len(rows)} comparisons within the limits of arm-cpu; {out / 'report.json'}")
    print(f"{told['wall_seconds']:.0f} s, {told['processor_seconds']} s of processor time")
    return 3 if wrong else 0


def wheel(folder: Path) -> Path:
    """The wheel of this tree, unpacked. By way of an sdist, so that nothing lying about gets in."""
    if not folder.exists():
        built = folder.with_name("dist")
        call(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, TREE)
        call(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *built.glob("*.whl"))
    return folder


def command(
    python: Sequence[object], env: dict[str, str], *words: object, accept: Sequence[int] = (0,), show: bool = False
) -> str:
    """The output of `edgekit WORDS`, or of a script, where the first word is one. Raises SystemExit where it fails."""
    script = words and str(words[0]).endswith(".py")
    line = list(map(str, [*python, *(() if script else ("-m", "edgekit")), *words]))
    done = subprocess.run(line, env={**os.environ, **env}, capture_output=True, text=True)
    if show:
        print(done.stdout, end="", flush=True)
    if done.returncode not in accept:
        raise SystemExit(f"{' '.join(line)}\n{done.stdout}{done.stderr}exit code {done.returncode}")
    return done.stdout


def said(row: answers.Row) -> answers.Row:
    print(row.line(), flush=True)
    return row


def looked(arm: Start, model: Path, out: Path) -> list[answers.Row]:
    """`doctor` and `bench` on the emulated processor: both must say that it is one, and bench give no speed."""
    doctor = json.loads(arm("doctor", *JSON).result())
    machine, versions = doctor["machine"], doctor["packages"]
    print(f"{machine['system']}, emulated by {machine['emulated']}, {' '.join(machine['instructions'])}")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    ready = [doctor["extras"][name]["ok"] for name in ("base", "cpu", "camera")]
    rows = [
        said(answers.Row("doctor: base, cpu and camera are ok", 3, sum(ready), problem="" if all(ready) else "not ok"))
    ]
    words = ("bench", model, "--data", model.parent / "hive", "--pictures", 10, "--no-cold")
    arm(*words, "--out", out / "bench", "--force").result()
    report = json.loads((out / "bench" / "bench.json").read_text())
    silent = sum(row["timing"] is None and row["accuracy"] is not None for row in report["rows"])
    marked = bool(machine["emulated"]) and report["environment"]["emulated"] == machine["emulated"]
    problem = "" if marked and silent == len(report["rows"]) else "not marked, or a speed"
    return [
        *rows,
        said(answers.Row("bench: accuracy, no speed, marked as emulated", len(report["rows"]), silent, "", problem)),
    ]


class Asked:
    """predict and eval of one file on both processors, begun; of a classifier in fp32 also verify --expect."""

    def __init__(self, subject: Subject, which: int, here: Start, arm: Start, out: Path) -> None:
        self.precision, self.file = PRECISIONS[which], subject.files[which]
        self.spec = read_onnx(self.file).metadata.model
        words = ("predict", self.file, subject.pictures, *JSON)
        self._predicted = [run(*words) for run in (here, arm)]
        words = ("eval", self.file, "--data", subject.data, *JSON)
        self._evaluated = [run(*words) for run in (here, arm)]
        self._expected = None
        if self.spec.task == "classification" and self.precision == "fp32":
            pairs = made.pairs(subject, self.file, out)
            words = ("verify", self.file, "--expect", pairs, "--target", "arm-cpu", *JSON)
            self._expected = arm(*words, accept=(0, 3))

    def compared(self) -> list[answers.Row]:
        limits = load_target("arm-cpu").limits(self.precision)
        ours, theirs = ([json.loads(line) for line in told.result().splitlines()] for told in self._predicted)
        what = f"predict {self.file.stem}, {self.precision}"
        if self.spec.task == "detection":
            boxes = answers.boxes_of(ours), answers.boxes_of(theirs)
            rows = [said(answers.detections(what, *boxes, self.spec.thresholds, limits))]
        else:
            rows = [said(answers.labels(what, ours, theirs, limits))]
        if self._expected is not None:
            stage = json.loads(self._expected.result())["stages"][0]
            differs = f"a logit by {stage['max_abs']:.2g} at most from what was recorded here"
            problem = "; ".join(stage["problems"])
            rows.append(said(answers.Row(f"verify {self.file.stem} --expect", stage["pictures"], 0, differs, problem)))
        both = [{k: v for k, v in json.loads(t.result()).items() if k not in NO_ANSWERS} for t in self._evaluated]
        return [*rows, said(answers.figures(f"eval {self.file.stem}, {self.precision}", *both))]


class Verified:
    """verify of int8 against fp32 on both processors, begun, on pictures that predict sees too.

    What is compared is what the two say, be it that they do not agree: either ends the command with 3.
    """

    def __init__(self, subject: Subject, here: Start, arm: Start) -> None:
        words = ("verify", *subject.files, "--data", subject.data, "--pictures", 50, "--target", "arm-cpu", *JSON)
        self._name, self._told = subject.files[1].stem, [run(*words, accept=(0, 3)) for run in (here, arm)]

    def compared(self) -> list[answers.Row]:
        stages = [json.loads(told.result())["stages"][0] for told in self._told]
        return [said(answers.figures(f"verify {self._name} against fp32", *stages))]


def probed(work: Path, here: Start, out: Path) -> list[answers.Row]:
    """Camera, library functions and single nodes: what `probe.py` kept there, and keeps here."""
    theirs, ours = out / "arm64.npz", out / "here.npz"
    here(HERE / "probe.py", ours, work, "--given", theirs).result()
    a, b = dict(np.load(ours)), dict(np.load(theirs))
    watcher = work / f"{made.DETECTOR}.{made.SCHEME}.onnx"
    least, limits = read_onnx(watcher).metadata.model.thresholds, load_target("arm-cpu").limits(made.SCHEME)
    seen = [[told[f"camera|{i}"] for i in range(sum(name.startswith("camera|") for name in told))] for told in (a, b)]
    rows = [said(answers.detections("camera, frame by frame", *seen, least, limits))]
    rows.append(said(answers.events("camera, events", a["events|"].tolist(), b["events|"].tolist())))
    rows += [said(row) for row in answers.steps(a, b)]
    for file in sorted(work.glob("*.onnx")):
        kinds = [set(told[f"operators|{file.stem}"].tolist()) for told in (a, b)]
        if kinds[0] != kinds[1]:
            alone = [", ".join(sorted(one - other)) for one, other in (kinds, kinds[::-1])]
            print(f"{file.stem}: onnxruntime runs it as {alone[0]} here, as {alone[1]} there")
        rows += [said(row) for row in answers.nodes(theirs.with_suffix(f".{file.name}"), file.stem, a, b)]
    return rows


if __name__ == "__main__":
    sys.exit(main())
