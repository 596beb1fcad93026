"""Seeds defects into the pipeline, one at a time: the gate catches each and says where it arose."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.spec import ModelSpec
from tests.faults.planted.defect import Defect, Patch
from tests.faults.planted.table import CONTROLS, DEFECTS


@pytest.fixture(scope="module")
def foreign(net: nn.Module, spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain state dict, of torchvision's own width, with the names that it needs beside it."""
    folder = tmp_path_factory.mktemp("foreign")
    torch.save(net.state_dict(), folder / "tiny.pt")
    (folder / "classes.txt").write_text("\n".join(spec.classes))
    return folder


@pytest.fixture
def export(
    cli: Any, checkpoint: Path, foreign: Path, preprocess_toml: Path, pictures: Path, tmp_path: Path, monkeypatch: Patch
) -> Callable[[Defect], tuple[Any, Path]]:
    """Exports into an empty folder with a defect; gives the outcome and the folder."""

    def call(defect: Defect) -> tuple[Any, Path]:
        source: list[object] = [checkpoint]
        if defect.foreign:
            source = [foreign / "tiny.pt", "--classes", foreign / "classes.txt"]
            source += ["--preprocess", preprocess_toml]
        defect.seed(monkeypatch)
        out = tmp_path / "out"
        return cli("export", *source, "--data", pictures, "--out", out, *defect.arguments), out

    return call


@pytest.mark.parametrize("defect", CONTROLS, ids=lambda d: d.name)
def test_without_a_defect_the_same_export_passes(defect: Defect, export: Any) -> None:
    outcome, out = export(defect)
    assert outcome.code == 0, outcome.text
    assert read_onnx(out / "tiny.onnx").metadata.verification["passed"] is True
    assert json.loads((out / "tiny.verify.json").read_text())["passed"] is True


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.name)
def test_the_gate_catches(defect: Defect, export: Any) -> None:
    outcome, out = export(defect)
    assert outcome.code == defect.code, outcome.text
    assert "Traceback" not in outcome.text
    assert "Unexpected" not in outcome.text
    if defect.code != 3:
        assert defect.says in outcome.err
        assert not out.exists()
        return
    left = sorted(path.name for path in out.iterdir())
    assert f"verification failed at stage {defect.stage}: " in outcome.err
    named = re.findall(r"first tensor that differs: (\S+) ", outcome.err)
    assert named == ([defect.tensor] if defect.tensor else [])
    assert set(left) <= {"tiny.onnx.rejected", "tiny.rejected.verify.json"}
    report = json.loads((out / "tiny.rejected.verify.json").read_text())
    assert report["passed"] is False
    assert [s["name"] for s in report["stages"] if not s["passed"]] == [defect.stage]
    if "tiny.onnx.rejected" in left:
        assert read_onnx(out / "tiny.onnx.rejected").metadata.verification == {"passed": False}


def test_a_rejected_export_leaves_the_old_file_and_its_report_alone(
    cli: Any, checkpoint: Path, pictures: Path, tmp_path: Path, good: Path, monkeypatch: Patch
) -> None:
    for name in ("tiny.onnx", "tiny.verify.json"):
        (tmp_path / name).write_bytes(good.with_name(name).read_bytes())
    next(d for d in DEFECTS if d.stage == "fold").seed(monkeypatch)
    assert cli("export", checkpoint, "--data", pictures, "--out", tmp_path, "--force").code == 3
    for name in ("tiny.onnx", "tiny.verify.json"):
        assert (tmp_path / name).read_bytes() == good.with_name(name).read_bytes()
