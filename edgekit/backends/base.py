"""A Session runs one model on one runtime. Inputs are checked here, once, for every backend."""

from __future__ import annotations

import math
import queue
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import BackendError, InputError
from edgekit.spec import TensorSpec

Arrays = dict[str, NDArray[Any]]
UNNAMED = "?"  # a dynamic dimension that the file gives no name, so nothing else has to agree with it
Shapes = tuple[tuple[int, ...], ...]


class Session(ABC):
    """One loaded model: named arrays in, named arrays out.

    Attributes:
        inputs, outputs: what it takes and gives; bound by name, never by position.
        backend: name of the runtime, for reports.
        largest_batch: most rows that a dynamic batch may have; None where the runtime sets no limit.
        on_gpu: whether a GPU computes.
        streams: how many runs it does at once. Any thread may call `run`; where more do, they wait for their turn.

    All runs must have ended before `close`.
    """

    backend: str
    on_gpu: bool = False
    streams: int = 1
    largest_batch: int | None = None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Runs the model once.

        Args:
            feeds: one array per input, of exactly its dtype and shape; dynamic dimensions of one name must agree.

        Returns:
            One new array per output.

        Raises:
            InputError: a missing or unknown input, or one of another dtype or shape, by name.
        """
        return self._run(self._checked(feeds))

    def _checked(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        wanted = {spec.name for spec in self.inputs}
        if set(feeds) != wanted:
            raise InputError(
                "The inputs do not have the model's names.",
                got=", ".join(sorted(feeds)) or "none",
                expected=", ".join(sorted(wanted)),
            )
        sizes: dict[str, int] = {}
        checked: Arrays = {}
        for spec in self.inputs:
            array = feeds[spec.name]
            if not isinstance(array, np.ndarray) or not spec.accepts(array.dtype.name, array.shape):
                got = TensorSpec(spec.name, array.dtype.name, array.shape) if isinstance(array, np.ndarray) else array
                raise InputError(f"Input {spec.name} does not fit.", got=str(got), expected=str(spec))
            for dim, size in zip(spec.shape, array.shape, strict=True):
                if isinstance(dim, str) and dim != UNNAMED and sizes.setdefault(dim, size) != size:
                    raise InputError(
                        f"Input {spec.name} disagrees with another input about {dim}.",
                        got=str(size),
                        expected=str(sizes[dim]),
                    )
            # not ascontiguousarray: it makes a scalar [1] and keeps a foreign byte order
            checked[spec.name] = np.asarray(array, dtype=spec.dtype, order="C")
        return checked

    @abstractmethod
    def _run(self, feeds: Arrays) -> Arrays:
        """Computes; the inputs are known to fit and are contiguous."""

    def close(self) -> None:  # noqa: B027 - a backend without resources has nothing to release
        """Releases what the session holds; it cannot be used afterwards."""

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Lane(Protocol):
    """One run at a time of a model that others run too."""

    def run(self, feeds: Arrays) -> Arrays: ...


class StreamSession(Session):
    """A session with a lane for each run that it does at once."""

    _lanes: list[Lane]

    def _take(self, lanes: Sequence[Lane]) -> None:
        """Call when the model is loaded."""
        self._lanes, self.streams = list(lanes), len(lanes)
        self._free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        for lane in lanes:
            self._free.put(lane)

    def _run(self, feeds: Arrays) -> Arrays:
        if not self._lanes:
            raise BackendError("The session is closed.", got="a run after close()", expected="an open session")
        lane = self._free.get()
        try:
            return lane.run(feeds)
        finally:
            self._free.put(lane)

    def close(self) -> None:
        self._lanes.clear()
        self._free = queue.SimpleQueue()


class Buffers:
    """Arrays that one run at a time reads its inputs from and writes its outputs to, kept for each set of shapes.

    Args:
        inputs, outputs: the session's.

    Attributes:
        kept: those of each set of input shapes.
    """

    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self._inputs, self._outputs = inputs, outputs
        self.kept: dict[Shapes, tuple[Arrays, Arrays | None]] = {}
        self._current: Shapes | None = None

    def fill(self, feeds: Arrays, bind: Callable[[Arrays, Arrays | None], None]) -> Arrays | None:
        """Copies the inputs to where the runtime reads them; the arrays that it will write, or None.

        Args:
            bind: tells the runtime to use these inputs and outputs from now on; outputs are None where one's size is
                known only after running. Not kept: a cycle would keep the session's memory and threads until the
                next garbage collection, which may be another process's, a forked one's that has no such threads.
        """
        key = tuple(feeds[spec.name].shape for spec in self._inputs)
        if key not in self.kept:
            held = {s.name: np.empty(shape, s.dtype) for s, shape in zip(self._inputs, key, strict=True)}
            self.kept[key] = (held, self._results(key))
        held, results = self.kept[key]
        if key != self._current:
            bind(held, results)
            self._current = key
        for name, array in feeds.items():
            np.copyto(held[name], array)
        return results

    def unbind(self) -> None:
        """Lets the next `fill` bind, also where the shapes stay."""
        self._current = None

    def _results(self, key: Shapes) -> Arrays | None:
        sizes = {
            dim: size
            for spec, shape in zip(self._inputs, key, strict=True)
            for dim, size in zip(spec.shape, shape, strict=True)
            if isinstance(dim, str) and dim != UNNAMED
        }
        buffers: Arrays = {}
        for spec in self._outputs:
            shape = [sizes.get(dim) if isinstance(dim, str) else dim for dim in spec.shape]
            known = [n for n in shape if n is not None]
            if len(known) != len(shape) or not math.prod(known):
                return None
            buffers[spec.name] = np.empty(known, spec.dtype)
        return buffers
