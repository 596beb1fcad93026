"""Average precision and F1 of several labels a picture, against what the definitions give by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import DataError
from edgekit.metrics.labels import NO, UNKNOWN, YES, Ranking, ap_difference, label_report


def by_hand(scores: np.ndarray, truth: np.ndarray) -> float:
    """Precision times the step of recall, score by score from the highest; pictures nobody knows of are not there."""
    total, before = 0.0, 0.0
    there = (truth == YES).sum()
    for score in sorted(set(scores[truth != UNKNOWN].tolist()), reverse=True):
        told = (scores >= score) & (truth != UNKNOWN)
        hits = (told & (truth == YES)).sum()
        total += (hits / there - before) * hits / told.sum()
        before = hits / there
    return total


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.booleans())
def test_it_is_the_sum_over_all_scores(seed: int, n: int, coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((n, 2))
    scores = scores.round(1) if coarse else scores  # equal ones
    truth = rng.choice([YES, NO, UNKNOWN], (n, 2), p=[0.4, 0.5, 0.1])
    found = Ranking(scores, truth).average_precision(np.ones(n))
    for i in range(2):
        if (truth[:, i] == YES).any():
            assert found[i] == pytest.approx(by_hand(scores[:, i], truth[:, i]), abs=1e-12)
        else:
            assert np.isnan(found[i])


def test_a_picture_drawn_twice_counts_twice() -> None:
    rng = np.random.default_rng(1)
    scores, truth = rng.random((9, 3)), rng.integers(0, 2, (9, 3))
    weights = np.array([0, 2, 1, 1, 3, 0, 1, 1, 0])
    drawn = np.repeat(np.arange(9), weights)
    np.testing.assert_allclose(
        Ranking(scores, truth).average_precision(weights.astype(float)),
        Ranking(scores[drawn], truth[drawn]).average_precision(np.ones(len(drawn))),
    )


def test_the_order_of_pictures_plays_no_part() -> None:
    scores, truth = np.full((4, 1), 0.5), np.array([[1], [0], [0], [1]])
    assert label_report(scores, truth, ("a",), (0.5,)).mean_ap.value == pytest.approx(0.5)  # type: ignore[union-attr]
    assert label_report(scores, truth[::-1], ("a",), (0.5,)).mean_ap.value == pytest.approx(0.5)  # type: ignore[union-attr]


def test_f1_and_rates_by_hand() -> None:
    scores = np.array([[0.9, 0.6, 0.1], [0.8, 0.2, 0.2], [0.3, 0.7, 0.9], [0.6, 0.1, 0.3]])
    truth = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, -1, 0]])
    report = label_report(scores, truth, ("a", "b", "c"), (0.5, 0.5, 0.95))
    a, b, c = report.labels
    assert (a.precision.hits, a.precision.n, a.recall.hits, a.recall.n) == (2, 3, 2, 3)
    assert (b.precision.hits, b.precision.n, b.recall.hits, b.recall.n) == (1, 2, 1, 2)
    assert (b.present, b.absent) == (2, 1)
    assert (c.average_precision, c.f1, c.precision.value, c.recall.value) == (None, None, None, None)
    assert a.f1 == pytest.approx(2 / 3)
    assert report.micro_f1 is not None
    assert report.macro_f1 is not None
    assert report.micro_f1.value == pytest.approx(2 * 3 / (5 + 5))
    assert report.macro_f1.value == pytest.approx((2 / 3 + 1 / 2) / 2), "labels of no picture play no part"
    for figure in (report.mean_ap, report.micro_f1, report.macro_f1):
        assert figure is not None
        assert 0 <= figure.low <= figure.value <= figure.high <= 1


def test_nothing_to_find_is_not_measured() -> None:
    report = label_report(np.zeros((3, 2)), np.zeros((3, 2), int), ("a", "b"), (0.5, 0.5))
    assert (report.mean_ap, report.micro_f1, report.macro_f1) == (None, None, None)


def test_the_interval_covers_and_the_paired_one_is_narrower() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((400, 3)) < 0.3).astype(int)
    scores = np.clip(0.3 * truth + rng.random((400, 3)) * 0.7, 0, 1)
    worse = np.clip(scores + 0.02 * rng.normal(size=scores.shape), 0, 1)
    report = label_report(scores, truth, ("a", "b", "c"), (0.5,) * 3)
    assert report.mean_ap is not None
    paired = ap_difference(Ranking(scores, truth), Ranking(worse, truth), scores.shape)
    assert paired.low <= paired.value <= paired.high
    assert paired.high - paired.low < (report.mean_ap.high - report.mean_ap.low) / 2
    same = ap_difference(Ranking(scores, truth), Ranking(scores, truth), scores.shape)
    assert (same.low, same.value, same.high) == (0, 0, 0)


@pytest.mark.parametrize("scores", [np.zeros((3, 3)), np.zeros((0, 2)), np.full((3, 2), np.nan)])
def test_what_does_not_belong_together_is_refused(scores: np.ndarray) -> None:
    with pytest.raises(DataError):
        label_report(scores, np.zeros((len(scores), 2), int), ("a", "b"), (0.5, 0.5))
