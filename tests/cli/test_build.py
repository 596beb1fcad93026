"""`edgekit build`: exit codes, what is printed where, and the next command."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.engine import read_engine
from edgekit.artifacts.engine_key import Batch

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed: nothing was built"
)


@pytest.fixture(scope="module")
def engine(cli: Any, good: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    if importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("tensorrt-rtx is not installed: nothing was built")
    out = tmp_path_factory.mktemp("engine")
    done = cli("build", good, "--target", "rtx-ada", "--cpu-only", "--out", out)
    assert done.code == 0, done.text
    return next(out.glob("*.engine")), done


def test_text(engine: tuple[Path, Any], good: Path) -> None:
    path, done = engine
    assert done.out.startswith(f"{path}  ")
    assert "fp32 for TensorRT-RTX" in done.out
    assert "SM 8.9" in done.out
    assert "building fp32 for SM 8.9, batch 1:1:8" in done.err
    assert "not proven" in done.out
    assert "not proven: nothing ran" in done.err
    words = ["edgekit", "build", str(good), "--target", "rtx-ada", "--sm", "8.9", "--batch", "1:1:8"]
    assert done.err.splitlines()[-2].endswith("there: " + shlex.join([*words, "--out", str(path.parent)]))
    assert done.err.splitlines()[-1].startswith(f"next: edgekit bench {good} --out ")  # what can be done here
    assert "\r" not in done.err  # no bar off a terminal
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, path.name + ".json"]


def test_json_and_several_gpus(cli: Any, good: Path, engine: tuple[Path, Any], tmp_path: Path) -> None:
    done = cli(
        "build", good, "-t", "rtx-blackwell", "--cpu-only", "--sm", "8.9", "--sm", "12.0", "--batch", "1:2:16",
        "--workspace", 256, "--timing-cache", tmp_path / "timings", "--out", tmp_path, "--format", "json",
    )  # fmt: skip
    assert done.code == 0, done.text
    content = json.loads(done.out)
    card = read_engine(Path(content["engine"])).card
    assert card.options.sms == ("8.9", "12.0")
    assert card.options.batch == Batch(1, 2, 16) == tuple(content["options"]["batch"])
    assert card.options.workspace_mib == 256
    assert content["key"] == card.key
    assert content["layers"]["convolutions"] == 20
    assert (content["reused"], content["refused"], content["warnings"]) == (False, [], [])
    assert len(list((tmp_path / "timings").iterdir())) == 1


def test_it_is_kept_until_something_changes(cli: Any, good: Path, engine: tuple[Path, Any]) -> None:
    path, _ = engine
    words = ["build", good, "--target", "rtx-ada", "--cpu-only", "--out", path.parent]
    before = path.read_bytes()
    done = cli(*words)
    assert (done.code, "kept" in done.out, "is there already" in done.err) == (0, True, True)
    done = cli(*words, "--batch", 4)
    assert done.code == 1
    assert "batch [1, 1, 8]" in done.err
    assert "batch [4, 4, 4]" in done.err
    assert path.read_bytes() == before
    assert cli(*words, "--force").code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--target", "x86-cpu"], 2, "no engine to build"),
        (["--target", "rtx-adda"], 2, "did you mean rtx-ada?"),
        (["--target", "jetson-orin-nano", "--cpu-only"], 2, "for the GPU that it runs on"),
        (["--target", "rtx-ada", "--cpu-only", "--batch", "4:2:1"], 2, "--batch does not take this value"),
        (["--target", "rtx-ada", "--cpu-only", "--workspace", "0"], 2, "--workspace"),
        (["--target", "rtx-ada", "--cpu-only", "--fallback", "{good}"], 2, "cannot be a fallback"),
        ([], 2, "--target"),
    ],
)
def test_usage(cli: Any, good: Path, words: list[str], code: int, said: str, capsys: Any, tmp_path: Path) -> None:
    done = cli("build", good, "--out", tmp_path / "new", *(word.format(good=good) for word in words))
    assert done.code == code
    assert said in done.err + capsys.readouterr().err
    assert done.out == ""
    assert not (tmp_path / "new").exists()


@needs_rtx
def test_a_gpu_that_rtx_does_not_build_for(cli: Any, good: Path, tmp_path: Path) -> None:
    done = cli("build", good, "--target", "rtx-ada", "--cpu-only", "--sm", "8.7", "--out", tmp_path / "new")
    assert done.code == 5
    assert "SM87" in done.err
    assert not (tmp_path / "new").exists()


@needs_rtx
def test_without_a_gpu_it_says_how_to_build_for_one(cli: Any, good: Path, tmp_path: Path) -> None:
    if list(Path("/proc/driver/nvidia/gpus").glob("*")):
        pytest.skip("there is a GPU here")
    done = cli("build", good, "--target", "rtx-ada", "--out", tmp_path)
    assert done.code == 5
    assert "--cpu-only builds for SM 8.9 without a GPU" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_is_not_there(cli: Any, good: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed here")
    done = cli("build", good, "--target", "jetson-orin-nano", "--out", tmp_path)
    assert done.code == 5
    assert "TensorRT is not installed" in done.err
    assert "edgekit[tensorrt]" in done.err


def test_a_file_that_is_no_model(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"nothing")
    done = cli("build", path, "--target", "rtx-ada", "--cpu-only")
    assert done.code == 5
    assert "got:" in done.err


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    from edgekit.cli.making.build import _progress

    with _progress() as report:
        report(0.5, "phase")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with _progress() as report:
        report(0.5, "Building engine")
    shown = capsys.readouterr()
    assert "Building engine" in shown.err
    assert shown.out == ""
