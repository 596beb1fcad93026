"""Segmentation: what the outputs mean, at the frame's size, and what the gate's comparison takes and refuses."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from edgekit.config.target import Limits, load_target
from edgekit.data.sample import Sample
from edgekit.errors import DataError, InputError, PictureError, UsageError
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import ANY, Asked, task_of
from edgekit.tasks.segmentation.compare import near_edges, near_ties
from edgekit.vision.segmentation.overlay import with_masks
from tests.tasks.painter import CLASSES, SIZE, opened, painter, scene, scenes, spec_of

TASK = task_of("segmentation")
SPEC = spec_of()
TARGET = load_target("x86-cpu")
FP32, FP16, INT8 = (TARGET.limits(name) for name in ("fp32", "fp16", "int8"))


def outputs(*masks: Any, score: float = 0.9) -> dict[str, Any]:
    mask = np.array(masks, np.int32)
    return {"mask": mask, "score": np.full(mask.shape, score, np.float32)}


def decoded(mask: Any, pre: PreprocessSpec, shape: tuple[int, ...], asked: Asked = ANY, score: Any = 0.9) -> Any:
    spec = replace(SPEC, preprocess=pre)
    answers = {"mask": np.array([mask], np.int32), "score": np.broadcast_to(np.float32(score), (1, *np.shape(mask)))}
    (found,) = TASK.decode(answers, [shape], spec, asked)
    return found


def stretch(height: int, width: int) -> PreprocessSpec:
    return PreprocessSpec(height, width, resize="stretch", shorter_side=None)


def test_the_spec_names_two_outputs_of_the_inputs_size() -> None:
    assert [str(one) for one in SPEC.outputs] == ["mask int32[N, 48, 64]", "score float32[N, 48, 64]"]
    assert ModelSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC
    wrong: list[dict[str, Any]] = [{"classes": ("hive",)}, {"thresholds": (0.5,) * 4}, {"temperature": 2.0}]
    for change in wrong:
        with pytest.raises(InputError):
            replace(SPEC, **change)
    assert TASK.unfit_input("crop", (64,))
    assert not TASK.unfit_input("letterbox", (64,))


# --- at the frame's size


def test_a_mask_grows_to_the_frame_by_the_nearest_pixel() -> None:
    found = decoded([[0, 1], [2, 3]], stretch(2, 2), (4, 6, 3))
    assert found.mask.tolist() == [[0] * 3 + [1] * 3] * 2 + [[2] * 3 + [3] * 3] * 2
    assert found.mask.dtype == np.int16
    small = decoded(np.arange(4).repeat(4).reshape(4, 4) % 4, stretch(4, 4), (2, 2, 3))
    assert small.mask[:, 0].tolist() == [1, 3]  # the net's pixels that the frame's centres lie in


def test_a_letterbox_is_cut_off_and_a_crop_leaves_a_border_without_a_class() -> None:
    boxed = np.full((8, 8), 3)
    boxed[2:6] = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    found = decoded(boxed, PreprocessSpec(8, 8, resize="letterbox", shorter_side=None), (40, 80, 3))
    assert found.mask.shape == (40, 80)
    assert set(np.unique(found.mask[:, :40])) == {0}
    assert set(np.unique(found.mask[:, 40:])) == {1}
    cut = decoded(np.full((8, 8), 2), PreprocessSpec(8, 8, shorter_side=8), (8, 16, 3))
    assert (cut.mask[:, :4] == -1).all()
    assert (cut.mask[:, 4:12] == 2).all()
    assert (cut.score[cut.mask < 0] == 0).all()


def test_a_mask_lies_where_its_picture_was() -> None:
    """The net's own picture, decoded to the frame, is the frame again wherever nothing was averaged."""
    frame, mask = scene(3, (96, 128))
    with opened(painter((96, 128)), spec_of((96, 128))) as net:
        (found,) = net([frame])
    assert (found.mask == mask).mean() > 0.93
    away = ~near_edges(mask)
    assert (found.mask == mask)[away].mean() > 0.999


