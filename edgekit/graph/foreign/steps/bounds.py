"""No tensor takes more memory than there may be: looked at before anything is run."""

from __future__ import annotations

from math import prod

from onnx import TensorProto

from edgekit.errors import ArtifactError
from edgekit.graph.foreign.steps.work import Work, shape_of, type_of
from edgekit.reading.limits import GB, size

LARGEST = 2 * GB  # bytes of one tensor, at a batch of 1; a segmentation of 4096 x 4096 in 21 classes takes 1.4
WIDE = (TensorProto.INT64, TensorProto.DOUBLE, TensorProto.UINT64)


def bounds(work: Work) -> None:
    """Changes nothing. Raises ArtifactError for a graph with a tensor over the limit, as far as shapes are known."""
    for name, kind in work.types().items():
        shape = shape_of(kind)
        count = 0 if shape is None else prod(max(0, n) for n in shape) * (8 if type_of(kind) in WIDE else 4)
        if count > LARGEST:
            raise ArtifactError(
                f"{work.where} makes a tensor over edgekit's limit.",
                got=f"{name[:80]} {list(shape or ())[:9]}, {size(count)} for one picture",
                expected=f"at most {size(LARGEST)}",
                fix="a smaller input, or a net for smaller pictures",
            )
