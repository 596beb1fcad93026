"""The most useful pictures come first: unsure and different ones, and each fifth one empty."""

import numpy as np
import pytest

from edgekit.labels.proposals.base import Proposal
from edgekit.labels.proposals.order import EMPTY_EVERY, appearance, most_useful, uncertainty


def test_a_score_at_the_threshold_is_the_least_certain() -> None:
    def of(*scores: float) -> float:
        return uncertainty([Proposal((0, 0, 1, 1), None, s) for s in scores], 0.3)

    assert of(0.3) == 1
    assert of(0.3) > of(0.4) > of(0.95) > of(1.0) == 0
    assert of(0.3) > of(0.15) > of(0.0) == 0
    assert of(0.99, 0.32) == of(0.32)
    assert of() == 0


def test_the_unsure_come_first_where_all_look_alike() -> None:
    assert most_useful([0.1, 0.9, 0.5], np.zeros((3, 192)), [False] * 3) == [1, 2, 0]


def test_what_looks_like_one_before_comes_later() -> None:
    looks = np.stack([np.full(192, grey) for grey in (0.0, 0.01, 0.9)])
    assert most_useful([0.6, 0.5, 0.2], looks, [False] * 3) == [0, 2, 1]
    assert most_useful([0.6, 0.5, 0.2], looks, [False] * 3, [True, False, False]) == [2, 1]


def test_each_fifth_is_an_empty_one_until_none_is_left() -> None:
    empty = np.arange(20) >= 14
    order = most_useful(np.linspace(1, 0, 20), np.random.default_rng(0).random((20, 192)), empty)
    assert sorted(order) == list(range(20))
    assert [at for at in range(14) if empty[order[at]]] == [EMPTY_EVERY - 1, 2 * EMPTY_EVERY - 1]


@pytest.mark.parametrize("size", [(90, 160), (8, 8), (3, 700)])
def test_appearance_is_the_same_at_any_size(size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), (10, 100, 250), np.uint8)
    np.testing.assert_allclose(appearance(frame), np.tile(np.array([10, 100, 250]) / 255, 64), atol=1e-6)
