"""The runner on a TensorRT and a CUDA that compute in numpy: names, shapes, buffers, streams, graphs, errors."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.artifacts.engine import Card, Engine, write_engine
from edgekit.artifacts.engine_key import Batch, BuildOptions, Place
from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import read_onnx
from edgekit.backends import tensorrt_
from edgekit.backends.cuda.open import open_cuda
from edgekit.backends.onnxruntime_ import run_once
from edgekit.backends.tensorrt_ import TensorRTSession, open_engine
from edgekit.backends.trt import library as library_module
from edgekit.backends.trt.build import build
from edgekit.backends.trt.library import Library
from edgekit.backends.trt.place import this_place
from edgekit.errors import ArtifactError, BackendError, InputError
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec, TensorSpec
from tests.backends import graphs
from tests.backends.fake_tensorrt import SURFACES, FakeCuda, World, make

PLAN = b"a plan"


def card(surface: str, spec: ModelSpec, **options: Any) -> Card:
    name = "tensorrt_rtx" if surface == "rtx" else "tensorrt"
    return Card(
        plan_sha256=hashlib.sha256(PLAN).hexdigest(),
        plan_bytes=len(PLAN),
        onnx_sha256="0" * 64,
        onnx_name="tiny.onnx",
        target="jetson-orin-nano",
        built_on=Place(name, SURFACES[surface]["version"], "8.7", "Fake Orin", "12.6"),
        options=BuildOptions(name, ("8.7",), Batch(1, 2, 4), **options),
        profiles={},
        metadata=Metadata(spec, Lineage("a", "b", "c"), "uint8", "fp16", "jetson-orin-nano"),
    )


class Bench:
    """A session on a fake machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spec: ModelSpec, surface: str = "10.3") -> None:
        self.world, self.surface, self.spec = World(), surface, spec
        module = make(surface, self.world)
        self.library = Library(module.__name__, module, library_module._logger(module))
        self.cuda = FakeCuda(self.world)
        monkeypatch.setattr(tensorrt_, "load_library", lambda name: self.library)
        monkeypatch.setattr(tensorrt_, "open_cuda", lambda binding, device: self.cuda)

    def open(self, *, engine: Engine | None = None, **options: Any) -> TensorRTSession:
        made = engine or Engine(Path("tiny.engine"), PLAN, card(self.surface, self.spec))
        return TensorRTSession(made, **options)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, spec: ModelSpec) -> Bench:
    return Bench(monkeypatch, spec)


def images(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(seed).integers(0, 256, (n, 4, 6, 3), np.uint8)}


def assert_right(session: TensorRTSession, n: int, seed: int = 0) -> None:
    feeds = images(n, seed)
    got = session.run(feeds)
    assert list(got) == ["logits"]
    np.testing.assert_array_equal(got["logits"], feeds["image"].astype(np.float32).mean((1, 2)))


@pytest.mark.parametrize("surface", SURFACES)
def test_it_runs_on_every_version(surface: str, monkeypatch: pytest.MonkeyPatch, spec: ModelSpec) -> None:
    bench = Bench(monkeypatch, spec, surface)
    with bench.open() as session:
        assert session.backend == bench.library.name
        assert session.inputs == (TensorSpec("image", "uint8", ("N", 4, 6, 3)),)
        assert session.outputs == (TensorSpec("logits", "float32", ("N", 3)),)
        assert session.largest_batch == 4
        for i, n in enumerate((2, 1, 4, 4, 3)):
            assert_right(session, n, i)
    assert bench.world.names("deserialize_cuda_engine") == [(PLAN,)]


