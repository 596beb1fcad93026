"""Nodes written by name: equal calls give equal names, taken names are left alone, equal constants are kept once."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgekit.backends.onnxruntime_ import run_once
from edgekit.graph.builder import Builder


def model() -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    node = helper.make_node("Relu", ["x"], ["decode/add"], name="decode/mul")
    graph = helper.make_graph([node], "small", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_nodes_are_added_behind_and_names_that_are_taken_are_not_given_again() -> None:
    made = model()
    b = Builder(made, "decode")
    twice = b.add("Add", "decode/add", "decode/add")
    b.add("Mul", twice, b.constant([1, 2, 3]), name="y")
    assert b.constant([1, 2, 3]) == b.constant(np.float32([1, 2, 3])) != b.constant([1, 2, 3], np.int32)
    b.finish()
    names = [node.name for node in made.graph.node]
    assert names == ["decode/mul", "decode/add_2", "decode/mul_2"]
    assert twice == "decode/add_2"
    onnx.checker.check_model(made, full_check=True)
    given = run_once(made.SerializeToString(), {"x": np.float32([[1, -1, 2]])})
    assert given["y"].tolist() == [[2, 0, 12]]


def test_nodes_can_be_put_in_front() -> None:
    made = model()
    made.graph.node[0].input[0] = "front"
    made.graph.node[0].output[0] = "y"
    b = Builder(made, "input")
    b.add("Neg", "x", name="front")
    b.finish(front=True)
    onnx.checker.check_model(made, full_check=True)
    assert run_once(made.SerializeToString(), {"x": np.float32([[1, -1, 2]])})["y"].tolist() == [[0, 1, 0]]
