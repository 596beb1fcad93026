"""onnxruntime on the provider that was asked for, with buffers that never leak into a result."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from edgekit.backends import open_session
from edgekit.backends.onnxruntime_ import OnnxRuntimeSession, run_once
from edgekit.errors import ArtifactError, BackendError, InputError
from edgekit.spec import TensorSpec
from tests.backends import graphs


def serialized(graph: str) -> bytes:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]> g {graph}').SerializeToString()


TWO = serialized(
    "(float[N,3] x, float[N,3] y) => (float[N,3] sum, float[N,3] product) { sum = Add(x, y) product = Mul(x, y) }"
)


TWO_SWAPPED = serialized(
    "(float[N,3] y, float[N,3] x) => (float[N,3] product, float[N,3] sum) { sum = Add(x, y) product = Mul(x, y) }"
)


def pair(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(n, 3)).astype(np.float32) for name in ("x", "y")}


def assert_right(result: dict[str, np.ndarray], feeds: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(result["sum"], feeds["x"] + feeds["y"])
    np.testing.assert_array_equal(result["product"], feeds["x"] * feeds["y"])


def test_specs_are_the_graphs() -> None:
    session = open_session(TWO)
    assert session.backend == "onnxruntime"
    assert session.inputs == (TensorSpec("x", "float32", ("N", 3)), TensorSpec("y", "float32", ("N", 3)))
    assert [str(o) for o in session.outputs] == ["sum float32[N, 3]", "product float32[N, 3]"]


def test_batch_sizes_may_alternate() -> None:
    session = OnnxRuntimeSession(TWO)
    for seed, n in enumerate([1, 4, 1, 2, 4, 4, 1]):
        feeds = pair(n, seed)
        assert_right(session.run(feeds), feeds)


def test_a_second_run_does_not_change_the_first_result() -> None:
    session = OnnxRuntimeSession(TWO)
    one, two = pair(2, 1), pair(2, 2)
    first = session.run(one)
    kept = {name: array.copy() for name, array in first.items()}
    second = session.run(two)
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])
        assert not np.shares_memory(array, second[name])
    first["sum"][:] = 99
    assert_right(session.run(two), two)


def test_buffers_are_allocated_once_per_shape() -> None:
    session = OnnxRuntimeSession(TWO)
    for n in (1, 2):
        session.run(pair(n))
    kept = {key: {**held, **(results or {})} for key, (held, results) in session._lanes[0].buffers.kept.items()}
    assert list(kept) == [((1, 3), (1, 3)), ((2, 3), (2, 3))]
    for n in (2, 1, 2):
        session.run(pair(n, n))
    for key, (held, results) in session._lanes[0].buffers.kept.items():
        assert all(array is kept[key][name] for name, array in {**held, **(results or {})}.items())


def test_the_callers_array_is_neither_kept_nor_changed() -> None:
    session = OnnxRuntimeSession(TWO)
    feeds = pair(2)
    kept = {name: array.copy() for name, array in feeds.items()}
    result = session.run(feeds)
    feeds["x"][:] = 0
    assert_right(result, kept)


def test_outputs_are_bound_by_name_in_any_order() -> None:
    feeds = pair(2)
    session = OnnxRuntimeSession(TWO_SWAPPED)
    assert [o.name for o in session.outputs] == ["product", "sum"]
    assert_right(session.run(feeds), feeds)


def test_inputs_are_checked() -> None:
    session = OnnxRuntimeSession(TWO)
    with pytest.raises(InputError, match="disagrees with another input about N"):
        session.run({"x": np.zeros((1, 3), np.float32), "y": np.zeros((2, 3), np.float32)})
    with pytest.raises(InputError, match="Input x does not fit"):
        session.run({"x": np.zeros((1, 3)), "y": np.zeros((1, 3), np.float32)})


def test_an_output_whose_size_depends_on_the_values() -> None:
    """The input's shape stays, the output's does not: onnxruntime would insist on the size of the first run."""
    session = OnnxRuntimeSession(serialized("(float[4] x) => (int64[1,K] y) { y = NonZero(x) }"))
    results = [session.run({"x": np.array(x, np.float32)})["y"] for x in ([1, 0, 0, 0], [1, 0, 2, 3], [0, 0, 0, 0])]
    assert [r.tolist() for r in results] == [[[0]], [[0, 2, 3]], [[]]]


def test_scalars_go_in_and_out() -> None:
    session = OnnxRuntimeSession(serialized("(float x) => (float y) { y = Neg(x) }"))
    result = session.run({"x": np.array(2, np.float32)})["y"]
    assert (result.shape, float(result)) == ((), -2)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int32", "int64", "float16", "double", "bool"])
def test_types_of_inputs(kind: str) -> None:
    session = OnnxRuntimeSession(serialized(f"({kind}[2] x) => ({kind}[2] y) {{ y = Identity(x) }}"))
    array = np.array([0, 1]).astype({"double": "float64"}.get(kind, kind))
    np.testing.assert_array_equal(session.run({"x": array})["y"], array)


def test_a_type_that_is_not_known_is_said() -> None:
    with pytest.raises(ArtifactError, match="x has a type"):
        OnnxRuntimeSession(serialized("(string[2] x) => (string[2] y) { y = Identity(x) }"))


# --- providers


def test_a_provider_that_is_not_there_is_an_error() -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has a CUDA provider")
    with pytest.raises(BackendError, match="no cuda provider") as caught:
        OnnxRuntimeSession(TWO, provider="cuda")
    assert "CPUExecutionProvider" in str(caught.value.got)
    assert caught.value.expected == "CUDAExecutionProvider"
    assert "onnxruntime-gpu" in str(caught.value.fix)


def test_an_unknown_provider_is_an_error() -> None:
    with pytest.raises(BackendError, match="no npu provider") as caught:
        OnnxRuntimeSession(TWO, provider="npu")
    assert caught.value.expected == "one of cpu, cuda, tensorrt"


def faked(monkeypatch: pytest.MonkeyPatch, active: list[str]) -> list[Any]:
    """onnxruntime that has a CUDA provider and starts `active` instead; the calls it got."""
    calls: list[Any] = []

    class Fake:
        def __init__(self, model: bytes, options: Any, providers: list[str]) -> None:
            calls.append((model, options, providers))

        get_providers = staticmethod(lambda: active)
        get_inputs = get_outputs = staticmethod(lambda: [])
        io_binding = staticmethod(SimpleNamespace)
        disable_fallback = staticmethod(lambda: None)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPU"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Fake)
    return calls


@pytest.mark.parametrize(
    "active", [["CPUExecutionProvider"], ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]]
)
def test_a_provider_that_silently_gives_way_is_an_error(monkeypatch: pytest.MonkeyPatch, active: list[str]) -> None:
    faked(monkeypatch, active)
    with pytest.raises(BackendError, match="did not start its cuda provider") as caught:
        OnnxRuntimeSession(TWO, provider="cuda")
    assert caught.value.got == ", ".join(active)


def test_a_provider_that_starts_is_taken_and_no_other_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = faked(monkeypatch, ["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert OnnxRuntimeSession(TWO, provider="cuda").provider == "cuda"
    assert [[name for name, _ in providers] for _, _, providers in calls] == [["CUDAExecutionProvider"]]


def test_cuda_computes_float32_as_it_was_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32, its default, would round what a convolution multiplies to 10 bits."""
    calls = faked(monkeypatch, ["CUDAExecutionProvider", "CPUExecutionProvider"])
    loaded: list[bool] = []
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: loaded.append(True), raising=False)
    OnnxRuntimeSession(TWO, provider="cuda")
    assert [providers for _, _, providers in calls] == [[("CUDAExecutionProvider", {"use_tf32": "0"})]]
    assert loaded == [True]


