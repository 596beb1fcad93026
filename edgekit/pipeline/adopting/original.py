"""The file as it came, in onnxruntime, behind preprocessing and decoding that share no code with the adopted graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from edgekit.backends.onnxruntime_ import plain_session
from edgekit.graph import decoders
from edgekit.graph.decoders import Reading
from edgekit.graph.foreign import Foreign, refuse_bombs
from edgekit.graph.passes.half_weights import is_stored_half
from edgekit.graph.wrap import layout_of, picture_of
from edgekit.predictor import Answers
from edgekit.spec import Suppression, TensorSpec

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Decoding:
    """What becomes of raw outputs.

    Attributes:
        reading: which output is what.
        keep: detections a picture.
        candidates: of so many the best are compared for duplicates.
        suppression: of duplicates; None: none.
    """

    reading: Reading
    keep: int
    candidates: int
    suppression: Suppression | None


class Original:
    """Runs a file from elsewhere, a picture at a time.

    Args:
        foreign: the file.
        size: height and width of the pictures, where the file takes any.

    Raises:
        ArtifactError: onnxruntime does not take the file.
    """

    def __init__(self, foreign: Foreign, size: tuple[int, int]) -> None:
        self.image = picture_of(foreign.inputs)
        self.model = foreign.model
        # computed in half precision, so nothing computed in float32 equals it; weights that are only stored so, do
        halves = [tensor.name for tensor in foreign.model.graph.initializer if tensor.data_type == TensorProto.FLOAT16]
        self.half = any(not is_stored_half(foreign.model, name) for name in halves)
        self.layout = layout_of(self.image)
        self.size = size
        first = self.image.shape[0]
        self.batch = first if isinstance(first, int) else 1
        refuse_bombs(foreign, size)  # before anything of the file is run
        self._run = plain_session(foreign.runnable())
        # a run says what shapes leave open
        given = self.raw(np.zeros((3, *size), np.float32))
        self.outputs = tuple(
            TensorSpec(name, values.dtype.name, ("N", *values.shape[1:])) for name, values in given.items()
        )

    def raw(self, picture: NDArray[np.float32]) -> Arrays:
        """The file's own outputs for float32 [3, H, W], [1, ...] each; a fixed batch is filled with the same one."""
        batch = np.repeat(self.held(picture).astype(self.image.dtype), self.batch, axis=0)
        given = self._run({self.image.name: np.ascontiguousarray(batch)})
        return {name: _first(values, self.batch) for name, values in given.items()}

    def held(self, picture: NDArray[np.float32]) -> NDArray[Any]:
        """float32 [3, H, W] as the graph has it: [1, 3, H, W] or [1, H, W, 3], whole numbers where it takes bytes."""
        held = picture if self.layout == "nchw" else picture.transpose(1, 2, 0)
        if self.image.dtype == "uint8":
            return np.ascontiguousarray(np.rint(held)[None]).astype(np.uint8)
        return np.ascontiguousarray(held[None])

    def answers(self, pictures: Iterable[NDArray[np.float32]], decoding: Decoding) -> Answers:
        """What an adopted file must answer, by the outputs' names of its task, [N, ...] each."""
        rows = [
            decoders.reference(
                decoding.reading,
                self.size,
                self.raw(picture),
                keep=decoding.keep,
                candidates=decoding.candidates,
                suppression=decoding.suppression,
            )
            for picture in pictures
        ]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _first(values: NDArray[Any], batch: int) -> NDArray[Any]:
    """The first picture's part; a list of all pictures' boxes, which has no such axis, is one picture's at batch 1."""
    return values[:1] if batch > 1 and len(values) == batch else values
