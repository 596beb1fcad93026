"""ONNX files that ask for more than they may: each writes one into a folder and gives its path."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

F = TensorProto.FLOAT
SECRET = b"0123456789abcdef" * 4  # 16 numbers that lie outside the folder


def value(name: str, shape: list[int | str] | None = None, kind: int = F) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def net(
    nodes: list[onnx.NodeProto] | None = None,
    weights: list[TensorProto] | None = None,
    shape: list[int | str] | None = None,
    opset: int = 13,
    functions: list[onnx.FunctionProto] | None = None,
    domains: list[str] | None = None,
) -> onnx.ModelProto:
    """`y` of `x` [1, 3, 8, 8]; without nodes it is a Relu."""
    graph = helper.make_graph(
        nodes or [helper.make_node("Relu", ["x"], ["y"])],
        "net",
        [value("x", shape or [1, 3, 8, 8])],
        [value("y")],
        weights or [],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains or [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions or [])


def outside(location: str, offset: str | None = "0", length: str | None = "64", **more: str) -> onnx.ModelProto:
    """A net that multiplies by 16 numbers of another file, [1, 1, 4, 4] on a picture of 4 x 4."""
    tensor = TensorProto(name="w", data_type=F, dims=[1, 1, 4, 4], data_location=TensorProto.EXTERNAL)
    entries = {"location": location, "offset": offset, "length": length, **more}
    for key, text in entries.items():
        if text is not None:
            tensor.external_data.add(key=key, value=text)
    return net([helper.make_node("Mul", ["x", "w"], ["y"])], [tensor], [1, 3, 4, 4])


def whole() -> onnx.ModelProto:
    """A net in which every step of the cleaning has something to do."""
    rng = np.random.default_rng(0)
    shapes = {"w": (4, 3, 3, 3), "s": (4,), "b": (4,), "m": (4,), "k": (256, 5)}
    weights = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    weights += [numpy_helper.from_array(np.ones(4, np.float32), "v"), _whole("ax", 0), _whole("minus", -1)]
    weights.append(numpy_helper.from_array(np.array(0), "zero"))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Shape", ["n"], ["sh"]),
        helper.make_node("Gather", ["sh", "zero"], ["g"]),
        helper.make_node("Unsqueeze", ["g", "ax"], ["u"]),
        helper.make_node("Concat", ["u", "minus"], ["to"], axis=0),
        helper.make_node("Reshape", ["n", "to"], ["f"]),
        helper.make_node("MatMul", ["f", "k"], ["y"]),
    ]
    return net(nodes, weights)


def written(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _beside(data: bytes = SECRET) -> Callable[[Path], None]:
    return lambda folder: (folder / "w.bin").write_bytes(data) and None


def _symlink(folder: Path) -> None:
    (folder / "w.bin").symlink_to(folder.parent / "secret")


def _symlinked_folder(folder: Path) -> None:
    (folder / "sub").symlink_to(folder.parent)


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "w.bin")


def _folder(folder: Path) -> None:
    (folder / "w.bin").mkdir()


def _nothing(folder: Path) -> None:
    pass


def _far(depth: str) -> Callable[[Path], onnx.ModelProto]:
    return lambda folder: outside(depth)


Case = tuple[Callable[[Path], None], Callable[[Path], onnx.ModelProto]]  # what lies there, and the file

# what names a place that is none of its own, or a range that is not in the file
OUTSIDE: dict[str, Case] = {
    "up": (_nothing, _far("../secret")),
    "up through a folder": (_nothing, _far("sub/../../secret")),
    "up, Windows": (_nothing, _far("..\\secret")),
    "absolute": (_nothing, lambda folder: outside(str(folder.parent / "secret"))),
    "absolute, twice": (_nothing, lambda folder: outside("/" + str(folder.parent / "secret"))),
    "a drive": (_nothing, _far("C:secret")),
    "home": (_nothing, _far("~/secret")),
    "a URL": (_nothing, lambda folder: outside(f"file://{folder.parent}/secret")),
    "the process's memory": (_nothing, _far("/proc/self/mem")),
    "the processor's numbers": (_nothing, _far("/dev/zero")),
    "the null byte": (_beside(), _far("w.bin\0.txt")),
    "no place": (_nothing, _far("")),
    "the folder itself": (_nothing, _far(".")),
    "a folder": (_folder, _far("w.bin")),
    "a link": (_symlink, _far("w.bin")),
    "a folder that is a link": (_symlinked_folder, _far("sub/secret")),
    "a pipe": (_fifo, _far("w.bin")),
    "not there": (_nothing, _far("w.bin")),
    "a name of 5,000 letters": (_nothing, _far("a" * 5000)),
    "folders 100 deep": (_nothing, _far("a/" * 100 + "w.bin")),
    "the ONNX itself, behind its end": (_nothing, lambda folder: outside("net.onnx", "1000000")),
    "behind the end": (_beside(), lambda folder: outside("w.bin", "1")),
    "far behind the end": (_beside(), lambda folder: outside("w.bin", str(2**63))),
    "an offset of 100 digits": (_beside(), lambda folder: outside("w.bin", "9" * 100)),
    "a negative offset": (_beside(), lambda folder: outside("w.bin", "-64")),
    "a negative length": (_beside(), lambda folder: outside("w.bin", "0", "-1")),
    "another length": (_beside(), lambda folder: outside("w.bin", "0", "32")),
    "no number": (_beside(), lambda folder: outside("w.bin", "0x10")),
    "a file that is too short": (_beside(b"abc"), lambda folder: outside("w.bin", None, None)),
    "two places": (_beside(), lambda folder: _twice()),
    "an unknown key": (_beside(), lambda folder: outside("w.bin", command="rm")),
}


def _twice() -> onnx.ModelProto:
    model = outside("w.bin")
    model.graph.initializer[0].external_data.add(key="location", value="../secret")
    return model


def _inside(**attributes: object) -> onnx.NodeProto:
    return helper.make_node("If", ["c"], ["y"], **attributes)


def in_a_constant(folder: Path) -> onnx.ModelProto:
    tensor = outside("../secret").graph.initializer[0]
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.append(onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, t=tensor))
    return net([constant, helper.make_node("Mul", ["x", "w"], ["y"])], shape=[1, 3, 4, 4])


def in_a_branch(folder: Path) -> onnx.ModelProto:
    tensor = outside("../secret").graph.initializer[0]
    branch = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["z"])], "b", [], [value("z")], [tensor])
    yes = numpy_helper.from_array(np.array(True), "c")
    return net([_inside(then_branch=branch, else_branch=branch)], [yes], [1, 3, 4, 4])


def in_a_function(folder: Path) -> onnx.ModelProto:
    tensor = outside("../secret").graph.initializer[0]
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.append(onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, t=tensor))
    body = [constant, helper.make_node("Mul", ["a", "w"], ["z"])]
    function = helper.make_function("mine", "f", ["a"], ["z"], body, [helper.make_opsetid("", 13)])
    call = helper.make_node("f", ["x"], ["y"], domain="mine")
    return net([call], None, [1, 3, 4, 4], functions=[function], domains=["mine"])


HIDDEN = {"a Constant": in_a_constant, "a branch": in_a_branch, "a function": in_a_function}


def _declared(dims: list[int], kind: int = F) -> onnx.ModelProto:
    tensor = TensorProto(name="w", data_type=kind, dims=dims)
    return net([helper.make_node("Mul", ["x", "w"], ["y"])], [tensor])


def _nested(depth: int) -> onnx.ModelProto:
    short = helper.make_graph([helper.make_node("Relu", ["x"], ["e"])], "e", [], [value("e")])
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["z0"])], "b", [], [value("z0")])
    for i in range(1, depth):
        node = helper.make_node("If", ["c"], [f"z{i}"], then_branch=branch, else_branch=short)
        branch = helper.make_graph([node], "b", [], [value(f"z{i}")])
    yes = numpy_helper.from_array(np.array(True), "c")
    return net([_inside(then_branch=branch, else_branch=short)], [yes])


def _called(pairs: list[tuple[str, list[str]]]) -> onnx.ModelProto:
    """Functions that call one another: name -> names called, one behind the other."""
    functions = []
    for name, others in pairs:
        chain = ["a", *(f"t{i}" for i in range(len(others) - 1)), "z"]
        nodes = [
            helper.make_node(other, [chain[i]], [chain[i + 1]], domain="" if other == "Relu" else "mine")
            for i, other in enumerate(others)
        ]
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("mine", 1)]
        functions.append(helper.make_function("mine", name, ["a"], ["z"], nodes, opsets))
    call = helper.make_node(pairs[0][0], ["x"], ["y"], domain="mine")
    return net([call], functions=functions, domains=["mine"])


def _loop(op_type: str) -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["k"], ["k2"]), helper.make_node("Relu", ["a"], ["b"])],
        "body",
        [value("i", [], TensorProto.INT64), value("k", [], TensorProto.BOOL), value("a")],
        [value("k2", [], TensorProto.BOOL), value("b")],
    )
    weights = [
        numpy_helper.from_array(np.array(2**62, np.int64), "n"),
        numpy_helper.from_array(np.array(True), "c"),
    ]
    return net([helper.make_node(op_type, ["n", "c", "x"], ["y"], body=body)], weights)


def _node(op_type: str, *inputs: str, domain: str = "", **attributes: object) -> onnx.ModelProto:
    return net([helper.make_node(op_type, list(inputs), ["y"], domain=domain, **attributes)],
               domains=[domain] if domain else None)  # fmt: skip


def _whole(name: str, *numbers: int) -> TensorProto:
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


def _grown(*nodes: onnx.NodeProto, weights: list[TensorProto]) -> onnx.ModelProto:
    """A constant that grows when it is computed, added to the picture."""
    return net([*nodes, helper.make_node("Add", ["x", "big"], ["y"])], weights)


def _decided() -> onnx.ModelProto:
    """An If on what is in the picture."""
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "b", [], [value("z")])
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        _inside(then_branch=branch, else_branch=branch),
    ]
    return net(nodes)


def _renamed(**names: str) -> onnx.ModelProto:
    model = net()
    for part in (*model.graph.input, *model.graph.output):
        part.name = names.get(part.name, part.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return model


def _inputs(*values: onnx.ValueInfoProto) -> onnx.ModelProto:
    model = net()
    del model.graph.input[:]
    model.graph.input.extend(values)
    return model


def _opset(*versions: int) -> onnx.ModelProto:
    model = net()
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid("", version) for version in versions)
    return model


def _sequence() -> onnx.ModelProto:
    return net(
        [
            helper.make_node("SequenceConstruct", ["x", "x"], ["s"]),
            helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0),
        ]
    )


def _sparse() -> onnx.ModelProto:
    values = helper.make_tensor("w", F, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [10**12])
    model = net([helper.make_node("Add", ["x", "w"], ["y"])])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [10**13]))
    return model


def _circle() -> onnx.ModelProto:
    return net([helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
                helper.make_node("Relu", ["b"], ["y"])])  # fmt: skip


def _nothing_in() -> onnx.ModelProto:
    model = net([helper.make_node("Constant", [], ["y"], value_float=1.0)])
    del model.graph.input[:]
    return model


def _own() -> onnx.ModelProto:
    model = net()
    helper.set_model_props(model, {"edgekit": "{}"})
    return model


# what is refused whatever it would compute, and a word that the refusal has
REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "a custom operator": (lambda: _node("Swish", "x", domain="my.ops"), "my.ops::Swish"),
    "an operator of Microsoft's": (lambda: _node("FusedConv", "x", domain="com.microsoft"), "onnxruntime"),
    "an operator of the ML domain": (lambda: _node("ZipMap", "x", domain="ai.onnx.ml"), "ai.onnx.ml::ZipMap"),
    "an operator that ONNX has not": (lambda: _node("Relu2", "x"), "Relu2"),
    "an operator newer than its opset": (lambda: _node("Gelu", "x"), "Gelu"),
    "a loop": (lambda: _loop("Loop"), "Loop"),
    "a scan": (lambda: _loop("Scan"), "Scan"),
    "an If that the picture decides": (_decided, "another way"),
    "an If in Ifs, 12 deep": (lambda: _nested(12), "too deep"),
    "an If in Ifs, 30 deep": (lambda: _nested(30), "too deep"),
    "sequences": (_sequence, "Sequence"),
    "random numbers": (lambda: _node("RandomNormalLike", "x"), "other numbers"),
    "training": (lambda: _node("Dropout", "x", training_mode=1), "Dropout"),
    "a circle": (_circle, "circle"),
    "a node that reads itself": (lambda: _node("Add", "x", "y"), "circle"),
    "two tensors of one name": (lambda: net([helper.make_node("Relu", ["x"], ["y"])] * 2), "one name"),
    "a tensor called like the input": (lambda: net([helper.make_node("Relu", ["x"], ["x"])]), "one name"),
    "a tensor that nothing makes": (lambda: _node("Add", "x", "ghost"), "ghost"),
    "an output that nothing makes": (lambda: net([helper.make_node("Relu", ["x"], ["z"])]), "'y'"),
    "an output without a name": (lambda: _renamed(y=""), "name"),
    "a name with a line in it": (lambda: _renamed(y="y\n  fix: rm -rf"), "name"),
    "a name of 1,000 letters": (lambda: _renamed(y="y" * 1000), "name"),
    "an output called image": (lambda: _renamed(y="image"), "image"),
    "2 GB declared": (lambda: _declared([2**29 + 1]), "limit"),
    "2 EB declared": (lambda: _declared([2**61]), "limit"),
    "more numbers than there are numbers": (lambda: _declared([2**62, 2**62, 2**62]), "limit"),
    "a gigabyte declared": (lambda: _declared([2**28]), "numbers"),
    "negative dimensions": (lambda: _declared([-1, 4]), "[-1, 4]"),
    "a type that there is not": (lambda: _declared([1], 99), "99"),
    "texts": (lambda: _declared([1], TensorProto.STRING), "texts"),
    "sparse weights": (_sparse, "sparse"),
    "opset 6": (lambda: _opset(6), "opset"),
    "opset 1000": (lambda: _opset(1000), "opset"),
    "two opsets": (lambda: _opset(11, 13), "opset"),
    "no opset": (lambda: _opset(), "opset"),
    "a function that calls itself": (lambda: _called([("f", ["f"])]), "themselves"),
    "two functions that call each other": (lambda: _called([("f", ["g"]), ("g", ["Relu", "f"])]), "themselves"),
    "functions that become 2**40 nodes": (
        lambda: _called([*((f"f{i}", [f"f{i + 1}"] * 2) for i in range(40)), ("f40", ["Relu"])]),
        "too many nodes",
    ),
    "two inputs": (lambda: _inputs(value("x", [1, 3, 8, 8]), value("x2", [1, 2])), "x2"),
    "no input": (_nothing_in, "no input"),
    "a whole batch": (lambda: net(shape=[16, 3, 8, 8]), "batch"),
    "rows": (lambda: net(shape=[1, 100]), "picture"),
    "a picture of 10**9 pixels a side": (lambda: net(shape=[1, 3, 10**9, 10**9]), "pixels"),
    "a picture of no pixels": (lambda: net(shape=[1, 3, 0, 0]), "size"),
    "a picture of texts": (lambda: _inputs(value("x", [1, 3, 8, 8], TensorProto.STRING)), "texts"),
    "a picture of whole numbers": (lambda: _inputs(value("x", [1, 3, 8, 8], TensorProto.INT64)), "picture"),
    "edgekit's own": (_own, "edgekit"),
    "ConstantOfShape of 10**12": (
        lambda: _grown(helper.make_node("ConstantOfShape", ["s"], ["big"]), weights=[_whole("s", 10**6, 10**6)]),
        "limit",
    ),
    "Expand to 10**12": (
        lambda: _grown(helper.make_node("Expand", ["one", "s"], ["big"]),
                       weights=[_whole("s", 10**6, 10**6), _whole("one", 1)]),
        "limit",
    ),
    "Tile by 10**12": (
        lambda: _grown(helper.make_node("Tile", ["one", "s"], ["big"]),
                       weights=[_whole("s", 10**12), _whole("one", 1)]),
        "limit",
    ),
    "Range of 10**12": (
        lambda: _grown(
            helper.make_node("Range", ["a", "b", "c"], ["big"]),
            weights=[numpy_helper.from_array(np.array(n, np.int64), name) for name, n in
                     (("a", 0), ("b", 10**12), ("c", 1))],
        ),
        "limit",
    ),
    "a picture that is tiled 10**6 times": (
        lambda: net([helper.make_node("Tile", ["x", "s"], ["y"])], [_whole("s", 1, 1, 10**4, 10**4)]),
        "limit",
    ),
    "a picture that is padded to 10**12": (
        lambda: net([helper.make_node("Pad", ["x", "s"], ["y"])], [_whole("s", 0, 0, 10**6, 10**6, 0, 0, 0, 0)]),
        "limit",
    ),
    "a picture that is made larger by shapes that are computed": (
        lambda: net(
            [
                helper.make_node("Shape", ["x"], ["sx"]),
                helper.make_node("Mul", ["sx", "s"], ["big"]),
                helper.make_node("Expand", ["one", "big"], ["e"]),
                helper.make_node("Concat", ["e", "e"], ["y"], axis=0),
            ],
            [_whole("s", 1, 1, 10**5, 10**5), numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "one")],
        ),
        "limit",
    ),
}  # fmt: skip
