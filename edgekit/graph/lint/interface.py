"""Rules about the file, its names and its types: what a runtime sees before it computes anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from onnx import TensorProto

from edgekit.graph.lint.graph import Graph, operand, title, type_name
from edgekit.graph.lint.rule import Hit

STANDARD = ("", "ai.onnx")
MICROSOFT = "com.microsoft"


def external_data(graph: Graph) -> Iterator[Hit]:
    """A model is one file: onnxruntime 1.32 and TensorRT-RTX 1.7 refuse outside weights when they get bytes.

    Read from a path, the second file can get lost or swapped, and had path traversals (CVE-2024-27318 and later).
    """
    for tensor in graph.tensor_protos():
        if tensor.data_location == TensorProto.EXTERNAL:
            place = next((e.value for e in tensor.external_data if e.key == "location"), "another file")
            name = tensor.name or "a Constant"
            yield Hit(name, f"{name} is stored in {place}", "save one file (external_data=False)")


def unknown_domain(graph: Graph) -> Iterator[Hit]:
    """onnxruntime 1.32 refuses it; TensorRT-RTX 1.7 ignores the domain and takes `any::Relu` for ONNX's own Relu.

    What has no such namesake is refused, or needs a plugin: native code that came from elsewhere.
    """
    for node in graph.nodes:
        if node.domain not in (*STANDARD, MICROSOFT):
            yield Hit(
                title(node),
                f"{title(node)} is {node.domain}::{node.op_type}",
                "export with ONNX's own operators; inline local functions (onnx.inliner)",
            )


def microsoft_domain(graph: Graph) -> Iterator[Hit]:
    """TensorRT-RTX 1.7 refuses operators that onnxruntime fused, or takes one for a namesake that ONNX defines."""
    for node in graph.nodes:
        if node.domain == MICROSOFT:
            yield Hit(
                title(node),
                f"{title(node)} is {MICROSOFT}::{node.op_type}",
                "start from the file as exported, not from one that onnxruntime optimized",
            )


def opset_mismatch(graph: Graph) -> Iterator[Hit]:
    """An exporter replaces an opset without a word (torch 2.14: 13 becomes 18), and the target's was the one tried."""
    if graph.expected_opset is not None and graph.opset != graph.expected_opset:
        yield Hit(
            "opset_import",
            f"the model has opset {graph.opset}, the target names {graph.expected_opset}",
            "export with an opset that this exporter can write, and name it in the target",
        )


def shape_inference(graph: Graph) -> Iterator[Hit]:
    """Rules about types see nothing where inference fails; better to say so than to find nothing."""
    if graph.inference_error:
        yield Hit(
            "graph", f"types are not consistent: {graph.inference_error}", "run onnx.checker and repair the node named"
        )


def duplicate_names(graph: Graph) -> Iterator[Hit]:
    """onnxruntime 1.32 refuses two tensors or two nodes of one name, TensorRT-RTX 1.7 the tensors."""
    for scope in graph.scopes:
        made = [v.name for v in scope.input] + [name for node in scope.node for name in node.output if name]
        made += {t.name for t in scope.initializer} - {v.name for v in scope.input}
        for kind, names in (("tensors", made), ("nodes", [n.name for n in scope.node if n.name])):
            for name, times in Counter(names).items():
                if times > 1:
                    yield Hit(name, f"{times} {kind} are called {name}", f"give all {kind} names of their own")


def unnamed_output(graph: Graph) -> Iterator[Hit]:
    """Outputs are bound by name; onnxruntime 1.32 and TensorRT-RTX 1.7 refuse one without a name or a node.

    Both accept two outputs of one name, and an output that is an input: TensorRT-RTX then renames the input `__NAME`.
    """
    fix = "give each output its own name and the node that makes it; an Identity will do"
    inputs = {v.name for v in graph.inputs}
    if not graph.outputs:
        yield Hit("graph", "the graph has no outputs", fix)
    for name, times in Counter(v.name for v in graph.outputs).items():
        if not name:
            yield Hit("graph", "an output has no name", fix)
        elif name in inputs:
            yield Hit(name, f"output {name} is the input of the same name", fix)
        elif graph.producer(name) is None and not graph.is_constant(name):
            yield Hit(name, f"no node makes output {name}", fix)
        elif times > 1:
            yield Hit(name, f"{times} outputs are called {name}", fix)


