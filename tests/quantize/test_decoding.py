"""The decoding behind a net stays in float32 and int32 in every precision, suppression's matrices included."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgekit.backends.onnxruntime_ import run_once
from edgekit.data import Dataset
from edgekit.graph import decoders
from edgekit.graph.lint import lint
from edgekit.graph.lint.graph import Graph
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.fp16 import to_fp16
from edgekit.quantize.place import quantize
from edgekit.vision.spec import Suppression, TensorSpec
from tests.quantize.conftest import SMALL, net

Calibrated = Callable[[onnx.ModelProto], Calibration]

TEXT = (
    "g (float[N,3,32,32] image) => (float[N,7,2,2] map) {"
    " c1 = Conv<pads=[1,1,1,1], strides=[4,4]>(image, w_c1, b_c1) c1_relu = Relu(c1)"
    " c2 = Conv<pads=[1,1,1,1], strides=[4,4]>(c1_relu, w_c2, b_c2) c2_relu = Relu(c2)"
    " c3 = Conv(c2_relu, w_c3, b_c3) c3_relu = Relu(c3)"
    " head = Conv(c3_relu, w_head, b_head) map = Sigmoid(head) }"
)
WEIGHTS = {"c1": (8, 3, 3, 3), "c2": (8, 8, 3, 3), "c3": (8, 8, 1, 1), "head": (7, 8, 1, 1)}


@pytest.fixture(scope="module")
def detector() -> onnx.ModelProto:
    model = net(TEXT, WEIGHTS)
    reading = decoders.named("fastestdet", [TensorSpec("map", "float32", ("N", 7, 2, 2))], "detection", (32, 32), {})
    decoders.append(model, reading, (32, 32), 4, 4, Suppression(0.5))
    return model


def test_a_mask_between_layers_becomes_half_too(photos: Dataset) -> None:
    """A comparison's outcome, made a float to multiply with, as in attention with a mask."""
    text = TEXT.replace("c1_relu = Relu(c1)", "on = Greater(c1, zero) mask = Cast<to=1>(on) c1_relu = Mul(c1, mask)")
    model = net(text, WEIGHTS, zero=np.array(0, np.float32))
    half = to_fp16(model, calibrate(model, photos, SMALL).tensors).model
    assert Graph(half).dtype("mask.fp16") == TensorProto.FLOAT16
    feed = {"image": np.random.default_rng(0).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)}
    exact, given = (run_once(m.SerializeToString(), feed)["map"] for m in (model, half))
    np.testing.assert_allclose(given, exact, atol=0.01)


def decoding(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    found = [node for node in model.graph.node if node.name.startswith("decode/")]
    assert any(node.op_type == "MatMul" for node in found)
    return found


@pytest.mark.parametrize("scheme", [None, "int8-trt", "int8-x86", "int8-arm"])
def test_what_is_decoded_is_no_layer(detector: onnx.ModelProto, calibrated: Calibrated, scheme: str | None) -> None:
    seen = calibrated(detector)
    model = detector if scheme is None else quantize(detector, seen, scheme).model
    half = to_fp16(model, seen.tensors).model
    for made in (model, half):
        assert lint(made, runtimes=["onnxruntime"]) == [] or scheme is not None
        graph = Graph(made)
        kinds = {graph.dtype(name) for node in decoding(made) for name in (*node.input, *node.output) if name}
        assert kinds <= {TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
        names = [name for node in decoding(made) for name in node.input]
        assert not [n for n in names if n.endswith((".dequantized", ".fp16"))]
    assert [node.name for node in decoding(half)] == [node.name for node in decoding(detector)]
    feed = {"image": np.random.default_rng(0).normal(0, 1, (2, 3, 32, 32)).astype(np.float32)}
    exact, given = (run_once(m.SerializeToString(), feed) for m in (detector, half))
    np.testing.assert_allclose(given["scores"], exact["scores"], atol=0.05)
