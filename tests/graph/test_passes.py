"""Each pass on graphs made by hand: what it requires, what it ensures, and that the arithmetic stays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper

from edgekit.backends.onnxruntime_ import run_once
from edgekit.errors import EdgekitError
from edgekit.graph.passes import Expose, Pass, after_export, exposed
from edgekit.graph.passes.drop_debug_info import DropDebugInfo
from edgekit.graph.passes.name_batch import NameBatch
from edgekit.graph.passes.name_by_module import CLASSES, SCOPES, NameByModule
from edgekit.graph.passes.shape_after_cast import ShapeAfterCast

TEXT = """<ir_version: 10, opset_import: ["": 20]> g (float[batch,4] image) => (float[batch,4] logits) {
    [node_1] a = Add(image, p)
    [node_2] b = Relu(a)
    [node_3] c = Mul(b, b)
    [node_4] d = Relu(c)
    [node_5] e, f = Split<axis: int = 1, num_outputs: int = 2>(d)
    [node_6] logits = Concat<axis: int = 1>(f, e)
}"""
RELU = "torch.nn.modules.activation.ReLU"
# per node: module paths from the outermost in, and their classes; the last one is the operation itself
PLACES = [
    (["", "add"], ["Wrapper", "aten.add"]),
    (["", "net", "net.relu", "relu"], ["Wrapper", "Net", RELU, "aten.relu"]),
    (["", "net", "mul"], ["Wrapper", "Net", "aten.mul"]),
    (["", "net", "net.relu", "relu_1"], ["Wrapper", "Net", RELU, "aten.relu"]),
    (["", "net", "net.block", "split"], ["Wrapper", "Net", "Block", "aten.split"]),
    (["", "net", "net.block", "cat"], ["Wrapper", "Net", "Block", "aten.cat"]),
]


def made(placed: bool = True) -> onnx.ModelProto:
    model = onnx.parser.parse_model(TEXT)
    model.graph.initializer.append(numpy_helper.from_array(np.arange(4, dtype=np.float32) - 2, "p"))
    if placed:
        for node, (scopes, classes) in zip(model.graph.node, PLACES, strict=True):
            node.metadata_props.add(key=SCOPES, value=str(scopes))
            node.metadata_props.add(key=CLASSES, value=str(classes))
    return model


X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def run(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    return run_once(model.SerializeToString(), {"image": X})


WANT = run(made())["logits"]


def names(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node]


def test_nodes_take_the_names_of_their_modules() -> None:
    model = made()
    assert NameByModule(strip="net.")(model)
    assert names(model) == ["preprocess.add", "relu", "mul", "relu_1", "block.split", "block.concat"]
    assert [list(n.output) for n in model.graph.node[:4]] == [["preprocess.add"], ["relu"], ["mul"], ["relu_1"]]
    assert list(model.graph.node[4].output) == ["block.split.0", "block.split.1"]
    np.testing.assert_array_equal(run(model)["logits"], WANT)


def test_inputs_and_outputs_keep_their_names() -> None:
    model = made()
    assert NameByModule(strip="net.")(model)
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("image", "logits")
    assert model.graph.node[-1].output[0] == "logits"


def test_weights_lose_the_prefix() -> None:
    model = made()
    model.graph.initializer[0].name = model.graph.node[0].input[1] = "net.conv.weight"
    assert NameByModule(strip="net.")(model)
    assert model.graph.initializer[0].name == model.graph.node[0].input[1] == "conv.weight"
    np.testing.assert_array_equal(run(model)["logits"], WANT)


def test_names_stay_unique_when_modules_are_called_like_tensors() -> None:
    """A module named like the input, and a weight named like a module."""
    model = made()
    props = {p.key: p for p in model.graph.node[1].metadata_props}
    props[SCOPES].value = str(["", "net", "net.image", "relu"])
    props = {p.key: p for p in model.graph.node[3].metadata_props}
    props[SCOPES].value = str(["", "net", "net.logits", "relu"])
    model.graph.initializer[0].name = model.graph.node[0].input[1] = "net.mul"
    assert NameByModule(strip="net.")(model)
    made_names = [o for n in model.graph.node for o in n.output]
    everything = [*made_names, "image", *(t.name for t in model.graph.initializer)]
    assert len(everything) == len(set(everything))
    assert len(names(model)) == len(set(names(model)))
    np.testing.assert_array_equal(run(model)["logits"], WANT)


@pytest.mark.parametrize("broken", [None, "not python", "[1", "['']"])
def test_nodes_without_a_place_are_named_by_operator(broken: str | None) -> None:
    model = made(placed=False)
    if broken is not None:
        for node in model.graph.node:
            node.metadata_props.add(key=SCOPES, value=broken)
    assert NameByModule(strip="net.")(model)
    assert len(set(names(model))) == 6
    assert names(model)[1].endswith("relu")
    np.testing.assert_array_equal(run(model)["logits"], WANT)


def test_shapes_under_old_names_are_dropped() -> None:
    model = onnx.shape_inference.infer_shapes(made())
    assert model.graph.value_info
    assert NameByModule(strip="net.")(model)
    assert not model.graph.value_info


def test_empty_optional_names_stay_empty() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 20]> g (float[4] image) => (float[4] logits) '
        '{ a = Clip(image, "", hi) logits = Relu(a) }'
    )
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "hi"))
    assert list(model.graph.node[0].input) == ["image", "", "hi"]
    assert NameByModule(strip="net.")(model)
    assert list(model.graph.node[0].input) == ["image", "", "hi"]


def test_debug_info_is_dropped_everywhere() -> None:
    model = onnx.shape_inference.infer_shapes(made())
    graph = model.graph
    parts = (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info)
    for part in parts:
        part.doc_string = "/home/secret"
        part.metadata_props.add(key="secret", value="/home/secret")
    assert DropDebugInfo()(model)
    assert b"secret" not in model.SerializeToString()
    np.testing.assert_array_equal(run(model)["logits"], WANT)


def test_the_batch_is_called_n() -> None:
    model = made()
    NameBatch()(model)
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "N"
    unnamed = made()
    unnamed.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    assert NameBatch("B")(unnamed)
    assert unnamed.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "B"


def test_a_fixed_batch_stays_fixed() -> None:
    model = made()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3
    NameBatch()(model)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 3


def test_only_the_batch_may_be_dynamic() -> None:
    model = made()
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "K"
    with pytest.raises(EdgekitError, match="logits has a dynamic dimension 1"):
        NameBatch()(model)


def test_expose_makes_every_float_tensor_an_output() -> None:
    model = made()
    model.graph.node.insert(1, helper.make_node("Cast", ["a"], ["whole"], to=onnx.TensorProto.INT32))
    full = exposed(model)
    results = run(full)
    assert set(results) == {"logits", "a", "b", "c", "d", "e", "f"}  # whole is no float
    np.testing.assert_array_equal(results["a"], X + (np.arange(4, dtype=np.float32) - 2))
    np.testing.assert_array_equal(results["d"], np.maximum(results["a"], 0) ** 2)
    np.testing.assert_array_equal(results["logits"], WANT)
    assert [o.name for o in model.graph.output] == ["logits"]  # a copy
    assert [o.name for o in exposed(full).graph.output] == [o.name for o in full.graph.output]


# -- requires, ensures, changed ------------------------------------------------------------------------------------

PASSES = (NameByModule(strip="net."), DropDebugInfo(), NameBatch(), Expose())


@pytest.mark.parametrize("one", PASSES, ids=lambda one: type(one).__name__)
def test_a_pass_says_whether_it_changed_the_graph(one: Pass) -> None:
    model = made()
    before = model.SerializeToString()
    assert one(model)
    assert model.SerializeToString() != before
    once = model.SerializeToString()
    assert not one(model)
    assert model.SerializeToString() == once
    np.testing.assert_array_equal(run(model)["logits"], WANT)


def test_names_that_are_right_already_are_no_change() -> None:
    model = made()
    one = NameByModule(strip="net.")
    assert [one(model), one(model)] == [True, False]


def test_those_that_changed_something_are_named() -> None:
    model = made()
    assert after_export(model)[:3] == ("NameByModule", "DropDebugInfo", "NameBatch")
    again = made()
    NameBatch()(again)
    assert after_export(again)[:2] == ("NameByModule", "DropDebugInfo")


def test_the_shape_of_the_input_is_read_behind_its_cast() -> None:
    """TensorRT takes uint8 in a Cast only; the Cast may stand behind the Shape in the file."""
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 20]> g (uint8[N,2,2] image) => (float[N,4] logits) '
        "{ [s] a = Shape<start: int = 0, end: int = 1>(image) b = Concat<axis: int = 0>(a, four) "
        "[c] x = Cast<to: int = 1>(image) logits = Reshape(x, b) }"
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([4], np.int64), "four"))
    image = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    want = run_once(model.SerializeToString(), {"image": image})["logits"]
    assert ShapeAfterCast()(model)
    onnx.checker.check_model(model, full_check=True)
    assert [n.op_type for n in model.graph.node if "image" in n.input] == ["Cast"]
    np.testing.assert_array_equal(run_once(model.SerializeToString(), {"image": image})["logits"], want)
    before = model.SerializeToString()
    assert not ShapeAfterCast()(model)
    assert model.SerializeToString() == before


def test_a_tensor_that_is_made_twice_cannot_be_named() -> None:
    model = made()
    model.graph.node[1].output[0] = "a"
    before = model.SerializeToString()
    with pytest.raises(EdgekitError, match="NameByModule cannot be run on this graph") as caught:
        NameByModule(strip="net.")(model)
    assert caught.value.got == "a is made 2 times"
    assert model.SerializeToString() == before


def test_tensors_that_cannot_be_typed_cannot_be_exposed() -> None:
    model = made()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros(3, np.float32), "p"))
    with pytest.raises(EdgekitError, match="Expose cannot be run on this graph"):
        Expose()(model)


def test_debug_info_in_the_body_of_a_branch_is_dropped_too() -> None:
    inner = helper.make_graph([helper.make_node("Relu", ["image"], ["y"], doc_string="/home/secret")], "then", [], [])
    model = made()
    model.graph.node.append(helper.make_node("If", ["image"], [], then_branch=inner, else_branch=inner))
    assert DropDebugInfo()(model)
    assert b"secret" not in model.SerializeToString()


class Careless(NameBatch):
    """Does something else than it says."""

    def __init__(self, rewrite: Callable[[onnx.ModelProto], None]) -> None:
        super().__init__()
        object.__setattr__(self, "rewrite", rewrite)


@pytest.mark.parametrize(
    ("rewrite", "problem"),
    [
        (lambda model: None, "has a batch batch"),
        (lambda model: setattr(model.graph.input[0], "name", "pixels"), "other names"),
        (lambda model: model.graph.output.pop(), "other names"),
    ],
)
def test_what_a_pass_does_not_keep_to_is_found_out(rewrite: Callable[[onnx.ModelProto], None], problem: str) -> None:
    with pytest.raises(EdgekitError, match="made a wrong graph") as caught:
        Careless(rewrite)(made())
    assert problem in str(caught.value.got)
