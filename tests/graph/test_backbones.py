"""Small relatives of usual backbones, folded, exported and run: equal to the net, and a planted defect is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.backbones import other_channels, other_eps, shake
from edgekit.backends.onnxruntime_ import run_once
from edgekit.config.target import load_target
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.lint import lint
from edgekit.graph.to_onnx import onnx_from_torch
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.vision.preprocess import normalise

pytestmark = pytest.mark.usefixtures("one_thread")

timm = pytest.importorskip("timm")
pytest.importorskip("onnxruntime")

CLASSES = 5
LIMIT = load_target("x86-cpu").gate["fp32"].max_abs
# timm's name -> arguments that make it small, side, head, how many norms fold, stay, and blocks that are fused
NETS: dict[str, tuple[dict[str, Any], int, str, tuple[int, int, int]]] = {
    "tf_efficientnet_lite0": ({}, 64, "classifier", (49, 0, 0)),
    "vit_tiny_patch16_224": (
        {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3}, 32, "head", (0, 0, 0),
    ),
    "convnext_atto": ({"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, 32, "head.fc", (0, 0, 0)),
    "swin_tiny_patch4_window7_224": (
        {"img_size": 32, "patch_size": 2, "window_size": 4, "depths": (2, 2), "embed_dim": 24, "num_heads": (2, 4)},
        32, "head.fc", (0, 0, 0),
    ),
    "densenet121": ({"block_config": (2, 2), "growth_rate": 8}, 32, "classifier", (5, 6, 0)),
}  # fmt: skip


SLOW = {"tf_efficientnet_lite0", "swin_tiny_patch4_window7_224"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NETS])
def test_it_is_exported_equal_and_a_defect_would_show(name: str) -> None:
    arguments, side, head, counts = NETS[name]
    torch.manual_seed(0)
    net: nn.Module = timm.create_model(name, num_classes=CLASSES, **arguments)
    spec = ModelSpec("tiny", tuple("abcde"), PreprocessSpec(side, side, "stretch", None))
    image = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), dtype=np.uint8)
    inputs = torch.from_numpy(normalise(image, spec.preprocess))
    shake(net, inputs, (head,))
    folded, report = fold_bn(net, inputs)
    assert (len(report.layers), len(report.left), len(report.fused)) == counts
    model = onnx_from_torch(folded, spec, opset=20)
    with torch.no_grad():
        want = net(inputs)
        for defect in (other_eps, other_channels):
            assert (defect(net)(inputs) - want).abs().max() > 3 * LIMIT, f"{defect.__name__} is seen"
    got = run_once(model.SerializeToString(), {"image": image})["logits"]
    assert np.abs(got - want.numpy()).max() <= LIMIT / 5
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("BatchNormalization") == len(report.left)
    assert not set(kinds) & {"Range", "GatherND", "Erf"}
    assert "Pad" not in kinds or not name.startswith("tf_"), "TensorFlow's padding is in the convolutions"
    assert [f.rule for f in lint(model, opset=20) if f.severity == "error"] == []
    assert "preprocess.mul" not in {node.name for node in model.graph.node}, "the first layer takes 1/std in"
