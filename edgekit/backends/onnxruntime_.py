"""Runs an ONNX graph with onnxruntime, on the provider that was asked for and on no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.base import Arrays, Session
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


class OnnxRuntimeSession(Session):
    """An ONNX model in onnxruntime, with I/O bound to buffers that are kept between runs.

    Args:
        model: a serialized ONNX.
        provider: `cpu`, `cuda` or `tensorrt`.
        threads: of the CPU provider; 0 for one per physical core.
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
        self, model: bytes, provider: str = "cpu", threads: int = 0, spinning: bool = False, frugal: bool = False
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
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_mem_pattern = not frugal
        options.log_severity_level = 3  # errors only: its warnings name files of the build machine
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
        options.add_session_config_entry(*UNASKED)
        # the CPU provider stands behind every other one in onnxruntime; that is why the result is checked below
        try:
            self._session = ort.InferenceSession(model, options, providers=[wanted])
        except Exception as error:  # onnxruntime's exceptions have no common base but this one
            raise ArtifactError(
                "onnxruntime cannot load the model.",
                got=str(error).splitlines()[0],
                expected=f"a model for onnxruntime {ort.__version__} on {provider}",
            ) from error
        active = self._session.get_providers()
        if active[0] != wanted:
            raise BackendError(
                f"onnxruntime did not start its {provider} provider and would have used another one.",
                got=", ".join(active),
                expected=wanted,
                fix="edgekit doctor says which driver or library is missing",
            )
        # It keeps the file's bytes to start again on another provider after a failure, which is not wanted here: all
        # weights would be in memory twice.
        self._session.disable_fallback()
        self._session._model_bytes = b""
        self._ort = ort
        self._binding = self._session.io_binding()
        self._bound: dict[tuple[tuple[int, ...], ...], tuple[Arrays, Arrays | None]] = {}
        self._current: tuple[tuple[int, ...], ...] | None = None
        self.provider = provider
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())

    def _run(self, feeds: Arrays) -> Arrays:
        if not hasattr(self, "_session"):
            raise BackendError("The session is closed.", got="a run after close()", expected="an open session")
        key = tuple(feeds[spec.name].shape for spec in self.inputs)
        if key != self._current:
            self._bind(key)
        held, results = self._bound[key]
        for name, array in feeds.items():
            np.copyto(held[name], array)
        self._session.run_with_iobinding(self._binding)
        if results is None:  # an output whose size is known only after running
            values = self._binding.copy_outputs_to_cpu()
            self._current = None  # onnxruntime would want the same size again: bind anew for the next run
            return {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}
        return {name: array.copy() for name, array in results.items()}

    def _bind(self, key: tuple[tuple[int, ...], ...]) -> None:
        """Makes the buffers of these input shapes current; each set is allocated once."""
        if key not in self._bound:
            held = {s.name: np.empty(shape, s.dtype) for s, shape in zip(self.inputs, key, strict=True)}
            self._bound[key] = (held, self._result_buffers(key))
        held, results = self._bound[key]
        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()
        for name, array in held.items():
            self._binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for spec in self.outputs:
            if results is None:
                self._binding.bind_output(spec.name, "cpu")
            else:
                buffer = results[spec.name]
                self._binding.bind_output(spec.name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        self._current = key

    def _result_buffers(self, key: tuple[tuple[int, ...], ...]) -> Arrays | None:
        sizes = {
            dim: size
            for spec, shape in zip(self.inputs, key, strict=True)
            for dim, size in zip(spec.shape, shape, strict=True)
            if isinstance(dim, str)
        }
        buffers: Arrays = {}
        for spec in self.outputs:
            shape = [sizes.get(dim) if isinstance(dim, str) else dim for dim in spec.shape]
            known = [n for n in shape if n is not None]
            if len(known) != len(shape):
                return None
            buffers[spec.name] = np.empty(known, spec.dtype)
        return buffers

    def close(self) -> None:
        self._bound.clear()
        self._current = None
        self.__dict__.pop("_binding", None)
        self.__dict__.pop("_session", None)


def run_once(model: bytes, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
    """One run on the CPU without graph optimization: every tensor that is an output is what the graph says it is."""
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
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
