"""The gate's arithmetic on arrays made by hand, and two models compared end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit.backends import Arrays, Session
from edgekit.config.target import Limits
from edgekit.data import Dataset, Sample, made_pictures
from edgekit.errors import UsageError
from edgekit.gate.compare import TENSOR_TOLERANCE, Gate, first_wrong, verify
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec, PreprocessSpec, TensorSpec
from edgekit.tasks.classification_compare import compare_logits as compare
from edgekit.tasks.stage import FirstWrong, Stage

LIMITS = Limits(max_abs=0.01, top1_agreement=1.0)
NAN, INF = float("nan"), float("inf")


def logits(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


REFERENCE = logits([1, 2, 4], [3, 0, -8], [0, 5, 1], [7, 1, 2])
LOGITS = {"logits": REFERENCE}


def changed(row: int, column: int, value: float) -> np.ndarray:
    other = REFERENCE.copy()
    other[row, column] = value
    return other


def test_equal_is_passed() -> None:
    assert compare("x", REFERENCE, REFERENCE.copy(), LIMITS) == Stage("x", True, 0.0, 0.0, 1.0, 0, 4)


def test_a_difference_within_the_limit_is_passed_and_said() -> None:
    stage = compare("x", REFERENCE, changed(1, 0, 3.008), LIMITS)
    assert stage.passed
    assert stage.max_abs == pytest.approx(0.008, rel=1e-4)
    assert stage.max_rel == pytest.approx(0.001, rel=1e-4)  # the largest |logit| is 8
    assert stage.problems == ()


def test_the_limit_itself_is_allowed() -> None:
    half = Limits(max_abs=0.5, top1_agreement=1.0)
    assert compare("x", REFERENCE, changed(1, 0, 3.5), half).passed
    assert not compare("x", REFERENCE, changed(1, 0, float(np.nextafter(np.float32(3.5), 4))), half).passed


@pytest.mark.parametrize("value", [3.02, 2.98])
def test_a_larger_difference_fails(value: float) -> None:
    stage = compare("x", REFERENCE, changed(1, 0, value), LIMITS)
    assert not stage.passed
    assert stage.top1_agreement == 1.0
    assert stage.problems == ("max|d logits| 0.02 > 0.01",)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("loose", [False, True])
def test_what_is_not_a_number_fails_whatever_the_limits(value: float, loose: bool) -> None:
    limits = Limits(max_abs=1e9, top1_agreement=1e-9) if loose else LIMITS
    stage = compare("x", REFERENCE, changed(0, 0, value), limits)
    assert not stage.passed
    assert "logits that are NaN or infinite" in stage.problems
    data = stage.to_dict()
    assert data["max_abs"] is None
    json.dumps(data, allow_nan=False)


def test_a_nan_is_never_the_first_class() -> None:
    assert compare("x", REFERENCE, changed(0, 0, NAN), LIMITS).top1_agreement == 1.0
    assert compare("x", REFERENCE, changed(0, 2, NAN), LIMITS).top1_agreement == 0.75


def test_all_nan_agrees_with_nothing() -> None:
    stage = compare("x", REFERENCE, np.full_like(REFERENCE, NAN), LIMITS)
    assert not stage.passed
    assert stage.top1_agreement < 1


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_reference_that_is_not_a_number_fails(value: float) -> None:
    broken = changed(0, 0, value)
    assert not compare("x", broken, broken.copy(), LIMITS).passed


def test_a_flipped_picture_fails() -> None:
    for limit, problems in ((10, 1), (3.9, 2)):
        stage = compare("x", REFERENCE, changed(2, 2, 5.5), Limits(max_abs=limit, top1_agreement=1.0))
        assert (stage.passed, stage.ties, stage.top1_agreement) == (False, 0, 0.75)
        assert len(stage.problems) == problems
    assert stage.problems == ("max|d logits| 4.5 > 3.9", "top-1 agreement 75.00% < 100.00%")


def test_the_share_of_flips_that_a_limit_allows() -> None:
    for agreement, passed in ((0.75, True), (0.76, False)):
        stage = compare("x", REFERENCE, changed(2, 2, 5.5), Limits(max_abs=4.6, top1_agreement=agreement))
        assert (stage.passed, stage.ties, stage.top1_agreement) == (passed, 0, 0.75)


def test_a_tie_is_one_that_the_reference_has_not_the_candidate() -> None:
    """A wrong class that the candidate holds by a hair is still wrong."""
    reference = logits([0.0, 10.0])
    assert compare("x", reference, logits([10.001, 10.0]), LIMITS).ties == 0
    close = logits([9.9995, 10.0])
    stage = compare("x", close, logits([10.0, 9.9995]), LIMITS)
    assert (stage.passed, stage.ties, stage.top1_agreement) == (True, 1, 1.0)
    assert compare("x", logits([9.995, 10.0]), logits([10.0, 9.995]), LIMITS).ties == 0
    step = 2.0**-11  # exact in float32: a margin that is the limit itself
    limits = Limits(max_abs=step, top1_agreement=1.0)
    assert compare("x", logits([1.0, 1.0 + step]), logits([1.0 + step, 1.0]), limits).ties == 1
    assert compare("x", logits([1.0, 1.0 + 1.25 * step]), logits([1.0 + step, 1.0]), limits).ties == 0


def test_shapes_that_differ_fail() -> None:
    for other in (REFERENCE[:, :2], REFERENCE[:3], REFERENCE[:, :, None]):
        stage = compare("x", REFERENCE, other, LIMITS)
        assert not stage.passed
        assert stage.problems == (f"logits {list(other.shape)} instead of [4, 3]",)
        assert stage.to_dict()["max_abs"] is None


def test_no_pictures_prove_nothing() -> None:
    stage = compare("x", REFERENCE[:0], REFERENCE[:0], LIMITS)
    assert not stage.passed
    assert "no pictures" in stage.problems


def test_a_reference_of_zeros_has_no_relative_difference() -> None:
    zeros = np.zeros((1, 2), np.float32)
    stage = compare("x", zeros, zeros + np.float32(0.001), LIMITS)
    assert stage.max_rel == stage.max_abs == pytest.approx(0.001)


# --- the first wrong tensor


def tensors(**values: float) -> dict[str, Any]:
    return {name: np.full((2, 3), value, np.float32) for name, value in values.items()}


WANT = tensors(a=1, b=10, c=100)


def test_equal_tensors_have_no_first_wrong_one() -> None:
    assert first_wrong(WANT, tensors(a=1, b=10, c=100), "abc") is None
    within = {**WANT, "b": WANT["b"] * np.float32(1 + 0.9 * TENSOR_TOLERANCE)}
    assert first_wrong(WANT, within, "abc") is None


def test_the_first_in_the_order_that_is_given() -> None:
    got = {**WANT, "b": WANT["b"] + 1, "c": WANT["c"] + 1}
    assert first_wrong(WANT, got, "abc") == FirstWrong("b", 1.0, 10.0)
    assert first_wrong(WANT, got, "cba") == FirstWrong("c", 1.0, 100.0)
    assert first_wrong(WANT, got, "a") is None


def test_tensors_that_only_one_has_are_passed_over() -> None:
    assert first_wrong(WANT, {"c": WANT["c"] + 1}, ["x", "a", "c"]) == FirstWrong("c", 1.0, 100.0)


def test_a_difference_is_judged_by_the_tensors_peak() -> None:
    step = np.float32(50 * TENSOR_TOLERANCE)
    assert first_wrong(WANT, {**WANT, "c": WANT["c"] + step}, "abc") is None
    found = first_wrong(WANT, {**WANT, "a": WANT["a"] + step}, "abc")
    assert found is not None
    assert found.tensor == "a"
    assert str(found) == f"a (max|d| {step:.3g}, largest value 1)"


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_nan_is_a_difference(value: float) -> None:
    broken = {**WANT, "b": WANT["b"].copy()}
    broken["b"][1, 2] = value
    found = first_wrong(WANT, broken, "abc")
    assert found is not None
    assert found.tensor == "b"


def test_another_shape_is_a_difference() -> None:
    found = first_wrong(WANT, {**WANT, "b": WANT["b"].T}, "abc")
    assert found == FirstWrong("b", INF, 10.0)


def test_a_tensor_of_zeros_is_not_divided_by() -> None:
    assert first_wrong(tensors(a=0), tensors(a=0), "a") is None
    assert first_wrong(tensors(a=0), tensors(a=1e-3), "a") is not None


# --- the gate


def gate(said: list[str]) -> Gate:
    spec = ModelSpec("resnet18", ("a", "b", "c"), PreprocessSpec())
    return Gate(made_pictures(1), LIMITS, spec, said.append, reference=LOGITS)


def test_the_gate_passes_while_all_stages_do() -> None:
    said: list[str] = []
    judge = gate(said)
    assert judge.judge("fold", {"logits": REFERENCE.copy()})
    assert judge.passed
    assert not judge.judge("onnx", {"logits": REFERENCE + 1}, lambda: FirstWrong("conv1", 1.0, 2.0))
    assert not judge.passed
    assert judge.judge("file", {"logits": REFERENCE.copy()})
    assert not judge.passed
    assert [s.name for s in judge.stages] == ["fold", "onnx", "file"]
    assert judge.stages[1].first_wrong == FirstWrong("conv1", 1.0, 2.0)
    assert [("ok" in line, "FAILED" in line) for line in said] == [(True, False), (False, True), (True, False)]


def test_blame_is_sought_only_after_a_failure() -> None:
    def never() -> FirstWrong:
        raise AssertionError

    assert gate([]).judge("fold", {"logits": REFERENCE.copy()}, never)


# --- two models end to end


class Colours(Session):
    """Logits are a mix of the mean colours."""

    backend = "colours"

    def __init__(self, mix: np.ndarray, size: tuple[int, int]) -> None:
        self.mix = mix
        self.inputs = (TensorSpec("image", "uint8", ("N", *size, 3)),)
        self.outputs = (TensorSpec("logits", "float32", ("N", mix.shape[1])),)

    def _run(self, feeds: Arrays) -> Arrays:
        # rows and columns count differently, so that the way of resizing is seen
        image = feeds["image"] / 255.0
        weights = np.linspace(0.5, 1.5, image.shape[1])[None, :, None, None]
        return {"logits": ((image * weights).mean((1, 2)) @ self.mix).astype(np.float32)}


MIX = np.array([[5, 0, 1, 0], [0, 5, 0, 1], [1, 0, 5, 0.0]])
SPEC = ModelSpec("resnet18", ("a", "b", "c", "d"), PreprocessSpec(16, 16, "stretch", None))


def predictor(spec: ModelSpec = SPEC, mix: np.ndarray = MIX, name: str = "model") -> Predictor:
    return Predictor(Colours(mix, (spec.preprocess.height, spec.preprocess.width)), spec, name=name)


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    return made_pictures(8)


def test_equal_models_pass(pictures: Dataset) -> None:
    stage = verify(predictor(), predictor(name="copy"), pictures, LIMITS)
    assert (stage.passed, stage.name, stage.pictures, stage.max_abs) == (True, "copy", 8, 0.0)


def test_other_weights_fail(pictures: Dataset) -> None:
    stage = verify(predictor(), predictor(mix=MIX * 1.1), pictures, LIMITS)
    assert not stage.passed
    assert "max|d logits|" in stage.problems[0]


ORDER = [2, 0, 3, 1]


def test_the_same_model_with_its_classes_in_another_order_fails_for_that_alone(pictures: Dataset) -> None:
    """Names and weights were permuted together, so class by class the logits are equal."""
    shuffled = replace(SPEC, classes=tuple(SPEC.classes[i] for i in ORDER))
    stage = verify(predictor(), predictor(shuffled, MIX[:, ORDER]), pictures, LIMITS)
    assert stage.problems == ("the same class names in another order",)
    assert stage.max_abs == 0
    assert not stage.passed


def test_names_in_another_order_over_the_same_weights_fail_for_both(pictures: Dataset) -> None:
    shuffled = replace(SPEC, classes=tuple(SPEC.classes[i] for i in ORDER))
    stage = verify(predictor(), predictor(shuffled), pictures, LIMITS)
    assert "the same class names in another order" in stage.problems
    assert any("max|d logits|" in problem for problem in stage.problems)


def test_names_that_come_twice_are_compared_by_place(pictures: Dataset) -> None:
    twice = replace(SPEC, classes=("a", "b", "a", "b"))
    assert verify(predictor(twice), predictor(twice), pictures, LIMITS).passed


def test_other_classes_cannot_be_compared(pictures: Dataset) -> None:
    other = replace(SPEC, classes=("a", "b", "c", "x"))
    with pytest.raises(UsageError, match="do not know the same classes") as caught:
        verify(predictor(), predictor(other, name="other"), pictures, LIMITS)
    assert caught.value.got == "only other has x; only model has d"
    assert str(caught.value.fix).startswith("--map -=x,-=d ")


@pytest.mark.parametrize(
    "change", [{"mean": (0.1, 0.2, 0.3)}, {"interpolation": "nearest", "antialias": False}, {"color": "bgr"}]
)
def test_another_preprocessing_fails_even_where_no_logit_differs(pictures: Dataset, change: dict[str, Any]) -> None:
    """Two frames of one colour look the same however they are resized: the specs themselves are compared."""
    flat = Dataset((Sample(None, np.full((20, 30, 3), 90, np.uint8), None),), None, "made")
    other = replace(SPEC, preprocess=replace(SPEC.preprocess, **change))
    stage = verify(predictor(), predictor(other), flat, LIMITS)
    assert stage.max_abs == 0
    assert not stage.passed
    assert [p.startswith("another preprocessing") for p in stage.problems] == [True]


def test_another_resize_is_seen_in_the_logits_too(pictures: Dataset) -> None:
    boxed = replace(SPEC, preprocess=replace(SPEC.preprocess, resize="letterbox"))
    stage = verify(predictor(), predictor(boxed), pictures, LIMITS)
    assert len(stage.problems) >= 2
    assert "letterbox 16x16" in stage.problems[-1]


def test_a_nan_in_one_channel_fails(pictures: Dataset) -> None:
    broken = MIX.copy()
    broken[1, 3] = NAN
    assert not verify(predictor(), predictor(mix=broken), pictures, LIMITS).passed


def test_a_coarse_limit_does_not_make_flips_into_ties() -> None:
    want = logits([3, 1, 0], [0, 4, 1])
    got = logits([1, 3, 0], [0, 4, 1])
    stage = compare("int8-x86", want, got, Limits(max_abs=4.0, top1_agreement=0.96))
    assert (stage.top1_agreement, stage.ties, stage.passed) == (0.5, 0, False)
