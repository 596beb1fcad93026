"""Every net of the house, half as wide, in every precision, as `edgekit export` writes it, through TensorRT-RTX for
three GPUs.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from edgekit import nets
from edgekit.artifacts.engine_key import Batch, BuildOptions
from edgekit.backends.trt.build import build
from edgekit.backends.trt.layers import convolutions
from edgekit.backends.trt.library import load_library
from edgekit.data import hive_pictures, load_dataset
from edgekit.graph import lint
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.to_onnx import onnx_from_torch
from edgekit.nets.detector import with_decoding
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.fp16 import to_fp16
from edgekit.quantize.place import quantize
from edgekit.spec import ModelSpec, PreprocessSpec, Suppression

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed: nothing was built"
)
SIZE = (64, 96)
BOXES = PreprocessSpec(*SIZE, "letterbox", None)
WHOLE = PreprocessSpec(*SIZE, shorter_side=100)
CLASSES = ("bee", "hornet")
SPECS = {
    "resnet18": ModelSpec("resnet18", CLASSES, WHOLE, {"width": 0.5}),
    "resnet50": ModelSpec("resnet50", CLASSES, WHOLE, {"width": 0.5}),
    "centernet-offset_size": ModelSpec(
        "centernet-resnet18",
        CLASSES,
        BOXES,
        {"neck": "deconv", "head": "offset_size", "width": 0.5},
        task="detection",
        max_detections=20,
    ),
    "centernet-ltrb": ModelSpec(
        "centernet-resnet18",
        CLASSES,
        BOXES,
        {"neck": "fpn", "head": "ltrb", "width": 0.5},
        task="detection",
        max_detections=20,
        suppression=Suppression(0.6),
    ),
}


@dataclass
class Net:
    model: onnx.ModelProto
    seen: Calibration


SLOW = {"resnet18", "resnet50", "centernet-offset_size"}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in SPECS]
)
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Net:
    """Folded, exported and calibrated, with random weights."""
    spec = SPECS[request.param]
    torch.manual_seed(0)
    built = nets.build(spec).eval()
    whole = with_decoding(built, spec) if spec.task == "detection" else built
    folded, _ = fold_bn(whole, torch.zeros(2, 3, *SIZE))
    model = onnx_from_torch(folded, spec, opset=20)
    folder = tmp_path_factory.mktemp("pictures")
    for i, sample in enumerate(hive_pictures(32, 5, 96, 144)):
        Image.fromarray(np.ascontiguousarray(sample.read()[..., ::-1])).save(folder / f"{i:02d}.png")
    return Net(model, calibrate(model, load_dataset(Path(folder), None), spec.preprocess))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_it_parses_and_builds_without_a_warning(net: Net, precision: str) -> None:
    model = net.model
    if precision == "int8":
        model = quantize(net.model, net.seen, "int8-trt").model
    elif precision == "fp16":
        model = to_fp16(net.model, net.seen.tensors).model
    scheme = "int8-trt" if precision == "int8" else None
    assert [f for f in lint.lint(model, runtimes=("tensorrt",), scheme=scheme) if f.severity == "error"] == []
    options = BuildOptions("tensorrt_rtx", ("8.6", "8.9", "12.0"), Batch(1, 1, 4))
    made = build(model.SerializeToString(), options, load_library("tensorrt_rtx"))
    assert made.warnings == ()
    found = convolutions(model.SerializeToString(), made.layers)
    plain = sum(node.op_type == "Conv" for node in model.graph.node)
    if precision == "int8":  # all convolutions, heads and decoding aside, and the log says that they run in int8
        assert found["quantized"] >= 0.8 * plain
        assert found["int8"] == found["quantized"]
        assert found["not_int8"] == []
    else:
        assert (found["quantized"], found["int8"]) == (0, 0)
    # behind the preprocessing, which is exact in float32, every layer takes what the graph says
    takes = [layer.takes for layer in made.layers if layer.kind == "correlation"]
    wanted = {"fp32": "Float", "fp16": "Half", "int8": "Int8"}[precision]
    assert len(takes) > 15
    assert sum(wanted in types for types in takes) >= 0.8 * len(takes)
