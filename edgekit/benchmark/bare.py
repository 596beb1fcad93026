"""A net alone, on inputs that lie ready: for a file that says nothing of pictures, classes or answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from edgekit.backends import Session
from edgekit.backends.base import Arrays
from edgekit.benchmark.subject import Floats, back_to_back
from edgekit.errors import ArtifactError, EdgekitError


class BareSubject:
    """A session that is run on `feeds` in turn, as `edgekit.benchmark.measure.measure` takes it.

    Its stages before and behind the session take no time: there are none.

    Args:
        session: it is not closed here.
        feeds: sets of inputs; it rotates over them.
        batch: pictures in each of them.
    """

    def __init__(self, session: Session, feeds: Sequence[Arrays], batch: int = 1) -> None:
        self.session = session
        self.feeds = feeds
        self.batch = batch
        self.on_gpu = session.on_gpu
        self._next = 0

    def answer(self, marks: list[float], cpu: list[float]) -> Any:
        """One run; `marks` gets five wall times and `cpu` four of the processor, in seconds."""
        feed = self.feeds[self._next]
        self._next = (self._next + 1) % len(self.feeds)
        used, start = time.process_time(), time.perf_counter()
        given = self.session.run(feed)
        end, spent = time.perf_counter(), time.process_time()
        marks += [start, start, start, end, end]
        cpu += [used, used, spent, spent]
        return given

    def run(self) -> float:
        """One run; its seconds."""
        marks: list[float] = []
        self.answer(marks, [])
        return marks[-1] - marks[0]

    def alone(self, seconds: float, count: int | None = None) -> Floats:
        """[n] milliseconds, one run after another: here the same as `answer`."""
        return back_to_back(self.session, self.feeds, seconds, count)

    def try_it(self) -> None:
        """One run that may fail. Raises ArtifactError with what the runtime said."""
        try:
            self.run()
        except EdgekitError:
            raise
        except Exception as error:  # of the runtime; they have no common base but this one
            raise ArtifactError(
                f"{self.session.backend} cannot run the model on inputs that were made for it.",
                got=" ".join(str(error).split())[:300],
                expected="a net that takes any pictures or numbers of its inputs' sizes",
                fix="another --size or --batch, where the file leaves them open",
            ) from error
