"""This report against an older one: what changed by how much, how sure that is, and whether it is too much."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgekit.benchmark.machine.environment import IDENTITY
from edgekit.benchmark.schema import Report, Row, Timing
from edgekit.errors import InputError, RegressionError, UsageError
from edgekit.metrics.percentiles import enough, percentile
from edgekit.metrics.statistics import Interval, t_quantile
from edgekit.tasks import TASKS

METRICS = [metric for task in TASKS.values() for metric in task.metrics]
# of each task's main figure, where it is a share, half a point
_HALF = [f"{m.name}<-0.5" for task in TASKS.values() if (m := task.metric(task.main)).larger_is_better and m.share]
DEFAULT_LIMITS = ",".join(("p50>+5%", "p95>+10%", *_HALF))
# figures of time by name: the stage and the percentile; each is lower-is-better
TIMES = {name: ("end_to_end", q) for name, q in (("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99))}
TIMES |= {f"inference.{name}": ("inference", q) for name, (_, q) in tuple(TIMES.items())}
SINGLE: dict[str, Callable[[Row], float | None]] = {
    "first_result": lambda row: row.cold.first_result if row.cold else None,
    "load": lambda row: row.cold.load if row.cold else None,
    "peak_mb": lambda row: row.cold.peak_mb if row.cold else None,
    "file_bytes": lambda row: float(row.file_bytes) if row.file_bytes else None,
    "agreement": lambda row: row.agreement.share.value if row.agreement and row.agreement.share else None,
    "robust": lambda row: row.robustness.average if row.robustness else None,
    "joules": lambda row: row.timing.energy.get("joules_per_inference") if row.timing else None,
    "throughput": lambda row: row.timing.throughput if row.timing else None,
}
SHARES = (
    *(metric.name for metric in METRICS if metric.share),
    "agreement",
    "robust",
)  # limits in points of 100, unless in %
VERSIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "torch",
    "tensorrt",
    "numpy",
    "opencv-python-headless",
    "pillow",
)
_LIMIT = re.compile(r"\s*([a-z][a-z0-9_.]*)\s*([<>])\s*([+-]\d+(?:\.\d+)?)\s*(%|ms)?\s*")


@dataclass(frozen=True)
class Limit:
    """`name` may not change beyond `change`: upwards for `>`, downwards for `<`. `unit`: `%`, `ms` or points."""

    name: str
    sign: Literal["<", ">"]
    change: float
    unit: str

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.change:+g}{self.unit}"


@dataclass(frozen=True)
class Change:
    """One figure of one row, before and now.

    Attributes:
        change: in the limit's unit, with its 95 % interval where there is one.
        raw: for times, the change as the clock had it; `change` is then divided by the reference
            workload's.
        verdict: `regression`, `ok`, or `not sure`: beyond the limit, and within what the machine does by itself.
    """

    row: str
    limit: Limit
    base: float
    now: float
    change: Interval
    raw: float | None
    verdict: Literal["ok", "not sure", "regression"]

    def __str__(self) -> str:
        unit = self.limit.unit or " points"
        told = f"{self.row}: {self.limit.name} {self.base:.4g} -> {self.now:.4g}, {self.change.value:+.2f}{unit}"
        if self.change.low < self.change.high:
            told += f" [{self.change.low:+.2f}, {self.change.high:+.2f}]"
        if self.raw is not None and abs(self.raw - self.change.value) > 1:
            told += f" (by the clock {self.raw:+.1f}{unit}: the machine itself was not the same)"
        return f"{told}: {self.verdict}"


@dataclass(frozen=True)
class Comparison:
    """Every change, the rows that are only in one of the reports, the differences that were allowed, and what too few
    timings say nothing about."""

    changes: tuple[Change, ...]
    lost: tuple[str, ...]
    new: tuple[str, ...]
    allowed: tuple[str, ...]
    few: tuple[str, ...] = ()

    @property
    def regressions(self) -> tuple[str, ...]:
        """One sentence each; empty when nothing got worse than allowed."""
        return (*(str(c) for c in self.changes if c.verdict == "regression"), *self.lost)

    def check(self) -> None:
        """Raises RegressionError where something got worse than allowed."""
        if self.regressions:
            raise RegressionError(
                "It got worse than allowed.", got="; ".join(self.regressions), fix="--fail-on says what is allowed"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "passed": not self.regressions,
            "changes": [
                {"row": c.row, "limit": str(c.limit), "base": c.base, "now": c.now, "change": c.change.value,
                 "low": c.change.low, "high": c.change.high, "verdict": c.verdict} for c in self.changes
            ],
            "lost": list(self.lost),
            "new": list(self.new),
            "allowed": list(self.allowed),
            "too_few": list(self.few),
        }  # fmt: skip


def parse_limits(text: str) -> tuple[Limit, ...]:
    """`p95>+5%,top1<-0.5` as limits. Raises UsageError with the part that is wrong."""
    known = (*TIMES, *SINGLE, *(metric.name for metric in METRICS))
    limits = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        found = _LIMIT.fullmatch(part)
        name = found.group(1) if found else ""
        if not found or name not in known:
            raise UsageError(
                "A limit cannot be read.",
                got=repr(part),
                expected="NAME>+5%, NAME>+2ms or NAME<-0.5 (points), NAME one of " + ", ".join(dict.fromkeys(known)),
            )
        sign, change, unit = found.group(2), float(found.group(3)), found.group(4) or ""
        if (sign == ">") != (change > 0) and change != 0:
            raise UsageError("A limit has the wrong sign.", got=repr(part), expected="> with +, < with -")
        if not unit and name not in SHARES:
            raise UsageError(f"A limit of {name} needs a unit.", got=repr(part), expected=f"{name}{sign}{change:+g}%")
        if unit == "ms" and name not in (*TIMES, "first_result", "load"):
            raise UsageError(f"A limit of {name} cannot be in ms: it is not a time.", got=repr(part), expected="%")
        limits.append(Limit(name, ">" if sign == ">" else "<", change, unit))
    if not limits:
        raise UsageError("No limit is given.", got=repr(text), expected=f"for example '{DEFAULT_LIMITS}'")
    return tuple(limits)


def differences(base: Report, now: Report) -> list[str]:
    """What makes two reports not comparable: device, runtime versions, settings, pictures. Empty: they are."""
    found = []
    for key in IDENTITY:
        a, b = base.environment.get(key), now.environment.get(key)
        if a != b:
            found.append(f"device: {key} {a} -> {b}")
    for name in VERSIONS:
        a, b = ((r.environment.get("versions") or {}).get(name) for r in (base, now))
        if a != b:
            found.append(f"version: {name} {a} -> {b}")
    for key in sorted(set(base.settings) | set(now.settings)):
        a, b = base.settings.get(key), now.settings.get(key)
        if key != "took_seconds" and a != b:
            found.append(f"setting: {key} {a} -> {b}")
    for task in sorted(set(base.data) & set(now.data)):
        if not base.data[task].same_pictures(now.data[task]):
            found.append(f"pictures: {base.data[task].name} -> {now.data[task].name} ({task})")
    if not (base.complete and now.complete):
        found.append("one of them was interrupted")
    return found


def compare(base: Report, now: Report, limits: Sequence[Limit], anyway: bool = False) -> Comparison:
    """Changes of the rows that both reports have.

    A change of a time is a regression when it is beyond its limit and its interval, from the turns of both runs,
    excludes no change at all. A change of a share on the same pictures is exact and needs no interval.

    Args:
        anyway: compare although devices, versions or settings differ.

    Raises:
        InputError: not comparable, or no row in common.
    """
    apart = differences(base, now)
    if apart and not anyway:
        raise InputError(
            "The two reports are not of the same conditions.",
            got="; ".join(apart[:6]) + ("" if len(apart) <= 6 else f" and {len(apart) - 6} more"),
            expected="the same device, versions, settings and pictures",
            fix="measure the base again here, or --anyway",
        )
    before = {row.name: row for row in base.rows}
    after = {row.name: row for row in now.rows}
    common = [name for name in before if name in after]
    if not common:
        raise InputError("The two reports have no case in common.", got=", ".join(after), expected=", ".join(before))
    lost = [f"{n}: was measured, and is missing now" for n in before if n not in after]
    changes: list[Change] = []
    few: list[str] = []
    for name in common:
        a, b = before[name], after[name]
        if a.status == "ok" and b.failure is not None:
            lost.append(f"{name}: was measured, and fails now: {b.failure.what}")
            continue
        changes += [c for limit in limits if (c := _change(a, b, limit)) is not None]
        few += [f"{name}: {limit.name} is not compared: {told}" for limit in limits if (told := _too_few(a, b, limit))]
    new = tuple(n for n in after if n not in before)
    return Comparison(tuple(changes), tuple(lost), new, tuple(apart), tuple(few))


def _too_few(a: Row, b: Row, limit: Limit) -> str:
    """Why a percentile is not told of both; empty where it is."""
    if limit.name not in TIMES or a.timing is None or b.timing is None:
        return ""
    stage, q = TIMES[limit.name]
    counts = [row.timing.stages[stage].n for row in (a, b) if row.timing]
    return "" if min(counts) >= enough(q) else f"{counts[0]} and {counts[1]} timings, of {enough(q)} that it needs"


def _change(a: Row, b: Row, limit: Limit) -> Change | None:
    if limit.name in TIMES:
        return _time_change(a, b, limit)
    first, second = _single(a, limit.name), _single(b, limit.name)
    if first is None or second is None:
        return None
    points = 100 if limit.name in SHARES else 1
    change = (second / first - 1) * 100 if limit.unit == "%" and first else (second - first) * points
    change = round(change, 9)  # 179 of 200 is half a point less than 180, and not a little more
    beyond = change > limit.change if limit.sign == ">" else change < limit.change
    exact = Interval(change, change, change)
    return Change(b.name, limit, first, second, exact, None, "regression" if beyond else "ok")


def _single(row: Row, name: str) -> float | None:
    if name in SINGLE:
        return SINGLE[name](row)
    return row.accuracy.metrics[name].value if row.accuracy and name in row.accuracy.metrics else None


def _time_change(a: Row, b: Row, limit: Limit) -> Change | None:
    if a.timing is None or b.timing is None:
        return None
    stage, q = TIMES[limit.name]
    old, new = (np.array([percentile(getattr(block, stage), q) for block in row.timing.blocks])
                for row in (a, b) if row.timing is not None)  # fmt: skip
    before, after = (getattr(row.timing.stages[stage], limit.name.split(".")[-1]) for row in (a, b) if row.timing)
    if before is None or after is None:
        return None
    raw = (after / before - 1) * 100
    first, second = _log_pace(a.timing, len(old)), _log_pace(b.timing, len(new))
    logs = (np.log(old) - first, np.log(new) - second)
    ratio = welch(*logs)
    change = Interval(*((math.exp(v) - 1) * 100 for v in (ratio.value, ratio.low, ratio.high)))
    shown: float | None = raw
    if limit.unit == "ms":
        change = Interval(*(before * v / 100 for v in (change.value, change.low, change.high)))
        shown = after - before
    beyond = change.value > limit.change if limit.sign == ">" else change.value < limit.change
    sure = change.low > 0 if limit.sign == ">" else change.high < 0
    verdict: Literal["ok", "not sure", "regression"] = "ok"
    if beyond:
        verdict = "regression" if sure else "not sure"
    return Change(b.name, limit, before, after, change, shown, verdict)


def _log_pace(timing: Timing, turns: int) -> Any:
    """Logarithm of the machine's own time around each turn; zeros where it was not measured."""
    return np.log(timing.pace) if len(timing.pace) == turns else np.zeros(turns)


def welch(a: Any, b: Any) -> Interval:
    """mean(b) - mean(a) with Welch's 95 % interval; with fewer than two values on a side, all that is possible."""
    value = float(np.mean(b) - np.mean(a))
    if min(len(a), len(b)) < 2:
        return Interval(value, -math.inf, math.inf)
    va, vb = float(np.var(a, ddof=1)) / len(a), float(np.var(b, ddof=1)) / len(b)
    if va + vb == 0:
        return Interval(value, value, value)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    half = t_quantile(max(1, int(freedom))) * math.sqrt(va + vb)
    return Interval(value, value - half, value + half)
