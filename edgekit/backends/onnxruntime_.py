"""Runs an ONNX graph with onnxruntime, on the provider that was asked for and on no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.base import Arrays, Buffers, StreamSession
from edgekit.errors import ArtifactError, BackendError
from edgekit.spec import TensorSpec

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
# It makes int8, with one scale for the whole weight, of a float layer between a DequantizeLinear and a QuantizeLinear:
# a layer that was left in float because it is sensitive would be quantized all the same, worse than before.
UNASKED = ("optimization.disable_specified_optimizers", "WeightBiasQuantization")
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


# What it says of a file that is newer than itself: what the file has, and the most that it supports.
_TOO_OLD = (
    (r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", "IR version"),
    (r"Opset (\d+) is under development .*support for domain ai\.onnx is till opset (\d+)", "opset"),
)
_FIRST_WITH_IR_10 = "1.18"  # IR 10 is what edgekit writes
# On GPUs from Ampere on float32 convolutions would round their inputs to 10 bits, which is not what was verified.
EXACT = {"CUDAExecutionProvider": {"use_tf32": "0"}}


class OnnxRuntimeSession(StreamSession):
    """An ONNX model in onnxruntime; on the CPU with I/O bound to buffers that are kept between runs.

    Args:
        model: a serialized ONNX.
        provider: `cpu`, `cuda` or `tensorrt`.
        threads: of the CPU provider, those that call `run` included; 0 for one per physical core.
        streams: runs at once on the weights of one session. With as many threads none has to wait for another in the
            middle of a layer: more pictures a second, each of them later. 0 threads are one a stream then.
        spinning: whether idle worker threads burn CPU waiting for work. Off by default: on a board the camera and
            the decoder need those cores.
        frugal: take each tensor's memory when it is needed instead of one block for all of a run: 24 MB less for a
            CenterNet-R18 of 512 pixels, the same answers, and within what could be told apart as quick.

    Raises:
        BackendError: onnxruntime or the provider is not there, or the provider did not become active.
        ArtifactError: onnxruntime refuses the model.
    """

    backend = "onnxruntime"

    def __init__(
        self,
        model: bytes,
        provider: str = "cpu",
        threads: int = 0,
        spinning: bool = False,
        frugal: bool = False,
        streams: int = 1,
    ) -> None:
        ort = _onnxruntime()
        wanted = PROVIDERS.get(provider)
        if wanted is None or wanted not in ort.get_available_providers():
            raise BackendError(
                f"onnxruntime here has no {provider} provider.",
                got=", ".join(ort.get_available_providers()),
                expected=wanted or "one of " + ", ".join(PROVIDERS),
                fix="pip uninstall onnxruntime && pip install onnxruntime-gpu (edgekit doctor says what is missing)"
                if wanted
                else "choose one of " + ", ".join(PROVIDERS),
            )
        if provider != "cpu" and hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # CUDA and cuDNN from NVIDIA's pip packages, where there are such
        options = ort.SessionOptions()
        # onnxruntime counts one calling thread, and all runs share its own threads
        options.intra_op_num_threads = threads if streams == 1 else max(1, threads - streams + 1)
        options.enable_mem_pattern = not frugal
        options.log_severity_level = 3  # errors only: its warnings name files of the build machine
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
        options.add_session_config_entry(*UNASKED)
        # the CPU provider stands behind every other one in onnxruntime; that is why the result is checked below
        try:
            self._session = ort.InferenceSession(model, options, providers=[(wanted, EXACT.get(wanted, {}))])
        except Exception as error:  # onnxruntime's exceptions have no common base but this one
            raise refusal(error, ort, provider) from error
        active = self._session.get_providers()
        if active[0] != wanted:
            raise BackendError(
                f"onnxruntime did not start its {provider} provider and would have used another one.",
                got=", ".join(active),
                expected=wanted,
                fix="pip install 'onnxruntime-gpu[cuda,cudnn]' brings CUDA and cuDNN; edgekit doctor has the driver",
            )
        if provider != "cpu":
            # what fails is raised; cuDNN's attempts at fusing, in red, a line for each layer, are not failures
            ort.set_default_logger_severity(4)
        # It keeps the file's bytes to start again on another provider after a failure, which is not wanted here: all
        # weights would be in memory twice.
        self._session.disable_fallback()
        self._session._model_bytes = b""
        self.provider, self.on_gpu = provider, provider != "cpu"
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())
        lane = _DeviceLane if self.on_gpu else _Lane
        self._take([lane(self._session, self.inputs, self.outputs) for _ in range(streams)])

    def close(self) -> None:
        super().close()
        self.__dict__.pop("_session", None)


class _Lane:
    """One run at a time of a session that others run too, with its own I/O binding."""

    def __init__(self, session: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self._session, self._outputs = session, outputs
        self._binding = session.io_binding()
        self.buffers = Buffers(inputs, outputs)

    def run(self, feeds: Arrays) -> Arrays:
        results = self.buffers.fill(feeds, self._bind)
        self._session.run_with_iobinding(self._binding)
        if results is None:
            values = self._binding.copy_outputs_to_cpu()
            self.buffers.unbind()  # onnxruntime would want the same size again
            return {spec.name: value for spec, value in zip(self._outputs, values, strict=True)}
        return {name: array.copy() for name, array in results.items()}

    def _bind(self, held: Arrays, results: Arrays | None) -> None:
        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()
        for name, array in held.items():
            self._binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for spec in self._outputs:
            if results is None:
                self._binding.bind_output(spec.name, "cpu")
            else:
                buffer = results[spec.name]
                self._binding.bind_output(spec.name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)


class _DeviceLane:
    """A run on a provider with memory of its own.

    Not bound: onnxruntime copies an input to the device when it is bound, not when it runs, so a buffer that is filled
    later, or again, is not seen.
    """

    def __init__(self, session: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self._session, self._names = session, [spec.name for spec in outputs]

    def run(self, feeds: Arrays) -> Arrays:
        held = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
        return dict(zip(self._names, self._session.run(self._names, held), strict=True))


def refusal(error: Exception, ort: Any, provider: str = "cpu") -> ArtifactError:
    """What an error means that onnxruntime raised as it loaded a model: it is too old for the file, or something else.

    It refuses a file of a newer IR version or opset whole, even if it knows every operator in it.
    """
    said = " ".join(str(error).split())
    for pattern, what in _TOO_OLD:
        found = re.search(pattern, said)
        if found:
            asked, most = found.groups()
            wanted = f">={_FIRST_WITH_IR_10}" if what == "IR version" and int(asked) <= 10 else ""
            upgrade = f"'{_distribution()}{wanted}'" if wanted else _distribution()
            return ArtifactError(
                "The installed onnxruntime is too old for this model.",
                got=f"{what} {asked}",
                expected=f"onnxruntime {ort.__version__} supports up to {what} {most}",
                fix=f"pip install -U {upgrade}",
            )
    missing = re.search(r"(?:implementation for|No Op registered for) (\w+)", said)
    return ArtifactError(
        "onnxruntime cannot load the model.",
        got=str(error).splitlines()[0],
        expected=f"a model for onnxruntime {ort.__version__} on {provider}",
        fix=f"pip install -U {_distribution()}, if a newer one has {missing[1]}" if missing else None,
    )


def _distribution() -> str:
    """The package that onnxruntime was installed as, by which pip renews it."""
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return name
    return "onnxruntime"


def run_once(model: bytes, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
    """One run on the CPU without graph optimization: every tensor that is an output is what the graph says it is."""
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise refusal(error, ort) from error
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def _spec(value: Any) -> TensorSpec:
    if value.type not in DTYPES:
        raise ArtifactError(f"{value.name} has a type that edgekit does not feed.", got=value.type, expected="numbers")
    shape = tuple(dim if isinstance(dim, int) else str(dim or "?") for dim in value.shape)
    return TensorSpec(value.name, DTYPES[value.type], shape)


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            "onnxruntime is not installed.",
            got=str(error),
            fix="pip install 'edgekit[cpu]', or 'edgekit[gpu]' with an NVIDIA GPU",
        ) from error
    return onnxruntime


def plain_session(model: bytes) -> Callable[[Mapping[str, NDArray[Any]]], Arrays]:
    """A function that runs any model on the CPU as onnxruntime does by itself, without what edgekit binds and checks.

    Raises:
        ArtifactError: onnxruntime refuses the model, or, when called, cannot run it on what it is given.
    """
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise refusal(error, ort) from error
    names = [value.name for value in session.get_outputs()]

    def run(feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        try:
            return dict(zip(names, session.run(names, dict(feeds)), strict=True))
        except Exception as error:  # as above
            got = str(error).splitlines()[0]
            raise ArtifactError("onnxruntime cannot run the model.", got=got, expected="a graph that runs") from error

    return run
