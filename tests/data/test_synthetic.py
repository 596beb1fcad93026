"""Pictures made in code are the same everywhere and look like pictures."""

import time

import numpy as np
import pytest

from edgekit.data import PATTERNS, made_pictures
from edgekit.errors import UsageError

# The same on NumPy 1.26 with Python 3.10 and on NumPy 2.4 with Python 3.11. It changes when the pictures do: then
# write the new value here and say so in the changelog, because figures measured on them change too.
DIGEST_OF_12 = "67b6c89f2ba638de7c98b1d6eedd1120740fe6537c4fa791b8b67ec210da74e3"


def test_the_pixels_are_pinned() -> None:
    assert made_pictures(12).digest == DIGEST_OF_12


def test_a_picture_depends_on_its_seed_and_number_only() -> None:
    few, more, other = made_pictures(3), made_pictures(7), made_pictures(3, seed=1)
    for a, b, c in zip(few, more, other, strict=False):
        np.testing.assert_array_equal(a.read(), b.read())
        assert a.read().shape != c.read().shape or (a.read() != c.read()).any()
        assert a.name == b.name != c.name


def test_64_are_made_within_seconds() -> None:
    started = time.process_time()
    data = made_pictures(64)
    assert time.process_time() - started < 5  # of the processor: 0.6 s alone on 2 cores
    assert data.layout == "made"
    assert data.classes == PATTERNS
    assert [s.label for s in data] == [i % len(PATTERNS) for i in range(64)]
    assert len({s.name for s in data}) == 64


def test_they_have_the_statistics_of_pictures() -> None:
    frames = [s.read() for s in made_pictures(24)]
    heights, widths = {f.shape[0] for f in frames}, {f.shape[1] for f in frames}
    assert min(heights | widths) >= 160
    assert max(heights | widths) <= 640
    assert len(heights) > 12
    means = np.array([f.mean(axis=(0, 1)) for f in frames])
    assert 70 < means.mean() < 170
    assert (means.std(axis=0) > 20).all()
    for frame in frames:
        assert frame.dtype == np.uint8
        assert frame.flags.c_contiguous
        assert frame.std() > 12  # something is to be seen
        steps = np.abs(np.diff(frame.astype(int), axis=1))
        assert 0.3 < np.median(steps) < 12  # noise, but smooth
        assert ((frame == 0) | (frame == 255)).mean() < 0.35  # not clipped away


@pytest.mark.parametrize("label", [i for i, p in enumerate(PATTERNS) if p != "gradient"])
def test_patterns_have_edges(label: int) -> None:
    for i in range(label, 24, len(PATTERNS)):
        frame = made_pictures(i + 1).samples[i].read().astype(int)
        # over 4 pixels: more than noise and texture change
        assert np.abs(frame[:, 4:] - frame[:, :-4]).max() > 40


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (-1, 0), (1, -1)])
def test_what_cannot_be_made(n: int, seed: int) -> None:
    with pytest.raises(UsageError):
        made_pictures(n, seed)
