"""A TensorRT that computes in numpy and has the names of one real version and no others, and a CUDA to go with it.

Which attributes a class has is read from tests/golden/tensorrt-api.json, taken from the bindings of 10.3, 10.16, 11.4
and RTX 1.7: asking for, or setting, any other one is an AttributeError, as it would be on the board. Device memory is
apart from the host's, and work in a stream happens when the stream is waited for.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgekit.backends.cuda.base import Buffer, Cuda, Device

SURFACES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[1] / "golden/tensorrt-api.json").read_text())
ENUMS = {
    "BuilderFlag", "ComputeCapability", "DataType", "DeviceType", "HardwareCompatibilityLevel", "MemoryPoolType",
    "NetworkDefinitionCreationFlag", "OnnxParserFlag", "ProfilingVerbosity", "TensorIOMode", "TensorLocation",
}  # fmt: skip
Compute = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


class World:
    """What the fake does and what was done to it.

    Attributes:
        inputs, outputs: name -> (DataType, shape with -1 for the batch); `batch` is the range of the profile.
        compute: outputs of inputs; `model` is what was parsed last.
        calls: (class, method or attribute, arguments), in order.
        fail: names of methods that return False or None, with what they log.
        device: the memory of the GPU, address -> array.
    """

    def __init__(self) -> None:
        self.inputs: dict[str, tuple[str, tuple[int, ...]]] = {"image": ("UINT8", (-1, 4, 6, 3))}
        self.outputs: dict[str, tuple[str, tuple[int, ...]]] = {"logits": ("FLOAT", (-1, 3))}
        self.batch = (1, 2, 4)
        self.compute: Compute = lambda feeds: {"logits": feeds["image"].astype(np.float32).mean((1, 2))}
        self.calls: list[tuple[str, str, tuple[Any, ...]]] = []
        self.fail: dict[str, str] = {}
        self.faults: list[dict[str, Any]] = []
        self.dla_cores = 0
        self.host_tensors: set[str] = set()
        self.logger: Any = None
        self.device: dict[int, np.ndarray] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.freed: list[str] = []
        self.model = b""

    def names(self, method: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of a method."""
        return [arguments for _, name, arguments in self.calls if name == method]

    def order(self) -> list[str]:
        return [name for _, name, _ in self.calls]

    def gone(self, method: str) -> bool:
        """Whether `method` is to fail; logs why."""
        if method in self.fail and self.logger is not None:
            self.logger.log(self.severity.ERROR, self.fail[method])
        return method in self.fail

    severity = enum.Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"])


