"""What is worth it is told by pictures that none learnt from: the first stays where they show no more than chance."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.training.loop import choice
from edgekit.training.loop.choice import choose
from edgekit.training.temperature import fit_temperature, nll

N = 120
LABELS = np.arange(N) % 2


def logits(wrong: int, sure: float = 3.0, noise: float = 0.3, seed: int = 0) -> NDArray[np.float32]:
    """Two classes; `wrong` pictures have their logits the wrong way round."""
    rng = np.random.default_rng(seed)
    margin = sure + rng.normal(0, noise, N)
    margin[rng.permutation(N)[:wrong]] *= -1
    own = np.stack([-margin / 2, margin / 2], 1)
    return np.where(LABELS[:, None] == 1, own, own[:, ::-1]).astype(np.float32)


@pytest.mark.parametrize(
    ("gain", "further", "won"),
    [
        (0.09, 0.0, "head"),
        (0.11, 0.0, "tuned"),
        (0.11, 0.04, "tuned"),
        (0.11, 0.06, "refit"),
        (0.09, 0.06, "refit"),
        (0.05, 0.06, "head"),
    ],
)
def test_a_gain_must_be_twice_its_error_over_the_head_and_once_over_the_usual(
    gain: float, further: float, won: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard errors: 0.05 over the head and over each other, 0.07 of the last over the head."""
    spread = 0.05 * np.sqrt(N - 1) * np.where(np.arange(N) % 2, 1, -1)
    other = 0.05 * np.sqrt(N - 1) * np.where(np.arange(N) // 2 % 2, 1, -1)
    each = {1.0: np.full(N, 1.0), 2.0: 1.0 - gain + spread, 3.0: 1.0 - gain - further + spread + other}
    monkeypatch.setattr(choice, "_nll_each", lambda logits, _: each[float(logits[0, 0])])
    names = {"head": 1.0, "tuned": 2.0, "refit": 3.0}
    found = choose(LABELS, {name: np.full((N, 2), value, np.float32) for name, value in names.items()}, "tuned")
    assert found.of("tuned").error == pytest.approx(0.05)
    assert found.won == won


@pytest.mark.parametrize(
    ("nets", "won"),
    [
        ({"head": (12, 0), "tuned": (1, 1)}, "tuned"),
        ({"head": (6, 0), "tuned": (6, 1)}, "head"),
        ({"head": (6, 0), "tuned": (5, 1)}, "head"),  # one picture of 120 is luck
        ({"head": (3, 0), "tuned": (12, 1)}, "head"),
        ({"head": (20, 0), "mixed": (10, 1), "tuned": (3, 2)}, "tuned"),
        ({"head": (30, 0), "mixed": (1, 1), "tuned": (14, 2)}, "mixed"),
        ({"head": (30, 0), "mixed": (1, 1), "tuned": (3, 2)}, "tuned"),  # as good as far as these can tell
        ({"head": (12, 0), "mixed": (1, 1), "tuned": (11, 2), "refit": (3, 3)}, "mixed"),
    ],
)
def test_the_best_wins_where_the_pictures_can_show_it(nets: dict[str, Any], won: str) -> None:
    assert choose(LABELS, {name: logits(wrong, seed=seed) for name, (wrong, seed) in nets.items()}, "tuned").won == won


def test_a_likelier_net_with_fewer_right_answers_is_not_taken() -> None:
    """Much surer of most, and wrong by a hair in two more: a higher likelihood, and a worse classifier."""
    head = logits(0, sure=0.8, noise=0.01)
    tuned = logits(0, sure=8.0, noise=0.01)
    tuned[:2] = tuned[:2, ::-1] * 0.01
    head[2:30] *= 0.05  # which no temperature makes up for
    found = choose(LABELS, {"head": head, "tuned": tuned}, "tuned")
    assert found.of("tuned").gain > 2 * found.of("tuned").error > 0
    assert (found.of("head").right, found.of("tuned").right, found.won) == (N, N - 2, "head")


def test_what_is_told_of_each() -> None:
    head, tuned = logits(12), logits(2, seed=1)
    found = choose(LABELS, {"head": head, "tuned": tuned}, "tuned")
    first, second = found.told
    assert (first.right, second.right, found.pictures) == (N - 12, N - 2, N)
    assert (first.gain, first.error) == (0, 0)
    for one, values in ((first, head), (second, tuned)):
        assert one.nll == pytest.approx(nll(values, LABELS, fit_temperature(values, LABELS)))
    assert second.gain == pytest.approx(first.nll - second.nll)
    assert "tuned wins, 118 of 120 right" in found.why()
    assert "head 108 of 120" in found.why()
    assert "head stays, 108 of 120 right" in choose(LABELS, {"head": head, "tuned": head}, "tuned").why()
    assert json.loads(json.dumps(found.to_dict()))["ways"][1]["right"] == N - 2


def test_the_error_is_that_of_a_mean_of_differences() -> None:
    rng = np.random.default_rng(3)
    head, tuned = (rng.normal(0, 1, (N, 3)).astype(np.float32) for _ in range(2))
    told = choose(LABELS, {"head": head, "tuned": tuned}, "tuned").of("tuned")

    def each(x: NDArray[np.float32]) -> NDArray[np.float64]:
        scaled = x / fit_temperature(x, LABELS)
        return np.log(np.exp(scaled).sum(1)) - scaled[np.arange(N), LABELS]

    gains = each(head) - each(tuned)
    assert told.gain == pytest.approx(gains.mean(), abs=1e-6)
    assert told.error == pytest.approx(gains.std(ddof=1) / N**0.5, rel=1e-4)


def test_weights_count_rare_classes_as_much_as_frequent_ones() -> None:
    """Better on ten of the frequent class, worse on most of the rare one."""
    labels = np.r_[np.zeros(110, np.int64), np.ones(10, np.int64)]
    head = np.where(labels[:, None] == [0, 1], 2.0, -2.0).astype(np.float32)
    tuned = head.copy()
    head[:30] *= -1
    tuned[-7:] *= -1
    weights = 1 / np.bincount(labels)[labels]
    assert choose(labels, {"head": head, "tuned": tuned}, "tuned").won == "tuned"
    assert choose(labels, {"head": head, "tuned": tuned}, "tuned", weights).won == "head"
