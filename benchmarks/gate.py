"""How often does `edgekit bench --compare` cry wolf, and does it see a wolf? The default thresholds, a process a run.

    python benchmarks/gate.py resnet18.int8-x86.onnx --data imagenet-250 --runs 20 --json RESULT.json

One run is the base. The same file is then measured RUNS times against it: each exit code 4 is a false alarm, and one is
allowed. Then once with a sleep of 20 % of a whole answer planted in the session, and once with as many answers turned
round as make a point of accuracy: both must end with 4.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.benchmark.machine.environment import environment
from edgekit.benchmark.report_file import read_report
from edgekit.benchmark.schema import Report
from edgekit.predictor import Predictor

ALARMS = 1


def main() -> int:
    if "--planted" in sys.argv:
        return planted()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", required=True, help="labelled pictures")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=4.0, help="measured in each run")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    begin = time.perf_counter()
    usual: list[object] = [args.model, "--data", args.data, "--seconds", args.seconds, "--warmup", 4, "--no-cold",
                           "--pictures", args.pictures, "--backend", args.backend]  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        code, told = bench([*usual, "--out", base])
        if code:
            raise SystemExit(f"the base cannot be measured:\n{told}")
        report = read_report(base / "bench.json")
        print(f"base: p50 {p50(report):.2f} ms, {'stable' if steady(report) else 'not stable'}", flush=True)
        slower = 0.2 * p50(report)
        wrong = turned(report)
        tasks = [(f"again {i + 1}", 0.0, 0) for i in range(args.runs)]
        tasks += [("20 % slower", slower, 0), ("a point worse", 0.0, wrong)]
        for name, ms, rows_wrong in tasks:
            out = Path(folder) / name.replace(" ", "-")
            words = [*usual, "--compare", base / "bench.json", "--out", out]
            code, told = bench(words, ms, rows_wrong)
            if code not in (0, 4):
                raise SystemExit(f"{name} ended with {code}:\n{told}")
            now = read_report(out / "bench.json")
            alarms = [line.split("regression: ", 1)[1] for line in told.splitlines() if "error: regression: " in line]
            change = 100 * (p50(now) / p50(report) - 1)
            rows.append({"run": name, "exit_code": code, "p50_ms": p50(now), "by_the_clock_percent": round(change, 2),
                         "top1": top1(now), "stable": steady(now), "regressions": alarms})  # fmt: skip
            print(f"{name:<14} exit {code}  p50 {p50(now):6.2f} ms ({change:+.1f} %)  {'; '.join(alarms)}", flush=True)
    again = [r for r in rows if str(r["run"]).startswith("again")]
    false = sum(r["exit_code"] == 4 for r in again)
    caught = {r["run"]: r["exit_code"] == 4 for r in rows if r not in again}
    print(f"{false} false alarms in {len(again)} runs; " + ", ".join(f"{k}: {'caught' if v else 'MISSED'}"
                                                                      for k, v in caught.items()))  # fmt: skip
    if args.json:
        about = {"model": args.model.name, "seconds": args.seconds, "took_seconds": round(time.perf_counter() - begin),
                 "load_after": os.getloadavg()[0], "environment": environment(), "false_alarms": false,
                 "caught": caught, "rows": rows}  # fmt: skip
        args.json.write_text(json.dumps(about, indent=2) + "\n")
    return 0 if false <= ALARMS and all(caught.values()) else 1


def bench(words: list[object], sleep_ms: float = 0.0, wrong: int = 0) -> tuple[int, str]:
    """`edgekit bench` in a process of its own, with what is planted; its exit code and what it said on stderr."""
    line = [sys.executable, __file__, "--planted", str(sleep_ms), str(wrong), "bench", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True)
    return done.returncode, done.stderr


def planted() -> int:
    """The child: every session sleeps a while, and the first so many answers of each are turned round."""
    at = sys.argv.index("--planted")
    sleep, wrong = float(sys.argv[at + 1]) / 1e3, int(sys.argv[at + 2])
    sys.argv = ["edgekit", *sys.argv[at + 3 :]]
    opened = Predictor.from_artifact

    def changed(*given: Any, **more: Any) -> Predictor:
        predictor = opened(*given, **more)
        run, left = predictor.session._run, [wrong]

        def other(feeds: Any) -> Any:
            if sleep:
                time.sleep(sleep)
            answers = run(feeds)
            if left[0] > 0:
                count = min(left[0], len(answers["logits"]))
                answers["logits"][:count] = -answers["logits"][:count]
                left[0] -= count
            return answers

        predictor.session._run = other  # type: ignore[method-assign]
        return predictor

    if sleep or wrong:
        Predictor.from_artifact = changed  # type: ignore[method-assign, assignment]
    from edgekit.cli.app import main as edgekit

    edgekit()
    return 0


def p50(report: Report) -> float:
    timing = report.rows[0].timing
    assert timing is not None
    return timing.stages["end_to_end"].p50


def top1(report: Report) -> float | None:
    accuracy = report.rows[0].accuracy
    return accuracy.metrics["top1"].value if accuracy else None


def steady(report: Report) -> bool:
    timing = report.rows[0].timing
    return timing is not None and timing.stability.stable


def turned(report: Report) -> int:
    """How many answers, right as often as the others, lose a point."""
    accuracy, share = report.rows[0].accuracy, top1(report)
    if accuracy is None or not share:
        raise SystemExit("these pictures give no top-1: they need labels of the model's classes")
    return int(np.ceil(0.01 * accuracy.n / share))


if __name__ == "__main__":
    sys.exit(main())
