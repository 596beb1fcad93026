"""Graphs as other exporters write them come out plain, and compute what they did."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from edgekit.errors import EdgekitError, UsageError
from edgekit.graph.foreign import clean, read_foreign
from edgekit.graph.foreign.clean import STEPS
from edgekit.graph.foreign.steps.work import Work
from tests.graph.foreign.nets import cleaned, compare, file, norm, numbers, ops


def test_a_net_as_it_was_exported_years_ago(tmp_path: Path) -> None:
    """Opset 9, weights as inputs, Constants, a norm of its own, and a flatten that reads the shape."""
    text = """net (float[1,3,8,8] x, float[4,3,3,3] w, float[4] s, float[4] b, float[4] m, float[4] v, float[256,5] k)
      => (float[1,5] y) {
      c = Conv<pads = [1,1,1,1]>(x, w)
      n = BatchNormalization<epsilon = 0.001>(c, s, b, m, v)
      r = Relu(n)
      shape = Shape(r)
      zero = Constant<value = int64 {0}>()
      first = Gather<axis = 0>(shape, zero)
      minus = Constant<value = int64[1] {-1}>()
      firsts = Unsqueeze<axes = [0]>(first)
      whole = Concat<axis = 0>(firsts, minus)
      flat = Reshape(r, whole)
      f = MatMul(flat, k)
      y = Softmax(f)
    }"""
    weights = {"w": numbers(4, 3, 3, 3), **norm(4), "k": numbers(256, 5) / 16}
    found = cleaned(file(tmp_path, text, weights, ir=3, opset=9))
    assert ops(found) == {"Conv": 1, "Relu": 1, "Reshape": 1, "MatMul": 1, "Softmax": 1}
    assert found.batch == "N"
    (folded,) = found.folded
    assert folded.into == "conv"
    assert 0 <= folded.difference < 1e-5 * folded.scale


def test_a_branch_that_is_always_taken(tmp_path: Path) -> None:
    text = """net (float[1,3,8,8] x) => (float[a,b,c,d] y) {
      s = Shape(x)
      one = Constant<value = int64 {1}>()
      n = Gather(s, one)
      three = Constant<value = int64 {3}>()
      yes = Equal(n, three)
      a = If (yes) <
        then_branch = yes_ () => (float[1,3,8,8] t) { r = Relu(x)
          t = Mul(r, k) },
        else_branch = no_ () => (float[1,3,8,8] e) { e = Neg(x) }
      >
      y = Sigmoid(a)
    }"""
    found = cleaned(file(tmp_path, text, {"k": numbers(1)}, opset=13))
    assert ops(found) == {"Relu": 1, "Mul": 1, "Sigmoid": 1}


def test_functions_are_written_out(tmp_path: Path) -> None:
    text = """net (float[1,3,8,8] x) => (float[1,3,8,8] y) { a = mine.twice(x)
      y = mine.scaled<by = 3.0>(a) }
    <opset_import: ["" : 13], domain: "mine">
    twice (p) => (q) { b = Add(p, p)
      q = Relu(b) }
    <opset_import: ["" : 13], domain: "mine">
    scaled <by> (p) => (q) { k = Constant<value_float: float = @by>()
      q = Mul(p, k) }"""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 13, "mine" : 1]>\n{text}')
    onnx.save(model, tmp_path / "net.onnx")
    found = cleaned(tmp_path / "net.onnx")
    assert ops(found) == {"Add": 1, "Relu": 1, "Mul": 1}
    assert not found.model.functions


def test_sequences_that_are_a_split(tmp_path: Path) -> None:
    text = """net (float[1,5,8,8] x) => (float[1,1,8,8] y) {
      parts = SplitToSequence<axis = 1>(x, two)
      a = SequenceAt(parts, zero)
      b = SequenceAt(parts, last)
      c = ReduceMax<axes = [1]>(a)
      y = Add(b, c)
    }"""
    weights = {"two": np.array(2), "zero": np.array(0), "last": np.array(-1)}
    path = file(tmp_path, text, weights, opset=13)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3  # channels of a picture
    onnx.save(model, path)
    assert ops(cleaned(path)) == {"Split": 1, "ReduceMax": 1, "Add": 1}


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_other_floats_become_float32(kind: str, tmp_path: Path) -> None:
    name = {"float16": "float16", "float64": "double"}[kind]
    text = f"""net ({name}[1,3,8,8] x) => ({name}[1,3,1,1] y) {{
      a = Mul(x, w)
      b = Cast<to = 1>(a)
      c = Cast<to = {10 if kind == "float16" else 11}>(b)
      y = ReduceMean<axes = [2, 3]>(c)
    }}"""
    path = file(tmp_path, text, {"w": numbers(1, 3, 1, 1).astype(kind)}, opset=13)
    foreign = read_foreign(path)
    assert foreign.inputs[0].dtype == kind
    found = clean(foreign, opset=20)
    assert ops(found) == {"Mul": 1, "ReduceMean": 1}
    kinds = {t.data_type for t in found.model.graph.initializer} | {
        v.type.tensor_type.elem_type for v in (*found.model.graph.input, *found.model.graph.output)
    }
    assert kinds - {TensorProto.INT64} == {TensorProto.FLOAT}
    compare(foreign, found, 2e-3 if kind == "float16" else 1e-6)
    assert any(kind in step for step in found.steps)


def test_names_of_their_own(tmp_path: Path) -> None:
    """What can be read is kept; numbers, and texts with spaces are not."""
    nodes = [
        helper.make_node("Conv", ["x", "12"], ["13"]),
        helper.make_node("Conv", ["13", "a b\n"], ["/layer1/conv/out"], name="/layer1/Conv"),
        helper.make_node("Relu", ["/layer1/conv/out"], ["14"], name=""),
        helper.make_node("Add", ["14", "image"], ["98"], name="add"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", 1, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("98", 1, None)],
        [numpy_helper.from_array(numbers(3, 3, 1, 1), name) for name in ("12", "a b\n", "image")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    found = cleaned(tmp_path / "net.onnx").model.graph
    assert [node.name for node in found.node] == ["conv", "/layer1/Conv", "relu", "add"]
    assert [list(node.output) for node in found.node] == [["conv"], ["/layer1/conv/out"], ["relu"], ["98"]]
    assert [tensor.name for tensor in found.initializer] == ["conv.weight", "a_b", "image_1"]


@pytest.mark.parametrize("layout", ["float[n,3,h,w]", "float[n,h,w,3]", "float[n,c,h,w]"])
def test_any_size_is_fixed(layout: str, tmp_path: Path) -> None:
    first = "a = Transpose<perm = [0, 3, 1, 2]>(x)\n c = Conv(a, k)" if layout.endswith("3]") else "c = Conv(x, k)"
    text = f"net ({layout} x) => (float[a,b,c,d] y) {{ {first}\n y = Relu(c) }}"
    path = file(tmp_path, text, {"k": numbers(4, 3, 3, 3)}, opset=13)
    with pytest.raises(UsageError, match="--size"):
        clean(read_foreign(path), opset=20)
    found = cleaned(path, size=(16, 24))
    shape = [d.dim_value or d.dim_param for d in found.model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == (["N", 16, 24, 3] if layout.endswith("3]") else ["N", 3, 16, 24])
    out = [d.dim_value or d.dim_param for d in found.model.graph.output[0].type.tensor_type.shape.dim]
    assert out == ["N", 4, 14, 22]


def test_a_size_that_the_file_does_not_take(tmp_path: Path) -> None:
    path = file(tmp_path, "net (float[1,3,8,6] x) => (float[1,3,8,6] y) { y = Relu(x) }")
    with pytest.raises(UsageError, match="8x6"):
        clean(read_foreign(path), opset=20, size=(6, 8))
    cleaned(path, size=(8, 6))


def test_a_dimension_of_minus_one_is_dynamic(tmp_path: Path) -> None:
    path = file(tmp_path, "net (float[1,3,8,8] x) => (float[a,b,c,d] y) { y = Relu(x) }")
    model = onnx.load(path)
    for i in (0, 2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[i].dim_value = -1
    onnx.save(model, path)
    assert read_foreign(path).inputs[0].shape == ("?", 3, "?", "?")
    cleaned(path, size=(8, 8))


def test_an_output_that_no_picture_changes(tmp_path: Path) -> None:
    """An SSD's priors, given as they are."""
    text = """net (float[1,3,8,8] x) => (float[1,3,8,8] y, float[2,4] priors) {
      y = Relu(x)
      two = Constant<value = float {2.0}>()
      priors = Mul(p, two)
    }"""
    path = file(tmp_path, text, {"p": numbers(2, 4)}, opset=13)
    found = cleaned(path)
    assert found.batch == 1
    assert "priors" in found.reason


