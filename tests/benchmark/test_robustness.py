from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgekit.benchmark.quality.corruptions import CORRUPTIONS, SEVERITIES, corrupt, corrupted
from edgekit.benchmark.quality.robustness import Attacked, robustness
from edgekit.data import Dataset, Sample, hive_pictures, made_pictures
from edgekit.errors import DataError, UsageError
from edgekit.predictor import Predictor

FRAMES = [s.read() for s in made_pictures(6, seed=1)]


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corruption_keeps_the_frame_and_grows_with_its_severity(kind: str) -> None:
    errors = []
    for severity in SEVERITIES:
        total = 0.0
        for i, frame in enumerate(FRAMES):
            before = frame.copy()
            changed = corrupt(frame, kind, severity, seed=i)
            assert (changed.shape, changed.dtype) == (frame.shape, frame.dtype)
            assert np.array_equal(frame, before)
            assert np.array_equal(changed, corrupt(frame, kind, severity, seed=i))
            total += float(np.abs(changed.astype(float) - frame).mean())
        errors.append(total)
    assert errors == sorted(errors)
    assert errors[-1] > 1.2 * errors[0] > 0


def test_another_seed_is_another_noise() -> None:
    assert not np.array_equal(corrupt(FRAMES[0], "noise", 3, 0), corrupt(FRAMES[0], "noise", 3, 1))


@pytest.mark.parametrize(("kind", "severity"), [("rain", 1), ("noise", 0), ("noise", 6)])
def test_unknown_corruptions(kind: str, severity: int) -> None:
    with pytest.raises(UsageError, match="no such corruption"):
        corrupt(FRAMES[0], kind, severity)


def test_a_corrupted_sample_keeps_its_labels() -> None:
    sample = hive_pictures(1).samples[0]
    changed = corrupted(sample, "fog", 2, 0)
    assert np.array_equal(changed.ground_truth().boxes, sample.ground_truth().boxes)
    assert np.array_equal(changed.read(), corrupt(sample.read(), "fog", 2, 0))
    assert changed.name == sample.name


def test_the_figures_are_those_of_the_corrupted_pictures(sleeping: Callable[..., Predictor]) -> None:
    """The sleeping session answers with the brightest channel: blue, green or red pictures of known labels."""
    samples = []
    for i in range(9):
        frame = np.full((32, 32, 3), 100, np.uint8)
        frame[..., i % 3] = 130
        samples.append(Sample(None, frame, i % 3, f"{i}"))
    data = Dataset(tuple(samples), ("bee", "hornet", "fly"), "made")
    white = np.full((2, 16, 16, 3), 200, np.uint8)
    attack = Attacked("pgd", {"0": white, "4": white}, np.array([0, 1]))
    found = robustness(sleeping(), data, kinds=("brightness", "contrast"), attacks=[attack])
    assert found.clean == 1.0
    assert found.corruptions["contrast"][0] == 1.0  # brightest stays brightest
    # a flat frame has no contrast of its own around its mean: all of it is taken away, and class 0 wins the tie
    assert found.corruptions["brightness"] == [1.0, 1.0, 1.0, 1.0, 1.0]
    assert found.attacks["pgd"] == {"0": 0.5, "4": 0.5}
    every = [v for values in found.corruptions.values() for v in values]
    assert found.average == pytest.approx(np.mean(every))
    assert found.worst == min(every)


def test_pictures_without_labels(sleeping: Callable[..., Predictor]) -> None:
    with pytest.raises(DataError, match="labels"):
        robustness(sleeping(), Dataset((Sample(None, FRAMES[0], None),), None, "made"))
