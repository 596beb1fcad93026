"""Any model file is opened by what it is, and refused with a way out where it must not run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.engine import write_engine
from edgekit.errors import ArtifactError, BackendError, UsageError, VerificationError
from edgekit.loading import metadata_of, model_path, open_predictor, refuse_stale, shipped_models
from tests.test_engine import PLAN, card

__all__ = ["card"]  # a fixture


def test_an_unknown_suffix_names_what_is_taken(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)model.txt.*\.onnx, \.engine, \.pt"):
        open_predictor(tmp_path / "model.txt")


def test_a_shipped_name_is_a_file_unless_a_file_has_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in shipped_models():
        assert model_path(Path(name)).is_file()
        (tmp_path / name).mkdir()
        assert model_path(Path(name)) == Path(name)
    assert model_path(Path("nothing-like-it")) == Path("nothing-like-it")


@pytest.mark.parametrize("proof", [{}, {"passed": False}])
def test_an_engine_that_was_not_proven_on_a_gpu_is_not_used(tmp_path: Path, card: object, proof: object) -> None:
    path = tmp_path / "hornet.engine"
    write_engine(path, PLAN, replace(card, proof=proof))  # type: ignore[type-var]
    with pytest.raises(VerificationError, match="not compared with its ONNX"):
        open_predictor(path)
    assert metadata_of(path) == card.metadata  # type: ignore[attr-defined]


def test_a_proven_engine_needs_its_library(tmp_path: Path, card: object) -> None:
    path = tmp_path / "hornet.engine"
    write_engine(path, PLAN, replace(card, proof={"passed": True}))  # type: ignore[type-var]
    with pytest.raises((BackendError, ArtifactError)):
        open_predictor(path)  # no TensorRT here, or a plan that it refuses


def test_lineage_tells_a_file_from_another_checkpoint(good: Path, checkpoint: Path, tmp_path: Path) -> None:
    made = metadata_of(good)
    assert made is not None
    refuse_stale(good, made, checkpoint)
    other = tmp_path / "other.pt"
    other.write_bytes(checkpoint.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match="was not made from"):
        refuse_stale(good, made, other)
    assert metadata_of(checkpoint) is None
