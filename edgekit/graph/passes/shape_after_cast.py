"""The shape of the uint8 input is read where it has become float."""

from __future__ import annotations

import onnx

from edgekit.graph.passes.base import Pass, names_of


class ShapeAfterCast(Pass):
    """A Shape that reads an input reads the Cast of that input instead: the shape is the same.

    A flatten with a dynamic batch is exported as Shape and Reshape, and TensorRT takes uint8 in no operator but Cast
    (lint rule `uint8-before-cast`).

    Requires: nothing.
    Ensures: no Shape reads an input that is cast.
    """

    def requires(self, model: onnx.ModelProto) -> str:
        return ""

    def ensures(self, model: onnx.ModelProto) -> str:
        early = self._early(model)
        return f"{early[0].name or 'a Shape'} reads {early[0].input[0]}" if early else ""

    def rewrite(self, model: onnx.ModelProto) -> bool:
        early, casts = self._early(model), self._casts(model)
        for name in dict.fromkeys(node.input[0] for node in early):
            moved = onnx.NodeProto()
            moved.CopyFrom(casts[name])
            model.graph.node.remove(casts[name])
            model.graph.node.insert(0, moved)  # it may have stood behind the Shape
        for node in early:
            node.input[0] = casts[node.input[0]].output[0]
        return bool(early)

    def _casts(self, model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
        """Inputs of the graph -> the Cast that reads them."""
        inputs = names_of(model.graph.input)
        return {n.input[0]: n for n in model.graph.node if n.op_type == "Cast" and n.input[0] in inputs}

    def _early(self, model: onnx.ModelProto) -> list[onnx.NodeProto]:
        casts = self._casts(model)
        return [node for node in model.graph.node if node.op_type == "Shape" and node.input[0] in casts]
