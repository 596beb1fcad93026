"""Runs an ONNX graph with OpenVINO, on the device and at the precision that were asked for and at no other.

Left to itself OpenVINO computes float32 graphs in bfloat16 where the processor has it, and says nothing. Here the
precision is named, set, and read back from the compiled model.
"""

from __future__ import annotations

import threading
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from edgekit.backends.base import UNNAMED, Arrays, Buffers, StreamSession
from edgekit.errors import ArtifactError, BackendError, UsageError
from edgekit.spec import TensorSpec

PRECISIONS = ("f32", "bf16", "f16")


class OpenVinoSession(StreamSession):
    """An ONNX model in OpenVINO, with inputs and outputs bound to buffers that are kept between runs.

    Quantized layers compute in int8 at any precision; `precision` is that of all others.

    Args:
        model: a serialized ONNX.
        device: a device that OpenVINO has here, e.g. `CPU` or `GPU`; no AUTO, which would choose by itself.
        precision: `f32`, or `bf16` or `f16` where somebody asked for it.
        threads: of the CPU device, for all streams; 0 for one per physical core.
        streams: runs at once. With as many threads none has to wait for another in the middle of a layer: more
            pictures a second, each of them later.

    Attributes:
        precision: what the compiled model says that it computes in.
        threads: the same, on a CPU; 0 elsewhere.

    Raises:
        UsageError: unknown precision.
        BackendError: OpenVINO or the device is not there, or it would not keep to the device or precision.
        ArtifactError: OpenVINO refuses the model.
    """

    backend = "openvino"

    def __init__(
        self, model: bytes, device: str = "CPU", precision: str = "f32", threads: int = 0, streams: int = 1
    ) -> None:
        ov = _openvino()
        if precision not in PRECISIONS:
            raise UsageError("OpenVINO has no such precision.", got=precision, expected="one of f32, bf16, f16")
        core = openvino_core()
        if device not in core.available_devices:
            raise BackendError(
                f"OpenVINO here has no device {device}.",
                got=", ".join(core.available_devices) or "none",
                expected=device,
                fix="choose one of those that are there, or install the device's driver",
            )
        self.inputs, self.outputs = _specs(model)
        wanted: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
            "NUM_STREAMS": str(streams),
        }
        if device == "CPU" and threads:
            wanted["INFERENCE_NUM_THREADS"] = threads
        try:
            compiled = core.compile_model(core.read_model(model, b""), device, wanted)
        except Exception as error:  # OpenVINO raises RuntimeError for everything, and not only that
            raise ArtifactError(
                "OpenVINO cannot load the model.",
                got=next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), ""),
                expected=f"a model for OpenVINO {ov.__version__} on {device} at {precision}",
            ) from error
        self.precision = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        self.threads = int(compiled.get_property("INFERENCE_NUM_THREADS")) if device == "CPU" else 0
        devices = list(compiled.get_property("EXECUTION_DEVICES"))
        if self.precision != precision or devices != [device]:
            raise BackendError(
                "OpenVINO would not run the model as asked.",
                got=f"{self.precision} on {', '.join(devices)}",
                expected=f"{precision} on {device}",
                fix="ask for f32, or run where the processor has this precision",
            )
        self._take([_Lane(ov, compiled.create_infer_request(), self.inputs, self.outputs) for _ in range(streams)])


class _Lane:
    """One run at a time of a compiled model that others run too."""

    def __init__(self, ov: Any, request: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self._ov, self._request, self._outputs = ov, request, outputs
        self.buffers = Buffers(inputs, outputs)

    def run(self, feeds: Arrays) -> Arrays:
        results = self.buffers.fill(feeds, self._bind)
        self._request.infer()
        if results is None:
            return {spec.name: self._request.get_tensor(spec.name).data.copy() for spec in self._outputs}
        return {name: array.copy() for name, array in results.items()}

    def _bind(self, held: Arrays, results: Arrays | None) -> None:
        for name, array in (held | (results or {})).items():
            self._request.set_tensor(name, self._ov.Tensor(array, shared_memory=True))


def _specs(model: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Names, types and shapes as the file has them: OpenVINO keeps no names of dynamic dimensions."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError as error:
        raise ArtifactError("OpenVINO cannot load the model.", got=str(error), expected="an ONNX file") from error
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = tuple(_spec(value) for value in proto.graph.input if value.name not in constants)
    return inputs, tuple(_spec(value) for value in proto.graph.output)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    except KeyError:
        dtype = "object"
    if dtype == "object":
        raise ArtifactError(
            f"{value.name} has a type that edgekit does not feed.", got="no numbers", expected="numbers"
        )
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or UNNAMED for d in kind.shape.dim)
    if not kind.HasField("shape"):  # any number of dimensions: of any size at least
        shape = (UNNAMED,)
    return TensorSpec(value.name, dtype, shape)


def openvino_core() -> Any:
    """The one `openvino.Core` of this process.

    The CPU plugin of each core gives the calling thread a stack for signal handlers when it first compiles, and puts
    back the one before when the core goes. Of two cores that do not go in reverse order, the first takes its stack
    with it while the second still has it to put back: the next signal (a child's end, Ctrl-C) then ends the process
    with a segmentation fault (OpenVINO 2026.4). A core that stays puts nothing back.

    Raises:
        BackendError: OpenVINO is not there.
    """
    ov = _openvino()
    with _lock:
        if not _cores:
            _cores.append(ov.Core())
        return _cores[0]


_cores: list[Any] = []
_lock = threading.Lock()


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise BackendError(
            "OpenVINO is not installed.", got=str(error), fix="pip install 'edgekit[openvino]'"
        ) from error
    return openvino
