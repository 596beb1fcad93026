"""An int8 graph as a torch net that learns: the nodes of that graph, with the rounding of each of its Q/DQ pairs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from edgekit.config.schemes import Scheme
from edgekit.errors import UsageError
from edgekit.graph.lint.graph import Graph, operand
from edgekit.nets.centernet import LtrbMaps, OffsetSizeMaps
from edgekit.qat.operators import LAYERS, NUMBERS, OPERATORS, not_known
from edgekit.qat.rounding import Range, weight_and_bias
from edgekit.quantize.place import Quantized
from edgekit.quantize.plan import layers_of, plan
from edgekit.spec import PreprocessSpec

Values = dict[str, Tensor]
Step = Callable[["QuantizedNet", Values], Tensor]  # of the net it is asked in: a copy has weights of its own


@dataclass(frozen=True)
class _Layer:
    """A layer of the graph: the names of its weights, and where they are rounded the axis and its input's range."""

    node: onnx.NodeProto
    weight: str
    bias: str
    axis: int
    input_range: str | None


class QuantizedNet(nn.Module):
    """float32 [N, 3, H, W], normalized, -> what the graph gives under `outputs`, one tensor or a tuple.

    Its parameters are the weights under their names in the graph, and what was learnt of the ranges, under `ranges`.

    Args:
        model: the float32 graph, of uint8 pictures.
        quantized: what `edgekit.quantize.place.quantize` made of it.
        scheme: of that.
        spec: the preprocessing that is in the graph.
        learning: initializers of `model` that become parameters, under the same names.
        outputs: tensors of the graph.

    Raises:
        UsageError: a node that torch is not taught here, or a weight that several layers share.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        quantized: Quantized,
        scheme: Scheme,
        spec: PreprocessSpec,
        learning: Collection[str],
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        plain, graph = Graph(model), Graph(quantized.model)
        self.spec, self.scheme, self.given = spec, scheme, tuple(outputs)
        self._ranges = _keys(plan(model, scheme).same, quantized.parameters)
        self.ranges = nn.ModuleDict()
        for tensor, key in self._ranges.items():
            if key not in self.ranges:
                self.ranges[key] = Range(*quantized.parameters[tensor], scheme)
        axes = {layer.name: layer.axis for layer in layers_of(model) if layer.name in quantized.layers}
        originals = {node.name: node for node in plain.nodes}
        needed = _ancestors(graph, outputs)
        self._steps: list[tuple[str, tuple[str, ...], Step]] = []
        held: set[str] = set()
        for node in graph.nodes:
            if node.output[0] not in needed or node.op_type in ("QuantizeLinear", "Constant"):
                continue
            if node.op_type == "DequantizeLinear":
                if (pair := graph.producer(node.input[0], "QuantizeLinear")) is not None:
                    self._add(node, (pair.input[0],), _rounded(pair.input[0]))
                continue
            if node.op_type in LAYERS and plain.is_constant(originals[node.name].input[1]):
                layer = self._layer(plain, graph, originals[node.name], node, axes)
                held.update(name for name in (layer.weight, layer.bias) if name)
                self._add(node, (node.input[0],), self._computed(layer, node.input[0]))
                continue
            read = tuple(name for name in node.input if name and not graph.is_constant(name))
            self._add(node, read, self._operated(graph, node, held))
        for name in sorted(held):
            value = torch.from_numpy(np.array(plain.constant(name)))
            _place(self, name, nn.Parameter(value) if name in learning and value.is_floating_point() else value)
        last = {name: i for i, (_, read, _) in enumerate(self._steps) for name in read}
        self._done = [
            tuple(name for name in dict.fromkeys(read) if last[name] == i and name not in outputs)
            for i, (_, read, _) in enumerate(self._steps)
        ]

    def forward(self, x: Tensor) -> Any:
        values = {"image": self._pixels(x)}
        for (name, _, step), done in zip(self._steps, self._done, strict=True):
            values[name] = step(self, values)
            for read in done:
                del values[read]
        found = tuple(values[name] for name in self.given)
        if "heatmap" in self.given:
            return LtrbMaps(*found) if "distances" in self.given else OffsetSizeMaps(*found)
        return found[0]

    def _pixels(self, x: Tensor) -> Tensor:
        """float32 [N, H, W, 3] in BGR and whole levels of 0 to 255, of normalized [N, 3, H, W]: exact for pixels."""
        rows = x.permute(0, 2, 3, 1)
        std, mean = (torch.tensor(v, dtype=x.dtype, device=x.device) for v in (self.spec.std, self.spec.mean))
        levels = torch.round((rows * std + mean) * 255)
        return levels.flip(3) if self.spec.color == "rgb" else levels

    def _add(self, node: onnx.NodeProto, read: tuple[str, ...], step: Step) -> None:
        self._steps.append((node.output[0], read, step))

    def ranges_of_tensors(self) -> dict[str, tuple[float, int]]:
        """Tensor -> its scale and zero point, as `edgekit.quantize.place.quantize` takes them."""
        with torch.no_grad():
            return {tensor: self._range(tensor).numbers() for tensor in self._ranges}

    def _range(self, tensor: str) -> Range:
        found = self.ranges[self._ranges[tensor]]
        assert isinstance(found, Range)
        return found

    def _layer(
        self, plain: Graph, graph: Graph, original: onnx.NodeProto, node: onnx.NodeProto, axes: Mapping[str, int]
    ) -> _Layer:
        weight, bias = operand(original, 1), operand(original, 2)
        if len(plain.consumers(weight)) > 1:
            raise not_known(node, "a weight that several layers share")
        if node.name not in axes:
            return _Layer(node, weight, bias, 0, None)
        dequantize = graph.producer(node.input[0])
        assert dequantize is not None
        pair = graph.producer(dequantize.input[0], "QuantizeLinear")
        assert pair is not None
        return _Layer(node, weight, bias, axes[node.name], pair.input[0])

    def _computed(self, layer: _Layer, source: str) -> Step:
        compute, scheme = LAYERS[layer.node.op_type], self.scheme

        def step(net: QuantizedNet, values: Values) -> Tensor:
            weight, bias = _held(net, layer.weight), _held(net, layer.bias) if layer.bias else None
            if layer.input_range is not None:
                scale, _ = net._range(layer.input_range).numbers()
                weight, bias = weight_and_bias(weight, bias, layer.axis, scale, scheme)
            return compute(layer.node, values[source], weight, bias)

        return step

    def _operated(self, graph: Graph, node: onnx.NodeProto, held: set[str]) -> Step:
        if node.op_type not in OPERATORS or len(node.output) != 1 or node.domain not in ("", "ai.onnx"):
            raise not_known(node, node.op_type)
        operator, arrays = OPERATORS[node.op_type], node.op_type in NUMBERS
        constants = {name: graph.constant(name) for name in node.input if name and graph.is_constant(name)}
        if not arrays:
            if any(name not in graph.initializers for name in constants):
                raise not_known(node, "a constant that is no initializer")
            held.update(constants)

        def step(net: QuantizedNet, values: Values) -> Tensor:
            inputs: list[Any] = []
            for name in node.input:
                if name in constants:
                    inputs.append(constants[name] if arrays else _held(net, name))
                else:
                    inputs.append(values[name] if name else None)
            return operator(node, inputs)

        return step


def _rounded(tensor: str) -> Step:
    return lambda net, values: net._range(tensor)(values[tensor])


def _keys(same: Mapping[str, str], tensors: Collection[str]) -> dict[str, str]:
    """Tensor -> the name of its range: that of the tensor whose range it takes, without dots."""
    found = {}
    for tensor in tensors:
        source = tensor
        while source in same:
            source = same[source]
        found[tensor] = source.replace(".", "/")
    return found


def _ancestors(graph: Graph, outputs: Sequence[str]) -> set[str]:
    """Names of the tensors that these are made of, and they themselves."""
    missing = [name for name in outputs if graph.producer(name) is None]
    if missing:
        raise UsageError("The graph has no such tensors.", got=", ".join(missing))
    found, waiting = set(outputs), list(outputs)
    while waiting:
        node = graph.producer(waiting.pop())
        for name in node.input if node is not None else ():
            if name and name not in found:
                found.add(name)
                waiting.append(name)
    return found


def _place(root: nn.Module, path: str, value: nn.Parameter | Tensor) -> None:
    """Puts a parameter, or a buffer that is not stored, under a path of modules."""
    *parts, name = path.split(".")
    for part in parts:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    if isinstance(value, nn.Parameter):
        root.register_parameter(name, value)
    else:
        root.register_buffer(name, value, persistent=False)


def _held(root: nn.Module, path: str) -> Tensor:
    value: Any = root
    for part in path.split("."):
        value = getattr(value, part)
    assert isinstance(value, Tensor)
    return value
