from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.benchmark.layers.operations import costs
from edgekit.benchmark.layers.profile import layers
from edgekit.benchmark.machine.roof import measure_peak
from edgekit.errors import BackendError


def graph(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: list[int | str]) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, n) for n, w in weights.items()],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def test_a_convolution_by_hand() -> None:
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], "c", strides=[2, 2], pads=[1, 1, 1, 1], group=2)
    weights = {"w": np.zeros((6, 2, 3, 3), np.float32), "b": np.zeros(6, np.float32)}
    found = costs(graph([node], weights, ["N", 4, 8, 8]), batch=3)
    assert found.macs == 4 * 4 * 6 * 2 * 9
    assert found.params == 6 * 2 * 9 + 6
    assert found.nodes[0].macs == 3 * found.macs
    assert found.nodes[0].bytes == 4 * (3 * 4 * 64 + 6 * 2 * 9 + 6 + 3 * 6 * 16)


def test_a_transposed_convolution_and_a_product_by_hand() -> None:
    up = helper.make_node("ConvTranspose", ["x", "w"], ["y"], "t", strides=[2, 2])
    assert costs(graph([up], {"w": np.zeros((4, 5, 2, 2), np.float32)}, ["N", 4, 8, 8])).macs == 64 * 4 * 5 * 4
    product = helper.make_node("Gemm", ["x", "w"], ["y"], "g", transB=1)
    assert costs(graph([product], {"w": np.zeros((7, 10), np.float32)}, ["N", 10])).macs == 70


def test_quantized_weights_count_and_scales_do_not() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["y"], "c"),
    ]
    weights = {"q": np.zeros((6, 4, 1, 1), np.int8), "s": np.ones(6, np.float32), "z": np.zeros(6, np.int8)}
    found = costs(graph(nodes, weights, ["N", 4, 8, 8]))
    assert (found.params, found.macs) == (24, 64 * 24)


def test_layers_take_about_what_the_graph_says(good: Path) -> None:
    artifact = read_onnx(good)
    peak = measure_peak(seconds=0.05)
    found = layers(artifact, "onnxruntime", threads=1, peak=peak, runs=5)
    assert sum(layer.macs or 0 for layer in found.layers) == pytest.approx(costs(artifact.model).macs, rel=0.01)
    assert found.total_ms == pytest.approx(sum(layer.ms for layer in found.layers))
    assert all(layer.ms >= 0 for layer in found.layers)
    assert found.gmacs_per_second is not None
    assert found.share_of_peak == pytest.approx(found.gmacs_per_second / peak.gmacs["fp32"])
    assert found.peak == "fp32"


def test_a_backend_without_times_per_layer(good: Path) -> None:
    with pytest.raises(BackendError, match="no times per layer"):
        layers(read_onnx(good), "tensorrt")


def test_the_peak_is_measured_and_plausible() -> None:
    peak = measure_peak(seconds=0.05)
    assert set(peak.gmacs) == {"fp32", "int8"}
    assert all(1 < value < 1e5 for value in peak.gmacs.values())
    assert 0.5 < peak.copy_gb < 5000