def test_an_answer_counts_its_classes_and_objects() -> None:
    mask = np.zeros((10, 20), int)
    mask[2:5, 3:6] = mask[5, 6] = 3  # touches at a corner
    mask[7:9, 12:18] = 3
    found = decoded(mask, stretch(10, 20), (10, 20, 3))
    assert [area.label for area in found] == ["sky", "car"]
    assert (found.areas[1].pixels, found.areas[1].share) == (22, pytest.approx(0.11))
    assert found.areas[1].score == pytest.approx(0.9)
    assert ("car" in found, "tree" in found) == (True, False)
    np.testing.assert_array_equal(found["car"], mask == 3)
    with pytest.raises(KeyError, match="expected one of sky"):
        found["sea"]
    one, two = found.objects(without=("sky",))
    assert (one.box, one.pixels, one.name) == ((12, 7, 18, 9), 12, "car")
    assert (two.box, two.pixels) == ((3, 2, 7, 6), 10)
    assert two.mask.sum() == 10
    assert found.objects(smallest=11, without=("sky",)) == (one,)
    assert str(found) == "sky 89.0%  car 11.0%"
    plain = found.to_dict()
    assert plain["size"] == [10, 20]
    assert plain["areas"][1] == {"label": "car", "index": 3, "pixels": 22, "share": 0.11, "score": 0.9}
    json.dumps(plain)


def test_what_is_less_sure_than_asked_for_is_no_class() -> None:
    score = np.array([[0.2, 0.8], [0.5, 0.9]])
    found = decoded([[0, 1], [2, 3]], stretch(2, 2), (2, 2, 3), Asked(threshold=0.5), score)
    assert found.mask.tolist() == [[-1, 1], [2, 3]]


def test_what_is_around_the_things_is_not_painted_over() -> None:
    class Part(NamedTuple):
        label: str
        index: int
        share: float

    frame = np.full((120, 160, 3), 90, np.uint8)
    mask = np.zeros((120, 160), np.int16)
    mask[70:74, 100:105], mask[80, 80] = 1, -1
    areas = [Part("Background", 0, 0.999), Part("bee", 1, 20 / 19200)]
    painted = (with_masks(frame, mask, areas) != frame).any(axis=2)
    assert painted[70:74, 100:105].all()
    assert not painted[40:70].any()
    assert painted[:40].any()  # the bee's line
    assert not (with_masks(frame, mask, areas[:1]) != frame).any()
    as_sky = [Part("sky", 0, 0.999), areas[1]]
    assert (with_masks(frame, mask, as_sky) != frame).any(axis=2)[mask >= 0].all()


def test_it_is_drawn_and_written() -> None:
    frame, mask = scene(0)
    found = decoded(mask, stretch(*SIZE), frame.shape)
    drawn = found.draw(frame)
    assert drawn.shape == frame.shape
    assert (drawn != frame).any(axis=2)[mask >= 0].mean() > 0.9
    with pytest.raises(PictureError, match="another picture"):
        found.draw(frame[:-1])
    with Image.open(io.BytesIO(found.files()[".mask.png"])) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), mask)
    cut = decoded(np.full((8, 8), 2), PreprocessSpec(8, 8, shorter_side=8), (8, 16, 3))
    with Image.open(io.BytesIO(cut.files()[".mask.png"])) as picture:
        assert np.asarray(picture)[0].tolist() == [255] * 4 + [2] * 8 + [255] * 4


@pytest.mark.parametrize(("mask", "score"), [([[0, 4]], 0.5), ([[-1, 0]], 0.5), ([[0, 1]], np.nan)])
def test_what_is_no_answer_is_refused(mask: Any, score: float) -> None:
    with pytest.raises(InputError, match="no class|not finite"):
        decoded(mask, stretch(1, 2), (4, 4, 3), score=score)


# --- when two are equal


def big(seed: int = 0) -> Any:
    return scene(seed, (200, 300))[1].astype(np.int32)