def test_inputs_and_outputs_are_bound_by_name(bench: Bench) -> None:
    bench.world.inputs = {"b": ("FLOAT", (-1, 2)), "a": ("FLOAT", (-1, 2))}
    bench.world.outputs = {"difference": ("FLOAT", (-1, 2)), "first": ("FLOAT", (-1, 2))}
    bench.world.compute = lambda feeds: {"first": feeds["a"], "difference": feeds["a"] - feeds["b"]}
    a, b = np.float32([[1, 2], [3, 4]]), np.float32([[5, 7], [11, 13]])
    with bench.open() as session:
        got = session.run({"a": a, "b": b})
    np.testing.assert_array_equal(got["first"], a)
    np.testing.assert_array_equal(got["difference"], a - b)


def test_shapes_come_before_addresses_and_addresses_once(bench: Bench) -> None:
    with bench.open() as session:
        order = bench.world.order()
        assert order.index("set_input_shape") < order.index("set_tensor_address")
        for n in (1, 3, 2):
            session.run(images(n))
    assert len(bench.world.names("set_tensor_address")) == 2
    assert [shape for _, shape in bench.world.names("set_input_shape")] == [
        (n, 4, 6, 3) for n in (4, 1, 3, 2)  # the largest first, to know how much memory is needed
    ]  # fmt: skip


def test_a_shape_that_stays_is_not_set_again(bench: Bench) -> None:
    with bench.open() as session:
        for _ in range(3):
            assert_right(session, 2)
    assert len(bench.world.names("set_input_shape")) == 2


def test_buffers_are_allocated_once_for_the_largest_batch(bench: Bench) -> None:
    with bench.open() as session:
        sizes = [n for (n,) in bench.world.names("allocate")]
        assert sorted(sizes) == sorted([4 * 4 * 6 * 3, 4 * 3 * 4])
        for n in (1, 4, 2):
            session.run(images(n))
        assert [n for (n,) in bench.world.names("allocate")] == sizes
    # and copies are of what is used, not of the whole buffer
    assert [n for _, n in bench.world.names("upload")] == [n * 72 for n in (1, 4, 2)]
    assert [n for _, n in bench.world.names("download")] == [n * 12 for n in (1, 4, 2)]


def test_results_are_new_arrays(bench: Bench) -> None:
    with bench.open() as session:
        first = session.run(images(2, 0))["logits"]
        before = first.copy()
        session.run(images(2, 1))
    np.testing.assert_array_equal(first, before)


def test_the_stream_is_its_own(bench: Bench) -> None:
    with bench.open() as one, bench.open() as other:
        one.run(images(1))
        other.run(images(1))
        used = [handle for (handle,) in bench.world.names("execute_async_v3")]
        assert len(set(used)) == 2
        assert 0 not in used


def test_an_integrated_gpu_copies_nothing(bench: Bench) -> None:
    bench.cuda.device = bench.cuda.device._replace(integrated=True)
    with bench.open() as session:
        assert_right(session, 3)
        for buffer in bench.cuda.allocated:
            assert bench.world.device[buffer.device] is buffer.host


def test_a_batch_outside_the_profile(bench: Bench) -> None:
    bench.world.batch = (2, 2, 4)
    with bench.open() as session:
        for n in (1, 5):
            with pytest.raises(InputError, match="outside what the engine was built for") as caught:
                session.run(images(n))
            assert caught.value.expected == "[2, 4, 6, 3] to [4, 4, 6, 3]"
        assert_right(session, 3)


def test_a_fixed_shape(bench: Bench) -> None:
    bench.world.inputs = {"image": ("UINT8", (2, 4, 6, 3))}
    bench.world.outputs = {"logits": ("FLOAT", (2, 3))}
    with bench.open() as session:
        assert session.inputs[0].shape == (2, 4, 6, 3)
        assert_right(session, 2)
        with pytest.raises(InputError):
            session.run(images(1))


def test_a_profile_of_one_size_is_a_fixed_shape(bench: Bench) -> None:
    """So that a predictor fills a batch up instead of being refused."""
    bench.world.batch = (4, 4, 4)
    with bench.open() as session:
        assert session.inputs == (TensorSpec("image", "uint8", (4, 4, 6, 3)),)
        assert session.outputs == (TensorSpec("logits", "float32", (4, 3)),)
        assert_right(session, 4)