def test_nothing_of_the_build_machine_is_left(tmp_path: Path) -> None:
    path = file(tmp_path, "net (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu(x) }")
    model = onnx.load(path)
    model.doc_string = model.graph.doc_string = model.graph.node[0].doc_string = "/home/somebody/train.py"
    helper.set_model_props(model, {"names": "{0: 'bee'}", "stride": "32"})
    onnx.save(model, path)
    foreign = read_foreign(path)
    assert foreign.props == {"names": "{0: 'bee'}", "stride": "32"}
    found = clean(foreign, opset=20)
    assert b"somebody" not in found.model.SerializeToString()


def test_a_step_that_goes_wrong_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison after each step can fail."""

    def wrong(work: Work) -> None:
        work.graph.node[0].op_type = "Neg"

    monkeypatch.setattr(import_module("edgekit.graph.foreign.clean"), "STEPS", (*STEPS[:-1], wrong, STEPS[-1]))
    path = file(tmp_path, "net (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu(x) }")
    with pytest.raises(EdgekitError, match="at the step wrong"):
        clean(read_foreign(path), opset=20)


MODELS = Path(os.environ.get("EDGEKIT_DATA", "")) / "models"


@pytest.mark.skipif("EDGEKIT_DATA" not in os.environ, reason="EDGEKIT_DATA names no folder of real models")
@pytest.mark.parametrize(("name", "norms"), [("fastestdet", 0), ("ultraface-rfb320", 35), ("yolox_nano", 0)])
def test_real_files(name: str, norms: int) -> None:
    found = cleaned(MODELS / f"{name}.onnx")
    assert found.batch == "N"
    assert len(found.folded) == norms
    assert all(norm.into and norm.difference < 1e-5 * norm.scale for norm in found.folded)
