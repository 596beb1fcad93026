"""Detections compared as sets: order is chance, a box elsewhere, of another class or score is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgekit.config.target import Limits
from edgekit.data import made_pictures
from edgekit.gate.compare import Gate
from edgekit.predictor import Answers
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks.detection.compare import BEST, COUNTED, _partners, compare_found

LIMITS = Limits(max_abs=1e-3, top1_agreement=1.0)
K = 30


def found(n: int = 3, seed: int = 0) -> Answers:
    """n pictures with K boxes far from each other, the scores falling from 0.95 to below what counts."""
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(np.arange(6), np.arange(5)), -1).reshape(-1, 2) * 40.0
    low = corners + rng.uniform(0, 5, (n, K, 2))
    boxes = np.concatenate([low, low + rng.uniform(20, 30, (n, K, 2))], -1).astype(np.float32)
    scores = np.tile(np.geomspace(0.95, 1e-3, K, dtype=np.float32), (n, 1))
    return {"boxes": boxes, "scores": scores, "labels": rng.integers(0, 2, (n, K), dtype=np.int32)}


def copy(answers: Answers) -> Answers:
    return {name: values.copy() for name, values in answers.items()}


def test_the_same_is_equal_and_every_counted_box_was_looked_at() -> None:
    want = found()
    stage = compare_found("onnx", want, copy(want), LIMITS)
    counted = max(int((want["scores"][0] >= COUNTED).sum()), BEST)
    assert stage.passed
    assert stage.found is not None
    assert (stage.found.boxes, stage.found.matched, stage.found.max_shift) == (2 * 3 * counted, 1.0, 0.0)
    assert (stage.max_abs, stage.top1_agreement, stage.pictures) == (0.0, None, 3)


def test_another_order_is_equal() -> None:
    want = found()
    got = {name: values[:, np.random.default_rng(1).permutation(K)] for name, values in want.items()}
    got["scores"] = want["scores"].copy()  # near-ties: the boxes come in another order, each with its neighbour's score
    near = copy(want)
    near["scores"][:] = np.linspace(0.5, 0.5 - 1e-5, K, dtype=np.float32)
    got["scores"] = near["scores"].copy()
    stage = compare_found("onnx", near, got, LIMITS)
    assert stage.passed, stage.problems
    assert 0 < stage.max_abs <= 1.1e-5


def test_scores_that_do_not_fall_are_refused() -> None:
    want = found()
    got = copy(want)
    for name in got:
        got[name][1, [4, 9]] = got[name][1, [9, 4]]
    assert compare_found("onnx", want, got, LIMITS).problems == ("scores that are not sorted, best first",)


@pytest.mark.parametrize(("moved", "score", "passed"), [(4, 0.0, True), (4, 1e-4, False), (20, 0.0, False)])
def test_the_other_place_of_a_plateau_is_a_tie(moved: float, score: float, passed: bool) -> None:
    """One box of a cell beside with the very same score, among many: which of the two is a peak is rounding."""
    want = found(n=12)
    want["boxes"][..., 2:] = want["boxes"][..., :2] + 6  # so small that a cell beside is no overlap
    got = copy(want)
    got["boxes"][5, 3] += moved
    got["scores"][5, 3] += score
    stage = compare_found("onnx", want, got, LIMITS)
    assert stage.passed is passed, stage.problems
    assert stage.ties == (2 if passed else 0)  # one on each side


@pytest.mark.parametrize(
    ("boxes_moved", "size", "score", "passed"),
    [(1, 0, 0.0, True), (1, 1, 0.0, False), (1, 0, 1e-4, False), (4, 0, 0.0, False)],
)
def test_another_place_of_a_flat_picture_is_a_tie_of_few(
    boxes_moved: int, size: float, score: float, passed: bool
) -> None:
    """Of 2 * 40 * 17 boxes two may be: one that is elsewhere counts on both sides, with its class, score and size."""
    want = found(n=40)
    got = copy(want)
    got["boxes"][7, 3 : 3 + boxes_moved] += 300
    got["boxes"][7, 3, 2:] += size
    got["scores"][7, 3] += score
    stage = compare_found("onnx", want, got, LIMITS.model_copy(update={"boxes_matched": 1.0}))
    assert stage.passed is passed, stage.problems
    assert stage.ties == (0 if size or score else 2)


def test_a_decoding_that_is_off_by_a_cell_is_no_tie() -> None:
    want = found(n=12)
    want["boxes"][..., 2:] = want["boxes"][..., :2] + 6
    got = copy(want)
    got["boxes"] += 4
    stage = compare_found("onnx", want, got, LIMITS)
    assert not stage.passed
    assert stage.found is not None
    assert stage.found.matched <= 0.02


def test_what_does_not_count_may_differ() -> None:
    want = found()
    got = copy(want)
    counted = max(int((want["scores"][0] >= COUNTED).sum()), BEST)
    got["boxes"][:, counted:] += 500
    assert compare_found("onnx", want, got, LIMITS).passed


def moved(a: Answers) -> None:
    a["boxes"][1, 0] += 4


def other_class(a: Answers) -> None:
    a["labels"][0, 2] = 1 - a["labels"][0, 2]


def lost(a: Answers) -> None:
    a["scores"][2, 1:] = np.append(a["scores"][2, 2:], 0)
    for name in ("boxes", "labels"):
        a[name][2, 1:] = np.concatenate([a[name][2, 2:], a[name][2, :1] * 0])


def invented(a: Answers) -> None:
    a["boxes"][0, -1] = [300, 300, 340, 340]
    a["scores"][0, -1] = 0.9


def sides_swapped(a: Answers) -> None:
    a["boxes"][:] = a["boxes"][..., [1, 0, 3, 2]]


def half_the_score(a: Answers) -> None:
    a["scores"] *= np.float32(0.5)


def not_a_number(a: Answers) -> None:
    a["boxes"][0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (moved, "boxes matched"),
        (other_class, "boxes matched"),
        (lost, "boxes matched"),
        (invented, "boxes matched"),
        (sides_swapped, "boxes matched"),
        (half_the_score, "score shift"),
        (not_a_number, "NaN"),
    ],
)
def test_a_difference_fails(spoil: Callable[[Answers], None], problem: str) -> None:
    want, got = found(), found()
    spoil(got)
    stage = compare_found("onnx", want, got, LIMITS)
    assert not stage.passed
    assert problem in "; ".join(stage.problems)


def test_a_shift_below_the_limit_is_told_and_passes() -> None:
    want, got = found(), found()
    got["boxes"] += np.float32(0.25)
    got["scores"] += np.float32(5e-4)
    stage = compare_found("onnx", want, got, LIMITS)
    assert stage.passed
    assert stage.found is not None
    assert stage.found.max_shift == pytest.approx(0.25, abs=1e-4)
    assert stage.max_abs == pytest.approx(5e-4, rel=1e-2)


def test_nothing_found_proves_nothing() -> None:
    want = found()
    want["scores"][:] = 0
    stage = compare_found("onnx", want, copy(want), LIMITS)
    assert not stage.passed
    assert "no boxes" in stage.problems


def test_which_of_equal_scores_the_cut_leaves_is_chance() -> None:
    want = found()
    want["scores"][:, 5:] = 0.2  # more places have this score than are kept
    got = copy(want)
    got["boxes"][:, 5:] += 300
    stage = compare_found("onnx", want, got, LIMITS)
    assert stage.passed, stage.problems
    assert stage.found is not None
    assert stage.found.boxes == 2 * 3 * 5
    got["boxes"][:, 4] += 300
    assert not compare_found("onnx", want, got, LIMITS).passed
    flat = copy(want)
    flat["scores"][:] = 0.2
    assert not compare_found("onnx", flat, flat, LIMITS).passed  # nothing is clear, so nothing is proven


def test_boxes_of_no_area_at_the_same_place_are_the_same() -> None:
    want = found()
    want["boxes"][:, :, 2:] = want["boxes"][:, :, :2]
    assert compare_found("onnx", want, copy(want), LIMITS).passed
    elsewhere = copy(want)
    elsewhere["boxes"] += 1
    assert not compare_found("onnx", want, elsewhere, LIMITS).passed


def test_another_number_of_places_fails() -> None:
    want = found()
    stage = compare_found("onnx", want, {name: values[:, :5] for name, values in want.items()}, LIMITS)
    assert not stage.passed
    assert "instead of" in stage.problems[0]


def test_the_gate_says_what_it_measured() -> None:
    spec = ModelSpec("net", ("a", "b"), PreprocessSpec(), task="detection", max_detections=K)
    said: list[str] = []
    gate = Gate(made_pictures(1), LIMITS, spec, said.append, reference=found())
    assert gate.judge("fold", found())
    spoilt = found()
    lost(spoilt)
    assert not gate.judge("onnx", spoilt)
    assert "boxes 100.00% of" in said[0]
    assert "FAILED" in said[1]


def test_where_only_shown_boxes_count_the_rest_may_differ() -> None:
    limits = LIMITS.model_copy(update={"boxes": "shown", "box_iou": 0.6, "score_shift": 0.2})
    want, got = found(), found()
    below = want["scores"] < 0.3
    got["boxes"][below] += 200
    got["boxes"][~below] += np.float32(2)  # IoU about 0.75
    stage = compare_found("int8", want, got, limits, (0.3, 0.3))
    assert stage.passed, stage.problems
    assert stage.found is not None
    assert stage.found.boxes == 2 * int((~below).sum())
    assert not compare_found("int8", want, got, limits, (0.3, 0.01)).passed  # more of one class is shown
    assert not compare_found("int8", want, got, LIMITS, (0.3, 0.3)).passed


def test_a_detection_with_several_neighbours_is_one_tie() -> None:
    """And what has the lowest score of all is not counted: where K cuts through equal scores it is chance."""
    labels = np.zeros(2, np.int32)
    one = {"boxes": boxes((0, 0, 20, 20), (90, 90, 99, 99)), "scores": np.float32([0.9, 0.01]), "labels": labels}
    other = {"boxes": boxes((5, 0, 25, 20), (0, 5, 20, 25)), "scores": np.float32([0.9, 0.9]), "labels": labels}
    assert _partners(one, other, LIMITS, ()) == (1, [], (1, 0))
    assert _partners(one, {**other, "labels": labels + 1}, LIMITS, ()) == (1, [], (0, 0))


def test_a_score_at_the_limit_counts() -> None:
    scores = np.float32([*np.linspace(0.9, 0.5, BEST), COUNTED, COUNTED - 1e-3, 0.01])
    places = np.arange(len(scores)) * 30.0
    one = {
        "boxes": boxes(*((x, 0, x + 20, 20) for x in places)),
        "scores": scores,
        "labels": np.zeros(len(scores), np.int32),
    }
    assert _partners(one, one, LIMITS, ())[0] == BEST + 1


def boxes(*given: tuple[float, ...]) -> np.ndarray:
    return np.array(given, np.float32)
