"""Two models that call their classes differently: compared in what a map says that both have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.config.target import Limits
from edgekit.data import Dataset, made_pictures
from edgekit.data.classes.class_map import class_map
from edgekit.errors import UsageError
from edgekit.gate.classes import Paired, pair_classes
from edgekit.gate.compare import verify
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec
from edgekit.tasks import task_of
from edgekit.vision.spec import PreprocessSpec
from tests.gate.test_compare import LIMITS, MIX, SPEC, predictor

THEIRS = replace(SPEC, classes=("D", "Bees", "hornet one", "x"))
ORDER = [3, 1, 2, 0]  # of what the candidate gives: x is the reference's a in truth


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    return made_pictures(6)


def paired(ours: Predictor, theirs: Predictor, text: str) -> Paired:
    return pair_classes(ours, theirs, class_map(text))


def test_renamed_classes_are_compared_by_what_they_are(pictures: Dataset) -> None:
    ours, theirs = predictor(), predictor(THEIRS, MIX[:, ORDER], "theirs")
    found = paired(ours, theirs, "d=D,b=Bees,c=hornet one,a=x")
    assert found.candidate == ("d", "b", "c", "a")
    assert found.text == "in 4 classes by the map (D as d, Bees as b, hornet one as c, x as a)"
    assert verify(ours, theirs, pictures, LIMITS, found).passed
    wrong = paired(ours, theirs, "d=x,b=Bees,c=hornet one,a=D")
    assert not verify(ours, theirs, pictures, LIMITS, wrong).passed


def test_what_only_one_of_them_has_is_left_out_of_the_comparison(pictures: Dataset) -> None:
    broken = MIX[:, ORDER].copy()
    broken[:, 3] = 9  # a, which the candidate calls x, would be the first class of every picture
    ours, theirs = predictor(), predictor(THEIRS, broken, "theirs")
    found = paired(ours, theirs, "b=Bees,c=hornet one,-=*")
    assert (found.names, found.reference) == (("b", "c", "d"), (None, "b", "c", "d"))  # D is d
    assert verify(ours, theirs, pictures, LIMITS, found).passed
    assert "left out of theirs: 1 of 4 classes, x; left out of model: 1 of 4 classes, a" in found.text
    assert not verify(ours, theirs, pictures, LIMITS, paired(ours, theirs, "b=Bees,c=hornet one,a=x")).passed


def test_the_error_proposes_a_map_that_can_be_pasted() -> None:
    ours = predictor(replace(SPEC, classes=("bee", "hornet", "wasp", "fly")))
    theirs = predictor(replace(SPEC, classes=("Bee", "Hornets", "moth", "fly")), name="theirs")
    with pytest.raises(UsageError) as caught:
        pair_classes(ours, theirs)
    error = caught.value
    assert error.got == "only theirs has Bee, Hornets, moth; only model has bee, hornet, wasp"
    text = str(error.fix)
    assert text.startswith("--map bee=Bee,hornet=Hornets,-=moth,-=wasp ")
    assert paired(ours, theirs, text.split()[1]).names == ("bee", "hornet", "fly")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("d=D,b=Bees,b=hornet one,a=x,-=c", "cannot be compared as one"),  # logits do not add up
        ("b=Bees", "do not know the same classes"),
        ("b=Beees", "names a class that is not there"),
        ("-=*,-=D", "no class in common"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        paired(predictor(), predictor(THEIRS, name="theirs"), text)


def test_boxes_of_a_class_that_is_left_out_do_not_count() -> None:
    """Two classes of the candidate are one of the reference's, a third is none of them."""
    task = task_of("detection")
    answers = {
        "boxes": np.arange(16, dtype=np.float32).reshape(1, 4, 4),
        "scores": np.array([[0.9, 0.8, 0.7, 0.6]], np.float32),
        "labels": np.array([[2, 0, 1, 3]], np.int32),
    }
    found = task.reordered(answers, ("bee", "hornet"), ("bee", "bee", None, "hornet"))
    assert found["scores"].tolist() == [[np.float32(0.8), np.float32(0.7), np.float32(0.6), 0.0]]
    assert found["labels"].tolist() == [[0, 0, 1, 0]]
    assert found["boxes"][0, :, 0].tolist() == [4, 8, 12, 0]
    spec = ModelSpec("n", ("bee", "hornet"), PreprocessSpec(), task="detection", max_detections=4)
    only = {**found, "boxes": found["boxes"].copy(), "scores": found["scores"].copy()}
    only["boxes"][0, 3] += 50  # what is left out may lie anywhere
    assert task.compare("n", found, only, Limits(max_abs=1e-3, top1_agreement=1), spec).passed