def make(surface: str, world: World) -> ModuleType:
    """A module with the names of one version: 10.3, 10.16, 11.4 or rtx."""
    api = SURFACES[surface]
    name = "tensorrt_rtx" if surface == "rtx" else "tensorrt"
    module = ModuleType(name)
    module.__version__ = api["version"]  # type: ignore[attr-defined]
    for kind in ENUMS & set(api):
        # numbers that differ between versions, as the real ones do
        members = {member: i + (surface == "11.4") for i, member in enumerate(sorted(api[kind]))}
        setattr(module, kind, enum.IntEnum(kind, members))

    class Gated:
        def __getattribute__(self, attribute: str) -> Any:
            if not attribute.startswith("_"):
                kind = next(c.__name__ for c in type(self).__mro__ if c.__name__ in api)
                if attribute not in api[kind] and attribute not in type(self).__dict__.get("_own", ()):
                    raise AttributeError(f"TensorRT {surface}: {kind} has no {attribute}")
            return object.__getattribute__(self, attribute)

        def __setattr__(self, attribute: str, value: Any) -> None:
            if not attribute.startswith("_"):
                kind = type(self).__name__
                if attribute not in api[kind]:
                    raise AttributeError(f"TensorRT {surface}: {kind} has no {attribute}")
                world.calls.append((kind, attribute, (value,)))
            object.__setattr__(self, attribute, value)

        def _did(self, method: str, *arguments: Any) -> None:
            if method not in api[type(self).__name__]:
                raise AttributeError(f"TensorRT {surface}: {type(self).__name__} has no {method}")
            world.calls.append((type(self).__name__, method, arguments))

    class ILogger:
        """Derived from by our code, so it is not gated."""

        def log(self, severity: Any, msg: str) -> None:
            raise NotImplementedError

    class IProgressMonitor:
        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...
        def step_complete(self, phase_name: str, step: int) -> bool: ...
        def phase_finish(self, phase_name: str) -> None: ...

    class IHostMemory(Gated):
        def __init__(self, data: bytes) -> None:
            self._data = data

        def __bytes__(self) -> bytes:
            return self._data

    class ITimingCache(Gated):
        def __init__(self, data: bytes) -> None:
            self._data = data

        def serialize(self) -> Any:
            return IHostMemory(self._data + b"+")

    class IOptimizationProfile(Gated):
        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
            self._did("set_shape", input, min, opt, max)

    class INetworkDefinition(Gated):
        pass

    class IBuilderConfig(Gated):
        def __init__(self) -> None:
            self._cache: Any = None

        def clear_flag(self, flag: Any) -> None:
            self._did("clear_flag", flag.name)

        def set_flag(self, flag: Any) -> None:
            self._did("set_flag", flag.name)

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            self._did("set_memory_pool_limit", pool.name, pool_size)

        def add_optimization_profile(self, profile: Any) -> int:
            self._did("add_optimization_profile")
            return -1 if world.gone("add_optimization_profile") else 0

        def create_timing_cache(self, serialized_timing_cache: bytes) -> Any:
            self._did("create_timing_cache", serialized_timing_cache)
            return ITimingCache(serialized_timing_cache)

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            self._did("set_timing_cache", bytes(cache._data), ignore_mismatch)
            if cache._data.startswith(b"foreign"):
                return False
            self._cache = cache
            return True

        def get_timing_cache(self) -> Any:
            return self._cache

        def set_compute_capability(self, compute_capability: Any, index: int) -> bool:
            self._did("set_compute_capability", compute_capability.name, index)
            return True

    class Builder(Gated):
        def __init__(self, logger: Any) -> None:
            if world.gone("Builder"):
                raise TypeError("pybind11::init(): factory function returned nullptr")
            world.logger = logger

        @property
        def num_DLA_cores(self) -> int:
            return world.dla_cores

        def create_network(self, flags: int = 0) -> Any:
            self._did("create_network", flags)
            return INetworkDefinition()

        def create_builder_config(self) -> Any:
            return IBuilderConfig()

        def create_optimization_profile(self) -> Any:
            return IOptimizationProfile()

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            self._did("build_serialized_network")
            monitor = getattr(config, "progress_monitor", None)
            if monitor is not None:
                monitor.phase_start("Building", None, 2)
                for step in range(2):
                    if not monitor.step_complete("Building", step):
                        return None
                monitor.phase_finish("Building")
            return None if world.gone("build_serialized_network") else IHostMemory(b"plan")

    class ParserError(Gated):
        def __init__(self, fault: dict[str, Any]) -> None:
            self._fault = fault

        def node(self) -> int:
            return int(self._fault.get("node", -1))

        def node_name(self) -> str:
            return str(self._fault.get("node_name", ""))

        def node_operator(self) -> str:
            return str(self._fault.get("node_operator", ""))

        def desc(self) -> str:
            return str(self._fault.get("desc", ""))

    class OnnxParser(Gated):
        def __init__(self, network: Any, logger: Any) -> None:
            self._network = network

        @property
        def num_errors(self) -> int:
            return len(world.faults)

        def set_flag(self, flag: Any) -> None:
            self._did("set_flag", flag.name)

        def parse(self, model: bytes, path: str | None = None) -> bool:
            self._did("parse", len(model))
            world.model = model
            return not world.faults and not world.gone("parse")

        def get_error(self, index: int) -> Any:
            return ParserError(world.faults[index])

    class IExecutionContext(Gated):
        def __init__(self) -> None:
            self._shapes: dict[str, tuple[int, ...]] = {}
            self._addresses: dict[str, int] = {}

        def set_input_shape(self, name: str, shape: Any) -> bool:
            self._did("set_input_shape", name, tuple(shape))
            if world.gone("set_input_shape"):
                return False
            self._shapes[name] = tuple(shape)
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            if name in self._shapes:
                return self._shapes[name]
            _, shape = {**world.inputs, **world.outputs}[name]
            batch = next((s[0] for s in self._shapes.values()), -1)
            return tuple(batch if i == 0 and n == -1 else n for i, n in enumerate(shape))

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._did("set_tensor_address", name, memory)
            if set(self._shapes) != set(world.inputs):
                raise AssertionError("an address before the shapes")
            self._addresses[name] = memory
            return memory in world.device

        def execute_async_v3(self, stream_handle: int) -> bool:
            self._did("execute_async_v3", stream_handle)
            if world.gone("execute_async_v3"):
                return False
            assert stream_handle in world.streams, "not a stream of ours: the default one?"
            assert set(self._addresses) == {*world.inputs, *world.outputs}
            for name, shape in self._shapes.items():
                if -1 in world.inputs[name][1]:
                    assert world.batch[0] <= shape[0] <= world.batch[2]
            shapes = {name: self.get_tensor_shape(name) for name in self._addresses}
            world.streams[stream_handle].append(lambda: self._work(shapes))
            return True

        def _work(self, shapes: dict[str, tuple[int, ...]]) -> None:
            def array(name: str, kind: str) -> np.ndarray:
                dtype = np.dtype({"FLOAT": "f4", "HALF": "f2"}.get(kind, kind.lower()))
                size = int(np.prod(shapes[name])) * dtype.itemsize
                return world.device[self._addresses[name]][:size].view(dtype).reshape(shapes[name])

            results = world.compute({name: array(name, kind) for name, (kind, _) in world.inputs.items()})
            for name, (kind, _) in world.outputs.items():
                np.copyto(array(name, kind), results[name])

        if surface == "rtx":

            def is_stream_capturable(self, stream: int) -> bool:
                self._did("is_stream_capturable", stream)
                return not world.gone("is_stream_capturable")

    class ICudaEngine(Gated):
        @property
        def num_io_tensors(self) -> int:
            return len(world.inputs) + len(world.outputs)

        def get_tensor_name(self, index: int) -> str:
            return [*world.outputs, *world.inputs][index]  # outputs first: order must not matter

        def get_tensor_mode(self, name: str) -> Any:
            return module.TensorIOMode["INPUT" if name in world.inputs else "OUTPUT"]

        def get_tensor_dtype(self, name: str) -> Any:
            return module.DataType[{**world.inputs, **world.outputs}[name][0]]

        def get_tensor_location(self, name: str) -> Any:
            return module.TensorLocation["HOST" if name in world.host_tensors else "DEVICE"]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return {**world.inputs, **world.outputs}[name][1]

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
            assert profile_index == 0
            return [tuple(b if n == -1 else n for n in world.inputs[name][1]) for b in world.batch]

        def create_execution_context(self) -> Any:
            self._did("create_execution_context")
            return None if world.gone("create_execution_context") else IExecutionContext()

    class Runtime(Gated):
        def __init__(self, logger: Any) -> None:
            world.logger = logger

        def load_runtime(self, path: str) -> Any:
            self._did("load_runtime", path)
            return self

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
            self._did("deserialize_cuda_engine", serialized_engine)
            return None if world.gone("deserialize_cuda_engine") else ICudaEngine()

    for made in (
        ILogger, IProgressMonitor, IHostMemory, ITimingCache, IOptimizationProfile, INetworkDefinition, IBuilderConfig,
        Builder, ParserError, OnnxParser, IExecutionContext, ICudaEngine, Runtime,
    ):  # fmt: skip
        setattr(module, made.__name__, made)
    return module


