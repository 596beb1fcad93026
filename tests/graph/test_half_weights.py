"""Weights stored as float16: which are, that the arithmetic is that of rounded weights, and that no runtime pays."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.backends import open_session
from edgekit.benchmark.layers.operations import costs
from edgekit.graph import lint
from edgekit.graph.passes.half_weights import COARSEST, HalfWeights, half_weights, is_stored_half
from edgekit.pipeline.compact import difference

RNG = np.random.default_rng(0)
WEIGHTS = {
    "conv.weight": RNG.normal(size=(16, 8, 3, 3)),  # 1152 values
    "conv.bias": RNG.normal(size=16),
    "up.weight": RNG.normal(size=(16, 16, 4, 4)),
    "first.weight": RNG.normal(size=(16, 8, 1, 1)),  # small
    "last.weight": RNG.normal(size=(64, 16)),
    "matrix": RNG.normal(size=(64, 32)),
    "added": RNG.normal(size=(1, 16, 16, 16)),  # large, and no weight of a layer
}


def made(**other: np.ndarray) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["a"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["x", "first.weight"], ["b"], "first"),
        helper.make_node("Add", ["a", "b"], ["c"], "add"),
        helper.make_node("ConvTranspose", ["c", "up.weight"], ["d"], "up", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["d", "added"], ["e"], "add_1"),
        helper.make_node("GlobalAveragePool", ["e"], ["f"], "pool"),
        helper.make_node("Flatten", ["f"], ["g"], "flatten"),
        helper.make_node("Gemm", ["g", "last.weight"], ["h"], "last", transB=1),
        helper.make_node("MatMul", ["h", "matrix"], ["y"], "product"),
    ]
    value = helper.make_tensor_value_info
    weights = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in {**WEIGHTS, **other}.items()]
    graph = helper.make_graph(
        nodes, "g", [value("x", 1, ["N", 8, 8, 8])], [value("y", 1, ["N", 32])], initializer=weights
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


X = RNG.normal(size=(2, 8, 8, 8)).astype(np.float32)


def answers(model: onnx.ModelProto, backend: str = "onnxruntime") -> np.ndarray:
    with open_session(model.SerializeToString(), backend) as session:
        return session.run({"x": X})["y"]


def test_large_weights_of_layers_are_stored_in_half_the_bytes_and_nothing_else() -> None:
    model = made()
    before = model.SerializeToString()
    small, rounded = half_weights(model)
    assert model.SerializeToString() == before
    onnx.checker.check_model(small, full_check=True)
    halves = {t.name for t in small.graph.initializer if t.data_type == TensorProto.FLOAT16}
    assert halves == {f"{name}.half" for name in ("conv.weight", "up.weight", "last.weight", "matrix")}
    assert (rounded.tensors, rounded.kept) == (4, ())
    assert rounded.values == sum(WEIGHTS[name.removesuffix(".half")].size for name in halves)
    assert 0 < rounded.worst <= COARSEST
    assert all(is_stored_half(small, name) for name in halves)
    assert not HalfWeights()(small), "a second time there is nothing to do"


def test_it_computes_what_the_rounded_weights_do() -> None:
    def rounded(name: str) -> np.ndarray:
        return WEIGHTS[name].astype(np.float32).astype(np.float16).astype(np.float32)

    want = answers(made(**{name: rounded(name) for name in ("conv.weight", "up.weight", "last.weight", "matrix")}))
    small, _ = half_weights(made())
    np.testing.assert_array_equal(answers(small), want)
    assert not np.array_equal(answers(made()), want)
    np.testing.assert_allclose(answers(small, "openvino"), want, atol=1e-5 * np.abs(want).max())


def test_onnxruntime_computes_the_casts_as_it_loads(tmp_path: Path) -> None:
    small, _ = half_weights(made())
    kinds = []
    for name, model in (("a", made()), ("b", small)):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / f"{name}.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        kinds.append(Counter(node.op_type for node in onnx.load(tmp_path / f"{name}.onnx").graph.node))
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("values", [np.full((16, 8, 3, 3), 7e4), RNG.normal(size=(16, 8, 3, 3)) * 1e-8])
def test_what_float16_does_not_hold_stays_float32(values: np.ndarray) -> None:
    small, rounded = half_weights(made(**{"conv.weight": values}))
    assert rounded.kept == ("conv.weight",)
    assert "conv.weight" in {t.name for t in small.graph.initializer}
    assert rounded.tensors == 3
    assert difference(made(**{"conv.weight": values}), small) == ""


def test_a_weight_that_something_else_reads_too_stays() -> None:
    model = made()
    model.graph.node.append(helper.make_node("Abs", ["matrix"], ["z"], "abs"))
    small, rounded = half_weights(model)
    assert rounded.tensors == 3
    assert "matrix" in {t.name for t in small.graph.initializer}


def test_lint_and_the_count_of_work_see_through_it() -> None:
    small, _ = half_weights(made())
    assert [f for f in lint.lint(small, opset=20) if f.severity == "error"] == []
    assert costs(small).macs == costs(made()).macs
    assert costs(small).params == costs(made()).params


def coarse(model: onnx.ModelProto) -> None:
    weight = next(t for t in model.graph.initializer if t.name == "up.weight.half")
    values = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array((values.view(np.uint16) & 0xFFF0).view(np.float16), weight.name))


def a_bias(model: onnx.ModelProto) -> None:
    bias = next(t for t in model.graph.initializer if t.name == "conv.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(1e-6), bias.name))


def another_node(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.name == "add").op_type = "Mul"


def swapped(model: onnx.ModelProto) -> None:
    weight = next(t for t in model.graph.initializer if t.name == "matrix.half")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[::-1].copy(), weight.name))


def cast_twice(model: onnx.ModelProto) -> None:
    cast = next(node for node in model.graph.node if node.op_type == "Cast")
    cast.attribute[0].i = TensorProto.FLOAT16


@pytest.mark.parametrize("plant", [coarse, a_bias, another_node, swapped, cast_twice])
def test_another_difference_than_rounding_is_found(plant: object) -> None:
    small, _ = half_weights(made())
    assert difference(made(), small) == ""
    plant(small)  # type: ignore[operator]
    assert difference(made(), small) != ""
