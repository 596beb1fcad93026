"""Runs an engine of TensorRT or TensorRT-RTX: inputs and outputs by name, one context and one stream of its own."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.engine import Engine, read_engine, require_fit
from edgekit.backends.base import Arrays, Session
from edgekit.backends.cuda.base import Buffer
from edgekit.backends.cuda.open import open_cuda
from edgekit.backends.trt.library import Message, first_error, load_library
from edgekit.backends.trt.place import this_place
from edgekit.backends.trt.refusal import reason_of
from edgekit.errors import ArtifactError, BackendError, InputError
from edgekit.spec import TensorSpec

DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
Shape = tuple[int, ...]
Key = tuple[Shape, ...]


class TensorRTSession(Session):
    """One engine, one execution context, one stream, and buffers for its largest batch, allocated once.

    Args:
        engine: read by `edgekit.artifacts.engine.read_engine`, which compared the plan with its sidecar.
        binding: `auto`, `cuda-bindings` or `pycuda`.
        device: number of the GPU.
        cuda_graph: launch copies and kernels as one CUDA graph, from the second run of the same shapes on. TensorRT
            wants one run before a capture, and a new graph once the context's shapes were changed.
        lean_runtime: library of the engine's own version, for a version-compatible engine of another version.

    The plan may not bring code for the host along (`engine_host_code_allowed` stays False).

    Raises:
        BackendError: library, driver or GPU is not there, or has no CUDA graphs.
        ArtifactError: the engine was built for another place, or the library refuses it.
    """

    backend = "tensorrt"
    on_gpu = True

    def __init__(
        self,
        engine: Engine,
        *,
        binding: str = "auto",
        device: int = 0,
        cuda_graph: bool = False,
        lean_runtime: Path | None = None,
    ) -> None:
        library = load_library(engine.card.built_on.library)
        cuda = open_cuda(binding, device)
        place = this_place(library, cuda.device)
        require_fit(engine, place, lean_runtime=lean_runtime is not None)
        if cuda_graph and not cuda.has_graphs:
            raise BackendError(
                f"{cuda.binding} has no CUDA graphs.",
                got="cuda_graph=True",
                fix="pip install cuda-bindings, or leave cuda_graph out",
            )
        self.backend = library.name
        self._library, self._cuda, self._use_graph = library, cuda, cuda_graph
        self._buffers: dict[str, Buffer] = {}
        self._graph: Any = None
        self._shapes: Key | None = None  # the context's
        self._warm = False  # whether it ran with them
        self._messages: list[Message] = []
        self._turn = threading.Lock()  # a context runs once at a time
        self._stream: Any = None
        self._context: Any = None
        self._engine: Any = None
        try:
            with cuda.current(), library.listening() as messages:
                self._messages = messages
                self._stream = cuda.stream()
                self._engine = self._deserialize(engine, lean_runtime, messages)
                self._context = self._engine.create_execution_context()
                if self._context is None:
                    raise BackendError(
                        f"{library.title} cannot make an execution context.",
                        got=reason_of(first_error(messages) or "no reason given"),
                        fix="the GPU's memory may be full: close other programs",
                    )
                self._bind()
        except BaseException:
            with contextlib.suppress(BackendError):  # the first error is the one to tell
                self.close()
            raise

    def _deserialize(self, engine: Engine, lean_runtime: Path | None, messages: list[Message]) -> Any:
        runtime = self._library.module.Runtime(self._library.log)
        if lean_runtime is not None:
            runtime = runtime.load_runtime(str(lean_runtime))
        if engine.card.options.dla is not None:
            runtime.DLA_core = engine.card.options.dla
        runtime.engine_host_code_allowed = False
        loaded = runtime.deserialize_cuda_engine(engine.plan)
        if loaded is None:
            raise ArtifactError(
                f"{self._library.title} refuses {engine.path}.",
                got=reason_of(first_error(messages) or "no reason given"),
                expected=f"an engine for {engine.card.built_on.describe()}",
                fix=engine.card.rebuild() + " (on this machine)",
            )
        self._runtime = runtime  # the engine needs it as long as it lives
        return loaded

    def _bind(self) -> None:
        """Reads names, types and ranges, allocates for the largest shapes and hands out the addresses."""
        loaded, context = self._engine, self._context
        names = [loaded.get_tensor_name(i) for i in range(loaded.num_io_tensors)]
        given = self._library.enum("TensorIOMode", "INPUT")
        taken = [name for name in names if loaded.get_tensor_mode(name) == given]
        self._ranges = {name: _range(loaded, name) for name in taken}
        for name, (_, largest) in self._ranges.items():
            self._must(context.set_input_shape(name, largest), f"shape {largest} for {name}")
        # a profile of one size makes a dynamic graph a fixed one
        one_size = all(smallest == largest for smallest, largest in self._ranges.values())
        self.inputs = tuple(self._spec(name, one_size) for name in taken)
        self.outputs = tuple(self._spec(name, one_size) for name in names if name not in self._ranges)
        for spec in (*self.inputs, *self.outputs):
            shape = tuple(context.get_tensor_shape(spec.name))
            if -1 in shape:
                raise ArtifactError(
                    f"The size of output {spec.name} is known only after running.",
                    got=str(shape),
                    expected="fixed sizes behind the batch, as edgekit exports them",
                )
            # a zero-sized allocation has no address
            buffer = self._cuda.allocate(max(1, math.prod(shape) * np.dtype(spec.dtype).itemsize))
            self._buffers[spec.name] = buffer
            self._must(context.set_tensor_address(spec.name, buffer.device), f"an address for {spec.name}")
        self._shapes = tuple(largest for _, largest in self._ranges.values())
        self.largest_batch = min((shape[0] for shape in self._shapes if shape), default=None)

    def _spec(self, name: str, one_size: bool) -> TensorSpec:
        kind = self._engine.get_tensor_dtype(name).name
        host = self._engine.get_tensor_location(name) == self._library.enum("TensorLocation", "HOST")
        if kind not in DTYPES or host:
            raise ArtifactError(
                f"{name} has a type that edgekit does not feed.",
                got="a shape tensor in the host's memory" if host else kind,
                expected="one of " + ", ".join(DTYPES.values()),
            )
        shape = self._context.get_tensor_shape(name) if one_size else self._engine.get_tensor_shape(name)
        dims = [d if d >= 0 else "N" if i == 0 else f"{name}.{i}" for i, d in enumerate(shape)]
        return TensorSpec(name, DTYPES[kind], tuple(dims))

    def _run(self, feeds: Arrays) -> Arrays:
        key = tuple(feeds[spec.name].shape for spec in self.inputs)
        with self._turn, self._cuda.current(), self._library.listening() as messages:
            if self._context is None:
                raise BackendError("The session is closed.", got="a run after close()", expected="an open session")
            self._messages = messages
            self._set_shapes(key)
            for name, array in feeds.items():
                np.copyto(self._view(name, array.dtype.name, array.shape), array)
            if self._use_graph and self._warm:
                self._graph = self._graph or self._captured()
                self._cuda.launch(self._graph, self._stream)
            else:
                self._enqueue()
            self._cuda.synchronize(self._stream)
            self._warm = True
            return {spec.name: self._view(spec.name, spec.dtype).copy() for spec in self.outputs}

    def _set_shapes(self, key: Key) -> None:
        """Tells the context the inputs' shapes, which must come before anything asks for the outputs'."""
        if key == self._shapes:
            return
        for spec, shape in zip(self.inputs, key, strict=True):
            smallest, largest = self._ranges[spec.name]
            if not all(a <= n <= b for a, n, b in zip(smallest, shape, largest, strict=True)):
                raise InputError(
                    f"Input {spec.name} is outside what the engine was built for.",
                    got=str(list(shape)),
                    expected=f"{list(smallest)} to {list(largest)}",
                    fix="smaller batches, or edgekit build --batch MIN:OPT:MAX --force",
                )
        self._shapes, self._warm = None, False  # not valid while only some shapes are set, should one fail
        self._drop_graph()
        for spec, shape in zip(self.inputs, key, strict=True):
            self._must(self._context.set_input_shape(spec.name, shape), f"shape {shape} for {spec.name}")
        self._shapes = key

    def _enqueue(self) -> None:
        """Copies in, runs and copies out, in the session's stream."""
        for spec in self.inputs:
            self._cuda.upload(self._buffers[spec.name], self._nbytes(spec), self._stream)
        self._must(self._context.execute_async_v3(self._cuda.handle(self._stream)), "the run")
        for spec in self.outputs:
            self._cuda.download(self._buffers[spec.name], self._nbytes(spec), self._stream)

    def _captured(self) -> Any:
        """The run of the current shapes as a graph. A run of these shapes came before, as TensorRT asks for."""
        capturable: Callable[[int], bool] | None = getattr(self._context, "is_stream_capturable", None)
        if capturable is not None and not capturable(self._cuda.handle(self._stream)):
            raise BackendError(
                "This engine cannot be captured as a CUDA graph.",
                got=f"{self._library.title} says that its stream is not capturable",
                fix="leave cuda_graph out",
            )
        return self._cuda.capture(self._stream, self._enqueue)

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._cuda.free_graph(self._graph)
            self._graph = None

    def _nbytes(self, spec: TensorSpec) -> int:
        return int(math.prod(self._context.get_tensor_shape(spec.name))) * np.dtype(spec.dtype).itemsize

    def _view(self, name: str, dtype: str, shape: Shape | None = None) -> Any:
        """The host's side of a buffer as an array of the current shape."""
        shape = tuple(self._context.get_tensor_shape(name)) if shape is None else shape
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return self._buffers[name].host[:size].view(dtype).reshape(shape)

    def _must(self, done: bool, what: str) -> None:
        """TensorRT's calls return False and put the reason into the log."""
        if not done:
            raise BackendError(
                f"{self._library.title} refused {what}.",
                got=reason_of(first_error(self._messages) or "no reason given"),
                fix="edgekit doctor says what is installed; build the engine again if the driver changed",
            )

    def close(self) -> None:
        """Frees graph, context, engine, buffers and stream, in this order; a second call does nothing."""
        if self._stream is None:
            return
        with self._cuda.current():
            with contextlib.suppress(BackendError):  # told when it happened
                self._cuda.synchronize(self._stream)  # a copy of a failed run may still be in flight
            self._drop_graph()
            self._context = self._engine = self._runtime = None
            for buffer in self._buffers.values():
                self._cuda.free(buffer)
            self._buffers.clear()
            self._cuda.close_stream(self._stream)
            self._stream = None


def _range(loaded: Any, name: str) -> tuple[Shape, Shape]:
    """Smallest and largest shape of an input."""
    shape = tuple(loaded.get_tensor_shape(name))
    if -1 not in shape:
        return shape, shape
    smallest, _, largest = loaded.get_tensor_profile_shape(name, 0)
    return tuple(smallest), tuple(largest)


def open_engine(path: Path, **options: Any) -> TensorRTSession:
    """A session of an engine file; `options` are TensorRTSession's. Raises as it does, and as `read_engine`."""
    return TensorRTSession(read_engine(path), **options)