def int64_io(graph: Graph) -> Iterator[Hit]:
    """TensorRT-RTX 1.7 makes an INT64 binding of it: twice the copy, and unknown to TensorRT before 10."""
    for kind, values in (("input", graph.inputs), ("output", graph.outputs)):
        for v in values:
            if graph.dtype(v.name) == TensorProto.INT64:
                yield Hit(v.name, f"{kind} {v.name} is int64", "cast to int32 inside the graph")


def uint8_before_cast(graph: Graph) -> Iterator[Hit]:
    """TensorRT-RTX 1.7 refuses uint8 in every operator but Cast, so Cast comes before Transpose."""
    for v in graph.inputs:
        if graph.dtype(v.name) == TensorProto.UINT8:
            for node in graph.consumers(v.name):
                if node.op_type != "Cast":
                    yield Hit(
                        v.name, f"uint8 input {v.name} goes into {node.op_type} {title(node)}", "Cast to float first"
                    )


def uint8_inside(graph: Graph) -> Iterator[Hit]:
    """TensorRT-RTX 1.7 refuses a uint8 tensor between two nodes, unless QuantizeLinear made it."""
    for name in graph.entries(TensorProto.UINT8):
        node = graph.producer(name)
        if node is not None and node.op_type not in ("Constant", "QuantizeLinear") and graph.consumers(name):
            yield Hit(name, f"{node.op_type} makes uint8 {name} inside the graph", "compute in int32 or float")


def dynamic_spatial(graph: Graph) -> Iterator[Hit]:
    """TensorRT builds dynamic dimensions only with an optimization profile; edgekit makes one for the batch alone."""
    for v in graph.inputs:
        shape = graph.shape(v.name)
        if shape is None or None in shape[1:]:
            got = "no shape" if shape is None else "x".join("?" if d is None else str(d) for d in shape)
            yield Hit(v.name, f"input {v.name} has {got}", "fix all dimensions but the batch when exporting")


def double_precision(graph: Graph) -> Iterator[Hit]:
    """TensorRT-RTX 1.7 reads float64 as float32 without a word, bindings included."""
    for name in graph.entries(TensorProto.DOUBLE):
        yield Hit(name, f"{name} is float64", "use float32 in the module, or cast before exporting")


def non_tensor_type(graph: Graph) -> Iterator[Hit]:
    """TensorRT-RTX 1.7 refuses strings, sequences and optionals; a Session takes and gives tensors only."""
    fix = "give the module plain numeric tensors to take, make and return"
    for name, kind in graph.types.items():
        which = kind.WhichOneof("value")
        if which == "tensor_type" and kind.tensor_type.elem_type == TensorProto.STRING:
            yield Hit(name, f"{name} is a string tensor", fix)
        elif which not in (None, "tensor_type"):
            yield Hit(name, f"{name} is a {str(which).removesuffix('_type')}", fix)


def unsupported_type(graph: Graph) -> Iterator[Hit]:
    """TensorRT-RTX 1.7 refuses 16-bit and unsigned integers above 8 bits, and complex numbers."""
    kinds = ("INT16", "UINT16", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128")
    for name in graph.entries(*(TensorProto.DataType.Value(kind) for kind in kinds)):
        yield Hit(name, f"{name} is {type_name(graph.dtype(name))}", "use int32, int64 or float32")


def control_flow(graph: Graph) -> Iterator[Hit]:
    """TensorRT-RTX 1.7 builds an If, but nothing is fused across it, and what runs depends on the picture."""
    for node in graph.of_type("If", "Loop", "Scan"):
        of = f" on {operand(node, 0)}" if operand(node, 0) else ""
        yield Hit(
            title(node), f"{node.op_type} {title(node)}{of}", "export one branch, or unroll; torch.where for values"
        )
