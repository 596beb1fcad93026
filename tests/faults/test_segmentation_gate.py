"""Defects that people plant when they export a segmentation model, each caught by the gate's comparison."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit.config.target import load_target
from edgekit.errors import ArtifactError
from edgekit.gate.compare import verify
from edgekit.spec import ModelSpec
from edgekit.vision.preprocess import preprocess
from tests.tasks.painter import CLASSES, COLOURS, opened, painter, scenes, spec_of

SQUARE = (64, 64)  # height and width can be swapped unseen
PICTURES = scenes(4, (130, 140))
LIMITS = {name: load_target("x86-cpu").limits(name) for name in ("fp32", "fp16", "int8")}


def judged(precision: str = "fp32", spec: ModelSpec | None = None, **defect: Any) -> Any:
    right = spec_of(SQUARE)
    with opened(painter(SQUARE), right) as reference, opened(painter(SQUARE, **defect), spec or right) as candidate:
        return verify(reference, candidate, PICTURES, LIMITS[precision])


@pytest.mark.parametrize("precision", LIMITS)
def test_the_net_itself_passes(precision: str) -> None:
    stage = judged(precision)
    assert stage.passed, stage
    assert stage.own["classes_seen"] == 4


def weights(change: Any) -> Any:
    sound = 0.04 * np.array(list(COLOURS.values()), np.float32)
    return change(sound)


@pytest.mark.parametrize(
    ("defect", "problem"),
    [
        ({"resize": "asymmetric"}, "equal pixels"),  # half a pixel of the small map
        ({"resize": "align_corners"}, "equal pixels"),
        ({"order": ("sky", "road", "car", "tree")}, "IoU of"),  # swapped classes
        ({"order": ("void", *CLASSES)}, "no class"),  # void trained as a class, and the first one
        ({"softmax": False}, "of the scores are off"),
        ({"sharpness": 0.0201}, "of the scores are off"),  # another temperature
        ({"weights": weights(lambda w: w[:, ::-1])}, "IoU of"),  # channel order
        ({"weights": weights(lambda w: w.astype(np.float16).astype(np.float32) * 1.01)}, "of the scores are off"),
    ],
)
def test_a_defect_fails(defect: dict[str, Any], problem: str) -> None:
    stage = judged(**defect)
    assert not stage.passed
    assert problem in "; ".join(stage.problems), stage


@pytest.mark.parametrize("defect", [{"order": ("sky", "road", "car", "tree")}, {"order": ("void", *CLASSES)}])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_wrong_class_fails_at_every_precision(defect: dict[str, Any], precision: str) -> None:
    assert not judged(precision, **defect).passed


def test_argmax_along_another_axis_has_another_shape() -> None:
    with pytest.raises(ArtifactError, match="is not what its metadata says"):
        opened(painter(SQUARE, axis=2), spec_of(SQUARE))


def test_argmax_along_another_axis_of_as_many_places_fails() -> None:
    """As many classes as rows: the shape says nothing."""
    names = (*CLASSES, *(f"other {i}" for i in range(60)))
    spec = spec_of(SQUARE, names)
    with opened(painter(SQUARE, order=names), spec) as right, opened(painter(SQUARE, order=names, axis=2), spec) as odd:
        stage = verify(right, odd, PICTURES, LIMITS["int8"])
    assert "equal pixels" in "; ".join(stage.problems)


def test_rows_that_are_columns_fail() -> None:
    right = spec_of(SQUARE)
    with opened(painter(SQUARE), right) as reference:
        given = reference.answers([preprocess(s.read(), right.preprocess) for s in PICTURES])
    turned = {name: values.transpose(0, 2, 1) for name, values in given.items()}
    for limits in LIMITS.values():
        assert not reference.task.compare("x", given, turned, limits, right).passed


def test_another_preprocessing_fails_even_where_the_masks_are_equal() -> None:
    spec = replace(spec_of(SQUARE), preprocess=replace(spec_of(SQUARE).preprocess, pad=0))
    stage = judged(spec=spec)
    assert stage.own["pixels_equal"] == 1
    assert "another preprocessing" in "; ".join(stage.problems)


def test_pictures_of_a_batch_that_change_places_fail() -> None:
    pixels = [preprocess(s.read(), spec_of(SQUARE).preprocess) for s in PICTURES][:2]
    with (
        opened(painter(SQUARE), spec_of(SQUARE)) as right,
        opened(painter(SQUARE, shuffled=True), spec_of(SQUARE)) as odd,
    ):
        want, got = right.answers(pixels), odd.answers(pixels)
    for limits in LIMITS.values():
        assert not right.task.compare("batch", want, got, limits, right.spec).passed
