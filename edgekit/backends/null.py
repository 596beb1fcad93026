"""A real backend that computes nothing: zeros of the right shapes, for tests and to measure what a loop costs."""

from __future__ import annotations

import numpy as np

from edgekit.backends.base import Arrays, Session
from edgekit.spec import TensorSpec


class NullSession(Session):
    """Gives zeros for every output; a dynamic dimension takes the size that the inputs gave it, else 1."""

    backend = "null"

    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.inputs = inputs
        self.outputs = outputs

    def _run(self, feeds: Arrays) -> Arrays:
        sizes = {
            dim: size
            for spec in self.inputs
            for dim, size in zip(spec.shape, feeds[spec.name].shape, strict=True)
            if isinstance(dim, str)
        }
        return {
            spec.name: np.zeros([sizes.get(d, 1) if isinstance(d, str) else d for d in spec.shape], spec.dtype)
            for spec in self.outputs
        }
