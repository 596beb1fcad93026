"""CUDA's runtime API through NVIDIA's cuda-bindings, whose functions return (error, result...)."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgekit.backends.cuda.base import FIX, Buffer, Cuda, Device
from edgekit.errors import BackendError


class CudaBindings(Cuda):
    """GPU number `index`, in its primary context. Raises as `open_cuda`."""

    binding = "cuda-bindings"
    has_graphs = True

    def __init__(self, index: int) -> None:
        try:
            try:
                from cuda.bindings import runtime
            except ModuleNotFoundError:
                from cuda import cudart as runtime  # before 12.8
        except (ImportError, OSError, RuntimeError) as error:
            raise BackendError("cuda-bindings cannot be loaded.", got=str(error), fix=FIX) from error
        self._rt = runtime
        self._index = index
        count = self._call("cudaGetDeviceCount")
        if index >= count:
            raise BackendError(f"There is no GPU number {index}.", got=f"{count} GPUs", fix="edgekit doctor lists them")
        with self.current():
            self._call("cudaFree", 0)  # makes the context now, so that a broken driver says so here
        found = self._call("cudaGetDeviceProperties", index)
        version = self._call("cudaRuntimeGetVersion")
        name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
        self.device = Device(
            name, f"{found.major}.{found.minor}", f"{version // 1000}.{version % 1000 // 10}", bool(found.integrated)
        )

    def _call(self, name: str, *arguments: Any) -> Any:
        error, *results = getattr(self._rt, name)(*arguments)
        if int(error) != 0:
            raise BackendError(
                f"CUDA failed in {name}.",
                got=getattr(error, "name", str(error)),
                expected="an NVIDIA GPU and a driver that fits this CUDA",
                fix="edgekit doctor says which driver is there; another program may hold the GPU's memory",
            )
        return results[0] if results else None

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        self._call("cudaSetDevice", self._index)
        yield

    def stream(self) -> Any:
        return self._call("cudaStreamCreateWithFlags", self._rt.cudaStreamNonBlocking)

    def handle(self, stream: Any) -> int:
        return int(stream)

    def allocate(self, nbytes: int) -> Buffer:
        mapped = self.device.integrated
        host = self._call("cudaHostAlloc", nbytes, self._rt.cudaHostAllocMapped if mapped else 0)
        try:
            device = self._call("cudaHostGetDevicePointer", host, 0) if mapped else self._call("cudaMalloc", nbytes)
        except BackendError:
            self._call("cudaFreeHost", host)
            raise
        view = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(int(host)))
        return Buffer(view, int(device), mapped, host)

    def upload(self, buffer: Buffer, nbytes: int, stream: Any) -> None:
        if not buffer.mapped:
            kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
            self._call("cudaMemcpyAsync", buffer.device, buffer.host.ctypes.data, nbytes, kind, stream)

    def download(self, buffer: Buffer, nbytes: int, stream: Any) -> None:
        if not buffer.mapped:
            kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
            self._call("cudaMemcpyAsync", buffer.host.ctypes.data, buffer.device, nbytes, kind, stream)

    def synchronize(self, stream: Any) -> None:
        self._call("cudaStreamSynchronize", stream)

    def free(self, buffer: Buffer) -> None:
        if not buffer.mapped:
            self._call("cudaFree", buffer.device)
        self._call("cudaFreeHost", buffer.owner)

    def close_stream(self, stream: Any) -> None:
        self._call("cudaStreamDestroy", stream)

    def capture(self, stream: Any, work: Callable[[], None]) -> Any:
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)
        try:
            work()
        except BaseException:
            self._rt.cudaStreamEndCapture(stream)  # leaves the stream usable; its own error is the work's
            raise
        graph = self._call("cudaStreamEndCapture", stream)
        try:
            return self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)

    def launch(self, graph: Any, stream: Any) -> None:
        self._call("cudaGraphLaunch", graph, stream)

    def free_graph(self, graph: Any) -> None:
        self._call("cudaGraphExecDestroy", graph)