def judged(reference: Any, candidate: Any, limits: Limits = FP32) -> Any:
    return TASK.compare("x", reference, candidate, limits, SPEC)


def test_equal_masks_pass_and_say_what_was_seen() -> None:
    same = outputs(big(0), big(1))
    stage = judged(same, same)
    assert stage.passed, stage
    assert stage.own == {
        "pixels_equal": 1.0, "inner_pixels_equal": 1.0, "class_iou": 1.0, "scores_beyond": 0.0, "classes_seen": 4.0
    }  # fmt: skip
    assert "pixels 100.0000%" in TASK.figures(stage)
    assert "of at least 99.9900%" in TASK.against(stage, FP32)
    assert TASK.short(stage)["pixels_equal"] == 1


def shifted(mask: Any, dy: int = 0, dx: int = 1) -> Any:
    return np.roll(mask, (dy, dx), (0, 1))


def swapped(mask: Any, one: int = 2, other: int = 3) -> Any:
    table = np.arange(4)
    table[[one, other]] = other, one
    return table[mask].astype(np.int32)


@pytest.mark.parametrize("limits", [FP32, FP16, INT8])
@pytest.mark.parametrize(
    "change", [swapped, lambda m: m[::-1], lambda m: np.where(m == 3, 1, m), lambda m: shifted(m, 6, 6)]
)
def test_another_mask_fails_at_every_precision(limits: Limits, change: Any) -> None:
    want = [big(i) for i in range(4)]
    stage = judged(outputs(*want), outputs(*map(change, want)), limits)
    assert not stage.passed


def test_a_pixel_beside_fails_where_nothing_was_rounded() -> None:
    want = [big(i) for i in range(4)]
    for limits in (FP32, FP16):
        stage = judged(outputs(*want), outputs(*map(shifted, want)), limits)
        assert "equal pixels" in "; ".join(stage.problems)
    assert judged(outputs(*want), outputs(*map(shifted, want)), INT8).own["inner_pixels_equal"] > 0.999


def test_edges_have_a_limit_of_their_own() -> None:
    want, rng = big(), np.random.default_rng(0)
    edge = near_edges(want)
    moved = np.where(edge & (rng.random(want.shape) < 0.2), shifted(want, 1, 1), want)  # noise at edges alone
    stage = judged(outputs(want), outputs(moved), INT8)
    assert stage.passed, stage
    assert stage.own["inner_pixels_equal"] == 1
    assert not judged(outputs(want), outputs(moved), FP16).passed
    hole = want.copy()
    hole[:20, 100:160] = (want[:20, 100:160] + 1) % 4  # 2 % of the pixels
    assert "away from edges" in "; ".join(judged(outputs(want), outputs(hole), INT8).problems)


def test_one_picture_of_many_that_is_answered_as_another_fails() -> None:
    """In two hundred pictures it is half a percent of the pixels, less than int8 may lose."""
    want = [scene(i)[1] for i in range(200)]
    got = list(want)
    got[7] = want[8]
    stage = judged(outputs(*want), outputs(*got), INT8)
    assert "of the worst picture" in "; ".join(stage.problems), stage


def test_a_rare_class_counts_as_much_as_a_large_one() -> None:
    want = np.zeros((400, 400), np.int32)
    want[100:112, 100:112] = 2  # 0.09 % of the pixels
    want[300:312, 300:312] = 3
    for limits in (FP16, INT8):
        stage = judged(outputs(want), outputs(swapped(want)), limits)
        assert stage.problems[-1].startswith("IoU of tree 0.0000 <")
    few = np.zeros((400, 400), np.int32)
    few[100:104, 100:104] = 2  # 16 pixels say nothing
    assert judged(outputs(few), outputs(np.zeros_like(few)), INT8).passed


