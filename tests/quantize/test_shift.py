"""Scores before and after: how far they moved, and the threshold that keeps the operating point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DataError, UsageError
from edgekit.quantize.shift import score_shift

scores = st.lists(st.floats(0, 1, width=32), min_size=30, max_size=60, unique=True)


def beta(n: int = 400) -> np.ndarray:
    return np.random.default_rng(0).beta(0.7, 0.7, n)


def test_equal_scores_move_nothing() -> None:
    shift = score_shift(beta(), beta(), 0.4)
    assert (shift.threshold, shift.mean, shift.worst, shift.distance) == (0.4, 0, 0, 0)
    assert (shift.flipped, shift.flipped_new) == (0, 0)


def test_a_common_shift_moves_the_threshold_with_it() -> None:
    before = beta() * 0.8
    shift = score_shift(before, before + 0.15, 0.4)
    assert shift.threshold == pytest.approx(0.55, abs=0.01)
    assert shift.mean == pytest.approx(0.15)
    assert shift.flipped == ((before < 0.4) & (before + 0.15 >= 0.4)).sum() > 0
    assert shift.flipped_new == 0
    assert shift.passed == (before >= 0.4).sum()


def test_the_worst_has_its_sign() -> None:
    before = np.full(40, 0.5)
    after = before.copy()
    after[3], after[4] = 0.1, 0.7
    assert score_shift(before, after, 0.9).worst == pytest.approx(-0.4)


def test_distance_is_kolmogorov_smirnovs() -> None:
    stats = pytest.importorskip("scipy.stats")
    old, new = beta(), np.random.default_rng(1).beta(0.9, 0.6, 400)
    assert score_shift(old, new, 0.5).distance == pytest.approx(stats.ks_2samp(old, new).statistic)


@settings(max_examples=100, deadline=None)
@given(scores, st.floats(0, 1), st.randoms(use_true_random=False))
def test_as_many_pass_as_before(before: list[float], threshold: float, random: object) -> None:
    rng = np.random.default_rng(len(before))
    after = np.clip(rng.permutation(before) * 0.999, 0, 1)  # no two are equal
    shift = score_shift(before, after, threshold)
    if len(set(after.tolist())) == len(after):
        assert (after >= shift.threshold).sum() == shift.passed == (np.array(before) >= threshold).sum()


def test_errors() -> None:
    with pytest.raises(DataError, match="too few"):
        score_shift(np.zeros(29), np.zeros(29), 0.5)
    with pytest.raises(DataError, match="do not belong"):
        score_shift(np.zeros(40), np.zeros(41), 0.5)
    for bad in (np.full(40, np.nan), np.full(40, 1.5), np.full(40, -0.1)):
        with pytest.raises(DataError, match="between 0 and 1"):
            score_shift(np.zeros(40), bad, 0.5)
    with pytest.raises(UsageError, match="threshold"):
        score_shift(np.zeros(40), np.zeros(40), 1.5)
