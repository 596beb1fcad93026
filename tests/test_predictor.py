"""Frame in, result out: what a Predictor feeds, how it batches, and which sessions it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import embed, parse_onnx
from edgekit.backends import Arrays, Session
from edgekit.backends.null import NullSession
from edgekit.errors import ArtifactError, BackendError, InputError, PictureError
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec, PreprocessSpec, TensorSpec
from edgekit.vision.decode import softmax
from edgekit.vision.preprocess import normalise, preprocess

PREPROCESS = PreprocessSpec(4, 6, "stretch", None, color="bgr", mean=(0.5, 0.2, 0.1), std=(0.3, 0.2, 0.5))
SPEC = ModelSpec("resnet18", ("a", "b", "c"), PREPROCESS)


class MeanColour(Session):
    """Logits are the mean of each channel; keeps what it was fed."""

    backend = "mean"

    def __init__(self, kind: str = "uint8", batch: int | str = "N") -> None:
        shape = (4, 6, 3) if kind == "uint8" else (3, 4, 6)
        self.inputs = (TensorSpec("image", kind, (batch, *shape)),)
        self.outputs = (TensorSpec("logits", "float32", (batch, 3)),)
        self.fed: list[np.ndarray] = []
        self.closed = False

    def _run(self, feeds: Arrays) -> Arrays:
        image = feeds["image"]
        self.fed.append(image.copy())
        axes = (1, 2) if image.dtype == np.uint8 else (2, 3)
        return {"logits": image.mean(axes, dtype=np.float64).astype(np.float32)}

    def close(self) -> None:
        self.closed = True


def frames(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*rng.integers(3, 20, 2), 3), dtype=np.uint8) for _ in range(n)]


def resized(given: list[np.ndarray]) -> np.ndarray:
    return np.stack([preprocess(frame, PREPROCESS) for frame in given])


@pytest.mark.parametrize("n", [0, 1, 5, 16, 17, 40])
def test_logits_are_one_row_a_frame_whatever_the_batch(n: int) -> None:
    session = MeanColour()
    logits = Predictor(session, SPEC).logits(frames(n))
    assert (logits.shape, logits.dtype) == ((n, 3), np.float32)
    if n:
        np.testing.assert_array_equal(logits, resized(frames(n)).mean((1, 2), dtype=np.float64).astype(np.float32))
    assert [len(fed) for fed in session.fed] == [16] * (n // 16) + ([n % 16] if n % 16 else [])


def test_a_uint8_session_gets_the_resized_pixels_and_a_float_one_the_normalized() -> None:
    given = frames(3)
    pixels, floats = MeanColour("uint8"), MeanColour("float32")
    Predictor(pixels, SPEC).logits(given)
    Predictor(floats, SPEC).logits(given)
    np.testing.assert_array_equal(pixels.fed[0], resized(given))
    np.testing.assert_array_equal(floats.fed[0], normalise(resized(given), PREPROCESS))


@pytest.mark.parametrize("n", [1, 3, 4, 9])
def test_a_fixed_batch_is_filled_up_and_cut_off_again(n: int) -> None:
    session = MeanColour(batch=4)
    predictor = Predictor(session, SPEC)
    assert predictor.fixed_batch == 4
    given = frames(n)
    np.testing.assert_array_equal(predictor.logits(given), Predictor(MeanColour(), SPEC).logits(given))
    assert all(fed.shape == (4, 4, 6, 3) for fed in session.fed)
    assert len(session.fed) == -(-n // 4)
    if n % 4:
        assert not session.fed[-1][n % 4 :].any()


def test_a_dynamic_batch_has_no_fixed_size() -> None:
    session = MeanColour()
    predictor = Predictor(session, SPEC)
    assert predictor.fixed_batch is None
    predictor.logits_of_pixels(list(resized(frames(5))), batch=2)
    assert [len(fed) for fed in session.fed] == [2, 2, 1]


@pytest.mark.parametrize(("batch", "fed"), [(16, [4, 4, 1]), (4, [4, 4, 1]), (3, [3, 3, 3])])
def test_no_run_holds_more_than_the_sessions_largest_batch(batch: int, fed: list[int]) -> None:
    """As of an engine, whose batch is dynamic up to what it was built for."""
    session = MeanColour()
    session.largest_batch = 4
    pixels = list(resized(frames(9)))
    logits = Predictor(session, SPEC).logits_of_pixels(pixels, batch)
    assert [len(block) for block in session.fed] == fed
    np.testing.assert_array_equal(logits, Predictor(MeanColour(), SPEC).logits_of_pixels(pixels))


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("size", ["N", 3])
@pytest.mark.parametrize(("n", "batch"), [(0, 4), (1, 4), (7, 4), (8, 4), (40, 32)])
def test_a_stream_gives_what_logits_gives(kind: str, size: int | str, n: int, batch: int) -> None:
    predictor = Predictor(MeanColour(kind, size), SPEC)
    rows = list(predictor.stream(iter(frames(n)), batch))
    assert [row.shape for row in rows] == [(3,)] * n
    if n:
        np.testing.assert_array_equal(np.stack(rows), predictor.logits(frames(n)))


def test_a_stream_holds_no_more_than_a_batch() -> None:
    taken = 0

    def source() -> Iterator[np.ndarray]:
        nonlocal taken
        for frame in frames(10):
            taken += 1
            yield frame

    stream = Predictor(MeanColour(), SPEC).stream(source(), batch=4)
    next(stream)
    assert taken == 4


def test_an_answer_names_the_classes() -> None:
    given = frames(2)
    predictor = Predictor(MeanColour(), SPEC)
    answers = predictor.classify(given, top=2)
    for answer, row in zip(answers, predictor.logits(given), strict=True):
        assert answer.index == row.argmax()
        assert answer.label == SPEC.classes[answer.index]
        assert answer.score == pytest.approx(softmax(row).max())
        assert len(answer.top) == 2
        np.testing.assert_array_equal(answer.logits, row)
    assert predictor([]) == []


def test_a_frame_that_is_none_is_refused() -> None:
    with pytest.raises(PictureError):
        Predictor(MeanColour(), SPEC).logits([np.zeros((4, 6), np.uint8)])


def test_closing() -> None:
    with Predictor(MeanColour(), SPEC) as predictor:
        session = predictor.session
    assert session.closed  # type: ignore[attr-defined]


# --- sessions that do not fit

GOOD_IN = TensorSpec("image", "uint8", ("N", 4, 6, 3))
GOOD_OUT = TensorSpec("logits", "float32", ("N", 3))


def test_the_null_session_fits() -> None:
    logits = Predictor(NullSession((GOOD_IN,), (GOOD_OUT,)), SPEC).logits(frames(2))
    np.testing.assert_array_equal(logits, np.zeros((2, 3), np.float32))


@pytest.mark.parametrize(
    "inputs",
    [
        (),
        (replace(GOOD_IN, name="input"),),
        (replace(GOOD_IN, shape=("N", 6, 4, 3)),),
        (replace(GOOD_IN, shape=("N", 3, 4, 6)),),
        (replace(GOOD_IN, dtype="float32"),),
        (replace(GOOD_IN, dtype="int8"),),
        (replace(GOOD_IN, shape=("N", "H", "W", 3)),),
        (GOOD_IN, TensorSpec("mask", "uint8", ("N",))),
    ],
    ids=["none", "name", "turned", "NCHW uint8", "NHWC float", "int8", "dynamic size", "two"],
)
def test_an_input_that_is_not_the_metadatas_is_refused(inputs: tuple[TensorSpec, ...]) -> None:
    with pytest.raises(ArtifactError, match="The input of thing is not") as caught:
        Predictor(NullSession(inputs, (GOOD_OUT,)), SPEC, name="thing")
    assert caught.value.expected == "image uint8[N, 4, 6, 3] or float32[N, 3, 4, 6]"


@pytest.mark.parametrize(
    "outputs",
    [
        (),
        (replace(GOOD_OUT, name="scores"),),
        (replace(GOOD_OUT, shape=("N", 4)),),
        (replace(GOOD_OUT, shape=("N", "C")),),
        (replace(GOOD_OUT, shape=("N", 3, 1)),),
        (replace(GOOD_OUT, dtype="float16"),),
    ],
    ids=["none", "name", "classes", "dynamic classes", "rank", "half"],
)
def test_an_output_that_is_not_the_metadatas_is_refused(outputs: tuple[TensorSpec, ...]) -> None:
    with pytest.raises(ArtifactError, match="The output of thing is not") as caught:
        Predictor(NullSession((GOOD_IN,), outputs), SPEC, name="thing")
    assert caught.value.expected == "logits float32[N, 3]"


def test_more_outputs_are_no_harm_and_logits_are_taken_by_name() -> None:
    session = NullSession((GOOD_IN,), (TensorSpec("features", "float32", ("N", 9)), GOOD_OUT))
    assert Predictor(session, SPEC).logits(frames(2)).shape == (2, 3)


# --- from a file


def exported(spec: ModelSpec = SPEC) -> bytes:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 20]> g (uint8[N,4,6,3] image) => (float[N,3] logits) {
            c = Cast<to: int = 1>(image)
            logits = ReduceMean<keepdims: int = 0>(c, axes)
        }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2], np.int64), "axes"))
    embed(model, Metadata(spec, Lineage("c", "f"), "uint8", "fp32", "x86-cpu", {}, {"passed": True}))
    return model.SerializeToString()


def test_a_file_is_opened_with_its_own_spec(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(exported())
    with Predictor.open(path, threads=1) as predictor:
        assert (predictor.spec, predictor.name) == (SPEC, "m.onnx")
        assert len(predictor.sha256) == 64
        np.testing.assert_allclose(predictor.logits(frames(3)), resized(frames(3)).mean((1, 2)), rtol=1e-5)
    with pytest.raises(BackendError, match="Unknown backend"):
        Predictor.open(path, "abacus")


CHANGES: dict[str, Callable[[ModelSpec], ModelSpec]] = {
    "size": lambda s: replace(s, preprocess=replace(s.preprocess, height=5)),
    "classes": lambda s: replace(s, classes=("a", "b")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_whose_metadata_do_not_fit_its_graph_is_refused(name: str) -> None:
    artifact = parse_onnx(exported(CHANGES[name](SPEC)), Path("m.onnx"))
    with pytest.raises(ArtifactError, match=r"(input|output) of m\.onnx is not what its metadata says"):
        Predictor.from_artifact(artifact)


def test_logits_that_are_not_finite_are_no_answer() -> None:
    class Broken(MeanColour):
        def _run(self, feeds: Arrays) -> Arrays:
            return {"logits": np.full((len(feeds["image"]), 3), np.nan, np.float32)}

    with pytest.raises(InputError, match="not finite"):
        Predictor(Broken(), SPEC)(frames(1))
