"""The planted defects without the gate, in a plain `torch.onnx.export` of a smaller net: nothing notices them.

It raises nothing, the ONNX checker and onnxruntime accept the file, and the answers are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import edgekit.graph.fold_bn as fold_module
import edgekit.vision.preprocess as vision
from edgekit import predictor
from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import KEY
from edgekit.data import made_pictures
from edgekit.graph import to_onnx
from edgekit.nets import blocks
from edgekit.nets.blocks import BasicBlock
from edgekit.pipeline import writing
from edgekit.spec import ModelSpec, PreprocessSpec
from tests.exports import keeping
from tests.faults.planted.defect import Defect, Graph, Patch
from tests.faults.planted.table import CONTROLS, DEFECTS


class Small(nn.Module):
    """What the plain path exports: the layers that the defects name, with 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, bias=False)
        self.bn1 = blocks.NORMS["batch"](8)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(nn.Identity(), BasicBlock(8, 8, 1, "batch"))
        self.fc = nn.Linear(8, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer1(self.relu(self.bn1(self.conv1(x)))).mean((2, 3)))


@dataclass(frozen=True)
class Honest:
    """What the plain path should give: computed before any defect is planted."""

    frames: list[NDArray[np.uint8]]
    state: dict[str, Tensor]
    logits: NDArray[np.float32]
    example: Tensor


@pytest.fixture(scope="module")
def honest(spec: ModelSpec) -> Honest:
    frames = [sample.read() for sample in made_pictures(8, seed=4).samples]
    torch.manual_seed(2)
    net = Small()
    inputs = torch.from_numpy(
        vision.normalise(np.stack([vision.preprocess(f, spec.preprocess) for f in frames]), spec.preprocess)
    )
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
                module.momentum = None
        net.train()(inputs)
        logits = net.eval()(inputs) / spec.temperature
    return Honest(frames, net.state_dict(), logits.numpy(), inputs[:2])


@keeping
def plain_export(module: nn.Module, example: Tensor, opset: int, dynamic: bool) -> Graph:
    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        opset_version=opset,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes={"image": {0: torch.export.Dim.DYNAMIC}},
        verbose=False,
    )
    assert program is not None
    return program.model_proto


@pytest.fixture
def plain(honest: Honest, spec: ModelSpec, tmp_path: Path, monkeypatch: Patch) -> Callable[[Defect], Path]:
    """The steps of an export without the gate; gives the file."""

    def call(defect: Defect) -> Path:
        kind = "float" if defect.stage == "preprocess" or "float" in defect.arguments else "uint8"
        monkeypatch.setattr(to_onnx, "_export", plain_export)
        defect.seed(monkeypatch)
        net = Small().eval()
        net.load_state_dict(honest.state)
        folded, _ = fold_module.fold_bn(net, honest.example)
        net = to_onnx.divide_heads(folded, ("fc",), spec.temperature)
        size = (spec.preprocess.height, spec.preprocess.width)
        if kind == "uint8":
            net, example = to_onnx.Deploy(net, spec.preprocess), torch.zeros(2, *size, 3, dtype=torch.uint8)
        else:
            net, example = to_onnx._Named(net), torch.zeros(2, 3, *size)
        model = to_onnx._export(net.eval(), example, 20, dynamic=True)
        described = Metadata(spec, Lineage("1" * 64, "2" * 64), kind, "fp32", "x86-cpu")
        onnx.helper.set_model_props(model, {KEY: json.dumps(described.to_dict())})
        path = tmp_path / "plain.onnx"
        with writing.atomic(path) as stream:
            stream.write(model.SerializeToString())
        return path

    return call


def answers_of(path: Path, honest: Honest, spec: PreprocessSpec) -> NDArray[np.float32]:
    session = ort.InferenceSession(path)
    pixels = np.stack([vision.preprocess(f, spec) for f in honest.frames])
    feed = pixels if session.get_inputs()[0].type == "tensor(uint8)" else predictor.normalise(pixels, spec)
    return np.concatenate([session.run(["logits"], {"image": feed[i : i + 2]})[0] for i in range(0, len(feed), 2)])


@pytest.mark.parametrize("defect", [*CONTROLS[:1], *DEFECTS], ids=lambda d: d.name)
def test_a_plain_export_does_not_notice(defect: Defect, plain: Any, honest: Honest, spec: ModelSpec) -> None:
    path = plain(defect)  # and nothing is raised
    if defect.stage == "file":
        return  # wrong only beside the graph, where nothing reads it back
    onnx.checker.check_model(path)
    if defect.name == "channels first":
        ort.InferenceSession(path)
        return
    worst = np.abs(answers_of(path, honest, spec.preprocess) - honest.logits).max()
    if defect.stage and defect.shows:
        assert not worst < 1e-4
    else:
        assert worst < 1e-5
