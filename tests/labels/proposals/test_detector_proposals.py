"""A detector's boxes become proposals under its own names, and their quality is measured against labels."""

from collections.abc import Iterator

import pytest

from edgekit.backends.null import NullSession
from edgekit.data.hive.made import HIVE_CLASSES, hive_pictures
from edgekit.errors import DataError, EdgekitError
from edgekit.labels.proposals.base import Proposal
from edgekit.labels.proposals.detector import DetectorProposer
from edgekit.labels.proposals.quality import proposal_quality
from edgekit.loading import open_predictor
from edgekit.metrics.ground_truth import GroundTruth
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec, PreprocessSpec, TensorSpec

TWO = GroundTruth([[0, 0, 10, 10], [20, 20, 40, 40]], [0, 1])


@pytest.fixture(scope="module")
def tiny() -> Iterator[Predictor]:
    with open_predictor("centernet-tiny") as model:
        yield model


def test_a_detector_proposes_what_it_finds(tiny: Predictor) -> None:
    pictures = hive_pictures(6, seed=11)
    propose = DetectorProposer(tiny)
    quality = proposal_quality(
        [propose(s.read()) for s in pictures], [s.ground_truth() for s in pictures], HIVE_CLASSES
    )
    assert quality.recall.value is not None
    assert quality.recall.value > 0.5
    assert quality.precision.value is not None
    assert quality.precision.value > 0.5


def test_its_threshold_is_its_own_or_the_one_given(tiny: Predictor) -> None:
    frame = hive_pictures(3, seed=11).samples[1].read()
    assert DetectorProposer(tiny).thresholds == tiny.spec.thresholds
    scores = [one.score for one in DetectorProposer(tiny, 0.02)(frame)]
    assert min(scores) >= 0.02
    assert scores == sorted(scores, reverse=True)
    assert len(DetectorProposer(tiny, 0.5)(frame)) < len(scores)


def test_of_one_class_alone_or_of_all_under_its_name(tiny: Predictor) -> None:
    frame = hive_pictures(3, seed=11).samples[1].read()
    every = DetectorProposer(tiny)(frame)
    assert {one.label for one in every} == {"bee", "hornet"}
    bees = DetectorProposer(tiny, only="Bee")
    assert bees.classes == ("Bee",)
    assert [one.box for one in bees(frame)] == [one.box for one in every if one.label == "bee"]
    assert {one.label for one in bees(frame)} == {"Bee"}
    wasps = DetectorProposer(tiny, only="wasp")(frame)
    assert [one.box for one in wasps] == [one.box for one in every]
    assert {one.label for one in wasps} == {"wasp"}


def test_what_is_no_detector_is_refused() -> None:
    image, logits = TensorSpec("image", "uint8", ("N", 4, 6, 3)), TensorSpec("logits", "float32", ("N", 2))
    spec = ModelSpec("resnet18", ("a", "b"), PreprocessSpec(4, 6, "stretch", None))
    with Predictor(NullSession((image,), (logits,)), spec) as model, pytest.raises(EdgekitError, match="detect"):
        DetectorProposer(model)


def test_quality_counts_right_wrong_and_missed() -> None:
    right, wrong_class = Proposal((0, 0, 10, 9), "bee", 0.9), Proposal((20, 20, 40, 40), "bee", 0.8)
    twice, unnamed = Proposal((0, 0, 10, 10), "bee", 0.5), Proposal((20, 20, 40, 38), None, 0.4)
    quality = proposal_quality([[twice, right, wrong_class]], [TWO], ("bee", "hornet"))
    assert (quality.recall.hits, quality.recall.n) == (1, 2)
    assert (quality.precision.hits, quality.precision.n) == (1, 3)
    quality = proposal_quality([[right, unnamed], []], [TWO, GroundTruth([], [])], ("bee", "hornet"))
    assert quality.recall.value == quality.precision.value == 1
    assert "recall 100.0% [15.8%, 100.0%] (2 of 2)" in str(quality)


def test_what_is_set_aside_is_not_counted_and_nothing_is_not_measured() -> None:
    truth = GroundTruth([], [], ignored_boxes=[[0, 0, 50, 50]], ignored_labels=[0])
    quality = proposal_quality([[Proposal((10, 10, 20, 20), "bee", 0.9)]], [truth], ("bee",))
    assert quality.precision.value is None
    assert quality.to_dict()["recall"]["low"] is None
    assert "recall not measured (no objects)" in str(quality)


def test_lists_of_other_pictures_are_refused() -> None:
    with pytest.raises(DataError, match="not of these pictures"):
        proposal_quality([[]], [TWO, TWO], ("bee", "hornet"))
