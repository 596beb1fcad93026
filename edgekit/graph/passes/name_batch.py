"""The dynamic batch has one name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

from edgekit.graph.passes.base import Pass


@dataclass(frozen=True)
class NameBatch(Pass):
    """Calls the dynamic first dimension of all inputs and outputs `name`, whatever the exporter called it.

    Requires: at most the first dimension is dynamic.
    Ensures: the dynamic ones have that name; a fixed batch stays fixed.
    """

    name: str = "N"

    def requires(self, model: onnx.ModelProto) -> str:
        late = next((f"{value} has a dynamic dimension {i}" for value, i, _ in _dynamic(model) if i), "")
        return f"{late}: only the batch may be dynamic" if late else ""

    def ensures(self, model: onnx.ModelProto) -> str:
        return next((f"{v} has a batch {d.dim_param}" for v, _, d in _dynamic(model) if d.dim_param != self.name), "")

    def rewrite(self, model: onnx.ModelProto) -> bool:
        other = [dim for _, _, dim in _dynamic(model) if dim.dim_param != self.name]
        for dim in other:
            dim.dim_param = self.name
        return bool(other)


def _dynamic(model: onnx.ModelProto) -> list[tuple[str, int, Any]]:
    """(input or output, position, dimension) of all that have no fixed size."""
    return [
        (value.name, i, dim)
        for value in (*model.graph.input, *model.graph.output)
        for i, dim in enumerate(value.type.tensor_type.shape.dim)
        if not dim.HasField("dim_value")
    ]
