"""A runtime that is too old for a model is named as that by every command, with what it supports and the fix."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from edgekit.backends.onnxruntime_ import OnnxRuntimeSession, run_once
from edgekit.errors import ArtifactError
from tests.conftest import Cli

# as onnxruntime 1.17.3 says it
IR = (
    "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Failed to load model with error: /onnxruntime_src/onnxruntime/core/"
    "graph/model.cc:179 onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&) Unsupported "
    "model IR version: {}, max supported IR version: 9\n"
)
OPSET = (
    "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Failed to load model with error: model_load_utils.h:46 void "
    "onnxruntime::model_load_utils::ValidateOpsetForDomain() ONNX Runtime only *guarantees* support for models stamped "
    "with official released onnx opset versions. Opset 21 is under development and support for this is limited. The "
    "operator schemas and or other functionality may change before next ONNX release and in this case ONNX Runtime "
    "will not guarantee backward compatibility. Current official support for domain ai.onnx is till opset 20.\n"
)
KERNEL = "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Gelu(20) node with name 'a'"


@pytest.fixture
def refuses(monkeypatch: pytest.MonkeyPatch) -> Any:
    def saying(text: str, *, installed: tuple[str, ...] = ("onnxruntime",)) -> None:
        def session(*_: object, **__: object) -> None:
            raise RuntimeError(text)

        def version(name: str) -> str:
            if name.startswith("onnxruntime") and name not in installed:
                raise metadata.PackageNotFoundError(name)
            return real(name)

        real = metadata.version
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        monkeypatch.setattr(onnxruntime, "__version__", "1.17.3")
        monkeypatch.setattr(metadata, "version", version)

    return saying


@pytest.mark.parametrize(
    ("text", "installed", "got", "expected", "fix"),
    [
        (IR.format(10), ("onnxruntime",), "IR version 10", "up to IR version 9", "pip install -U 'onnxruntime>=1.18'"),
        (IR.format(13), ("onnxruntime",), "IR version 13", "up to IR version 9", "pip install -U onnxruntime"),
        (IR.format(10), (), "IR version 10", "up to IR version 9", "pip install -U 'onnxruntime>=1.18'"),
        (OPSET, ("onnxruntime",), "opset 21", "up to opset 20", "pip install -U onnxruntime"),
        (KERNEL, ("onnxruntime",), "NOT_IMPLEMENTED", "1.17.3", "pip install -U onnxruntime, if a newer one has Gelu"),
    ],
)  # fmt: skip
def test_what_it_says(refuses: Any, text: str, installed: tuple[str, ...], got: str, expected: str, fix: str) -> None:
    refuses(text, installed=installed)
    for opened in (lambda: OnnxRuntimeSession(b""), lambda: run_once(b"", {})):
        with pytest.raises(ArtifactError) as caught:
            opened()
        error = caught.value
        assert got in (error.got or "")
        assert expected in (error.expected or "")
        assert "1.17.3" in (error.expected or "")
        assert error.fix == fix


def test_the_gpu_build_is_renewed_by_its_own_name(refuses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses(IR.format(10))
    monkeypatch.setattr(metadata, "version", lambda name: {"onnxruntime-gpu": "1.17.1"}[name])
    monkeypatch.setattr(metadata, "PackageNotFoundError", KeyError)
    with pytest.raises(ArtifactError, match=r"pip install -U 'onnxruntime-gpu>=1.18'"):
        OnnxRuntimeSession(b"")


@pytest.mark.parametrize("command", ["predict", "eval", "verify", "bench", "tune", "camera", "export"])
def test_every_command_says_it(
    command: str, refuses: Any, cli: Cli, good: Path, checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    refuses(IR.format(10))
    source = "synthetic://hive?frames=3"
    words: dict[str, tuple[object, ...]] = {
        "predict": (good, pictures),
        "eval": (good, "--data", pictures),
        "verify": (good, good, "--data", pictures),
        "bench": (good, "--no-cold", "--out", tmp_path / "b"),
        "tune": (good, "--backend", "onnxruntime", "--out", tmp_path / "t"),
        "camera": ("--source", source, "--model", good),
        "export": (checkpoint, "--pictures", 2, "--out", tmp_path / "e"),
    }
    done = cli(command, *words[command])
    assert done.code == (1 if command == "bench" else 5), done.text  # bench goes on with its other rows
    for part in ("IR version 10", "supports up to IR version 9", "pip install -U 'onnxruntime>=1.18'"):
        assert part in done.text, done.text
    assert "next:" not in done.err
    if command == "bench":
        (row,) = json.loads((tmp_path / "b" / "bench.json").read_text())["rows"]
        assert row["failure"]["got"] == "IR version 10"
