from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from edgekit.metrics.matching import NOBODY, best_pairs, take_best, take_turns


def test_each_takes_the_free_one_that_is_worth_most() -> None:
    worth = np.array([[0.6, 0.9], [0.7, 0.8], [0.9, 0.9]])
    assert take_turns(worth, [0.5]).tolist() == [[1, 0, NOBODY]]


def test_a_worth_at_the_floor_is_enough_and_each_floor_is_a_matching_of_its_own() -> None:
    worth = np.array([[0.5, 0.2], [0.6, 0.0]])
    assert take_turns(worth[:1], [0.5]).tolist() == [[0]]
    assert take_turns(worth, [0.5, np.nextafter(0.5, 1), 0.1]).tolist() == [[0, NOBODY], [NOBODY, 0], [0, NOBODY]]


@pytest.mark.parametrize(("ties", "wanted"), [("first", [0, 1, 2]), ("last", [2, 1, 0])])
def test_of_the_same_worth(ties: str, wanted: list[int]) -> None:
    assert take_turns(np.full((3, 3), 0.5), ties=ties).tolist() == [wanted]  # type: ignore[arg-type]


def test_a_second_choice_waits_until_no_first_is_left() -> None:
    worth = np.array([[0.9, 0.6], [0.9, 0.6], [0.9, 0.6]])
    second = np.array([[True, False]])
    assert take_turns(worth, [0.5], second=second).tolist() == [[1, 0, NOBODY]]
    assert take_turns(worth, [0.7], second=second).tolist() == [[0, NOBODY, NOBODY]], "the first is not near enough"


def test_a_shared_one_is_never_taken_away() -> None:
    shared = np.array([True, False])
    worth = np.array([[0.9, 0.1], [0.8, 0.1], [0.7, 0.1]])
    assert take_turns(worth, [0.5], shared=shared).tolist() == [[0, 0, 0]]
    assert take_turns(worth, [0.1], second=np.array([[True, False]]), shared=shared).tolist() == [[1, 0, 0]]


def test_what_must_not_be_matched_is_not() -> None:
    assert take_turns(np.array([[-np.inf, -3.0], [-np.inf, -1.0]])).tolist() == [[1, NOBODY]]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_nothing_to_match(shape: tuple[int, int]) -> None:
    worth = np.zeros(shape)
    assert take_turns(worth, [0.5, 0.9]).shape == (2, shape[0])
    assert (take_turns(worth, [0.5]) == NOBODY).all()
    assert take_best(worth).tolist() == [NOBODY] * shape[0]
    assert best_pairs(worth, 0.5) == []


def test_the_best_is_the_best_though_others_take_it_too() -> None:
    assert take_best(np.array([[0.2, 0.9], [0.1, 0.3], [0.5, 0.5]])).tolist() == [1, 1, 0]


def test_pairs_from_the_best_down() -> None:
    worth = np.array([[0.8, 0.9, 0.1], [0.85, 0.95, 0.5], [0.1, 0.1, 0.5]])
    assert best_pairs(worth, 0.5) == [(1, 1), (0, 0), (2, 2)]
    assert best_pairs(worth, 0.51) == [(1, 1), (0, 0)]
    assert best_pairs(np.ones((2, 2)), 1.0) == [(0, 0), (1, 1)]


@given(st.integers(0, 10**6))
def test_nobody_is_matched_twice_and_half_of_what_is_possible_is_reached(seed: int) -> None:
    rng = np.random.default_rng(seed)
    worth = rng.integers(0, 6, (rng.integers(1, 7), rng.integers(1, 7))) / 5
    rows, columns = linear_sum_assignment(-worth)
    most = worth[rows, columns].sum()
    pairs = best_pairs(worth, 0.0)
    assert best_pairs(worth.T, 0.0) == [(j, i) for i, j in pairs] or len(set(worth.ravel())) < worth.size
    (turns,) = take_turns(worth)
    taken = [(i, j) for i, j in enumerate(turns.tolist()) if j != NOBODY]
    for found in (pairs, taken):
        assert len({i for i, _ in found}) == len({j for _, j in found}) == len(found) == min(worth.shape)
    assert sum(worth[i, j] for i, j in pairs) >= most / 2 - 1e-9
