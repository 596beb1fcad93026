"""What proposes boxes, and what is asked for the mask under a click: the two interfaces, and the cache they share."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.screen import count_of
from edgekit.vision.image import Frame

Box = tuple[float, float, float, float]
KEPT = 8  # embeddings: those of the pictures just seen, and of the next one; about 4 MB each for Segment Anything


@dataclass(frozen=True)
class Proposal:
    """A box that somebody is asked about.

    Attributes:
        box: x1 y1 x2 y2 in continuous pixels of the upright picture, inside it, of positive area.
        label: the class by its proposer's name; None where it only knows that something is there.
        score: 0 to 1, comparable between the proposals of one proposer.
    """

    box: Box
    label: str | None
    score: float


class Proposer(Protocol):
    """A picture in, proposals out, highest score first; [] where it sees nothing."""

    def __call__(self, frame: Frame) -> list[Proposal]:
        """Proposals for an upright picture, uint8 [h, w, 3] BGR of any size."""


@dataclass(frozen=True)
class Prompt:
    """What a segmenter is asked: points, a box, or both, in continuous pixels of the upright picture.

    Attributes:
        points: (x, y) of clicks.
        inside: one a point: whether it lies on the thing (True) or beside it.
        box: x1 y1 x2 y2 around the thing.

    Raises:
        UsageError: nothing is asked, a point without its word, no point on the thing and no box, numbers that are not
            finite, or a box of no area.
    """

    points: tuple[tuple[float, float], ...] = ()
    inside: tuple[bool, ...] = ()
    box: Box | None = None

    def __post_init__(self) -> None:
        numbers = [value for point in self.points for value in point] + list(self.box or ())
        if not np.isfinite(numbers).all():
            raise _unclear("numbers that are not finite")
        if len(self.points) != len(self.inside):
            raise _unclear(f"{count_of(len(self.points), 'point')} and {len(self.inside)} words on them")
        if self.box is None and not any(self.inside):
            raise _unclear("no point on the thing and no box")
        if self.box is not None and not (self.box[2] > self.box[0] and self.box[3] > self.box[1]):
            raise _unclear(f"the box {self.box}")


@dataclass(frozen=True, eq=False)
class Segment:
    """What lies under a prompt.

    Attributes:
        mask: bool [h, w] of the upright picture.
        box: the smallest box around the mask, x1 y1 x2 y2; None where the mask is empty.
        score: 0 to 1, how good the segmenter holds the mask to be.
    """

    mask: NDArray[np.bool_]
    box: Box | None
    score: float


class Segmenter(ABC):
    """Gives the mask under a prompt. A picture is embedded once, and the last `KEPT` embeddings are held.

    It may be called from several threads; one is served at a time.
    """

    clicks = True  # False: it is asked by a box alone

    def __init__(self) -> None:
        self._embeddings: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, key: str, read: Callable[[], Frame]) -> None:
        """Embeds a picture before it is asked about: the next one of a queue.

        Args:
            key: which picture; another content needs another key.
            read: gives it, upright uint8 [h, w, 3] BGR; called only where its embedding is not held.
        """
        with self._lock:
            self._embedded(key, read)

    def segment(self, key: str, read: Callable[[], Frame], prompt: Prompt) -> Segment:
        """The mask under `prompt`; `key` and `read` as in `prepare`."""
        with self._lock:
            return self._decode(self._embedded(key, read), prompt)

    def _embedded(self, key: str, read: Callable[[], Frame]) -> Any:
        if key not in self._embeddings:
            self._embeddings[key] = self._embed(read())
        self._embeddings.move_to_end(key)
        while len(self._embeddings) > KEPT:
            self._embeddings.popitem(last=False)
        return self._embeddings[key]

    @abstractmethod
    def _embed(self, frame: Frame) -> Any:
        """All that later prompts need of a picture; it is what is held."""

    @abstractmethod
    def _decode(self, embedding: Any, prompt: Prompt) -> Segment:
        """The mask under a prompt, from what `_embed` gave."""


def box_of(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box around a mask, bool [h, w]: x1 y1 x2 y2 in continuous pixels; None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _unclear(got: str) -> UsageError:
    return UsageError(
        "It is not clear what to segment.", got=got, expected="points, each on the thing or beside it, or a box"
    )
