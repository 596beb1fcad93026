"""A range ends where its readers tell nothing apart any more."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.graph.lint.graph import Graph
from edgekit.quantize.saturation import told_apart

INF = math.inf
CONSTANTS = [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("zero", 0), ("six", 6), ("minus", -1))]


def model_of(*readers: onnx.NodeProto, outputs: tuple[str, ...] = ("y0",)) -> onnx.ModelProto:
    """`t`, an Identity of the input, and what reads it."""
    nodes = [helper.make_node("Identity", ["x"], ["t"], "before"), *readers]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", *outputs)]
    return helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], CONSTANTS))


def graph_of(*readers: onnx.NodeProto, outputs: tuple[str, ...] = ("y0",)) -> Graph:
    return Graph(model_of(*readers, outputs=outputs))


def reader(kind: str, *more: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, ["t", *more], ["y0"], "reader", **attributes)


@pytest.mark.parametrize(
    ("node", "wanted"),
    [
        (reader("HardSwish"), (-3, INF)),
        (reader("Relu"), (0, INF)),
        (reader("HardSigmoid"), (-2.5, 2.5)),
        (reader("HardSigmoid", alpha=1 / 6), (-3, 3)),
        (reader("HardSigmoid", alpha=-1.0), (-INF, INF)),
        (reader("Clip", "zero", "six"), (0, 6)),
        (reader("Clip", "", "six"), (-INF, 6)),
        (reader("Clip", "minus"), (-1, INF)),
        (reader("Clip", "x"), (-INF, INF)),  # computed
        (reader("Sigmoid"), (-8, 8)),
        (reader("Tanh"), (-INF, INF)),
    ],
)
def test_of_one_reader(node: onnx.NodeProto, wanted: tuple[float, float]) -> None:
    assert told_apart(graph_of(node), "t") == pytest.approx(wanted)


def test_the_values_beyond_are_the_same_to_the_reader() -> None:
    """By onnx's own reference: at the limits and far beyond them the answers are equal, just inside they are not."""
    from onnx.reference import ReferenceEvaluator

    for node in (reader("HardSwish"), reader("Relu"), reader("HardSigmoid"), reader("Clip", "minus", "six")):
        run = ReferenceEvaluator(model_of(node)).run
        for limit, way in zip(told_apart(graph_of(node), "t"), (-1, 1), strict=True):
            if math.isfinite(limit):
                at, beyond, inside = (
                    run(None, {"x": np.full((1, 3), limit + way * by, np.float32)})[0] for by in (0, 20, -0.1)
                )
                np.testing.assert_array_equal(at, beyond)
                assert (at != inside).all()


def test_every_reader_counts_and_an_output_is_one() -> None:
    second = helper.make_node("Relu", ["t"], ["y1"], "second")
    assert told_apart(graph_of(reader("HardSwish"), second, outputs=("y0", "y1")), "t") == (-3, INF)
    other = helper.make_node("Tanh", ["t"], ["y1"], "second")
    assert told_apart(graph_of(reader("HardSwish"), other, outputs=("y0", "y1")), "t") == (-INF, INF)
    assert told_apart(graph_of(reader("HardSwish"), outputs=("y0", "t")), "t") == (-INF, INF)
    assert told_apart(graph_of(reader("HardSwish")), "y0") == (-INF, INF)


@pytest.mark.parametrize(("gate", "low"), [("Sigmoid", -8), ("HardSigmoid", -2.5)])
def test_a_tensor_times_its_own_gate(gate: str, low: float) -> None:
    """SiLU, and a HardSwish written out: large values count, and so does all of what another gate multiplies."""
    gates = helper.make_node(gate, ["t"], ["gate"], "gate")
    for order in (["t", "gate"], ["gate", "t"]):
        product = helper.make_node("Mul", order, ["y0"], "product")
        assert told_apart(graph_of(gates, product), "t") == (low, INF)
    by_another = helper.make_node(gate, ["x"], ["gate"], "gate")
    assert told_apart(graph_of(by_another, helper.make_node("Mul", ["t", "gate"], ["y0"])), "t") == (-INF, INF)
    assert told_apart(graph_of(helper.make_node("Mul", ["t", "t"], ["y0"], "square")), "t") == (-INF, INF)
