"""A training that starts from an exported file: the same net again, and BatchNorms that know their inputs."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edgekit
from edgekit.artifacts.deployment import model_path
from edgekit.artifacts.metadata import MADE, RECORDED
from edgekit.artifacts.onnx_file import Artifact, read_onnx
from edgekit.backends.torch_ import TorchSession
from edgekit.checkpoints import exported
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint
from edgekit.checkpoints.exported import read_export
from edgekit.config.recipe import load_recipe
from edgekit.data import hive_pictures
from edgekit.errors import ArtifactError, CheckpointError
from edgekit.nets.detector import with_decoding
from edgekit.predictor import Predictor
from edgekit.training.start import settle
from edgekit.training.task import after, normalised
from edgekit.training.tasks import make_task
from tests.conftest import Cli

TINY = model_path(Path("centernet-tiny"))


@pytest.mark.parametrize("name", ["centernet-tiny", pytest.param("hornet-mobile", marks=pytest.mark.slow)])
def test_the_net_answers_as_the_file_does(name: str) -> None:
    """One is float32 with a ResNet, one stores its weights as float16 and has a trunk by name with activations."""
    state, described = read_export(model_path(Path(name)))
    spec = described.model
    frames = [sample.read() for sample in hive_pictures(3)]
    session = TorchSession(with_decoding(Checkpoint(spec, state).net(), spec), spec)
    with edgekit.load(name) as model, Predictor(session, spec, name="unfolded", sha256="") as unfolded:
        for ours, theirs in zip(unfolded.results(frames), map(model, frames), strict=True):
            assert len(theirs.scores) > 0
            np.testing.assert_allclose(ours.scores, theirs.scores, atol=2e-6)
            np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1e-3)


@pytest.mark.slow
def test_a_classifier_too(good: Path, pictures: Path) -> None:
    state, described = read_export(good)
    spec = described.model
    frames = [edgekit.read_picture(path) for path in sorted(path for path in pictures.rglob("*") if path.is_file())[:3]]
    assert frames
    net = Checkpoint(spec, state).net()
    assert spec.temperature != 1, "it is in the file's last layer, and not in the net's"
    with edgekit.load(good) as model, Predictor(TorchSession(net, spec), spec, name="x", sha256="") as unfolded:
        for ours, theirs in zip(unfolded.results(frames), map(model, frames), strict=True):
            np.testing.assert_allclose(ours.logits, theirs.logits, atol=1e-4)


@torch.no_grad()
def test_the_statistics_are_measured_and_the_net_stays_the_same() -> None:
    state, described = read_export(TINY)
    spec = described.model
    net = Checkpoint(spec, state).net()
    frames = np.stack([s.read()[:128, :128] for s in hive_pictures(4)])
    x = normalised(torch.from_numpy(frames).permute(0, 3, 1, 2), spec.preprocess)
    before = net(x).heatmap
    started = copy.deepcopy(net).train()(x).heatmap
    count = settle(net.eval(), [x[:2], x[2:]])
    norms = [one for one in net.modules() if isinstance(one, nn.BatchNorm2d)]
    assert count == len(norms) > 15
    assert not any((norm.running_mean == 0).all() for norm in norms if norm.running_mean is not None)
    peak = float(before.abs().max())
    assert float((net(x).heatmap - before).abs().max()) < 1e-4 * peak
    assert not net.training
    # with the batch's own statistics it is nearly the same net now, and was another one before
    assert float((net.train()(x).heatmap - before).abs().max()) < 0.01 * peak
    assert float((started - before).abs().max()) > 0.1 * peak


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"precision": "int8-x86"}, "rounded weights"), ({"verification": {"passed": False}}, "not proven")],
)
def test_what_nothing_starts_from(changes: dict[str, Any], what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = read_onnx(TINY)
    changed: Artifact = replace(artifact, metadata=replace(artifact.metadata, **changes))
    monkeypatch.setattr(exported, "read_onnx", lambda path: changed)
    with pytest.raises(CheckpointError, match=what):
        read_export(TINY)


def test_a_net_from_elsewhere_cannot_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = read_onnx(TINY)
    model = replace(artifact.metadata.model, arch="onnx", arch_args=None)
    monkeypatch.setattr(
        exported, "read_onnx", lambda path: replace(artifact, metadata=replace(artifact.metadata, model=model))
    )
    with pytest.raises(CheckpointError, match="none that edgekit builds"):
        read_export(TINY)


def test_a_graph_with_other_layers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = read_onnx(TINY)
    for tensor in artifact.model.graph.initializer:
        if tensor.name == "trunk.layer1.0.conv1.weight":
            tensor.name = "elsewhere"
    monkeypatch.setattr(exported, "read_onnx", lambda path: artifact)
    with pytest.raises(CheckpointError, match="does not have the net's layers") as raised:
        read_export(TINY)
    assert "trunk.layer1.0.conv1.weight" in str(raised.value)
    monkeypatch.undo()
    with pytest.raises(ArtifactError):
        read_export(Path("nowhere.onnx"))


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("", RECORDED, RECORDED),
        (MADE, MADE, MADE),
        (MADE, RECORDED, RECORDED),
        (RECORDED, MADE, RECORDED),
        (MADE, "bees (CC BY 4.0)", "bees (CC BY 4.0)"),
        ("bees (CC BY 4.0)", RECORDED, "recorded pictures, and before that on bees (CC BY 4.0)"),
        ("bees (CC BY 4.0)", MADE, "made pictures, and before that on bees (CC BY 4.0)"),
    ],
)
def test_whose_pictures_it_learnt_from_stays_said(before: str, now: str, said: str) -> None:
    """Attribution is a condition of most licences, and does not end with another training."""
    assert after(before, now) == said


@pytest.mark.slow
def test_what_the_model_in_the_box_learnt_from_is_said_by_what_goes_on_from_it(tmp_path: Path) -> None:
    told: list[str] = []
    task = make_task(
        load_recipe("centernet-mobile", ["net.weights=hornet-mobile"]), Path("synthetic://hive?n=8&val=4"), told.append
    )
    assert task.trained_on.startswith("made pictures, and before that on bees-and-hornets v2 (Roboflow")
    assert "CC BY 4.0" in task.trained_on
    assert any("the whole net from hornet-mobile" in line for line in told)
    assert not any("WARNING" in line for line in told)


@pytest.mark.slow
def test_a_training_goes_on_from_the_model_in_the_box(tmp_path: Path, cli: Cli) -> None:
    data = "synthetic://hive?n=8&val=8&seed=77"
    slow = ("schedule.epochs=1", "schedule.lr_head=1e-5", "schedule.lr_trunk=1e-5")
    changes = [word for change in slow for word in ("--set", change)]
    done = cli("train", "centernet-tiny", "--weights", "centernet-tiny", "--data", data, "--out", tmp_path, *changes)
    assert done.code == 0, done.text
    assert "the whole net from centernet-tiny" in done.text
    assert "its classes bee, hornet" in done.text
    assert "BatchNorms measured on 64 training samples" in done.text
    assert load_checkpoint(tmp_path / "last.pt").trained_on == "made pictures"
    before = edgekit.evaluate("centernet-tiny", data, split="val").main
    after = edgekit.evaluate(tmp_path / "last.pt", data, split="val").main
    assert before is not None
    assert after is not None
    assert before > 0.5
    assert after > before - 0.05