def test_a_device_sees_the_inputs_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that is bound is copied to the device there and then: on an H200 every answer was the first one's."""
    real = onnxruntime.InferenceSession

    class Device:
        """A CPU session that says it is a GPU's, whose binding copies as a GPU's does."""

        def __init__(self, model: bytes, options: Any, providers: Any) -> None:
            self.session = real(model, options, providers=["CPUExecutionProvider"])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.session, name)

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def io_binding(self) -> Any:
            binding = self.session.io_binding()
            bind, held = binding.bind_input, list[np.ndarray]()

            def bind_input(name: str, device: str, index: int, kind: Any, shape: Any, pointer: int) -> None:
                size = int(np.prod(shape)) * np.dtype(kind).itemsize
                held.append(np.frombuffer(ctypes.string_at(pointer, size), kind).copy())
                bind(name, device, index, kind, shape, held[-1].ctypes.data)

            binding.bind_input = bind_input
            return binding

    monkeypatch.setattr(onnxruntime, "InferenceSession", Device)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    session = OnnxRuntimeSession(TWO, provider="cuda")
    for seed in range(3):
        feeds = pair(2, seed)
        assert_right(session.run(feeds), feeds)
    turned = {name: array[:, ::-1][::-1] for name, array in pair(4).items()}
    assert_right(session.run(turned), turned)


