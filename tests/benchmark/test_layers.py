"""What each layer moves and computes, as it was executed: int8 layers in bytes of int8, and each product once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import Artifact
from edgekit.benchmark.layers.errors import layer_errors, set_errors
from edgekit.benchmark.layers.operations import costs
from edgekit.benchmark.layers.profile import layers
from edgekit.benchmark.schema import LayerCost, Layers
from edgekit.spec import ModelSpec, PreprocessSpec

SIDE, WIDE = 7, 512  # the last stage of a ResNet-18
CONV, GEMM, UP = WIDE * WIDE * 9, WIDE * 5, WIDE * 8 * 4  # weights
MAP = WIDE * SIDE * SIDE


def pair(name: str, source: str) -> list[onnx.NodeProto]:
    """Quantized to uint8 and back: `source` becomes `name`."""
    return [
        helper.make_node("QuantizeLinear", [source, "scale", "zero"], [f"{name}.q"], f"{name}.quantize"),
        helper.make_node("DequantizeLinear", [f"{name}.q", "scale", "zero"], [name], f"{name}.dequantize"),
    ]


def artifact(quantized: bool, precision: str) -> Artifact:
    """A convolution, a neighbour called alike, a transposed one and a product, in float or with Q/DQ pairs."""
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {
        "w_in": rng.normal(size=(WIDE, 3, 1, 1)).astype(np.float32),
        "w_up": rng.normal(size=(WIDE, 8, 2, 2)).astype(np.float32),
        "axes": np.array([2, 3]),
        "scale": np.array(0.05, np.float32),
        "zero": np.array(128, np.uint8),
    }
    nodes = [helper.make_node("Conv", ["image", "w_in"], ["wide"], "conv")]
    source = "wide"
    if quantized:
        nodes += pair("wide.pair", source)
        source = "wide.pair"
    for name, shape in (("w", (WIDE, WIDE, 3, 3)), ("w_fc", (5, WIDE))):
        if quantized:
            weights[f"{name}.int8"] = rng.integers(-127, 128, shape, dtype=np.int8)
            weights[f"{name}.scale"] = np.full(shape[0], 0.01, np.float32)
            weights[f"{name}.zero"] = np.zeros(shape[0], np.int8)
            inputs = [f"{name}.int8", f"{name}.scale", f"{name}.zero"]
            nodes.append(helper.make_node("DequantizeLinear", inputs, [name], f"{name}.dequantize", axis=0))
        else:
            weights[name] = rng.normal(size=shape).astype(np.float32)
    nodes.append(helper.make_node("Conv", [source, "w"], ["deep"], "conv_1", pads=[1, 1, 1, 1]))
    source = "deep"
    if quantized:
        nodes += pair("deep.pair", source)
        source = "deep.pair"
    nodes.append(helper.make_node("ConvTranspose", [source, "w_up"], ["up"], "up", strides=[2, 2]))
    nodes.append(helper.make_node("ReduceMean", [source, "axes"], ["mean"], "mean", keepdims=0))
    source = "mean"
    if quantized:
        nodes += pair("mean.pair", source)
        source = "mean.pair"
    nodes.append(helper.make_node("Gemm", [source, "w_fc"], ["logits"], "gemm", transB=1))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 5]),
         helper.make_tensor_value_info("up", TensorProto.FLOAT, ["N", 8, 2 * SIDE, 2 * SIDE])],
        [numpy_helper.from_array(w, n) for n, w in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    spec = ModelSpec("resnet18", ("a", "b", "c", "d", "e"), PreprocessSpec(SIDE, SIDE, shorter_side=SIDE))
    metadata = Metadata(spec, Lineage("", ""), "float", precision, "x86-cpu")
    return Artifact(Path("made.onnx"), model.SerializeToString(), model, metadata)


def measured(backend: str, quantized: bool) -> tuple[Artifact, Layers]:
    pytest.importorskip(backend)
    made = artifact(quantized, "int8-x86" if quantized else "fp32")
    return made, layers(made, backend, threads=1, runs=2)


def of(found: Layers, macs: int) -> LayerCost:
    (layer,) = [layer for layer in found.layers if layer.macs == macs]
    return layer


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_an_int8_convolution_moves_bytes_of_int8(backend: str) -> None:
    _, found = measured(backend, True)
    assert of(found, CONV * SIDE * SIDE).bytes == MAP + CONV + MAP == 2_409_472
    assert of(found, GEMM).bytes == WIDE + GEMM + 4 * 5
    assert found.peak == "int8"


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_float_convolution_moves_four_times_as_much(backend: str) -> None:
    _, found = measured(backend, False)
    assert of(found, CONV * SIDE * SIDE).bytes == 4 * (MAP + CONV + MAP)
    assert of(found, GEMM).bytes == 4 * (WIDE + GEMM + 5)
    up = of(found, UP * SIDE * SIDE)
    assert up.bytes in (4 * (MAP + UP + 8 * 4 * SIDE * SIDE), 4 * (MAP + 2 * UP + 8 * 4 * SIDE * SIDE))  # or padded


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_only_what_computes_has_multiply_adds_and_each_product_counts_once(backend: str, quantized: bool) -> None:
    made, found = measured(backend, quantized)
    assert sum(layer.macs or 0 for layer in found.layers) == costs(made.model).macs
    others = ("Reorder", "Transpose", "QuantizeLinear", "DequantizeLinear", "Subgraph", "Pool", "Reduce")
    for layer in found.layers:
        if layer.kind.startswith(others):
            assert layer.macs is None, layer
        assert layer.bytes, layer


def test_a_layer_s_error_is_of_its_output() -> None:
    """A convolution with weights 1 % too large is 1 % off, and so is what it feeds; what comes before is not."""
    pytest.importorskip("onnxruntime")
    made, other = artifact(False, "fp32"), artifact(False, "fp32")
    for weight in other.model.graph.initializer:
        if weight.name == "w":
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), "w"))
    feed = {"image": np.random.default_rng(0).normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)}
    found = layer_errors(made, other, [feed])
    assert found == {
        "conv": 0.0,
        "conv_1": pytest.approx(0.01, rel=1e-3),
        "up": pytest.approx(0.01, rel=1e-3),
        "gemm": pytest.approx(0.01, rel=1e-3),
    }
    known = Layers(
        source="a profiler", layers=[LayerCost(name="conv_1.fused", kind="Conv", ms=1, node="conv_1")], total_ms=1,
        gmacs_per_second=None, share_of_peak=None,
    )  # fmt: skip
    set_errors(known, found)
    assert known.layers[0].error == found["conv_1"]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_layer_knows_the_node_that_it_computes(backend: str) -> None:
    """By which two precisions and two runtimes are laid side by side."""
    for quantized in (False, True):
        _, found = measured(backend, quantized)
        assert of(found, CONV * SIDE * SIDE).node == "conv_1"
        assert of(found, GEMM).node == "gemm"