class FakeCuda(Cuda):
    """Streams hold work until they are waited for; a capture keeps it instead."""

    binding = "fake"

    def __init__(self, world: World, *, sm: str = "8.7", integrated: bool = False, graphs: bool = True) -> None:
        self.world, self.has_graphs = world, graphs
        self.device = Device("Fake Orin", sm, "12.6", integrated)
        self._next = 0x1000
        self.allocated: list[Buffer] = []

    def _did(self, method: str, *arguments: Any) -> None:
        self.world.calls.append(("cuda", method, arguments))

    def stream(self) -> Any:
        self._did("stream")
        self._next += 0x100
        self.world.streams[self._next] = []
        return self._next

    def handle(self, stream: Any) -> int:
        return int(stream)

    def allocate(self, nbytes: int) -> Buffer:
        self._did("allocate", nbytes)
        if self.world.gone("allocate"):
            from edgekit.errors import BackendError

            raise BackendError("CUDA failed in cudaMalloc.", got="cudaErrorMemoryAllocation")
        self._next += 0x1000
        host = np.full(nbytes, 0xAB, np.uint8)
        self.world.device[self._next] = host if self.device.integrated else np.full(nbytes, 0xCD, np.uint8)
        buffer = Buffer(host, self._next, self.device.integrated)
        self.allocated.append(buffer)
        return buffer

    def upload(self, buffer: Buffer, nbytes: int, stream: Any) -> None:
        self._did("upload", buffer.device, nbytes)
        if not buffer.mapped:
            self.world.streams[stream].append(
                lambda: np.copyto(self.world.device[buffer.device][:nbytes], buffer.host[:nbytes])
            )

    def download(self, buffer: Buffer, nbytes: int, stream: Any) -> None:
        self._did("download", buffer.device, nbytes)
        if not buffer.mapped:
            self.world.streams[stream].append(
                lambda: np.copyto(buffer.host[:nbytes], self.world.device[buffer.device][:nbytes])
            )

    def synchronize(self, stream: Any) -> None:
        self._did("synchronize")
        work, self.world.streams[stream] = self.world.streams[stream], []
        for step in work:
            step()

    def free(self, buffer: Buffer) -> None:
        self._did("free", buffer.device)
        del self.world.device[buffer.device]

    def close_stream(self, stream: Any) -> None:
        self._did("close_stream")
        del self.world.streams[stream]

    def capture(self, stream: Any, work: Callable[[], None]) -> Any:
        self._did("capture")
        assert not self.world.streams[stream], "a capture of a busy stream"
        work()
        graph, self.world.streams[stream] = self.world.streams[stream], []
        return graph

    def launch(self, graph: Any, stream: Any) -> None:
        self._did("launch")
        self.world.streams[stream] += graph

    def free_graph(self, graph: Any) -> None:
        self._did("free_graph")
