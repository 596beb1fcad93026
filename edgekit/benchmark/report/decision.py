"""What to deploy here, why, and how sure that is: one sentence for each model, from the report and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.benchmark.report.rows import (
    groups,
    inference,
    main_metric,
    not_slower,
    short_names,
    shown_worse,
    speed_of,
    spoken,
    times_as_fast,
)
from edgekit.benchmark.schema import Decided, Report, Row, Span
from edgekit.benchmark.timing import OTHERS
from edgekit.screen import count_of
from edgekit.tasks import metric_named

AGAIN = "measure again"
Level = Literal["good", "warn", "bad"]


@dataclass(frozen=True)
class Decision:
    """Of one model.

    Attributes:
        model: its net; empty where the report has no other.
        lead: what to deploy, `Deploy int8 on openvino`, or that nothing can be.
        reason: why, and how sure, for behind a colon.
        level: `good`, `warn` where something speaks against the figures, `bad` where there is nothing to deploy.
    """

    model: str
    lead: str
    reason: str
    level: Level

    @property
    def opening(self) -> str:
        """What the sentence begins with where the report has several models."""
        return f"{self.model}: " if self.model else ""

    @property
    def text(self) -> str:
        """The whole sentence."""
        return f"{self.opening}{self.lead}: {self.reason}."


def decisions(report: Report) -> list[Decision]:
    """One for each model that a row was measured of; one that says so where none was."""
    by_model = {name: rows for name, rows in groups(report).items() if any(row.status == "ok" for row in rows)}
    if not by_model:
        return [
            Decision("", "Nothing to deploy", f"none of {count_of(len(report.rows), 'case')} could be measured", "bad")
        ]
    several = len(by_model) > 1
    return [_decision(report, rows, name.split()[0] if several else "") for name, rows in by_model.items()]


def decide(report: Report) -> None:
    """Writes the decisions into the report, for who reads its JSON."""
    report.decisions = [Decided(model=d.model, text=d.text, level=d.level) for d in decisions(report)]


def _decision(report: Report, rows: Sequence[Row], model: str) -> Decision:
    names = short_names(rows)
    good = [row for row in rows if row.status == "ok"]
    proven = [row for row in good if row.verified and speed_of(row)]
    if not proven:
        why = "no file passed its verification" if any(r.verified is False for r in good) else "no file was timed"
        if all(r.verified is None for r in good):
            why = "checkpoints alone were measured; edgekit export makes a verified file of one"
        return Decision(model, "Nothing to deploy", why, "bad")
    first = good[0]
    least = min((r.case.batch, r.case.streams) for r in proven)
    asked = [row for row in proven if (row.case.batch, row.case.streams) == least]
    kept = [row for row in asked if not shown_worse(row, rows)]
    if not kept:
        return Decision(model, "Nothing to deploy", "every timed file is shown to be less accurate than "
                        f"{spoken(names[first.name], first)}", "bad")  # fmt: skip
    quickest = min(kept, key=_p50)
    ties = not_slower(kept, quickest)
    chosen = first if any(row is first for row in ties) else quickest  # what changes nothing, unless it costs time
    alike = [row for row in ties + [quickest] * (quickest not in ties) if row is not chosen]
    told = [_speed(report, chosen, first, names[first.name])] if chosen is not first else [_alone(chosen, asked)]
    if alike and chosen is not first:
        told.append(f"{_some([spoken(names[r.name], r) for r in alike])} not shown to be slower")
    told += [
        _given_up(row, chosen, names[row.name]) for row in asked if shown_worse(row, rows) and _p50(row) < _p50(chosen)
    ][:1]
    accuracy, known = _accuracy(report, chosen, first)
    doubt = _doubt([chosen, first] if chosen is not first else [chosen])
    reason = ", ".join([*filter(None, told), accuracy]) + (f"; {doubt}" if doubt else "")
    lead = f"Deploy {spoken(names[chosen.name], chosen)}" if len(proven) > 1 else f"{chosen.name} is the only case"
    return Decision(model, lead, reason, "warn" if doubt or not known or not report.complete else "good")


def _speed(report: Report, row: Row, first: Row, name: str) -> str:
    """`answers 2.9 times as fast as fp32 on onnxruntime [2.8, 3.0], inference alone 5.1 times`."""
    ratios = {r.stage: r.speedup for r in report.ratios if (r.row, r.reference) == (row.name, first.name)}
    whole: Span | None = ratios.get("end_to_end")
    if whole is None:
        measured = times_as_fast(row, first)
        return "" if measured is None else _times(measured.value, measured.low, measured.high, name, first)
    alone = ratios.get("inference") or times_as_fast(row, first, inference)
    more = f", inference alone {alone.value:.1f} times" if alone is not None else ""
    return _times(whole.value, whole.low, whole.high, name, first) + more


def _times(value: float, low: float, high: float, name: str, first: Row) -> str:
    return f"answers {value:.1f} times as fast as {spoken(name, first)} [{low:.1f}, {high:.1f}]"


def _alone(row: Row, asked: Sequence[Row]) -> str:
    span = row.timing.intervals["end_to_end.p50"] if row.timing else None
    assert span is not None
    pictures = "a picture" if row.case.batch == 1 else f"a batch of {row.case.batch}"
    time = f"{span.value:.1f} ms {pictures} [{span.low:.1f}, {span.high:.1f}]"
    return time if len(asked) == 1 else f"{time}, and nothing as accurate is shown to be faster"


def _given_up(row: Row, chosen: Row, name: str) -> str:
    """What is faster and shown to be less accurate."""
    ratio, metric = times_as_fast(row, chosen), main_metric(row)
    if ratio is None or metric is None or row.agreement is None or row.agreement.difference is None:
        return ""
    named = metric_named(metric[0])
    lost = abs(row.agreement.difference.value) * named.scale
    points = " points" if named.share else ""
    return f"{spoken(name, row)} is {ratio.value:.1f} times as fast again but {lost:.1f}{points} of {named.label} worse"


def _accuracy(report: Report, row: Row, first: Row) -> tuple[str, bool]:
    """What is known of its accuracy beside the reference's, and whether that is anything."""
    metric = main_metric(row)
    if metric is None or row.accuracy is None:
        return "its accuracy not measured: name labelled pictures with --data", False
    named, span = metric_named(metric[0]), metric[1]
    data = report.data.get(row.accuracy.task)
    pictures = count_of(row.accuracy.n, "picture") + (" made in code" if data is not None and data.made else "")
    value = f"{named.label} {named.text(span.value)} [{named.text(span.low)}, {named.text(span.high)}]"
    told = row.agreement
    if row is first or told is None:
        return f"{value} of {pictures}", True
    p = "" if told.p_value is None else f"p {told.p_value:.2g} on "
    if told.verdict == "better":
        return f"accuracy better ({value}, {p}{pictures})", True
    if told.difference is None:
        return f"accuracy not compared ({value} of {pictures})", False
    worst = max(0.0, -told.difference.low if named.larger_is_better else told.difference.high) * named.scale
    points = " points" if named.share else ""
    return f"accuracy not shown to differ ({p}{pictures}: {worst:.1f}{points} of {named.label} lost at most)", True


def _doubt(rows: Sequence[Row]) -> str:
    """What of the machine speaks against these timings."""
    unsettled = [row.timing for row in rows if row.timing and not row.timing.stability.stable]
    if not unsettled:
        return ""
    others = max((t.others or 0.0 for t in unsettled), default=0.0)
    if others > OTHERS:
        return f"the machine was busy, others took up to {others:.0%} of its CPUs: {AGAIN}"
    return f"the timings did not settle: {AGAIN}"


def _p50(row: Row) -> float:
    return row.timing.stages["end_to_end"].p50 if row.timing else float("inf")


def _some(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} others"
