"""Segment Anything, asked: the picture through the encoder once, each click or box through the decoder.

Source: A. Kirillov et al., "Segment Anything" (2023), section 3 and appendix A. A point's label is 1 on the thing, 0
beside it, 2 and 3 at a box's corners, and -1 for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.backends import Session, open_session
from edgekit.errors import ArtifactError, UsageError
from edgekit.graph.foreign.read import read_foreign
from edgekit.labels.proposals.base import Prompt, Segment, Segmenter, box_of
from edgekit.labels.proposals.sam.framing import Framing, framed
from edgekit.labels.proposals.sam.layout import Pixels, decoder_of, encoder_of, stretches
from edgekit.vision.image import Frame

_LOW_RES = 256  # a side of the mask that may be given along; all zeros here


@dataclass(frozen=True)
class _Embedded:
    tensors: dict[str, NDArray[Any]]
    framing: Framing


class SegmentAnything(Segmenter):
    """An encoder and a decoder.

    Args:
        encoder, decoder: what runs them.
        pixels: what the encoder wants, where its inputs do not tell (`layout.Encoder`).

    Attributes:
        notes: what was found of both, one line each.

    Raises:
        ArtifactError: they are not in a layout that is known, or do not belong together.
    """

    def __init__(self, encoder: Session, decoder: Session, pixels: Pixels | None = None) -> None:
        super().__init__()
        self._sessions = encoder, decoder
        self.encoder = encoder_of(encoder.inputs, stretches(decoder.inputs), pixels)
        self.decoder = decoder_of(decoder.inputs, decoder.outputs, encoder.outputs)
        self.notes = (self.encoder.describe(), self.decoder.describe())

    def close(self) -> None:
        """Frees both networks."""
        for session in self._sessions:
            session.close()

    def _embed(self, frame: Frame) -> _Embedded:
        image, framing = framed(frame, self.encoder)
        given = self._sessions[0].run({self.encoder.image.name: image})
        return _Embedded({ours: given[theirs] for ours, theirs in self.decoder.embeddings.items()}, framing)

    def _decode(self, embedding: _Embedded, prompt: Prompt) -> Segment:
        xy, labels = self._question(prompt, embedding.framing)
        given = self._sessions[1].run({**embedding.tensors, **self._feeds(xy, labels, embedding.framing)})
        masks = given[self.decoder.masks]
        masks = masks.reshape(-1, *masks.shape[-2:])
        scores = given[self.decoder.scores].reshape(-1) if self.decoder.scores else np.zeros(len(masks))
        best = _best(scores[: len(masks)], prompt.box is not None or len(prompt.points) > 1)
        mask = embedding.framing.mask(masks[best])
        return Segment(mask, box_of(mask), float(np.clip(scores[best], 0, 1)))

    def _question(self, prompt: Prompt, framing: Framing) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points in the input's pixels [N, 2] and their labels [N], filled up with points that say nothing."""
        points = [*prompt.points]
        labels = [1.0 if one else 0.0 for one in prompt.inside]
        if prompt.box is not None and self.decoder.boxes:
            points += [prompt.box[:2], prompt.box[2:]]
            labels += [2.0, 3.0]
        elif prompt.box is not None and not any(prompt.inside):
            x1, y1, x2, y2 = prompt.box
            points, labels = [*points, ((x1 + x2) / 2, (y1 + y2) / 2)], [*labels, 1.0]
        xy = framing.points(np.array(points, np.float64))
        most = self.decoder.most_points
        if most is not None and len(xy) > most:
            raise UsageError(
                "That are more points than this decoder takes.", got=f"{len(xy)} (a box is two)", expected=f"{most}"
            )
        # segment-anything's ONNX example adds one such point where no box is given; a fixed count may need more
        fill = most - len(xy) if most is not None else int(prompt.box is None and self.decoder.size is not None)
        return np.vstack([xy, np.zeros((fill, 2))]), np.array(labels + [-1.0] * fill)

    def _feeds(self, xy: NDArray[Any], labels: NDArray[Any], framing: Framing) -> dict[str, NDArray[Any]]:
        layout = self.decoder
        lead = (1,) * (len(layout.points.shape) - 2)
        feeds = {layout.points.name: xy.reshape(*lead, -1, 2).astype(layout.points.dtype)}
        feeds[layout.labels.name] = labels.reshape(*(1,) * (len(layout.labels.shape) - 1), -1).astype(
            layout.labels.dtype
        )
        if layout.mask is not None:
            shape = [d if isinstance(d, int) else 1 for d in layout.mask.shape[:2]]
            sides = [d if isinstance(d, int) else _LOW_RES for d in layout.mask.shape[2:]]
            feeds[layout.mask.name] = np.zeros([*shape, *sides], layout.mask.dtype)
        if layout.has_mask is not None:
            feeds[layout.has_mask.name] = np.zeros([1] * len(layout.has_mask.shape), layout.has_mask.dtype)
        if layout.size is not None:
            size = np.array(framing.outer).reshape(*(1,) * (len(layout.size.shape) - 1), 2)
            feeds[layout.size.name] = size.astype(layout.size.dtype)
        return feeds


def open_segment_anything(
    encoder: str | os.PathLike[str],
    decoder: str | os.PathLike[str],
    pixels: Pixels | None = None,
    threads: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> SegmentAnything:
    """Both files, checked as any ONNX from elsewhere is, in onnxruntime on the CPU.

    Args:
        encoder, decoder: .onnx.
        pixels: as in `SegmentAnything`.
        threads: 0 for one a core.
        say: gets one line for each, saying what was found.

    Raises:
        ArtifactError: a file that is refused, or no such pair.
        BackendError: onnxruntime is not installed.
    """
    sessions: list[Session] = []
    for path in (encoder, decoder):
        try:
            sessions.append(open_session(read_foreign(path).runnable(), "onnxruntime", threads=threads))
        except ArtifactError:
            for session in sessions:
                session.close()
            raise
    pair = SegmentAnything(sessions[0], sessions[1], pixels)
    for note in pair.notes:
        say(note)
    return pair


def _best(scores: NDArray[Any], several: bool) -> int:
    """Of four masks the first answers several points or a box, the others one click (segment_anything, onnx.py)."""
    if len(scores) == 4:
        return 0 if several else 1 + int(np.argmax(scores[1:]))
    return int(np.argmax(scores))
