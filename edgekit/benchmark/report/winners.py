"""Which case is shown to be best at what: a card each; where nothing is shown, one line says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.benchmark.report import rows as of_rows
from edgekit.benchmark.report.rows import main_metric, speed_of
from edgekit.benchmark.schema import Row, Span
from edgekit.metrics.classification import clopper_pearson
from edgekit.screen import count_of
from edgekit.tasks import metric_named


@dataclass(frozen=True)
class Winner:
    """The row that is shown to be better than every other at one goal.

    Attributes:
        value: as text, with its unit.
        who: the row's short name, or its file's where the runtime does not matter.
        margin: by how much, beside the next best; empty where there is no figure for it.
        unstable: whether its timings did not settle.
    """

    goal: str
    row: Row
    value: str
    who: str
    margin: str = ""
    unstable: bool = False


@dataclass(frozen=True)
class Judged:
    """The winners of a model's rows, and of the other goals why there is none, a phrase each."""

    winners: tuple[Winner, ...]
    open: tuple[str, ...]


def judged(rows: Sequence[Row], names: dict[str, str]) -> Judged:
    """What is shown of the rows of one model. One wins that is shown to be better than every other: in time by turns
    that were taken side by side, in accuracy by the test on the same pictures, in the rest by intervals."""
    usable = [row for row in rows if row.status == "ok" and row.verified is not False]
    found: list[Winner] = []
    undecided: list[str] = []
    for told in (
        _accurate(usable, names),
        *(_timed(usable, names, *goal) for goal in _TIMES),
        _small(usable),
        _robust(usable, names),
    ):
        if isinstance(told, Winner):
            found.append(told)
        elif told:
            undecided.append(told)
    once = [name for name, figure in _ONCE if sum(figure(row) is not None for row in usable) > 1]
    if once:
        undecided.append(f"{', '.join(once)} (no interval: see the table)")
    return Judged(tuple(found), tuple(undecided))


_TIMES: tuple[tuple[str, of_rows.Figure, str, Callable[[float], str]], ...] = (
    ("Quickest answer, p50", of_rows.answer, "end_to_end.p50", lambda v: _ms(v)),
    ("Steadiest tail, p95", of_rows.tail, "end_to_end.p95", lambda v: _ms(v)),
    ("Most pictures a second", of_rows.time_a_picture, "", lambda v: f"{v:.1f}"),
)
_ONCE: tuple[tuple[str, Callable[[Row], float | None]], ...] = (
    ("first result", lambda r: r.cold.first_result if r.cold else None),
    ("memory", lambda r: r.cold.peak_mb if r.cold else None),
    ("processor time", lambda r: r.timing.cpu_session if r.timing else None),
    ("energy", lambda r: r.timing.energy.get("joules_per_inference") if r.timing else None),
)


def _timed(rows: Sequence[Row], names: dict[str, str], goal: str, figure: of_rows.Figure, interval: str,
           text: Callable[[float], str]) -> Winner | str:  # fmt: skip
    """By the ratios of the turns."""
    values: dict[str, float] = {}
    for row in rows:
        timing = speed_of(row)
        if timing is not None and (not interval or interval in timing.intervals):
            values[row.name] = timing.intervals[interval].value / row.case.batch if interval else timing.throughput
    known = [row for row in rows if row.name in values]
    if len(known) < 2:
        return ""
    best = (min if interval else max)(known, key=lambda row: values[row.name])
    if ties := of_rows.not_slower(known, best, figure):
        return f"{goal.lower()} ({_few([best, *ties], names)} not told apart)"
    ratios = [
        (ratio.value, ratio, row)
        for row in known
        if row is not best and (ratio := of_rows.times_as_fast(best, row, figure))
    ]
    _, ratio, second = min(ratios, key=lambda item: item[0])
    margin = f"{ratio.value:.2f} times as fast as {of_rows.spoken(names[second.name], second)} [{ratio.low:.2f}, {ratio.high:.2f}]"  # noqa: E501
    unstable = any(r.timing is not None and not r.timing.stability.stable for r in (best, second))
    return Winner(goal, best, text(values[best.name]), names[best.name], margin, unstable)


