"""Which case is best at what, and which others may be as good: the summary's first lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.benchmark.report.text import main_metric
from edgekit.benchmark.schema import Report, Row, Span
from edgekit.metrics.classification import clopper_pearson
from edgekit.tasks import metric_named
from edgekit.tasks.evaluation import Metric


@dataclass(frozen=True)
class Winner:
    """The best row for one goal.

    Attributes:
        value: as text, with its unit.
        ties: short names of rows whose interval reaches the winner's: not shown to be worse.
    """

    goal: str
    row: Row
    value: str
    ties: tuple[str, ...]


def groups(report: Report) -> dict[str, list[Row]]:
    """Rows of the same model (net, classes, size), in order; only these can be compared. Failed ones apart: see below.

    A row that failed before its model was known is in the group of its file's first sibling, else in one called "".
    """
    found: dict[str, list[Row]] = {}
    for row in report.rows:
        found.setdefault(row.model, []).append(row)
    return found


def short_names(rows: Sequence[Row]) -> dict[str, str]:
    """Of each row what sets it apart from the others, by its full name."""
    parts: list[list[str]] = []
    for row in rows:
        case = row.case
        file = case.model.rsplit("/", 1)[-1]
        stem = file.removesuffix(".onnx")
        runtime = case.backend if case.provider == "cpu" else f"{case.backend} {case.provider}"
        threads = "" if case.threads == 0 else f"{case.threads} thread{'s' * (case.threads > 1)}"
        streams = f"{case.streams} stream{'s' * (case.streams > 1)}"
        parts.append([stem, row.precision, runtime, threads, f"batch {case.batch}", streams])
    varied = [i for i in range(6) if len({p[i] for p in parts}) > 1]
    if 0 in varied and 1 in varied and len({(p[1], *p[2:]) for p in parts}) == len(parts):
        varied.remove(0)  # the precision says as much as the file's name
    names = [" · ".join(p[i] for i in varied if p[i]) or p[0] for p in parts]
    return {row.name: name for row, name in zip(rows, names, strict=True)}


def winners(rows: Sequence[Row], names: dict[str, str]) -> list[Winner]:
    """One a goal; goals that were not measured for at least one row are left out."""
    usable = [row for row in rows if row.status == "ok" and row.verified is not False]
    named = [main[0] for row in usable if (main := main_metric(row)) is not None]
    metric = metric_named(named[0]) if named else Metric("", "")
    goals: list[tuple[str, Callable[[Row], Span | None], bool, Callable[[float], str]]] = [
        ("Most accurate", lambda r: m[1] if (m := main_metric(r)) else None, metric.larger_is_better, metric.text),
        ("Quickest answer, p50", lambda r: _interval(r, "end_to_end.p50"), False, _ms),
        ("Steadiest tail, p95", lambda r: _interval(r, "end_to_end.p95"), False, _ms),
        ("Pictures a second", lambda r: _point(r.timing.throughput if r.timing else None), True, lambda v: f"{v:.1f}"),
        ("Least CPU a picture", _cpu, False, _ms),
        ("Quickest first result", lambda r: _point(r.cold.first_result if r.cold else None), False, _ms),
        ("Least memory", lambda r: _point(r.cold.peak_mb if r.cold else None), False, lambda v: f"{v:.0f} MB"),
        ("Smallest file", lambda r: _point(r.file_bytes), False, lambda v: f"{v / 1e6:.1f} MB"),
        ("Most robust", _robust, metric.larger_is_better, metric.text),
        ("Least energy", _joules, False, lambda v: f"{v:.2g} J"),
    ]  # fmt: skip
    found = []
    for goal, figure, larger, text in goals:
        known = [(row, span) for row in usable if (span := figure(row)) is not None]
        if not known:
            continue
        best, top = max(known, key=lambda item: item[1].value if larger else -item[1].value)
        ties = tuple(names[row.name] for row, span in known if row is not best and _reaches(span, top, larger))
        found.append(Winner(goal, best, text(top.value), ties))
    return found


def _reaches(span: Span, best: Span, larger: bool) -> bool:
    return span.high >= best.low if larger else span.low <= best.high


def _interval(row: Row, name: str) -> Span | None:
    """A picture's share of a run, so that batches can be compared."""
    span = row.timing.intervals.get(name) if row.timing else None
    if span is None:
        return None
    n = row.case.batch
    return Span(value=span.value / n, low=span.low / n, high=span.high / n)


def _cpu(row: Row) -> Span | None:
    if row.timing is None or row.timing.cpu_outside is None or row.timing.cpu_session is None:
        return None
    return _point(row.timing.cpu_outside + row.timing.cpu_session)


def _robust(row: Row) -> Span | None:
    """The mean over corruptions; one that counts pictures is as wide as few of them make it (Clopper-Pearson)."""
    found = row.robustness
    if found is None or found.average is None:
        return None
    if not metric_named(found.metric).rate:
        return _point(found.average)
    low, high = clopper_pearson(round(found.average * found.n), found.n)
    return Span(value=found.average, low=low, high=high)


def _joules(row: Row) -> Span | None:
    return _point(row.timing.energy.get("joules_per_inference") if row.timing else None)


def _point(value: float | None) -> Span | None:
    return None if value is None else Span(value=value, low=value, high=value)


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"
