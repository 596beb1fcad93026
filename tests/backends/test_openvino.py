"""OpenVINO on the device and at the precision that were asked for, with the answers of onnxruntime."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import onnx
import onnx.parser
import pytest

from edgekit.backends import open_session
from edgekit.errors import ArtifactError, BackendError, InputError, UsageError
from edgekit.spec import TensorSpec

openvino = pytest.importorskip("openvino", reason="openvino is not installed")

from edgekit.backends.openvino_ import OpenVinoSession, openvino_core  # noqa: E402


def serialized(graph: str) -> bytes:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]> g {graph}').SerializeToString()


TWO = serialized(
    "(float[N,3] y, float[N,3] x) => (float[N,3] product, float[N,3] sum) { sum = Add(x, y) product = Mul(x, y) }"
)


def pair(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(n, 3)).astype(np.float32) for name in ("x", "y")}


@pytest.fixture(scope="module")
def net() -> bytes:
    """Two convolutions with ReLU and a linear layer on 16x16 pictures, random weights."""
    rng = np.random.default_rng(1)
    graph = onnx.parser.parse_graph(
        "g (float[N,3,16,16] image) => (float[N,5] logits) {"
        " a = Conv<pads=[1,1,1,1]>(image, w1) b = Relu(a) c = Conv(b, w2) d = Relu(c)"
        " e = GlobalAveragePool(d) f = Flatten(e) logits = Gemm(f, w3) }"
    )
    for name, shape in (("w1", (8, 3, 3, 3)), ("w2", (16, 8, 3, 3)), ("w3", (16, 5))):
        graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def picture(n: int = 2) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(2).normal(size=(n, 3, 16, 16)).astype(np.float32)}


def test_specs_are_the_graphs_and_keep_the_names_of_dimensions() -> None:
    with open_session(TWO, "openvino") as session:
        assert session.backend == "openvino"
        assert session.inputs == (TensorSpec("y", "float32", ("N", 3)), TensorSpec("x", "float32", ("N", 3)))
        assert [str(o) for o in session.outputs] == ["product float32[N, 3]", "sum float32[N, 3]"]


def test_equal_to_onnxruntime(net: bytes) -> None:
    want = open_session(net).run(picture())["logits"]
    got = open_session(net, "openvino").run(picture())["logits"]
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_float32_is_float32(net: bytes) -> None:
    """bfloat16 has 8 bits of mantissa: its answers are hundreds of times further from the float32 ones."""
    want = open_session(net).run(picture())["logits"]
    session = OpenVinoSession(net)
    assert session.precision == "f32"
    exact = np.abs(session.run(picture())["logits"] - want).max()
    try:
        coarse = OpenVinoSession(net, precision="bf16")
    except BackendError:
        pytest.skip("no bfloat16 on this processor")
    assert coarse.precision == "bf16"
    rounded = np.abs(coarse.run(picture())["logits"] - want).max()
    assert rounded > 100 * exact
    assert rounded > 1e-4 * np.abs(want).max()


def test_batch_sizes_may_alternate_and_results_are_new() -> None:
    session = OpenVinoSession(TWO)
    kept = []
    for seed, n in enumerate([1, 4, 1, 2, 4, 4, 1]):
        feeds = pair(n, seed)
        result = session.run(feeds)
        kept.append((feeds, result))
    for feeds, result in kept:
        np.testing.assert_array_equal(result["sum"], feeds["x"] + feeds["y"])
        np.testing.assert_array_equal(result["product"], feeds["x"] * feeds["y"])


def test_buffers_are_allocated_once_per_shape() -> None:
    session = OpenVinoSession(TWO)
    for n in (1, 2):
        session.run(pair(n))
    kept = {key: {**held, **(results or {})} for key, (held, results) in session._lanes[0].buffers.kept.items()}
    assert list(kept) == [((1, 3), (1, 3)), ((2, 3), (2, 3))]
    for n in (2, 1, 2):
        session.run(pair(n, n))
    for key, (held, results) in session._lanes[0].buffers.kept.items():
        assert all(array is kept[key][name] for name, array in {**held, **(results or {})}.items())


def test_the_callers_array_is_neither_kept_nor_changed() -> None:
    session = OpenVinoSession(TWO)
    feeds = pair(2)
    kept = {name: array.copy() for name, array in feeds.items()}
    result = session.run(feeds)
    feeds["x"][:] = 0
    np.testing.assert_array_equal(result["sum"], kept["x"] + kept["y"])


def test_an_output_whose_size_depends_on_the_values() -> None:
    session = OpenVinoSession(serialized("(float[4] x) => (int64[1,K] y) { y = NonZero(x) }"))
    results = [session.run({"x": np.array(x, np.float32)})["y"] for x in ([1, 0, 0, 0], [1, 0, 2, 3])]
    assert [r.tolist() for r in results] == [[[0]], [[0, 2, 3]]]


def test_inputs_are_checked() -> None:
    session = OpenVinoSession(TWO)
    with pytest.raises(InputError, match="disagrees with another input about N"):
        session.run({"x": np.zeros((1, 3), np.float32), "y": np.zeros((2, 3), np.float32)})


def test_threads_are_those_asked_for(net: bytes) -> None:
    """Of the cores that this process may use."""
    cores = len(os.sched_getaffinity(0))
    assert [OpenVinoSession(net, threads=n).threads for n in (1, 2)] == [1, min(2, cores)]


@pytest.mark.parametrize("device", ["AUTO", "HETERO:CPU", "NOSUCH"])
def test_a_device_that_is_not_there_is_an_error(device: str) -> None:
    with pytest.raises(BackendError, match="no device") as caught:
        OpenVinoSession(TWO, device=device)
    assert "CPU" in str(caught.value.got)
    assert caught.value.expected == device


def test_a_precision_that_the_device_will_not_use_is_an_error(net: bytes) -> None:
    """A CPU takes f16 for bf16 or f32, and only the compiled model says so."""
    have = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "FP16" in have:
        assert OpenVinoSession(net, precision="f16").precision == "f16"
        return
    with pytest.raises(BackendError, match="not run the model as asked") as caught:
        OpenVinoSession(net, precision="f16")
    assert str(caught.value.got).endswith("on CPU")
    assert caught.value.expected == "f16 on CPU"


def test_an_unknown_precision_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no such precision"):
        OpenVinoSession(TWO, precision="int8")


def test_broken_and_foreign_models(net: bytes) -> None:
    with pytest.raises(ArtifactError, match="OpenVINO cannot load the model"):
        OpenVinoSession(net[: len(net) // 2])
    foreign = serialized("(float[2] x) => (float[2] y) { y = NoSuchOperator(x) }")
    with pytest.raises(ArtifactError, match="OpenVINO cannot load the model") as caught:
        OpenVinoSession(foreign)
    assert openvino.__version__ in str(caught.value.expected)
    with pytest.raises(ArtifactError, match="x has a type"):
        OpenVinoSession(serialized("(string[2] x) => (string[2] y) { y = Identity(x) }"))


def test_a_closed_session_says_so() -> None:
    with OpenVinoSession(TWO) as session:
        session.run(pair(1))
    with pytest.raises(BackendError, match="closed"):
        session.run(pair(1))


def test_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendError, match="OpenVINO is not installed") as caught:
        open_session(TWO, "openvino")
    assert "edgekit[openvino]" in str(caught.value.fix)


SIGNALLED = """
import gc, signal, subprocess, sys
from edgekit.backends import open_session
model = sys.stdin.buffer.read()
signal.signal(signal.SIGCHLD, lambda *_: None)  # as PyTorch's loader does; Ctrl-C is the same
one, other = open_session(model, "openvino"), open_session(model, "openvino")
one.close()
del one
gc.collect()
other.close()
del other
gc.collect()
for _ in range(3):
    assert subprocess.run([sys.executable, "-S", "-c", ""]).returncode == 0
print("alive")
"""


def test_a_signal_after_sessions_were_closed_in_the_order_they_were_opened_in(net: bytes) -> None:
    """Each core of its own left the process without a stack to handle signals on: the next signal ended it."""
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", SIGNALLED], input=net, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"alive\n"), done.stderr
