"""Adds nodes and constants to an ONNX graph, as code that reads like the formula it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import helper, numpy_helper


def fresh(base: str, taken: set[str]) -> str:
    """`base`, or with a number where that is taken; taken then."""
    name, number = base, 0
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name


class Builder:
    """Writes behind what is in a graph already.

    Args:
        model: changed in place; its nodes keep their names.
        prefix: of every name that is given here, such as `decode`; an unused one.

    Names are `prefix/op` with a number where an op occurs again, so they are the same for the same calls.
    """

    def __init__(self, model: onnx.ModelProto, prefix: str) -> None:
        self.graph = model.graph
        self.prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        taken = {name for node in self.graph.node for name in (node.name, *node.output)}
        self._taken = taken | {tensor.name for tensor in self.graph.initializer}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def constant(self, values: ArrayLike, dtype: DTypeLike = np.float32) -> str:
        """The name of an initializer with these values; equal ones are kept once."""
        array = np.asarray(values, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._name("constant")
            self.graph.initializer.append(numpy_helper.from_array(np.array(array, order="C"), name))
            self._constants[key] = name
        return self._constants[key]

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Adds a node with one output and gives that output's name.

        Args:
            op: of ONNX's own domain.
            inputs: tensors' names; an empty one for an optional input that is left out.
            name: of the output, where it must be this one, as a graph's output.
        """
        return self.add_many(op, inputs, 1, names=(name,) if name else (), **attributes)[0]

    def add_many(
        self, op: str, inputs: Sequence[str], outputs: int, names: Sequence[str] = (), **attributes: Any
    ) -> tuple[str, ...]:
        """As `add`, with several outputs."""
        own = self._name(op.lower())
        given = tuple(names) or ((own,) if outputs == 1 else tuple(f"{own}/{i}" for i in range(outputs)))
        self._taken.update(given)
        self._nodes.append(helper.make_node(op, list(inputs), list(given), name=own, **attributes))
        return given

    def cast(self, tensor: str, dtype: DTypeLike) -> str:
        """`tensor` as `dtype`."""
        return self.add("Cast", tensor, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def finish(self, *, front: bool = False) -> None:
        """Puts the nodes into the graph: behind what is there, or in front of it."""
        if front:
            there = list(self.graph.node)
            del self.graph.node[:]
            self.graph.node.extend([*self._nodes, *there])
        else:
            self.graph.node.extend(self._nodes)
        self._nodes = []

    def _name(self, kind: str) -> str:
        name, number = f"{self.prefix}/{kind}", 1
        while name in self._taken:
            number += 1
            name = f"{self.prefix}/{kind}_{number}"
        self._taken.add(name)
        return name
