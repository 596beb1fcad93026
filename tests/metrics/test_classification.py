"""Accuracy and its intervals against worked examples, published tables and scipy."""

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DataError, UsageError
from edgekit.metrics.classification import classification_report, clopper_pearson, mean_recall, topk_hits
from edgekit.vision.decode import classify


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.3084971),  # 1 - 0.025 ** (1/10)
        (10, 10, 0.6915029, 1.0),
        (1, 10, 0.0025286, 0.4450161),
        (5, 10, 0.1870860, 0.8129140),
        (81, 263, 0.2527, 0.3676),  # Newcombe 1998, Statistics in Medicine 17, table I, method 5
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0.0, 0.1684),
        (1, 29, 0.0009, 0.1776),
    ],
)
def test_intervals_that_are_known(k: int, n: int, low: float, high: float) -> None:
    digits = 7 if n == 10 else 4
    assert clopper_pearson(k, n) == pytest.approx((low, high), abs=0.6 * 10**-digits)


def test_intervals_at_the_ends() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(0, 1) == pytest.approx((0, 0.975))
    assert clopper_pearson(1, 1) == pytest.approx((0.025, 1))
    low, high = clopper_pearson(0, 7, 0.9)
    assert low == 0
    assert high == pytest.approx(1 - 0.05 ** (1 / 7))


def tail(k: int, n: int, p: float) -> float:
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 120).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95, 0.99])
)
def test_limits_solve_the_defining_equations(k_n: tuple[int, int], confidence: float) -> None:
    k, n = k_n
    low, high = clopper_pearson(k, n, confidence)
    assert low <= k / n <= high
    if k:
        assert tail(k, n, low) == pytest.approx((1 - confidence) / 2, rel=1e-9)
    if k < n:
        assert 1 - tail(k + 1, n, high) == pytest.approx((1 - confidence) / 2, rel=1e-9)


@pytest.mark.parametrize(("k", "n"), [(1, 10**6), (500_000, 10**6), (999_999, 10**6), (38_124, 50_000)])
def test_a_million_pictures_are_quick_and_right(k: int, n: int) -> None:
    started = time.process_time()
    low, high = clopper_pearson.__wrapped__(k, n)
    assert time.process_time() - started < 1.0
    if 1000 < k < n - 1000:  # Wald's interval is right to about 1/n here
        half = 1.959964 * math.sqrt(k / n * (1 - k / n) / n)
        assert (low, high) == pytest.approx((k / n - half, k / n + half), abs=2 / n + 1e-6)
    else:  # the exact limits of the Poisson of mean 1, whose rate this is
        poisson = (0.0253178, 5.5716434)
        seen = (low * n, high * n) if k == 1 else ((1 - high) * n, (1 - low) * n)
        assert seen == pytest.approx(poisson, rel=1e-4)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_equal_scipy(k_n: tuple[int, int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    k, n = k_n
    expected = stats.binomtest(k, n).proportion_ci(0.95, "exact")
    assert clopper_pearson(k, n) == pytest.approx((expected.low, expected.high), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(("k", "n", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0), (1, 5, 0.0)])
def test_intervals_that_mean_nothing(k: int, n: int, confidence: float) -> None:
    with pytest.raises(UsageError):
        clopper_pearson(k, n, confidence)


LOGITS = np.array(
    [
        [9, 1, 2],  # says a
        [1, 2, 9],  # says c, then b
        [5, 5, 5],  # a tie: a, then b
        [np.nan, 0, 1],
        [0, np.inf, 1],
        [3, 2, 1],
    ],
    dtype=np.float32,
)
LABELS = np.array([0, 1, 1, 2, 1, 2])


def test_hits_by_hand() -> None:
    assert topk_hits(LOGITS, LABELS, 1).tolist() == [True, False, False, False, False, False]
    assert topk_hits(LOGITS, LABELS, 2).tolist() == [True, True, True, False, False, False]
    assert topk_hits(LOGITS, LABELS, 3).tolist() == [True, True, True, False, False, True]


def test_a_constant_net_is_right_for_one_class_only() -> None:
    labels = np.arange(10)
    assert topk_hits(np.zeros((10, 10)), labels, 1).sum() == 1
    assert topk_hits(np.zeros((10, 10)), labels, 5).sum() == 5


@given(st.integers(0, 1000))
def test_top1_is_what_classify_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.integers(0, 4, (20, 5)).astype(np.float32)  # many ties
    labels = rng.integers(0, 5, 20)
    said = np.array([c.index for c in classify(logits, "abcde")])
    np.testing.assert_array_equal(topk_hits(logits, labels, 1), said == labels)


def test_report_by_hand() -> None:
    report = classification_report(LOGITS, LABELS, ["a", "b", "c"])
    assert (report.n, report.k, report.not_finite) == (6, 3, 2)
    assert (report.top1.hits, report.top5.hits) == (1, 4)
    assert report.top1.value == pytest.approx(1 / 6)
    assert (report.top1.low, report.top1.high) == clopper_pearson(1, 6)
    assert [(c.label, c.n, c.top1.hits) for c in report.classes] == [("a", 1, 1), ("b", 3, 0), ("c", 2, 0)]


def test_a_class_without_pictures_was_not_measured() -> None:
    report = classification_report([[1, 0]], [0], ["a", "b"])
    absent = report.classes[1].top1
    assert (absent.n, absent.value, absent.low, absent.high) == (0, None, 0.0, 1.0)
    again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert again["classes"][1]["top1"]["value"] is None
    assert again["top1"]["hits"] == 1


def test_balanced_accuracy_is_not_measured_where_a_class_has_no_picture() -> None:
    logits = np.eye(3)[[0, 0, 0, 1, 0]]
    whole = classification_report(logits, [0, 0, 0, 1, 2], ["a", "b", "c"])
    assert whole.balanced == pytest.approx((1 + 1 + 0) / 3)
    part = classification_report(logits[:4], [0, 0, 0, 1], ["a", "b", "c"])
    assert (part.balanced, part.unmeasured, part.to_dict()["balanced"]) == (None, ("c",), None)
    assert mean_recall(part) == 1


@pytest.mark.parametrize(
    ("logits", "labels", "got"),
    [
        (np.zeros((2, 3)), [0, 3], "3 at row 1"),
        (np.zeros((2, 3)), [-1, 0], "-1 at row 0"),
        (np.zeros((2, 3)), [0], r"int64 \[1\]"),
        (np.zeros((2, 3)), [0.0, 1.0], "float64"),
        (np.zeros((0, 3)), [], "no pictures"),
        (np.zeros((2, 2)), [0, 1], "2 columns"),
        (np.zeros(3), [0], r"logits \[3\]"),
    ],
)
def test_what_cannot_be_reported(logits: np.ndarray, labels: list[int], got: str) -> None:
    with pytest.raises(DataError, match=got):
        classification_report(logits, labels, ["a", "b", "c"])


def test_pictures_with_a_logit_that_is_not_finite_are_counted_not_logits() -> None:
    logits = np.zeros((4, 3))
    logits[1] = [np.nan, np.inf, 0]
    assert classification_report(logits, [0, 0, 0, 0], ("a", "b", "c")).not_finite == 1
