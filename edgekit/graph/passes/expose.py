"""Every float tensor becomes an output."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from edgekit.graph.passes.base import Pass, names_of


class Expose(Pass):
    """Makes every float tensor an output too, for comparing them one by one.

    Requires: shape inference can type the tensors.
    Ensures: each float tensor that a node makes is an output.
    """

    def requires(self, model: onnx.ModelProto) -> str:
        try:
            onnx.shape_inference.infer_shapes(model, strict_mode=True)
        except onnx.shape_inference.InferenceError as error:
            return " ".join(str(error).split())[:300]
        return ""

    def ensures(self, model: onnx.ModelProto) -> str:
        hidden = self._hidden(model)
        return f"{hidden[0].name} is no output" if hidden else ""

    def rewrite(self, model: onnx.ModelProto) -> bool:
        typed = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
        known = set(names_of(model.graph.value_info))
        model.graph.value_info.extend(value for value in typed if value.name not in known)
        hidden = self._hidden(model)
        model.graph.output.extend(hidden)
        return bool(hidden) or len(typed) > len(known)

    def _hidden(self, model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
        """Float tensors of known type that are no outputs."""
        have = set(names_of(model.graph.output))
        return [
            value
            for value in model.graph.value_info
            if value.name not in have and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        ]


def exposed(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with every float tensor as an output. Raises EdgekitError as `Expose`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    Expose()(copy)
    return copy


def with_outputs(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """A copy that gives these tensors as outputs too."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    have = set(names_of(copy.graph.output))
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in have)
    return copy