def test_half_and_integers(bench: Bench) -> None:
    bench.world.inputs = {"x": ("HALF", (-1, 5))}
    bench.world.outputs = {"labels": ("INT32", (-1, 5)), "y": ("HALF", (-1, 5))}
    bench.world.compute = lambda feeds: {"labels": np.round(feeds["x"]).astype(np.int32), "y": feeds["x"] * 2}
    x = np.float16([[1.4, 2.6, -3, 4, 5]])
    with bench.open() as session:
        got = session.run({"x": x})
    assert (got["labels"].dtype, got["y"].dtype) == (np.int32, np.float16)
    np.testing.assert_array_equal(got["labels"], [[1, 3, -3, 4, 5]])
    np.testing.assert_array_equal(got["y"], x * 2)


@pytest.mark.parametrize("kind", ["FP8", "BF16"])
def test_a_type_that_numpy_does_not_feed(bench: Bench, kind: str) -> None:
    bench.world.outputs = {"logits": (kind, (-1, 3))}
    with pytest.raises(ArtifactError, match="logits has a type that edgekit does not feed"):
        bench.open()
    assert bench.world.streams == {}


def test_a_tensor_in_the_hosts_memory(bench: Bench) -> None:
    bench.world.host_tensors = {"image"}
    with pytest.raises(ArtifactError, match="image has a type"):
        bench.open()


def test_an_output_of_unknown_size(bench: Bench) -> None:
    bench.world.outputs = {"logits": ("FLOAT", (-1, -1))}
    with pytest.raises(ArtifactError, match="known only after running"):
        bench.open()
    assert bench.world.device == {}  # what was allocated for the input is given back


def test_a_graph_is_captured_after_a_run_of_the_same_shapes(bench: Bench) -> None:
    with bench.open(cuda_graph=True) as session:
        for i in range(4):
            assert_right(session, 2, i)  # new pictures through the same graph
        order = bench.world.order()
        assert order.count("capture") == 1
        assert order.count("launch") == 3
        assert order.index("execute_async_v3") < order.index("capture")
        assert order.count("execute_async_v3") == 2  # one run, one capture
        # other shapes: the graph is gone, and there is a run before the next one
        assert_right(session, 4, 7)
        assert bench.world.order().count("free_graph") == 1
        assert bench.world.order().count("capture") == 1
        assert_right(session, 4, 8)
        assert bench.world.order().count("capture") == 2
    assert bench.world.order().count("free_graph") == 2


def test_no_graph_unless_asked_for(bench: Bench) -> None:
    with bench.open() as session:
        for _ in range(3):
            session.run(images(2))
    assert "capture" not in bench.world.order()


def test_a_binding_without_graphs_says_so(bench: Bench) -> None:
    bench.cuda.has_graphs = False
    with pytest.raises(BackendError, match="fake has no CUDA graphs") as caught:
        bench.open(cuda_graph=True)
    assert "cuda-bindings" in str(caught.value.fix)


def test_rtx_is_asked_whether_it_can_be_captured(monkeypatch: pytest.MonkeyPatch, spec: ModelSpec) -> None:
    bench = Bench(monkeypatch, spec, "rtx")
    bench.world.fail = {"is_stream_capturable": "not now"}
    with bench.open(cuda_graph=True) as session:
        session.run(images(1))
        with pytest.raises(BackendError, match="cannot be captured"):
            session.run(images(1))


