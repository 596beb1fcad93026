"""TensorRT-RTX builds both U-Nets in float32, float16 and int8, for a dynamic batch; OpenVINO runs them."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from edgekit import nets
from edgekit.artifacts.engine_key import Batch, BuildOptions
from edgekit.backends import open_session
from edgekit.backends.trt.build import build
from edgekit.backends.trt.library import load_library
from edgekit.data import hive_pictures
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.lint import lint
from edgekit.graph.to_onnx import onnx_from_torch
from edgekit.nets.detector import with_decoding
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.fp16 import to_fp16
from edgekit.quantize.place import quantize
from edgekit.spec import ModelSpec, PreprocessSpec

pytestmark = pytest.mark.slow
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed: nothing was built"
)
SIZE = PreprocessSpec(64, 96, "letterbox", None)
RUNTIMES = ("onnxruntime", "openvino")
ARCHS = ("unet-resnet18", "unet-mp")


@pytest.fixture(scope="module", params=ARCHS)
def exported(request: pytest.FixtureRequest) -> tuple[onnx.ModelProto, Calibration]:
    torch.manual_seed(0)
    spec = ModelSpec(request.param, ("a", "b", "c"), SIZE, {"width": 0.25}, task="segmentation")
    folded, _ = fold_bn(nets.build(spec).eval(), torch.randn(1, 3, 64, 96))
    graph = onnx_from_torch(with_decoding(folded, spec), spec, opset=20)
    return graph, calibrate(graph, replace(hive_pictures(32, 5, 96, 144), layout="folder"), SIZE)


def test_its_graph_has_what_the_runtimes_take(exported: tuple[onnx.ModelProto, Calibration]) -> None:
    found = lint(exported[0], runtimes=("tensorrt", "onnxruntime", "openvino"), opset=20)
    assert [one for one in found if one.severity == "error"] == []


def test_openvino_answers_as_onnxruntime(exported: tuple[onnx.ModelProto, Calibration]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    found = [open_session(exported[0].SerializeToString(), name).run({"image": pixels}) for name in RUNTIMES]
    assert np.array_equal(found[0]["mask"], found[1]["mask"])
    np.testing.assert_allclose(found[0]["score"], found[1]["score"], atol=1e-3)


@needs_rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_it_builds(exported: tuple[onnx.ModelProto, Calibration], precision: str) -> None:
    model, seen = exported
    if precision == "int8":
        model = quantize(model, seen, "int8-trt").model
    if precision != "fp32":
        model = to_fp16(model, seen.tensors).model
    options = BuildOptions("tensorrt_rtx", ("8.9",), Batch(1, 2, 8))
    built = build(model.SerializeToString(), options, load_library("tensorrt_rtx"))
    # of float16 scales, which every int8 net has
    told = [one for one in built.warnings if not one.endswith("scales to fp32.")]
    assert told == []
    assert len(built.plan) > 10_000
