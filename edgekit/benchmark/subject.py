"""What is timed: one predictor's whole answers, stage by stage, and its session alone on ready pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.backends import Session
from edgekit.errors import UsageError
from edgekit.predictor import Frame, Predictor
from edgekit.tasks import ANY
from edgekit.vision.preprocess import normalise, preprocess

STAGES = ("decode", "preprocess", "inference", "post")
TAKE_UP = 3  # runs at the start of a turn that bring the caches back; done, and not counted
READY = 8  # pictures that the session alone rotates over

Floats = NDArray[np.float64]


class Readable(Protocol):
    """A picture that is decoded anew each time: `edgekit.data.Sample` is one."""

    def read(self) -> Frame: ...


class Timed(Protocol):
    """What can be measured: see `Subject`."""

    @property
    def batch(self) -> int: ...

    @property
    def on_gpu(self) -> bool: ...

    def answer(self, marks: list[float], cpu: list[float]) -> Any: ...

    def run(self) -> float: ...

    def alone(self, seconds: float, count: int | None = None) -> Floats: ...


class Subject:
    """One predictor that answers the pictures in turn, `batch` at a time, and notes the time after each stage.

    The stages are those of `Predictor.classify` and `detect`; a test holds that the answers are the same.
    """

    def __init__(self, predictor: Predictor, pictures: Sequence[Readable], batch: int = 1) -> None:
        if predictor.fixed_batch not in (None, batch):
            raise UsageError(
                f"{predictor.name} runs one batch size only.",
                got=f"a batch of {batch}",
                expected=str(predictor.fixed_batch),
                fix="export it with --batch N, or without for any",
            )
        self.predictor = predictor
        self.pictures = pictures
        self.batch = batch
        self.next = 0
        self._float = predictor.session.inputs[0].dtype == "float32"
        self._ready: list[dict[str, NDArray[Any]]] = []

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""
        return self.predictor.session.on_gpu

    def answer(self, marks: list[float], cpu: list[float]) -> Any:
        """The next answers; `marks` gets five wall times and `cpu` four of the processor, in seconds."""
        spec, session = self.predictor.spec, self.predictor.session
        count = len(self.pictures)
        chosen = [self.pictures[(self.next + i) % count] for i in range(self.batch)]
        self.next = (self.next + self.batch) % count
        clock, used = time.perf_counter, time.process_time
        cpu.append(used())
        marks.append(clock())
        frames = [picture.read() for picture in chosen]
        marks.append(clock())
        feed = self._feed(frames)
        cpu.append(used())
        marks.append(clock())
        given = session.run(feed)
        marks.append(clock())
        cpu.append(used())
        answers = self.predictor.task.decode(given, [frame.shape for frame in frames], spec, ANY)
        marks.append(clock())
        cpu.append(used())
        return answers

    def feeds(self, count: int) -> list[dict[str, NDArray[Any]]]:
        """Inputs of the session from the first pictures, `count` at most, one batch each."""
        chosen = [self.pictures[i % len(self.pictures)] for i in range(min(count, len(self.pictures)) * self.batch)]
        blocks = [chosen[i : i + self.batch] for i in range(0, len(chosen), self.batch)]
        return [self._feed([picture.read() for picture in block]) for block in blocks]

    def run(self) -> float:
        """One answer; its seconds."""
        marks: list[float] = []
        self.answer(marks, [])
        return marks[-1] - marks[0]

    def alone(self, seconds: float, count: int | None = None) -> Floats:
        """[n] milliseconds of the session's runs, one after another on pictures that lie ready.

        Nothing else runs in between, so the caches stay the model's: what other benchmarks print, and the least that
        the session takes. In a whole answer a picture is read and resized first, and the session pays for it.

        Args:
            seconds: how long, unless `count` runs are asked for; three at least.
        """
        if not self._ready:
            starts = range(0, max(1, min(READY, len(self.pictures))), self.batch)
            chosen = [[self.pictures[(s + i) % len(self.pictures)] for i in range(self.batch)] for s in starts]
            self._ready = [self._feed([picture.read() for picture in block]) for block in chosen]
        return back_to_back(self.predictor.session, self._ready, seconds, count)

    def _feed(self, frames: Sequence[Frame]) -> dict[str, NDArray[Any]]:
        spec = self.predictor.spec.preprocess
        block = np.stack([preprocess(frame, spec) for frame in frames])
        return {"image": normalise(block, spec) if self._float else block}


def back_to_back(
    session: Session, ready: Sequence[dict[str, NDArray[Any]]], seconds: float, count: int | None
) -> Floats:
    """[n] milliseconds of a session's runs on inputs that lie ready; the first few are not counted.

    Args:
        seconds: how long, unless `count` runs are asked for; three at least.
    """
    clock = time.perf_counter
    times: list[float] = []
    for _ in range(TAKE_UP):
        session.run(ready[0])
    until = clock() + seconds
    while len(times) < count if count is not None else (clock() < until or len(times) < TAKE_UP):
        feed = ready[len(times) % len(ready)]
        start = clock()
        session.run(feed)
        times.append(clock() - start)
    return np.asarray(times) * 1e3
