"""What the builder made of a graph: the layer list that it prints into its log, and how many convolutions are int8.

An engine can only be asked on the GPU that it was built for; the log says the same on any machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import onnx

from edgekit.backends.trt.library import Message
from edgekit.backends.trt.refusal import title

LINE = re.compile(r"^Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: (?P<rest>.*)$")
# "Datatype: Int8"; 10.x writes "Format/Datatype: Thirty-two wide channel vectorized row major Int8 format"
TYPE = re.compile(r"Datatype: (?:[^{}\[\],]*? )?(Int8|FP8|Half|BFloat16|Float|FP16|FP32|Int32|Int64|Bool|UInt8)\b")
NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")


class EngineLayer(NamedTuple):
    """A layer of an engine: its own name and kind, the types of its inputs and weights, and the ONNX nodes in it."""

    name: str
    kind: str
    takes: frozenset[str]
    nodes: tuple[str, ...]


def read_layers(messages: Iterable[Message]) -> tuple[EngineLayer, ...]:
    """The layers of the engine; empty when the log does not list them."""
    layers = []
    for message in messages:
        if message.text.startswith("Layers:"):
            for line in message.text.splitlines():
                match = LINE.match(line)
                if match:
                    takes, _, after = match["rest"].partition("Outputs:")
                    found = frozenset(TYPE.findall(takes))
                    layers.append(EngineLayer(match["name"], match["kind"], found, tuple(NODE.findall(after))))
    return tuple(layers)


def convolutions(model: bytes, layers: Iterable[EngineLayer]) -> dict[str, Any]:
    """How the convolutions of a graph were built.

    Returns:
        `convolutions` and `quantized` (in the graph: how many, and how many of them behind DequantizeLinear),
        `int8` (in the engine), and `not_int8`: names of those that are quantized in the graph and not in the engine.
        Empty when the log did not list the layers.
    """
    layers = tuple(layers)
    if not layers:
        return {}
    graph = onnx.load_from_string(model).graph
    dequantized = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    every = {title(node): node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")}
    quantized = {name for name, node in every.items() if dequantized.issuperset(node.input[:2])}
    int8 = {name for layer in layers if "Int8" in layer.takes for name in layer.nodes if name in every}
    return {
        "convolutions": len(every),
        "quantized": len(quantized),
        "int8": len(int8),
        "not_int8": sorted(quantized - int8),
    }
