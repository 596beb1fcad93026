"""softmax and classify."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekit.errors import InputError, UsageError
from edgekit.vision.decode import classify, softmax

LOGITS = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-1e4, 1e4, width=32))


@given(LOGITS, st.floats(-1e3, 1e3))
def test_softmax_is_a_distribution_and_ignores_a_shift(logits: np.ndarray, shift: float) -> None:
    p = softmax(logits)
    assert p.dtype == np.float64
    assert (p >= 0).all()
    assert (p <= 1).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(softmax(logits.astype(np.float64) + shift), p, atol=1e-9)


def test_softmax_by_hand_and_at_the_limits() -> None:
    np.testing.assert_allclose(softmax([0, np.log(3)]), [0.25, 0.75], atol=1e-15)
    np.testing.assert_allclose(softmax([[1e308, 0], [-1e308, 0]]), [[1, 0], [0, 1]])


def test_classify_orders_and_names() -> None:
    first, second = classify([[0, np.log(3), -1e4], [5, 5, 5]], ["a", "b", "c"], top=2)
    assert (first.index, first.label) == (1, "b")
    assert first.score == pytest.approx(0.75)
    assert [label for label, _ in first.top] == ["b", "a"]
    assert first.top[0] == (first.label, first.score)
    assert second.index == 0
    assert second.score == pytest.approx(1 / 3)
    assert [label for label, _ in second.top] == ["a", "b"]


def test_top_stops_at_the_number_of_classes() -> None:
    (answer,) = classify([[1, 2]], ["a", "b"], top=5)
    assert len(answer.top) == 2
    with pytest.raises(UsageError):
        classify([[1, 2]], ["a", "b"], top=0)


def test_logits_are_kept_as_they_were() -> None:
    buffer = np.array([[1, 2]], np.float32)
    (answer,) = classify(buffer, ["a", "b"])
    buffer[:] = 0  # the session runs again
    np.testing.assert_array_equal(answer.logits, [1, 2])
    assert not answer.logits.flags.writeable
    assert answer == classify([[1, 2]], ["a", "b"])[0]
    assert hash(answer)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_an_error(bad: float) -> None:
    with pytest.raises(InputError, match="1 of 2 rows, the first is row 1"):
        classify([[1, 2], [bad, 2]], ["a", "b"])


def test_logits_must_fit_the_classes() -> None:
    for logits in ([[1, 2, 3]], [1, 2]):
        with pytest.raises(InputError, match="2 classes"):
            classify(logits, ["a", "b"])
    assert classify(np.zeros((0, 2)), ["a", "b"]) == []
