"""Nets with attention are exported whole: norms, activations and products as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.errors import EdgekitError
from edgekit.graph.to_onnx import onnx_from_torch
from edgekit.vision.preprocess import normalise
from tests.graph.exported import RGB, assert_close, of_onnx, pixels, spec_of

pytestmark = pytest.mark.usefixtures("one_thread", "torchs_own_exports")


class Attends(nn.Module):
    """A vision transformer's block over four patches, with the attention asked for in one of torch's ways."""

    def __init__(self, how: str = "plain") -> None:
        super().__init__()
        self.how = how
        self.patches, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)
        self.qkv, self.mlp, self.fc = nn.Linear(8, 24), nn.Sequential(nn.Linear(8, 16), nn.GELU()), nn.Linear(16, 3)
        self.register_buffer("mask", torch.randn(4, 4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(functional.adaptive_avg_pool2d(x, 8)).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(x)).reshape(-1, 4, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        more: dict[str, Any] = {
            "plain": {},
            "scaled": {"scale": 0.3},
            "biased": {"attn_mask": self.mask},
            "masked": {"attn_mask": (self.mask > 0) | torch.eye(4, dtype=torch.bool)},
            "causal": {"is_causal": True},
        }[self.how]
        x = functional.scaled_dot_product_attention(q, k, v, **more).transpose(1, 2).reshape(-1, 4, 8)
        pooled = functional.adaptive_avg_pool2d(self.mlp(x).transpose(1, 2).unsqueeze(3), 1)
        result: Tensor = self.fc(pooled.flatten(1))
        return result


def attender(how: str) -> nn.Module:
    torch.manual_seed(0)
    return Attends(how).eval()


def attending(how: str = "plain", opset: int = 20) -> tuple[nn.Module, onnx.ModelProto]:
    net = attender(how)
    return net, onnx_from_torch(net, spec_of(RGB), opset=opset)


@pytest.mark.parametrize("how", ["plain", "scaled", "biased", "masked"])
def test_attention_computes_what_torchs_does(how: str) -> None:
    net, model = attending(how)
    image = pixels(3)
    with torch.no_grad():
        want = net(torch.from_numpy(normalise(image, RGB))).numpy()
    assert_close(of_onnx(model, image), want)
    others = [attender(other) for other in ("plain", "scaled", "biased", "masked") if other != how]
    with torch.no_grad():  # one taken for another would show
        for other in others:
            assert np.abs(other(torch.from_numpy(normalise(image, RGB))).numpy() - want).max() > 1e-4


@pytest.mark.parametrize("opset", [20, 21, 23])
def test_norms_and_activations_stay_whole_and_no_shape_is_computed(opset: int) -> None:
    _, model = attending(opset=opset)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    kinds = [node.op_type for node in model.graph.node]
    assert {kind: kinds.count(kind) for kind in ("LayerNormalization", "Gelu", "Softmax", "MatMul")} == {
        "LayerNormalization": 1,
        "Gelu": 1,
        "Softmax": 1,
        "MatMul": 4,  # two layers and attention's two products
    }
    assert not set(kinds) & {"Shape", "Range", "Expand", "Erf", "Sqrt"}
    for node in model.graph.node:
        if node.op_type == "Reshape":
            assert any(t.name == node.input[1] for t in model.graph.initializer), "a Reshape to a constant shape"


def test_what_torch_cannot_write_is_refused_with_the_reason() -> None:
    with pytest.raises(EdgekitError, match="cannot write the net") as caught:
        attending("causal")
    assert "causal" in str(caught.value.got)


def test_pooling_to_one_place_is_one_mean() -> None:
    """torch describes how a pooled map lies in its memory if that is channels last: a Gather over a Range."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    net = net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    kinds = [node.op_type for node in onnx_from_torch(net, spec_of(RGB), opset=20).graph.node]
    assert kinds == ["Cast", "Sub", "Transpose", "Conv", "HardSwish", "ReduceMean", "Reshape", "Gemm"]
