"""Figures of timing samples and paired answers: percentiles, intervals, drift, and McNemar's test. numpy only.

Own code, since a device that measures itself has no scipy; the tests compare with scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import UsageError
from edgekit.metrics.classification import Rate, rate
from edgekit.metrics.percentiles import percentile, percentile_if_enough
from edgekit.screen import count_of


@dataclass(frozen=True)
class Summary:
    """What `n` timings look like, in the unit they were given in. Nothing is left out.

    A percentile is one that was measured, and None where there are too few (`edgekit.metrics.percentiles`).
    """

    n: int
    mean: float
    stdev: float
    min: float
    p50: float
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def summary(values: ArrayLike) -> Summary:
    """The figures of one or more timings. Raises UsageError for none, or for one that is not finite."""
    samples = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if not len(samples) or not np.isfinite(samples).all():
        raise UsageError(
            "Timings must be finite numbers, and one at least.",
            got=f"{count_of(len(samples), 'value')}",
            expected="one finite number or more",
        )
    return Summary(
        n=len(samples),
        mean=float(samples.mean()),
        stdev=float(samples.std(ddof=1)) if len(samples) > 1 else 0.0,
        min=float(samples[0]),
        max=float(samples[-1]),
        p50=percentile(samples, 50),
        p90=percentile_if_enough(samples, 90),
        p95=percentile_if_enough(samples, 95),
        p99=percentile_if_enough(samples, 99),
        p999=percentile_if_enough(samples, 99.9),
    )


@dataclass(frozen=True)
class Interval:
    """A figure and the 95 % interval it lies in."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def paired_ratio(a: Sequence[float], b: Sequence[float]) -> Interval:
    """a / b of figures measured in turns, the geometric mean over the turns with its t interval on logarithms.

    Args:
        a, b: [n] positive figures of the same n turns, n at least 2.
    """
    logs = np.log(np.asarray(a, dtype=np.float64) / np.asarray(b, dtype=np.float64))
    if len(logs) < 2:
        raise UsageError("A paired ratio needs two turns at least.", got=str(len(logs)), expected="2 or more")
    half = t_quantile(len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    middle = float(logs.mean())
    return Interval(math.exp(middle), math.exp(middle - half), math.exp(middle + half))


def t_quantile(freedom: int) -> float:
    """Student's t at 97.5 %, from tables: exact to three figures up to 10, below 1 % off beyond."""
    table = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
    if freedom < 1:
        raise UsageError("There are no degrees of freedom.", got=str(freedom), expected="1 or more")
    return table[freedom - 1] if freedom <= len(table) else 1.96 + 2.5 / freedom


@dataclass(frozen=True)
class McNemar:
    """Two models on the same pictures.

    Attributes:
        only_reference: right in the reference, wrong in the candidate.
        only_candidate: the other way round.
        difference: share of right answers, candidate minus reference, with its 95 % interval.
        p_value: two-sided and exact: how often two equally good models differ so much.
    """

    only_reference: int
    only_candidate: int
    difference: Interval
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `no difference shown`, at the level of 5 %."""
        if self.p_value >= 0.05:
            return "no difference shown"
        return "worse" if self.only_reference > self.only_candidate else "better"


def mcnemar(reference: ArrayLike, candidate: ArrayLike) -> McNemar:
    """The exact test on discordant pairs (McNemar 1947; Fagerland, Lydersen and Laake 2013).

    The interval of the difference is Newcombe's (1998, method 10), from Clopper-Pearson limits of the discordant share.

    Args:
        reference, candidate: bool [N], right or wrong, of the same N pictures.
    """
    a, b = np.asarray(reference, dtype=bool), np.asarray(candidate, dtype=bool)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise UsageError("The answers are not of the same pictures.", got=f"{a.shape} and {b.shape}", expected="[N]")
    lost, won = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = lost + won
    tail = sum(math.comb(discordant, i) for i in range(min(lost, won) + 1)) / 2**discordant
    p_value = min(1.0, 2 * tail) if lost != won else 1.0
    # given the discordant pairs, the share won is a proportion; the difference is linear in it
    share: Rate = rate(won, discordant)
    scale = discordant / len(a)
    limits = ((2 * share.low - 1) * scale, (2 * share.high - 1) * scale)
    return McNemar(lost, won, Interval((won - lost) / len(a), *limits), float(p_value))


def poisson(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of the mean of a Poisson variable of which `count` was seen: (low, high).

    Source: F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28 (1936). `low` is the mean at which
    `count` or more have probability (1 - confidence) / 2, and 0 where none was seen; `high` that at which `count` or
    fewer have it.

    Raises:
        UsageError: a negative count, or a confidence outside 0..1.
    """
    if count < 0 or not 0 < confidence < 1:
        got, expected = f"{count}, confidence {confidence}", "0 or more, and for example 0.95"
        raise UsageError("Such a count has no interval.", got=got, expected=expected)
    alpha = (1 - confidence) / 2
    most = count + 10 * math.sqrt(count + 1) + 10
    low = _mean_at(count - 1, 1 - alpha, most) if count else 0.0
    return low, _mean_at(count, alpha, most)


def _mean_at(count: int, chance: float, most: float) -> float:
    """The mean, 0 to `most`, at which `count` or fewer have this probability: it falls as the mean rises."""
    low, high = 0.0, most
    terms = np.arange(count + 1)
    logs = np.array([math.lgamma(i + 1) for i in terms])
    for _ in range(80):
        mean = (low + high) / 2
        at_most = float(np.exp(terms * math.log(mean) - mean - logs).sum())
        low, high = (mean, high) if at_most > chance else (low, mean)
    return (low + high) / 2


@dataclass(frozen=True)
class Stability:
    """Whether a machine was equally fast throughout a measurement, and what speaks against it."""

    stable: bool
    findings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"stable": self.stable, "findings": list(self.findings)}


