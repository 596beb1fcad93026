"""Exports that the tests keep: what torch would export again, and never of another structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from edgekit import nets
from edgekit.graph import to_onnx
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.to_onnx import onnx_from_torch
from edgekit.nets.decoding import decode as decode_module
from edgekit.nets.detector import with_decoding
from edgekit.spec import ModelSpec, PreprocessSpec, Suppression
from tests import exports

SPEC = ModelSpec(
    "centernet-resnet18", ("bee", "hornet"), PreprocessSpec(32, 32, "letterbox", None), {"width": 0.125},
    task="detection", max_detections=5, suppression=Suppression(0.5),
)  # fmt: skip
CLASSIFIER = ModelSpec("resnet18", ("bee", "hornet"), PreprocessSpec(32, 32, "stretch", None), {"width": 0.125})
EXAMPLE = torch.zeros(1, 3, 32, 32)
Change = Callable[[Any], None]


def folded(seed: int, spec: ModelSpec = SPEC) -> nn.Module:
    torch.manual_seed(seed)
    net = nets.build(spec).eval()
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
    return with_decoding(fold_bn(net, torch.randn(2, 3, 32, 32))[0], spec)


@pytest.mark.parametrize(
    "spec", [CLASSIFIER, pytest.param(SPEC, marks=pytest.mark.slow)], ids=["classifier", "detector"]
)
def test_with_other_weights_it_is_what_torch_exports(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(*given: Any, **options: Any) -> onnx.ModelProto:
        asked.append(given[0])
        return exports.TORCHS_OWN(*given, **options)

    monkeypatch.setattr(to_onnx, "_export", exports.keeping(counted))
    onnx_from_torch(folded(1, spec), spec, opset=20)
    kept = onnx_from_torch(folded(2, spec), spec, opset=20)
    assert len(asked) == 1
    monkeypatch.setattr(to_onnx, "_export", exports.TORCHS_OWN)
    fresh = onnx_from_torch(folded(2, spec), spec, opset=20)
    assert kept.SerializeToString(deterministic=True) == fresh.SerializeToString(deterministic=True)


@pytest.fixture
def export() -> Any:
    """An export of the weights alone, which counts: how often it was needed is its opset."""
    count = 0

    def stored(module: nn.Module, example: Tensor) -> onnx.ModelProto:
        nonlocal count
        count += 1
        weights = [numpy_helper.from_array(value.numpy(), name) for name, value in module.state_dict().items()]
        graph = helper.make_graph([], "g", [], [], weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", count)])

    keeping = exports.keeping(stored)
    return lambda module, example=EXAMPLE: keeping(module, example)


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_weights_change_nothing_but_themselves(export: Any) -> None:
    for seed in (1, 2):
        net = folded(seed)
        made = export(net)
        assert made.opset_import[0].version == 1
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(weights(made)[name], value.numpy())


def stride(net: Any) -> None:
    net.trunk.layer2[0].conv1.stride = (1, 1)


def other_class(net: Any) -> None:
    net.trunk.relu.__class__ = nn.Identity


def more_layers(net: Any) -> None:
    net.trunk.maxpool = nn.Sequential(net.trunk.maxpool, nn.Identity())


def keep(net: Any) -> None:
    net.decode.k = 6


def suppression(net: Any) -> None:
    net.decode.suppression = Suppression(0.6)


def two_equal(net: Any) -> None:
    net.trunk.layer1[0].conv1.weight.data.copy_(net.trunk.layer1[0].conv2.weight.data)


def zeros(net: Any) -> None:
    net.branches["heatmap"][2].bias.data.zero_()


def hook(net: Any) -> None:
    net.register_forward_hook(lambda module, given, output: output)


def index(net: Any) -> None:
    net.register_buffer("order", torch.tensor([2, 1, 0]))


@pytest.mark.parametrize("change", [stride, other_class, more_layers, keep, suppression, two_equal, zeros, hook, index])
def test_another_structure_is_exported(export: Any, change: Change) -> None:
    assert export(folded(1)).opset_import[0].version == 1
    net = folded(1)
    change(net)
    assert export(net).opset_import[0].version == 2


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (decode_module, "gather", lambda maps, cell: maps),
        (decode_module, "suppressed", lambda *given: given[:3]),
        (decode_module, "STRIDE", 8),
        (nets.centernet.CenterNet, "forward", lambda net, x: x),
        (torch.onnx, "export", lambda *given: None),
    ],
    ids=["function", "its function", "constant", "method", "torch"],
)
def test_a_defect_in_what_it_runs_is_exported(
    export: Any, where: Any, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = folded(1)
    assert export(net).opset_import[0].version == 1
    monkeypatch.setattr(where, name, value)
    assert export(net).opset_import[0].version == 2


def test_another_input_is_exported(export: Any) -> None:
    net = folded(1)
    assert export(net).opset_import[0].version == 1
    assert export(net, torch.zeros(2, 3, 32, 32)).opset_import[0].version == 2
    assert export(net, torch.zeros(1, 3, 32, 32, dtype=torch.float64)).opset_import[0].version == 3
    assert export(net).opset_import[0].version == 1