@pytest.mark.gpu
@pytest.mark.parametrize("n", [1, 5])
def test_a_real_gpu_answers_as_the_processor(n: int) -> None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("nothing ran on a GPU: onnxruntime here has no CUDA provider")
    try:
        session = OnnxRuntimeSession(graphs.convolutions("fp32").SerializeToString(), provider="cuda")
    except BackendError as error:
        pytest.skip(f"nothing ran on a GPU: {error.what} {error.got}")
    assert session.on_gpu
    for seed in range(3):
        feeds = {"x": np.random.default_rng(seed).normal(size=(n, 8, 16, 16)).astype(np.float32)}
        want = run_once(graphs.convolutions("fp32").SerializeToString(), feeds)["r2"]
        got = session.run(feeds)["r2"]
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()  # with TF32 it is about 1e-3


# --- options


def options_of(monkeypatch: pytest.MonkeyPatch, **given: Any) -> Any:
    real, seen = onnxruntime.InferenceSession, []

    def spy(model: bytes, options: Any, providers: list[str]) -> Any:
        seen.append(options)
        return real(model, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    OnnxRuntimeSession(TWO, **given)
    return seen[0]


def test_threads_and_spinning_reach_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_of(monkeypatch, threads=3, spinning=True)
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"


def test_a_frugal_session_answers_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options_of(monkeypatch).enable_mem_pattern
    assert not options_of(monkeypatch, frugal=True).enable_mem_pattern
    with OnnxRuntimeSession(TWO) as one, OnnxRuntimeSession(TWO, frugal=True) as other:
        feeds = {
            s.name: np.random.default_rng(0).random([d if isinstance(d, int) else 2 for d in s.shape]).astype(s.dtype)
            for s in one.inputs
        }
        given, again = one.run(feeds), other.run(feeds)
    assert all(given[name].tobytes() == again[name].tobytes() for name in given)


def test_by_default_idle_threads_do_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_of(monkeypatch)
    assert options.intra_op_num_threads == 0
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.log_severity_level >= 3


def test_options_reach_it_through_open_session(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(OnnxRuntimeSession, "__init__", lambda self, model, **options: seen.append(options))
    open_session(TWO, "onnxruntime", provider="cpu", threads=2)
    assert seen == [{"provider": "cpu", "threads": 2}]


# --- broken models, closing


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        TWO[: len(TWO) // 2],
        serialized("(float[2] x) => (float[2] y) { y = Nonsense(x) }"),
        serialized("(float[2] x) => (float[2] y) { y = Neg(z) }"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_an_artifact_error(data: bytes) -> None:
    with pytest.raises(ArtifactError, match="onnxruntime cannot load the model") as caught:
        OnnxRuntimeSession(data)
    assert "\n" not in str(caught.value.got)


def test_close_lets_go_of_everything() -> None:
    with OnnxRuntimeSession(TWO) as session:
        session.run(pair(1))
    assert not session._lanes
    assert "_session" not in vars(session)
    session.close()  # twice is once
    with pytest.raises(BackendError, match="closed"):
        session.run(pair(1))


def test_the_models_bytes_are_not_kept() -> None:
    model = bytes(bytearray(TWO))
    before = sys.getrefcount(model)
    session = OnnxRuntimeSession(model)
    assert sys.getrefcount(model) == before
    assert_right(session.run(pair(2)), pair(2))


def test_without_onnxruntime_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match="onnxruntime is not installed") as caught:
        OnnxRuntimeSession(TWO)
    assert "edgekit[cpu]" in str(caught.value.fix)


def test_run_once_names_its_results() -> None:
    feeds = pair(2)
    assert_right(run_once(TWO_SWAPPED, feeds), feeds)


def test_a_float_layer_in_a_quantized_graph_stays_float() -> None:
    """onnxruntime 1.32 would quantize its weights by itself, with one scale for all: by the last row some 3 %."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(8, 3, 3, 3)).astype(np.float32) * np.geomspace(0.01, 10, 8)[:, None, None, None]
    graph = onnx.parser.parse_graph(
        "g (float[1,3,8,8] x) => (float[1,8,6,6] y) { a = QuantizeLinear(x, s, z) b = DequantizeLinear(a, s, z)"
        " c = Conv(b, w0, bias) d = Relu(c) e = QuantizeLinear(d, t, z0) y = DequantizeLinear(e, t, z0) }"
    )
    for name, value in {
        "s": np.float32(0.03), "z": np.uint8(128), "t": np.float32(0.001), "z0": np.uint8(0),
        "w0": weight.astype(np.float32), "bias": np.zeros(8, np.float32),
    }.items():  # fmt: skip
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    feed = {"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)}
    want = run_once(model.SerializeToString(), feed)["y"]
    got = OnnxRuntimeSession(model.SerializeToString()).run(feed)["y"]
    assert (got[:, 0] > 0).any()
    np.testing.assert_allclose(got, want, atol=0.0011)  # a value on the edge between two steps of t