def _accurate(rows: Sequence[Row], names: dict[str, str]) -> Winner | str:
    """By McNemar's test, or the interval of the difference, beside the reference; by intervals between others."""
    known = [(row, m) for row in _distinct(rows) if (m := main_metric(row)) is not None]
    if len(known) < 2:
        return ""
    metric = metric_named(known[0][1][0])
    best, (_, top) = (max if metric.larger_is_better else min)(known, key=lambda item: item[1][1].value)
    ties = [
        row
        for row, (_, span) in known
        if row is not best and not _more_accurate(best, top, row, span, metric.larger_is_better)
    ]
    if ties:
        return f"most accurate ({_few([best, *ties], names)} not told apart on {_pictures(best)})"
    return Winner("Most accurate", best, metric.text(top.value), names[best.name], f"shown on {_pictures(best)}")


def _more_accurate(best: Row, top: Span, row: Row, span: Span, larger: bool) -> bool:
    if row.agreement is not None and row.agreement.reference == best.name:
        return row.agreement.verdict == "worse"
    if best.agreement is not None and best.agreement.reference == row.name:
        return best.agreement.verdict == "better"
    return not _reaches(span, top, larger)


def _robust(rows: Sequence[Row], names: dict[str, str]) -> Winner | str:
    """The mean over corruptions, whose interval is as wide as the number of pictures makes it."""
    known = [(row, r) for row in _distinct(rows) if (r := row.robustness) is not None and r.average is not None]
    if len(known) < 2:
        return ""
    metric, pictures = metric_named(known[0][1].metric), count_of(known[0][1].n, "picture")
    if not metric.rate:
        return f"most robust ({metric.label} of {pictures} has no interval)"
    spans = {row.name: share_of(r.average or 0.0, r.n) for row, r in known}
    best = max((row for row, _ in known), key=lambda row: spans[row.name].value)
    ties = [row for row, _ in known if row is not best and _reaches(spans[row.name], spans[best.name], True)]
    if ties:
        return f"most robust ({_few([best, *ties], names)} not told apart on {pictures})"
    return Winner("Most robust", best, metric.text(spans[best.name].value), names[best.name], f"shown on {pictures}")


def _small(rows: Sequence[Row]) -> Winner | str:
    """A file's size is exact, and the same on every runtime."""
    files = {row.case.model: row for row in rows if row.file_bytes}
    if len(files) < 2:
        return ""
    best, second, *_ = sorted(files.values(), key=lambda row: row.file_bytes or 0)
    assert best.file_bytes is not None
    assert second.file_bytes is not None
    if best.file_bytes == second.file_bytes:
        return "smallest file (two are equally small)"
    share = f"{best.file_bytes / second.file_bytes:.2f} of the next"
    return Winner("Smallest file", best, f"{best.file_bytes / 1e6:.1f} MB", best.case.model.rsplit("/", 1)[-1], share)


def share_of(value: float, n: int) -> Span:
    """A share of n pictures with its exact interval. A mean of shares of the same pictures counts as one of them."""
    low, high = clopper_pearson(round(value * n), n)
    return Span(value=value, low=low, high=high)


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """The first row of each file and runtime: the others answer alike."""
    return list({of_rows.answers_of(row): row for row in reversed(rows)}.values())[::-1]


def _reaches(span: Span, best: Span, larger: bool) -> bool:
    return span.high >= best.low if larger else span.low <= best.high


def _pictures(row: Row) -> str:
    return count_of(row.accuracy.n if row.accuracy else 0, "picture")


def _few(rows: Sequence[Row], names: dict[str, str]) -> str:
    return " and ".join(names[row.name] for row in rows) if len(rows) == 2 else count_of(len(rows), "case")


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"
