"""Nets unlike a ResNet go through the whole export: a head that is a convolution, norms that follow no convolution.

SqueezeNet (Iandola et al. 2016) ends in a convolution, a ReLU and a mean; DenseNet (Huang et al. 2017) has most of its
norms behind a concatenation. Both are torchvision's, small.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torchvision.models import DenseNet, SqueezeNet

from edgekit import nets
from edgekit.backends.torch_ import TorchSession
from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.data import made_pictures
from edgekit.graph import to_onnx
from edgekit.loading import open_predictor
from edgekit.nets import Net
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.vision.preprocess import normalise, preprocess

SIZE = PreprocessSpec(48, 64, shorter_side=72)


def squeezenet(classes: int) -> nn.Module:
    return SqueezeNet("1_1", classes)


def densenet(classes: int) -> nn.Module:
    return DenseNet(growth_rate=8, block_config=(2, 2), num_init_features=16, bn_size=2, num_classes=classes)


class PreActivation(nn.Module):
    """A convolution whose output a norm and a skip read (He et al. 2016, "Identity Mappings")."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.stem(x)
        return self.fc((x + self.conv(torch.relu(self.norm(x)))).mean((2, 3)))


ENTRIES = (
    Net("squeezenet", squeezenet, heads=("classifier.1",)),
    Net("densenet", densenet, heads=("classifier",)),
    Net("preactivation", PreActivation, heads=("fc",)),
)
LEFT = {"squeezenet": 0, "densenet": 6, "preactivation": 1}


def net_input() -> torch.Tensor:
    pixels = [preprocess(sample.read(), SIZE) for sample in made_pictures(16, seed=5).samples]
    return torch.from_numpy(normalise(np.stack(pixels), SIZE))


@pytest.fixture(scope="module", autouse=True)
def _known() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for entry in ENTRIES:
            patch.setitem(nets.NETS, entry.name, entry)
        yield


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, _known: None) -> dict[str, Path]:
    """Random weights with gammas of both signs and the running statistics of real activations."""
    folder = tmp_path_factory.mktemp("foreign")
    made = {}
    for entry in ENTRIES:
        torch.manual_seed(0)
        spec = ModelSpec(entry.name, ("wasp", "bee", "air"), SIZE, temperature=1.7)
        net = nets.build(spec)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = None
                    module.weight.uniform_(0.5, 1.5).mul_(torch.where(torch.rand_like(module.weight) < 0.3, -1, 1))
                    module.bias.normal_(0, 0.3)
            head = net.get_submodule(str(entry.head))
            head.weight.mul_(6)  # type: ignore[operator]
            net.train()(net_input())
        made[entry.name] = folder / f"{entry.name}.pt"
        save_checkpoint(made[entry.name], Checkpoint(spec, net.eval().state_dict()))
    return made


@pytest.mark.parametrize("name", LEFT)
def test_it_is_exported_and_proven(
    name: str, cli: Any, checkpoints: dict[str, Path], pictures: Path, tmp_path: Path
) -> None:
    outcome = cli("export", checkpoints[name], "--data", pictures, "--out", tmp_path)
    assert outcome.code == 0, outcome.text
    model, report = tmp_path / f"{name}.onnx", json.loads((tmp_path / f"{name}.verify.json").read_text())
    nodes = onnx.load(model).graph.node
    assert [node.op_type for node in nodes if "image" in node.input] == ["Cast"]  # which TensorRT insists on
    norms = [node for node in nodes if node.op_type == "BatchNormalization"]
    assert len(norms) == len(report["fold"]["left"]) == LEFT[name]
    assert sum(note.startswith("batchnorm-left: ") for note in report["notes"]) == LEFT[name]
    said = [line for line in outcome.err.splitlines() if line.startswith("warning: batchnorm-left: ")]
    assert len(said) == min(LEFT[name], 1)
    assert ("(and 5 more)" in outcome.err) == (LEFT[name] == 6)
    frames = [preprocess(sample.read(), SIZE) for sample in made_pictures(4, seed=9).samples]
    with open_predictor(checkpoints[name]) as ours, open_predictor(model) as theirs:
        want, got = ours.answers(frames)["logits"], theirs.answers(frames)["logits"]
    assert np.ptp(want) > 0.05
    np.testing.assert_allclose(got, want, atol=1e-4)


def twice(net: nn.Module, paths: Sequence[str], temperature: float, honest: Any = to_onnx.divide_heads) -> nn.Module:
    return honest(honest(net, paths, temperature), paths, temperature)


def shifted(net: nn.Module, paths: Sequence[str], temperature: float, honest: Any = to_onnx.divide_heads) -> nn.Module:
    net = honest(net, paths, temperature)
    with torch.no_grad():
        net.features[3].squeeze.bias += 1
    return net


@pytest.mark.parametrize(("defect", "tensor"), [(twice, "classifier.1"), (shifted, "features.3.squeeze")])
def test_a_defect_before_or_in_a_convolution_that_is_the_head_is_named(
    defect: Any,
    tensor: str,
    cli: Any,
    checkpoints: dict[str, Path],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(to_onnx, "divide_heads", defect)
    outcome = cli("export", checkpoints["squeezenet"], "--data", pictures, "--out", tmp_path)
    assert outcome.code == 3
    assert f"first tensor that differs: {tensor} (" in outcome.err


def test_what_is_behind_the_head_is_compared_with_its_temperature(
    cli: Any, checkpoints: dict[str, Path], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ReLU that went missing behind the head is named, and not the head itself, which is right."""
    honest = to_onnx.divide_heads

    def without_relu(net: nn.Module, paths: Sequence[str], temperature: float) -> nn.Module:
        net = honest(net, paths, temperature)
        net.classifier[2] = nn.LeakyReLU(0.5)
        return net

    monkeypatch.setattr(to_onnx, "divide_heads", without_relu)
    outcome = cli("export", checkpoints["squeezenet"], "--data", pictures, "--out", tmp_path)
    assert outcome.code == 3
    assert "first tensor that differs: classifier.2 (" in outcome.err


def test_torch_divides_by_the_temperature_as_the_file_does(checkpoints: dict[str, Path]) -> None:
    spec = ModelSpec("squeezenet", ("wasp", "bee", "air"), SIZE, temperature=1.7)
    net = nets.build(spec).eval()
    x = net_input()[:2]
    with torch.no_grad():
        want = (net(x) / 1.7).numpy()
        folded = to_onnx.divide_heads(net, ("classifier.1",), 1.7)(x).numpy()
    np.testing.assert_allclose(TorchSession(net, spec).run({"image": x.numpy()})["logits"], want, rtol=1e-6)
    np.testing.assert_allclose(folded, want, rtol=1e-5, atol=1e-6)