SPREAD = 0.05  # blocks whose medians differ by more are not one figure
STALL = 0.05  # share of timings above twice the median from which on the tail is the machine's


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def stability(blocks: Sequence[ArrayLike], starts: Sequence[float]) -> Stability:
    """Whether blocks of timings of the same thing agree.

    Three things are looked for: blocks that differ, a median that grows or falls with the time (throttling, a cache or
    clock that settles), and a heavy tail (another process takes the core now and then).

    Args:
        blocks: timings of each block, in the order measured.
        starts: seconds from the beginning of the measurement to each block.
    """
    held = [np.asarray(b, dtype=np.float64) for b in blocks if len(np.asarray(b))]
    if len(held) < 2:
        return Stability(False, ("only one block was measured: nothing says that a second would be the same",))
    medians = np.array([np.median(b) for b in held])
    findings: list[str] = []
    spread = float(medians.max() / medians.min() - 1)
    # what medians of so few samples differ by without any cause
    chance = float(np.mean([1.25 * b.std() / math.sqrt(len(b)) / np.median(b) for b in held]))
    trend = _drift(medians)
    if spread > SPREAD:
        note = "" if spread > 4 * chance else "; the blocks are short for their scatter"
        middles = f"p50 {_ms(medians.min())} to {_ms(medians.max())} ms"
        findings.append(f"{len(held)} blocks differ by {spread:.0%} ({middles}){note}: not stable")
    if trend is not None:
        where, ratio = trend
        word = "slowed down" if ratio > 1 else "sped up"
        cause = ": throttled, or the machine got busier" if ratio > 1 else ": not warm before, or the machine got free"
        findings.append(f"{word} by {abs(ratio - 1):.0%} after {starts[where]:.0f} s{cause}")
    everything = np.concatenate(held)
    stalls = float((everything > 2 * np.median(everything)).mean())
    if stalls > STALL:
        findings.append(f"{stalls:.0%} of the timings are more than twice the median: something else takes the cores")
    return Stability(not findings, tuple(findings))


def _drift(medians: NDArray[np.float64]) -> tuple[int, float] | None:
    """The block from which on the level is another, where every later block is on one side of every earlier one."""
    if len(medians) < 4:
        return None
    best: tuple[int, float] | None = None
    for at in range(2, len(medians) - 1):
        before, after = medians[:at], medians[at:]
        if after.min() > before.max() or after.max() < before.min():
            ratio = float(after.mean() / before.mean())
            if abs(ratio - 1) > SPREAD and (best is None or abs(ratio - 1) > abs(best[1] - 1)):
                best = (at, ratio)
    return best
