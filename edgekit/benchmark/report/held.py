"""What rows were held against, for the page: expected answers, MLPerf's edge scenarios, a bound of latency."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from edgekit.benchmark.schema import Report, Row, Scenario
from edgekit.screen import count_of

Names = Mapping[str, str]


def chips(report: Report) -> list[tuple[str, str]]:
    """A chip's class and text: how many cases answer as their pack expects. None where no row says what to expect."""
    held = [row.expected for row in report.rows if row.expected is not None]
    if not held:
        return []
    right = sum(one.passed for one in held)
    return [("good" if right == len(held) else "bad", f"{right} of {count_of(len(held), 'case')} as expected")]


def heads(rows: Sequence[Row]) -> list[str]:
    """The columns of the scenarios that any row was measured in."""
    return list(dict.fromkeys(_head(one) for row in rows for one in row.scenarios))


def cells(row: Row, columns: Sequence[str]) -> list[str]:
    """The row's figure in each of `columns`, and of how many queries or samples it is."""
    found = {_head(one): one for one in row.scenarios}
    return [_figure(found[column]) if column in found else "–" for column in columns]


def notes(report: Report, rows: Sequence[Row], names: Names) -> list[str]:
    """Items of a list: whose answers were expected and how close each case comes, what the scenarios are, the bound."""
    told: dict[str, list[str]] = {}
    for row in rows:
        if row.expected is not None:
            told.setdefault(row.expected.text, []).append(names[row.name])
    lines = [f"<b>{escape(', '.join(cases))}</b>: {escape(text)}" for text, cases in told.items()]
    held = [one for row in rows for one in row.scenarios]
    if held:
        alike: dict[str, str] = {}
        for why in (why for one in held for why in one.short):
            alike.setdefault(re.sub(r"[\d.]+", "", why), why)
        kinds = " and ".join(dict.fromkeys(one.name for one in held))
        told_short = f"with less than they ask: {'; '.join(alike.values())}" if alike else "as long as they ask"
        lines.append(f"{escape(kinds)}: by MLPerf Inference's rules, {escape(told_short)}. No results of MLPerf's")
    files = {row.case.model.rsplit("/", 1)[-1] for row in rows}
    bounds = [one for one in report.bounded if one.model in files]
    lines += [f"Most pictures a second: {escape(one.text)}" for one in bounds if one.row is not None]
    if none := [f"{one.model} · {one.runtime}" for one in bounds if one.row is None]:
        within = f"within {bounds[0].bound_ms:g} ms (p{bounds[0].percentile:.0f} of a run)"
        lines.append(f"Not {within}, however measured: {escape(', '.join(none))}")
    return [f"<li>{line}.</li>" for line in lines]


def _head(one: Scenario) -> str:
    return f"{one.name} samples/s" if one.percentile is None else f"{one.name} p{one.percentile:.0f} ms"


def _figure(one: Scenario) -> str:
    if one.percentile is None:
        return f'{one.throughput:.1f}<span class="iv">{count_of(one.samples, "sample")}</span>'
    value = "–" if one.latency_ms is None else f"{one.latency_ms:.2f}"
    return f'{value}<span class="iv">{"1 query" if one.queries == 1 else f"{one.queries} queries"}</span>'
