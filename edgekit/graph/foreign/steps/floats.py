"""float16, bfloat16 and float64 become float32."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgekit.errors import ArtifactError
from edgekit.graph.foreign.steps.work import SIZED, Work
from edgekit.screen import count_of

OTHER = frozenset(SIZED) - {TensorProto.FLOAT}
_TYPED = ("to", "dtype", "output_dtype")  # attributes that name a type


def floats(work: Work) -> None:
    """Casts weights, and has every node compute in float32; in place. The original stays the reference.

    Raises:
        ArtifactError: a float64 weight that float32 cannot hold.
    """
    graph = work.graph
    found: Counter[str] = Counter()
    for tensor in graph.initializer:
        _cast(tensor, found, work)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _TYPED and attribute.type == onnx.AttributeProto.INT and attribute.i in OTHER:
                found[_name(attribute.i)] += 1
                attribute.i = TensorProto.FLOAT
            for tensor in ([attribute.t] if attribute.HasField("t") else []) + list(attribute.tensors):
                _cast(tensor, found, work)
    for value in (*graph.input, *graph.output):
        kind = value.type.tensor_type
        if kind.elem_type in OTHER:
            found[_name(kind.elem_type)] += 1
            kind.elem_type = TensorProto.FLOAT
    del graph.value_info[:]
    if found:
        names = " and ".join(sorted(found))
        work.tell(f"{names} became float32: {count_of(sum(found.values()), 'weight')}, casts, inputs and outputs")


def _cast(tensor: TensorProto, found: Counter[str], work: Work) -> None:
    if tensor.data_type not in OTHER:
        return
    found[_name(tensor.data_type)] += 1
    before = np.asarray(numpy_helper.to_array(tensor)).astype(np.float64)
    with np.errstate(over="ignore"):
        after = before.astype(np.float32)
    if not np.array_equal(np.isfinite(before), np.isfinite(after)):
        raise ArtifactError(
            f"{work.where} has a weight that float32 cannot hold.",
            got=f"{tensor.name[:80]} up to {np.nanmax(np.abs(before)):.3g}",
            expected=f"at most {np.finfo(np.float32).max:.3g}",
            fix="train and export the net in float32",
        )
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(after, name))


def _name(kind: int) -> str:
    return str(TensorProto.DataType.Name(kind)).lower().replace("double", "float64")
