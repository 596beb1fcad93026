"""Why TensorRT refused a graph: which node, what it said, without the places in its own source."""

from __future__ import annotations

import re
from typing import Any

import onnx

from edgekit.backends.trt.library import Library, Message, first_error
from edgekit.errors import ArtifactError, BackendError

PLACES = re.compile(r"\s*In \S+ at /?\S+:\d+\)?")  # "In checkType at /_src/optimizer/common/nodeBase.cpp:456)"
CALL = re.compile(r"^.*?Error Code \d+: [\w ]+ \(")  # "IBuilder::build: Error Code 4: API Usage Error (..."
NOISE = re.compile(r"\[checkMacros\.cpp::catchCudaError.*", re.DOTALL)
LAYER = re.compile(r"^I\w+Layer (?P<node>\S+): (?P<said>.*)$")  # "ITopKLayer decode.topk: ..."
KERNEL = re.compile(r"(?P<said>Could not find any implementation) for node (?P<node>.+?)\.?$")
# the machine is the cause: another graph would fail too
MACHINE = re.compile(r"Cuda Runtime|cudaError|CUDA (?:driver|initialization)|no CUDA-capable device", re.IGNORECASE)
MEMORY = re.compile(r"OutOfMemory|out of memory|insufficient (?:GPU )?memory", re.IGNORECASE)


class RefusedError(ArtifactError):
    """The library does not take this graph; one of another precision may fare better.

    Attributes:
        node: name of the node, or of its first output; empty when the library did not say.
        said: the library's own reason.
    """

    def __init__(self, library: Library, node: str, operator: str, said: str) -> None:
        self.node, self.said = node, said
        super().__init__(
            f"{library.title} refuses the graph.",
            got=f"{operator} {node}: {said}".strip(": ") if node or operator else said,
            expected="operators and types that this version builds",
            fix="export again with this --target, or give a --fallback of another precision",
        )


def refused_parse(library: Library, parser: Any, model: bytes, messages: list[Message]) -> RefusedError:
    """The parser's first error, with the node's name."""
    for i in range(parser.num_errors):
        fault = parser.get_error(i)
        node = _node(model, fault.node())
        name = fault.node_name() or (title(node) if node is not None else "")
        operator = fault.node_operator() or (node.op_type if node is not None else "")
        said = reason_of(fault.desc())
        if said in ("", "false"):  # its list of operators has no such entry, and so no words for it
            said = "this version has no such operator"
        return RefusedError(library, name, operator, said)
    return RefusedError(library, "", "", reason_of(first_error(messages) or "no reason given"))


def refused_build(library: Library, messages: list[Message]) -> RefusedError | BackendError:
    """Why the builder gave no plan: the graph (RefusedError), or the machine (BackendError)."""
    said = first_error(messages) or "no reason given"
    if MEMORY.search(said):
        return BackendError(
            f"{library.title} ran out of memory while it built the engine.",
            got=reason_of(said),
            fix="close other programs, or lower --workspace (MiB)",
        )
    if MACHINE.search(said):
        return BackendError(
            f"{library.title} cannot use the GPU of this machine.",
            got=reason_of(said),
            expected="an NVIDIA driver that is new enough, and a GPU",
            fix="edgekit doctor says what is there; --cpu-only builds for an RTX target without a GPU",
        )
    text = reason_of(said)
    found = LAYER.match(text) or KERNEL.search(text)
    if found is None:
        return RefusedError(library, "", "", text)
    first, _, _ = found["node"].partition(" + ")  # a fused layer is named after all its nodes
    return RefusedError(library, first, "", found["said"])


def reason_of(text: str) -> str:
    """The sentence in an error message that is about the graph, on one line."""
    text = NOISE.sub("", text)
    lines = [line for line in text.splitlines() if line and not line.startswith("Invalid Node - ")]
    said = CALL.sub("", (lines or [text])[0])
    said = PLACES.sub("", said).strip()
    if said.endswith(")") and said.count(")") > said.count("("):  # of the call that was taken away
        said = said[:-1]
    quoted = re.search(r'&& "(.+)"$', said)  # an assertion: its words, not its condition
    said = quoted[1] if quoted else said
    return re.sub(r"^(\S+): \1: ", r"\1: ", said)


def title(node: onnx.NodeProto) -> str:
    """What to call a node: its name, else that of its first output."""
    return node.name or next((name for name in node.output if name), node.op_type)


def _node(model: bytes, index: int) -> onnx.NodeProto | None:
    nodes = onnx.load_from_string(model).graph.node if index >= 0 else ()
    return nodes[index] if index < len(nodes) else None
