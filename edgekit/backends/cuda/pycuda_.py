"""CUDA's driver API through pycuda: `autoprimaryctx`, so that TensorRT and every other user share one context.

`pycuda.autoinit` would make a second context, in which TensorRT's pointers mean nothing. pycuda knows GPU 0 here
(or what CUDA_DEVICE names), and no graphs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgekit.backends.cuda.base import FIX, Buffer, Cuda, Device
from edgekit.errors import BackendError

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING of cuda.h, which pycuda has no name for


class PyCuda(Cuda):
    """The GPU of `pycuda.autoprimaryctx`, whose context is pushed for each use. Raises as `open_cuda`."""

    binding = "pycuda"
    has_graphs = False

    def __init__(self, index: int) -> None:
        if index != 0:
            raise BackendError(
                "pycuda opens one GPU only.",
                got=f"GPU {index}",
                fix=f"CUDA_DEVICE={index} in the environment, and 0 here",
            )
        try:
            import pycuda.driver as driver
            from pycuda import autoprimaryctx
        except Exception as error:  # its own error classes cannot be named before it is imported
            raise BackendError(
                "pycuda cannot use a GPU here.",
                got=str(error) or type(error).__name__,
                expected="an NVIDIA GPU and a driver that fits this CUDA",
                fix=FIX,
            ) from error
        self._driver = driver
        self._context = autoprimaryctx.context
        found = autoprimaryctx.device
        major, minor = found.compute_capability()
        version = ".".join(map(str, driver.get_version()[:2]))
        integrated = bool(found.get_attribute(driver.device_attribute.INTEGRATED))
        self.device = Device(str(found.name()), f"{major}.{minor}", version, integrated)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        with self._words():
            self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            raise BackendError(
                "CUDA failed.",
                got=str(error),
                expected="a GPU that works and has memory left",
                fix="another program may hold the GPU's memory",
            ) from error

    def stream(self) -> Any:
        with self._words():
            return self._driver.Stream(NON_BLOCKING)

    def handle(self, stream: Any) -> int:
        return int(stream.handle)

    def allocate(self, nbytes: int) -> Buffer:
        driver, mapped = self._driver, self.device.integrated
        flags = driver.host_alloc_flags.DEVICEMAP if mapped else 0
        with self._words():
            host = driver.pagelocked_empty(nbytes, np.uint8, mem_flags=flags)
            if mapped:
                return Buffer(host, int(host.base.get_device_pointer()), True)
            memory = driver.mem_alloc(nbytes)
        return Buffer(host, int(memory), False, memory)

    def upload(self, buffer: Buffer, nbytes: int, stream: Any) -> None:
        if not buffer.mapped:
            with self._words():
                self._driver.memcpy_htod_async(buffer.device, buffer.host[:nbytes], stream)

    def download(self, buffer: Buffer, nbytes: int, stream: Any) -> None:
        if not buffer.mapped:
            with self._words():
                self._driver.memcpy_dtoh_async(buffer.host[:nbytes], buffer.device, stream)

    def synchronize(self, stream: Any) -> None:
        with self._words():
            stream.synchronize()

    def free(self, buffer: Buffer) -> None:
        pinned: Any = buffer.host.base
        with self._words():
            if buffer.owner is not None:
                buffer.owner.free()
            pinned.free()

    def close_stream(self, stream: Any) -> None:
        """pycuda destroys it with its object."""
