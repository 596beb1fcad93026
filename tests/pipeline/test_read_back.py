"""The file that was written answers as the graph that was judged: bit for bit on a few pictures, or it runs on all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.pipeline import pictures as chosen
from edgekit.pipeline import writing
from tests.conftest import NARROW, lively

Export = Any
FEW, ALL = 3, 8


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("narrow") / "tiny.pt"
    save_checkpoint(path, Checkpoint(NARROW, lively(NARROW).state_dict()))
    return path


@pytest.fixture
def export(cli: Any, narrow: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Export:
    """Exports with `FEW` pictures read back; gives the report and how many pictures the file was fed with."""
    fed: list[int] = []
    honest = writing.preprocess

    def counted(*given: Any) -> Any:
        fed.append(1)
        return honest(*given)

    monkeypatch.setattr(chosen, "FEW", FEW)
    monkeypatch.setattr(writing, "preprocess", counted)

    def call() -> tuple[Any, int, Any]:
        outcome = cli("export", narrow, "--data", pictures, "--out", tmp_path)
        report = next(iter(tmp_path.glob("*.verify.json")))
        return json.loads(report.read_text()), len(fed), outcome

    return call


def test_what_answers_bit_for_bit_is_what_was_judged(export: Export) -> None:
    report, fed, outcome = export()
    assert report["passed"]
    assert fed == FEW
    stages = {stage["name"]: stage for stage in report["stages"]}
    assert (stages["fold"]["pictures"], stages["onnx"]["pictures"], stages["file"]["pictures"]) == (FEW, ALL, ALL)
    assert stages["file"]["max_abs"] == stages["onnx"]["max_abs"]
    assert any(f"on {FEW} of {ALL} pictures its answers bit for bit" in note for note in report["notes"])
    assert [part["part"] for part in report["spent"]] == [
        "loading", "pictures", "checkpoint", "preprocess", "fold", "graph", "onnx", "batch", "lint", "file",
    ]  # fmt: skip
    assert all(part["process"] >= 0 <= part["wall"] for part in report["spent"])
    assert report["seconds"] == pytest.approx(sum(part["wall"] for part in report["spent"]), abs=0.02)
    assert "of processor time in" in outcome.err


def test_what_does_not_is_run_on_all_pictures(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = writing.taken

    def other(*given: Any) -> Any:
        return {name: np.nextafter(values, np.float32(9)) for name, values in honest(*given).items()}

    monkeypatch.setattr(writing, "taken", other)
    report, fed, _ = export()
    assert report["passed"], "another last bit is no fault"
    assert fed == FEW + ALL
    assert not any("bit for bit" in note for note in report["notes"])


def test_the_few_are_spread_over_all() -> None:
    assert chosen.few(64) == [4, 12, 20, 28, 36, 44, 52, 60]
    assert chosen.few(3) == [0, 1, 2]
