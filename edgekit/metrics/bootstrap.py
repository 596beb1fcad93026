"""The bootstrap: a figure of many draws with repetition, and the interval that holds the middle 95 % of them.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", sec. 13.3, the percentile interval. The limits
are two of the figures that were drawn (`edgekit.metrics.percentiles`). numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import UsageError
from edgekit.metrics.percentiles import percentile
from edgekit.metrics.statistics import Interval
from edgekit.progress import track

Draw = Callable[[np.random.Generator], float | None]
SEED = 0  # the same report from the same measurement
LOW, HIGH = 2.5, 97.5  # percent


def interval(value: float, draw: Draw, rounds: int, *, seed: int = SEED, doing: str = "") -> Interval:
    """`value` with the interval of what `draw` gives.

    Args:
        draw: the figure of one draw, made with the generator; None where this draw has none.
        rounds: how often it is drawn.
        doing: what a listener of progress is told.

    Where no draw has a figure the interval is without bounds: nothing is known.
    """
    rng = np.random.default_rng(seed)
    turns = track(range(rounds), doing) if doing else range(rounds)
    drawn = [figure for _ in turns if (figure := draw(rng)) is not None]
    if not drawn:
        return Interval(value, -np.inf, np.inf)
    return Interval(value, percentile(drawn, LOW), percentile(drawn, HIGH))


def picked(rng: np.random.Generator, count: int) -> NDArray[np.intp]:
    """[count] indices below `count`, with repetition."""
    return rng.integers(count, size=count)


def of_blocks(
    blocks: Sequence[ArrayLike], figure: Callable[[NDArray[np.float64]], float], rounds: int = 1000, seed: int = SEED
) -> Interval:
    """The interval of a figure of timings, resampled in the blocks they came in.

    Neighbouring timings share the state of the machine (its clock, what else runs), so single ones are not independent
    and an interval from them would be too narrow; whole blocks are drawn, and timings inside each (Davison and Hinkley
    1997, sec. 3.8).

    Args:
        blocks: [n_i] timings of each block, n_i and the number of blocks at least 1.
        figure: of [n] timings.
        rounds: how often it is drawn.

    Raises:
        UsageError: no block, or one without timings.
    """
    held = [np.asarray(b, dtype=np.float64) for b in blocks]
    if not held or not all(map(len, held)):
        raise UsageError(
            "There is nothing to resample.", got=f"blocks of {[*map(len, held)]}", expected="timings in each"
        )

    def draw(rng: np.random.Generator) -> float:
        return figure(np.concatenate([rng.choice(held[j], size=len(held[j])) for j in picked(rng, len(held))]))

    return interval(figure(np.concatenate(held)), draw, rounds, seed=seed)


def of_share(hits: ArrayLike, seen: ArrayLike, rounds: int = 1000, seed: int = SEED) -> Interval | None:
    """The interval of sum(hits) / sum(seen), resampled by picture; None where nothing was seen.

    Args:
        hits, seen: [N] numbers of each picture, 0 <= hits <= seen. Draws of pictures without any say nothing.
    """
    part, whole = np.asarray(hits, dtype=np.float64), np.asarray(seen, dtype=np.float64)
    if not whole.sum():
        return None

    def draw(rng: np.random.Generator) -> float | None:
        chosen = picked(rng, len(whole))
        total = whole[chosen].sum()
        return float(part[chosen].sum() / total) if total else None

    return interval(float(part.sum() / whole.sum()), draw, rounds, seed=seed)
