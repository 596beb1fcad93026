"""A Session runs one model on one runtime. Inputs are checked here, once, for every backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.spec import TensorSpec

Arrays = dict[str, NDArray[Any]]


class Session(ABC):
    """One loaded model: named arrays in, named arrays out.

    Attributes:
        inputs, outputs: what it takes and gives; bound by name, never by position.
        backend: name of the runtime, for reports.
        largest_batch: most rows that a dynamic batch may have; None where the runtime sets no limit.

    Not safe for use from two threads at once; open one session each.
    """

    backend: str
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
                if isinstance(dim, str) and sizes.setdefault(dim, size) != size:
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