@pytest.mark.parametrize(
    ("method", "kind", "what"),
    [
        ("deserialize_cuda_engine", ArtifactError, "refuses tiny.engine"),
        ("create_execution_context", BackendError, "cannot make an execution context"),
        ("set_input_shape", BackendError, "refused shape"),
        ("allocate", BackendError, "cudaMalloc"),
    ],
)
def test_a_session_that_cannot_be_opened_holds_nothing(
    bench: Bench, method: str, kind: type[Exception], what: str
) -> None:
    bench.world.fail = {method: "IThing::call: Error Code 4: API Usage Error (the reason In f at /_src/a.cpp:12)"}
    with pytest.raises(kind, match=what) as caught:
        bench.open()
    if method != "allocate":
        assert caught.value.got == "the reason"  # type: ignore[attr-defined]
    assert bench.world.device == {}
    assert bench.world.streams == {}


def test_a_run_that_fails_gives_the_reason_and_the_next_one_works(bench: Bench) -> None:
    with bench.open() as session:
        bench.world.fail = {"execute_async_v3": "an illegal memory access"}
        with pytest.raises(BackendError, match="refused the run") as caught:
            session.run(images(2))
        assert caught.value.got == "an illegal memory access"
        bench.world.fail = {}
        assert_right(session, 2)


def test_shapes_that_fail_half_way_are_set_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.world.inputs = {"a": ("FLOAT", (-1, 2)), "b": ("FLOAT", (-1, 2))}
    bench.world.outputs = {"sum": ("FLOAT", (-1, 2))}
    bench.world.compute = lambda feeds: {"sum": feeds["a"] + feeds["b"]}

    def feeds(n: int) -> dict[str, np.ndarray]:
        return {"a": np.full((n, 2), 3, np.float32), "b": np.full((n, 2), 4, np.float32)}

    with bench.open() as session:
        session.run(feeds(2))
        with monkeypatch.context() as patch:
            second = lambda method: bench.world.names("set_input_shape")[-1][0] == "b"  # noqa: E731
            patch.setattr(bench.world, "gone", second)
            with pytest.raises(BackendError, match="for b"):
                session.run(feeds(3))
        np.testing.assert_array_equal(session.run(feeds(2))["sum"], np.full((2, 2), 7))


def test_close_waits_for_what_a_failed_run_left(bench: Bench) -> None:
    session = bench.open()
    bench.world.fail = {"execute_async_v3": "no"}
    with pytest.raises(BackendError):
        session.run(images(2))
    assert any(bench.world.streams.values())  # the upload
    session.close()
    order = bench.world.order()
    assert order.index("synchronize") < order.index("free")


def test_close_gives_everything_back_once(bench: Bench) -> None:
    session = bench.open(cuda_graph=True)
    session.run(images(2))
    session.run(images(2))
    session.close()
    session.close()
    assert bench.world.device == {}
    assert bench.world.streams == {}
    order = bench.world.order()
    assert order.count("free") == 2
    assert order.count("close_stream") == 1
    assert order.index("free_graph") < order.index("free") < order.index("close_stream")
    with pytest.raises(BackendError, match="closed"):
        session.run(images(2))


def test_code_in_a_plan_is_not_allowed(bench: Bench) -> None:
    with bench.open():
        order = bench.world.order()
        assert bench.world.names("engine_host_code_allowed") == [(False,)]
        assert order.index("engine_host_code_allowed") < order.index("deserialize_cuda_engine")


def test_an_engine_of_another_place_is_not_deserialized(bench: Bench) -> None:
    bench.cuda.device = bench.cuda.device._replace(sm="8.9")
    with pytest.raises(ArtifactError, match="SM differs") as caught:
        bench.open()
    assert caught.value.got == "SM 8.7 in the engine"
    assert caught.value.expected == "SM 8.9 here"
    assert "edgekit build tiny.onnx --target jetson-orin-nano --batch 1:2:4 --force" in str(caught.value.fix)
    assert bench.world.calls == []


