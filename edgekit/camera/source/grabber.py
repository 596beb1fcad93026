"""A grabber takes frames out of one kind of source, one at a time. What goes wrong it says by None, `Ended` or
SourceError."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

from edgekit.vision.image import Frame


class Ended(Exception):  # noqa: N818 - no error: the file is over
    """There are no more frames, and there will be none."""


class Grabber(ABC):
    """An opened source.

    Attributes:
        fps: frames a second of the source's own time, or None where only the clock tells.
        at: seconds of the frame that was read last since the first one, by its own stamp; None where only fps tells.
        begins: when the first frame was taken, in seconds since 1970, by what `origin` says; None where nothing does.
        notes: what is to be said to people; who says it takes it out.
        unreadable: files that were left out.
        alone: whether the frame that was read last was coded without reference to others, as JPEG and raw ones are;
            None where that is not known.
        patience: seconds without a frame until it is stalled; None: `source.read_timeout` says so.
    """

    fps: float | None = None
    at: float | None = None
    begins: float | None = None
    origin: str = ""
    notes: deque[str] | None = None
    unreadable: int = 0
    alone: bool | None = True
    patience: float | None = None

    @abstractmethod
    def read(self) -> Frame | None:
        """The next frame, uint8 [h, w, 3] BGR, new memory; None for one that is broken, after which others come.

        Raises:
            Ended: a file is over.
            SourceError: a live source is lost and must be opened again.
        """

    def wake(self) -> None:  # noqa: B027 - most wait for nothing but their source
        """A `read` that waits for the time to come shall end soon; called from another thread."""

    @abstractmethod
    def close(self) -> None:
        """Releases the source; may be called twice."""