def test_a_class_that_the_net_is_never_sure_of_does_not_hang_on_ties() -> None:
    """A net that shares a pixel between two classes may name either; one that is sure of the first may not."""
    want = np.zeros((400, 400), np.int32)
    want[100:120, 100:120] = 3
    got = np.zeros_like(want)
    got[100:106, 100:120] = 3
    for scores, passed in (((0.5, 0.48), True), ((0.8, 0.78), False), ((0.5, 0.2), False)):
        reference, candidate = (outputs(mask, score=score) for mask, score in zip((want, got), scores, strict=True))
        candidate["score"][reference["mask"] == candidate["mask"]] = scores[0]
        stage = judged(reference, candidate, INT8)
        assert stage.passed is passed, stage
        assert stage.ties == (280 if passed else 0)
    drifted = judged(outputs(want, score=0.5), outputs(got, score=0.5))  # 0.2 % of the pixels: too many in fp32
    assert "equal pixels" in drifted.problems[0]


@pytest.mark.parametrize("moved", [0.001, 0.1, 0.3])
def test_a_tie_is_what_such_moves_can_turn(moved: float) -> None:
    """Probabilities of four classes, each moved by at most so much: wherever the first one changes it was a tie."""
    rng = np.random.default_rng(0)
    before = rng.dirichlet(np.full(4, 0.5), 20000)
    after = before + rng.uniform(-moved, moved, before.shape)
    changed = before.argmax(1) != after.argmax(1)
    assert changed.sum() > 10
    assert near_ties(before.max(1), after.max(1), moved)[changed].all()
    sure = before.max(1) > 0.5 + moved
    assert not changed[sure].any()
    assert not near_ties(before.max(1), before.max(1), moved)[sure & (before.max(1) > 0.5 + moved)].any()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"score": 0.0011}, "of the scores are off by more than 0.001"),
        ({"score": np.nan}, "NaN"),
        ({"mask": 4}, "no class"),  # as a net that learnt void as a class
        ({"mask": -1}, "no class"),
    ],
)
def test_scores_and_indices_are_looked_at(change: dict[str, Any], problem: str) -> None:
    want = outputs(big())
    got = {name: values.copy() for name, values in want.items()}
    for name, value in change.items():
        got[name][0, :10, :10] = value if name == "mask" else got[name][0, :10, :10] + value
    stage = judged(want, got)
    assert problem in "; ".join(stage.problems)
    assert not stage.passed


def test_another_size_and_no_pictures_fail() -> None:
    want = outputs(big())
    assert "instead of" in judged(want, outputs(big().T)).problems[0]
    none = outputs(*[])
    none = {name: values.reshape(0, 4, 4) for name, values in none.items()}
    assert judged(none, none).problems == ("no pictures",)


def test_drift_is_the_share_of_pixels_that_changed() -> None:
    want = outputs(big())
    assert TASK.drift(want, want, INT8, SPEC) == (0, 0)
    got = {**want, "mask": want["mask"].copy()}
    got["mask"][0, :20] = (got["mask"][0, :20] + 1) % 4  # a tenth
    error, points = TASK.drift(want, got, INT8, SPEC)
    assert points == pytest.approx(10)
    assert error > 0.1
    worse, _ = TASK.drift(want, outputs(shifted(big(), 40, 40)), INT8, SPEC)
    assert worse > error


def test_another_order_of_the_classes_is_put_right() -> None:
    theirs = ("car", "sky", "road", "tree")
    given = outputs([[0, 1, 2, 3]])
    assert TASK.reordered(given, CLASSES, theirs)["mask"].tolist() == [[[3, 0, 1, 2]]]
    merged = TASK.reordered(given, CLASSES, ("car", "sky", "road", "car"))
    assert merged["mask"].tolist() == [[[3, 0, 1, 3]]]
    with pytest.raises(UsageError, match="none can be left out"):
        TASK.reordered(given, CLASSES, ("car", "sky", "road", None))


def test_pictures_without_masks_cannot_be_measured() -> None:
    bare = replace(scenes(1), samples=(Sample(None, np.zeros((4, 4, 3), np.uint8), None),))
    assert TASK.known(scenes(1))
    assert not TASK.known(bare)
    with pytest.raises(DataError, match="have no masks"):
        raise TASK.unknown(bare)
