"""`edgekit camera` as it is typed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.onnx_file import file_sha256
from edgekit.cli import demo
from edgekit.data import HIVE_CLASSES, HiveClip
from edgekit.predictor import Predictor
from tests.conftest import Cli

pytest.importorskip("onnxruntime")
HIVE = "synthetic://hive?seed=1&fps=10&height=120&width=160&frames=12"
# a classifier with random weights sees something in most frames; which label, nobody knows
SURE = ("--set", "visits.min_score=0", "--set", "visits.threshold=0.01", "--set", "visits.cooldown=0")


def test_a_source_a_model_and_a_folder_are_enough(cli: Cli, good: Path, tmp_path: Path) -> None:
    outcome = cli("camera", "--source", HIVE, "--model", good, "--out", tmp_path / "out", *SURE, "--json-lines")
    assert outcome.code == 0, outcome.text
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert events[0]["type"] == "start"
    assert events[-1]["end_reason"] == "shutdown"
    assert events[0]["model"]["name"] == good.name
    assert "12 captured, 12 processed, 0 dropped" in outcome.err
    assert (tmp_path / "out" / "annotated.mp4").stat().st_size > 1000
    assert (tmp_path / "out" / "store" / "visits.db").exists()
    kept = (tmp_path / "out" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == events
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["events"] == len(events)
    assert "next: edgekit camera" in outcome.err


def test_the_summary_as_json(cli: Cli, good: Path) -> None:
    outcome = cli("camera", "--source", HIVE, "--model", good, "--format", "json")
    assert outcome.code == 0, outcome.text
    summary = json.loads(outcome.out)
    assert (summary["captured"], summary["processed"], summary["inferred"]) == (12, 12, 12)


def test_openvino_sees_what_onnxruntime_sees(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    from edgekit import backends

    opened: list[tuple[str, object]] = []
    real = backends.open_session
    monkeypatch.setattr(
        "edgekit.predictor.open_session",
        lambda model, backend, **more: opened.append((backend, more.get("frugal"))) or real(model, backend, **more),
    )
    source = "synthetic://hive?seed=1&fps=10&frames=40"
    summaries = []
    for backend in ("onnxruntime", "openvino"):
        choice = f"model.backend={backend}"
        outcome = cli("camera", "--source", source, "--model", "centernet-tiny", "--format", "json", "--set", choice)
        assert outcome.code == 0, outcome.text
        summaries.append(json.loads(outcome.out))
    assert opened == [("onnxruntime", True), ("openvino", None)]
    one, other = ({k: s[k] for k in ("visits", "most_at_once", "events", "inferred")} for s in summaries)
    assert one == other
    assert one["events"] > 0


def test_a_provider_is_onnxruntimes(cli: Cli, good: Path) -> None:
    changes = ("--set", "model.backend=openvino", "--set", "model.provider=cuda")
    outcome = cli("camera", "--source", HIVE, "--model", good, *changes)
    assert outcome.code == 2, outcome.text
    assert "provider is onnxruntime's" in outcome.text


def test_what_tune_wrote_brings_its_runtime(
    cli: Cli, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"format": 1, "artifact": os.path.relpath(good, tmp_path), "sha256": file_sha256(good)}
    runtime = {"backend": "openvino", "provider": "cpu", "threads": 1}
    deployment = tmp_path / "deployment.json"
    deployment.write_text(json.dumps({**content, "runtime": runtime}))
    opened: list[tuple[str, int]] = []
    real = Predictor.from_artifact

    def noted(artifact: Any, backend: str, **options: Any) -> Predictor:
        opened.append((backend, options["streams"]))
        return real(artifact, backend, **options)

    monkeypatch.setattr(Predictor, "from_artifact", noted)
    outcome = cli("camera", "--source", HIVE, "--model", deployment, *SURE, "--set", "model.streams=3")
    assert outcome.code == 0, outcome.text
    assert opened == [("openvino", 3)]  # frames of a file are looked at together, as with the model itself
    outcome = cli("camera", "--source", HIVE, "--model", deployment, "--set", "model.threads=2")
    assert (outcome.code, "says itself" in outcome.text) == (2, True)


def test_check_says_ok_and_opens_nothing(cli: Cli, good: Path, tmp_path: Path) -> None:
    config = tmp_path / "hive.toml"
    config.write_text(
        f'[source]\nuri = "rtsp://viewer:pa55@127.0.0.1:9/x"\n[model]\npath = "{good}"\n'
        f'[store]\nfolder = "{tmp_path}/s"\n'
    )
    outcome = cli("camera", "--check", config)
    assert outcome.code == 0, outcome.text
    assert outcome.out.startswith("ok: rtsp rtsp://127.0.0.1:9/x")
    assert "pa55" not in outcome.text
    assert not (tmp_path / "s").exists()


def test_several_cameras_of_one_file(cli: Cli, good: Path, tmp_path: Path) -> None:
    """Two made hives, one process: what each did is told, and the events of both are in one file."""
    source = "synthetic://hive?seed={}&frames=40&height=180&width=320"
    cameras = "".join(f"[[cameras]]\nname = 'hive {n}'\nsource.uri = '{source.format(n)}'\n" for n in (1, 2))
    config = tmp_path / "hives.toml"
    config.write_text(f"[model]\npath = '{good}'\n[visits]\nthreshold = 0.1\nmin_score = 0.1\n{cameras}")
    checked = cli("camera", "--check", config)
    assert (checked.code, checked.out.count("synthetic://")) == (0, 2), checked.text
    outcome = cli("camera", config, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.text
    assert "frames    80 captured, 80 processed" in outcome.out
    assert "  hive 1: 40 captured, 40 processed, 0 dropped, 40 looks" in outcome.out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {name: one["processed"] for name, one in summary["cameras"].items()} == {"hive 1": 40, "hive 2": 40}
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    assert {event["camera"] for event in events} == {"hive 1", "hive 2"}
    assert not (tmp_path / "out" / "annotated.mp4").exists()
    refused = cli("camera", config, "--video", tmp_path / "a.mp4")
    assert (refused.code, "output.video with one camera" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [("[sorce]\nuri = '0'", "did you mean source?"), ("[source]\nuri = 'nothing.mp4'", "not there"),
     ("[source]\nuri = '0'", "No model"), ("[source]\nuri = '0'\n[web]\nenabled = true\nhost = '0.0.0.0'", "token")],
)  # fmt: skip
def test_check_names_what_is_wrong(cli: Cli, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "hive.toml").write_text(text)
    outcome = cli("camera", "--check", tmp_path / "hive.toml")
    assert outcome.code == 2
    assert told in outcome.err


def test_a_video_of_a_name_that_is_no_video_is_refused(cli: Cli, good: Path, tmp_path: Path) -> None:
    outcome = cli("camera", "--source", HIVE, "--model", good, "--video", tmp_path / "x.gif")
    assert outcome.code == 2
    assert ".mp4" in outcome.err


def until(child: subprocess.Popen[str], words: str) -> str:
    """What a process says up to and with the line that has these words; one that says nothing more is killed."""
    assert child.stderr is not None
    timer = threading.Timer(60, child.kill)
    timer.start()
    said = ""
    for line in child.stderr:
        said += line
        if words in line:
            break
    timer.cancel()
    assert words in said
    return said


def test_a_live_source_reloads_on_sighup_and_ends_visits_on_sigterm(good: Path, tmp_path: Path) -> None:
    config = tmp_path / "hive.toml"
    config.write_text("[rate]\nfps = 10\n")
    live = "synthetic://hive?seed=1&fps=10&height=120&width=160"
    child = subprocess.Popen(
        [sys.executable, "-c", "from edgekit.cli.app import main; main()", "camera", str(config), "--source", live,
         "--model", str(good), "--json-lines", *SURE],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert child.stdout is not None
    first = json.loads(child.stdout.readline())
    assert first["type"] == "start"
    config.write_text("[rate]\nfsp = 10\n")
    child.send_signal(signal.SIGHUP)
    err = until(child, "did you mean fps?")
    config.write_text("[rate]\nfps = 5\n")
    child.send_signal(signal.SIGHUP)
    err += until(child, "configuration taken")
    child.send_signal(signal.SIGTERM)
    out, more = child.communicate(timeout=60)
    err += more
    assert child.returncode == 0, err
    assert "Traceback" not in err
    assert json.loads(out.splitlines()[-1])["end_reason"] == "shutdown"


def test_a_visit_that_a_kill_cut_off_ends_as_a_crash_at_the_next_start(cli: Cli, good: Path, tmp_path: Path) -> None:
    store = f"store.folder={tmp_path / 'store'}"
    live = "synthetic://hive?seed=1&fps=10&height=120&width=160"
    child = subprocess.Popen(
        [sys.executable, "-c", "from edgekit.cli.app import main; main()", "camera", "--source", live,
         "--model", str(good), "--json-lines", "--set", store, *SURE],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    first = json.loads(child.stdout.readline())
    child.kill()
    child.communicate()
    outcome = cli("camera", "--source", HIVE, "--model", good, "--json-lines", "--set", store)
    assert outcome.code == 0, outcome.text
    told = json.loads(outcome.out.splitlines()[0])
    assert (told["id"], told["type"], told["end_reason"]) == (first["id"], "end", "crash")
    assert told["seq"] > first["seq"]
    assert (tmp_path / "store" / told["snapshot"]["path"]).exists()


@pytest.mark.slow
def test_on_a_disk_that_is_really_full(good: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    edgekit = f"{sys.executable} -c 'from edgekit.cli.app import main; main()' camera --source '{HIVE}&live=1' "
    options = f"--model {good} --set store.folder={disk}/store --set store.reserve_mb=0 --json-lines {' '.join(SURE)}"
    script = (
        f"mount -t tmpfs -o size=300k none {disk} || exit 77\n{edgekit} {options} --seconds 3 || exit 1\n"
        f"head -c 1M /dev/zero > {disk}/full\n{edgekit} {options} --seconds 5 --format json || exit 2\n"
        f"rm {disk}/full\n{edgekit} {options} --seconds 3"
    )
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare(1)")
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True, timeout=120)
    if done.returncode in (1, 77) and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip("may not mount a file system of its own here")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines() if line.startswith('{"schema"')]
    assert kinds.count("start") >= 3  # events were told all the time


def test_the_shipped_model_watches_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "WATCHED", "synthetic://hive?seed=2&fps=20&frames=30&height=180&width=320")
    (tmp_path / "camera").mkdir()
    (tmp_path / "camera" / "of-an-earlier-demo").touch()
    assert demo.watch(tmp_path / "camera") == 0
    assert not (tmp_path / "camera" / "of-an-earlier-demo").exists()
    summary = json.loads((tmp_path / "camera" / "summary.json").read_text())
    assert summary["captured"] == summary["processed"] == summary["inferred"] == 30
    assert summary["most_at_once"]["bee"] > 0
    assert (tmp_path / "camera" / "annotated.mp4").stat().st_size > 10_000


@pytest.mark.slow
def test_the_shipped_model_watches_the_made_hive_without_torch(tmp_path: Path) -> None:
    """The last step of `make demo`: the truth is one hornet and up to eight bees, from the clip itself."""
    assert demo.watch(tmp_path / "camera") == 0
    summary = json.loads((tmp_path / "camera" / "summary.json").read_text())
    assert summary["captured"] == summary["processed"] == summary["inferred"] == 300
    truth = [HiveClip(2, 20, 360, 640).frame(i).labels for i in range(0, 300, 4)]
    most = {name: max(int((labels == i).sum()) for labels in truth) for i, name in enumerate(HIVE_CLASSES)}
    assert most["hornet"] == 1
    assert summary["most_at_once"]["hornet"] == summary["visits"]["hornet"] == 1
    assert abs(summary["most_at_once"]["bee"] - most["bee"]) <= 2
    events = [json.loads(line) for line in (tmp_path / "camera" / "events.jsonl").read_text().splitlines()]
    assert {(e["label"], e["type"]) for e in events} >= {("hornet", "start"), ("hornet", "end"), ("bee", "end")}
    assert all((tmp_path / "camera" / "store" / e["snapshot"]["path"]).exists() for e in events if e["type"] == "end")
    assert (tmp_path / "camera" / "annotated.mp4").stat().st_size > 100_000
