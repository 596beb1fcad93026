"""The little of CUDA that a runner needs, through pycuda or cuda-bindings. No torch.

A device with its primary context, streams that are never the default one, buffers that host and device share, and
graphs. On an integrated GPU (a Jetson) both sides see the same memory, so nothing is copied; elsewhere the host side
is pinned.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import BackendError

FIX = "pip install cuda-bindings, or pycuda (on a Jetson, needs nvcc); edgekit doctor says what is there"


class Device(NamedTuple):
    """A GPU: name, compute capability such as 8.7, CUDA version, and whether it shares the host's memory."""

    name: str
    sm: str
    cuda: str
    integrated: bool


@dataclass
class Buffer:
    """Memory of one tensor: bytes that the host sees, and where the device finds them.

    Attributes:
        mapped: the two are the same memory.
        owner: what has to live, or be freed, with it.
    """

    host: NDArray[np.uint8]
    device: int
    mapped: bool
    owner: Any = None


class Cuda(ABC):
    """One GPU through one binding. Every call raises BackendError with CUDA's own name of the error."""

    binding: str
    device: Device
    has_graphs: bool

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Makes this GPU's context the calling thread's; everything below is called inside."""
        yield

    @abstractmethod
    def stream(self) -> Any:
        """A new stream that does not wait for the default one."""

    @abstractmethod
    def handle(self, stream: Any) -> int:
        """The stream as TensorRT takes it."""

    @abstractmethod
    def allocate(self, nbytes: int) -> Buffer:
        """Mapped on an integrated GPU, else pinned on the host with a twin on the device."""

    @abstractmethod
    def upload(self, buffer: Buffer, nbytes: int, stream: Any) -> None:
        """Host to device; nothing where the memory is shared."""

    @abstractmethod
    def download(self, buffer: Buffer, nbytes: int, stream: Any) -> None:
        """Device to host; nothing where the memory is shared."""

    @abstractmethod
    def synchronize(self, stream: Any) -> None:
        """Waits until all work in the stream is done."""

    @abstractmethod
    def free(self, buffer: Buffer) -> None: ...

    @abstractmethod
    def close_stream(self, stream: Any) -> None: ...

    def capture(self, stream: Any, work: Callable[[], None]) -> Any:
        """What `work` puts into the stream, as a graph that can be launched again and again."""
        raise BackendError(
            f"{self.binding} has no CUDA graphs.",
            got="cuda_graph=True",
            fix="pip install cuda-bindings, or leave it out",
        )

    def launch(self, graph: Any, stream: Any) -> None:
        raise NotImplementedError

    def free_graph(self, graph: Any) -> None:
        raise NotImplementedError
