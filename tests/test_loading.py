"""Any model file is opened by what it is, and refused with a way out where it must not run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.artifacts.deployment import model_path, read_deployment, shipped_models
from edgekit.artifacts.engine import write_engine
from edgekit.artifacts.onnx_file import file_sha256
from edgekit.errors import ArtifactError, BackendError, UsageError, VerificationError
from edgekit.loading import metadata_of, open_predictor, refuse_stale
from tests.artifacts.test_engine import PLAN, card

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


DEPLOYMENT = {"format": 1, "runtime": {"backend": "openvino", "provider": "cpu", "threads": 2}}


def test_a_deployment_names_a_file_beside_it(tmp_path: Path, good: Path) -> None:
    path = tmp_path / "deployment.json"
    (tmp_path / "a.onnx").write_bytes(good.read_bytes())
    path.write_text(json.dumps({**DEPLOYMENT, "artifact": "a.onnx", "sha256": file_sha256(good)}))
    found = read_deployment(path)
    assert (found.path, found.backend, found.provider, found.threads) == (tmp_path / "a.onnx", "openvino", "cpu", 2)
    described = metadata_of(path)
    assert described is not None
    assert described == metadata_of(good)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cannot be read"),
        ("[1, 2", "cannot be read"),
        ("[1, 2]", "not a deployment.json"),
        ('{"a": 1}', "not a deployment.json"),
        (json.dumps({**DEPLOYMENT, "format": 2, "artifact": "a.onnx", "sha256": ""}), "another format"),
        (json.dumps({**DEPLOYMENT, "artifact": "gone.onnx", "sha256": ""}), "not there"),
        (json.dumps({**DEPLOYMENT, "runtime": {"backend": "x", "provider": "cpu"}, "artifact": "a", "sha256": ""}),
         "not a deployment.json"),
    ],
)  # fmt: skip
def test_a_deployment_that_is_none(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "deployment.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=said):
        open_predictor(path)
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_predictor(tmp_path / "gone.json")