def test_an_older_version_needs_its_lean_runtime(bench: Bench, spec: ModelSpec) -> None:
    plain = card("10.3", spec)
    older = replace(plain, built_on=replace(plain.built_on, version="10.2.0"))
    movable = replace(older, options=replace(older.options, version_compatible=True))
    lean = Path("libnvinfer_lean.so.10.2.0")
    for described, runtime in ((older, None), (older, lean), (movable, None)):
        with pytest.raises(ArtifactError, match="TensorRT differs"):
            bench.open(engine=Engine(Path("a.engine"), PLAN, described), lean_runtime=runtime)
    with bench.open(engine=Engine(Path("a.engine"), PLAN, movable), lean_runtime=lean) as session:
        assert_right(session, 1)
    assert bench.world.names("load_runtime") == [(str(lean),)]


def test_a_dla_engine_runs_on_its_core(bench: Bench, spec: ModelSpec) -> None:
    with bench.open(engine=Engine(Path("a.engine"), PLAN, card("10.3", spec, dla=1))):
        assert bench.world.names("DLA_core") == [(1,)]


def test_an_engine_file(bench: Bench, spec: ModelSpec, tmp_path: Path) -> None:
    path = tmp_path / "tiny.engine"
    write_engine(path, PLAN, card("10.3", spec))
    with open_engine(path) as session:
        assert_right(session, 2)
    path.write_bytes(PLAN + b"!")
    calls = len(bench.world.calls)
    with pytest.raises(ArtifactError):
        open_engine(path)
    assert len(bench.world.calls) == calls


def test_a_predictor_on_an_engine_answers_as_on_the_onnx(bench: Bench, good: Path, pictures: Path) -> None:
    """The metadata in the sidecar is enough: classes, preprocessing, outputs."""
    from edgekit.data import load_dataset

    artifact = read_onnx(good)
    bench.world.inputs, bench.world.outputs = {"image": ("UINT8", (-1, 48, 64, 3))}, {"logits": ("FLOAT", (-1, 7))}
    bench.world.compute = lambda feeds: run_once(artifact.data, feeds)
    engine = Engine(Path("tiny.engine"), PLAN, replace(card("10.3", bench.spec), metadata=artifact.metadata))
    frames = [sample.read() for sample in load_dataset(pictures, None)][:4]
    with Predictor(bench.open(engine=engine), engine.card.metadata.model) as theirs:
        got = theirs.logits(frames)
    with Predictor.from_artifact(artifact) as ours:
        np.testing.assert_allclose(got, ours.logits(frames), atol=1e-4)


@pytest.mark.tensorrt
@pytest.mark.gpu
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt_rtx"])
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_real_engine_on_a_real_gpu(name: str, cuda_graph: bool, spec: ModelSpec, tmp_path: Path) -> None:
    """Builds for the GPU that is here, runs, and compares with onnxruntime."""
    pytest.importorskip(name, reason=f"{name} is not installed: no plan was run")
    try:
        cuda = open_cuda()
    except BackendError as error:
        pytest.skip(f"no plan was run on a GPU: {error.what} {error.got}")
    library = library_module.load_library(name)
    model = graphs.convolutions("fp32").SerializeToString()
    chosen = BuildOptions(name, (cuda.device.sm,), Batch(1, 2, 4))
    try:
        made = build(model, chosen, library)
    except BackendError as error:
        pytest.skip(f"no plan was run on a GPU: {error.what}")
    described = replace(
        card("rtx" if name == "tensorrt_rtx" else "10.3", spec),
        built_on=this_place(library, cuda.device),
        options=chosen,
        plan_sha256=hashlib.sha256(made.plan).hexdigest(),
        plan_bytes=len(made.plan),
    )
    write_engine(tmp_path / "a.engine", made.plan, described)
    rng = np.random.default_rng(0)
    with open_engine(tmp_path / "a.engine", cuda_graph=cuda_graph) as session:
        for n in (1, 4, 4, 4, 2):
            x = rng.normal(size=(n, 8, 16, 16)).astype(np.float32)
            np.testing.assert_allclose(
                session.run({"x": x})["r2"], run_once(model, {"x": x})["r2"], rtol=1e-3, atol=1e-2
            )
