"""A file that was changed after its export: whoever reads it refuses it, or sees what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from edgekit.artifacts.onnx_file import KEY, embed, graph_digest, read_onnx
from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.spec import digest
from tests.conftest import NARROW, lively
from tests.faults.planted.defect import LAYER, Graph
from tests.faults.planted.files import asymmetric_padding, set_weight, weight


@pytest.fixture
def changed(good: Path, tmp_path: Path) -> Callable[[Callable[[Graph, dict[str, Any]], None], bool], Path]:
    """The good file with its graph or metadata changed; `seal` makes the metadata's own hash fit again."""

    def call(change: Callable[[Graph, dict[str, Any]], None], seal: bool) -> Path:
        model = onnx.load(good)
        content = json.loads(next(p.value for p in model.metadata_props if p.key == KEY))
        change(model, content)
        if seal:
            del content["digest"]
            content["digest"] = digest(content)
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {KEY: json.dumps(content)})
        path = tmp_path / "changed.onnx"
        onnx.save(model, path)
        return path

    return call


def classes_reversed(model: Graph, content: dict[str, Any]) -> None:
    content["model"]["classes"].reverse()


def verdict_forged(model: Graph, content: dict[str, Any]) -> None:
    content["verification"] = {"passed": True, "pictures": 1000}


def colour_edited(model: Graph, content: dict[str, Any]) -> None:
    content["model"]["preprocess"]["color"] = "bgr"


def weights_of_another_model(model: Graph, content: dict[str, Any]) -> None:
    tensor = weight(model, f"{LAYER}.weight")
    set_weight(tensor, onnx.numpy_helper.to_array(tensor) * np.float32(1.01))


def node_of_another_model(model: Graph, content: dict[str, Any]) -> None:
    asymmetric_padding(model)


LOADER = (
    (weights_of_another_model, True, "metadata of another model"),
    (node_of_another_model, True, "metadata of another model"),
    (classes_reversed, False, "metadata that was changed"),
    (verdict_forged, False, "metadata that was changed"),
    (colour_edited, False, "preprocessing in the metadata"),
    (colour_edited, True, "preprocessing in the metadata"),
)


@pytest.mark.parametrize(("change", "seal", "says"), LOADER, ids=lambda v: getattr(v, "__name__", str(v)))
def test_the_loader_refuses(change: Any, seal: bool, says: str, cli: Any, changed: Any, pictures: Path) -> None:
    path = changed(change, seal)
    ort.InferenceSession(path)  # nothing but edgekit minds
    outcome = cli("predict", path, pictures)
    assert outcome.code == 5, outcome.text
    assert says in outcome.err
    assert outcome.out == ""


def test_the_loader_takes_the_file_that_was_not_changed(cli: Any, changed: Any, pictures: Path) -> None:
    assert cli("predict", changed(lambda model, content: None, True), pictures).code == 0


def test_verify_sees_classes_in_another_order_under_a_good_hash(
    cli: Any, changed: Any, checkpoint: Path, pictures: Path
) -> None:
    path = changed(classes_reversed, True)
    outcome = cli("verify", checkpoint, path, "--data", pictures)
    assert outcome.code == 3, outcome.text
    assert "class names in another order" in outcome.err


def test_verify_refuses_the_lineage_of_another_checkpoint(cli: Any, good: Path, pictures: Path, tmp_path: Path) -> None:
    trained_on = lively(NARROW)
    with torch.no_grad():
        trained_on.get_submodule("fc").bias += 1e-4
    save_checkpoint(tmp_path / "tiny.pt", Checkpoint(NARROW, trained_on.state_dict()))
    outcome = cli("verify", tmp_path / "tiny.pt", good, "--data", pictures)
    assert outcome.code == 5, outcome.text
    assert "was not made from" in outcome.err
    assert "lineage" in outcome.err


def test_verify_sees_weights_that_differ(cli: Any, good: Path, changed: Any, pictures: Path) -> None:
    def both(model: Graph, content: dict[str, Any]) -> None:
        weights_of_another_model(model, content)
        content["lineage"]["graph"] = graph_digest(model)

    outcome = cli("verify", good, changed(both, True), "--data", pictures)
    assert outcome.code == 3, outcome.text
    assert "max|d logits|" in outcome.err


def test_predict_refuses_a_file_that_did_not_pass(cli: Any, good: Path, tmp_path: Path, pictures: Path) -> None:
    artifact = read_onnx(good)
    embed(artifact.model, replace(artifact.metadata, verification={"passed": False}))
    for name in ("tiny.onnx", "tiny.onnx.rejected"):
        onnx.save(artifact.model, tmp_path / name, format="protobuf")
        outcome = cli("predict", tmp_path / name, pictures)
        assert outcome.code == 3, outcome.text
        assert "did not pass the gate" in outcome.err
