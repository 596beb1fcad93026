"""The page of several machines, and the same as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from edgekit.artifacts.onnx_file import file_sha256
from edgekit.benchmark.report.cards import card
from edgekit.benchmark.report.decision import decisions
from edgekit.benchmark.report.drawing import charts
from edgekit.benchmark.report.held import chips
from edgekit.benchmark.report.merging.match import Machine, Merged, Shared, accuracy_text
from edgekit.benchmark.report.page import document
from edgekit.benchmark.report.rows import speed_of
from edgekit.benchmark.report.text import where

TITLE = "Several machines"


def as_html(merged: Merged) -> str:
    """The whole page: what to deploy on each, the cases in common side by side, what cannot be compared."""
    body = [f'<header><h1>{TITLE}</h1><p class="sub">{len(merged.machines)} reports</p>{_decided(merged)}</header>']
    if merged.apart:
        items = "".join(f"<li>{escape(told)}</li>" for told in merged.apart)
        body.append(f'<div class="call"><b>What differs, and what cannot be compared</b><ul>{items}</ul></div>')
    for model, cases in merged.cases.items():
        body.append(f"<h2>{escape(model)}</h2>{_table(merged, cases)}{_bars(merged, cases)}")
    body.append(_machines(merged.machines))
    return document(TITLE, body)


def as_markdown(merged: Merged) -> str:
    """For a terminal or a pull request."""
    lines = [f"# {TITLE}", ""]
    for told in merged.summary():
        lines += [told, ""]
    for machine in merged.machines:
        lines += [f"- {machine.name}: {' '.join(d.text for d in decisions(machine.report))}"]
    for model, cases in merged.cases.items():
        heads = _heads(merged)
        lines += ["", f"## {model}", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join([case.name, *_cells(merged, case)]) + " |" for case in cases]
    if merged.apart:
        lines += ["", "Not compared, or with care:", "", *(f"- {told}" for told in merged.apart)]
    return "\n".join(lines) + "\n"


def _decided(merged: Merged) -> str:
    lines = "".join(f"<p>{escape(told)}</p>" for told in merged.summary())
    for machine in merged.machines:
        for d in decisions(machine.report):
            told = f"{escape(d.opening)}<b>{escape(d.lead)}</b>: {escape(d.reason)}."
            lines += f'<p class="{d.level}"><b>{escape(machine.name)}</b>: {told}</p>'
    held = [(cls, f"{m.name}: {text}") for m in merged.machines for cls, text in chips(m.report)]
    shown = "".join(f'<span class="chip {cls}">{escape(text)}</span>' for cls, text in held)
    return f'<div class="decide">{lines}</div>' + (f'<div class="chips">{shown}</div>' if shown else "")


def _heads(merged: Merged) -> list[str]:
    heads = ["case"]
    for at, machine in enumerate(merged.machines):
        heads += [f"{machine.name}: p50 ms", "p95", "accuracy"] + (["times as fast"] if at else [])
    return heads


def _cells(merged: Merged, case: Shared) -> list[str]:
    cells = []
    for at in range(len(merged.machines)):
        row = case.rows[at]
        timing = speed_of(row) if row is not None else None
        if timing is None:
            cells += ["–", "–"]
        else:
            whole, span = timing.stages["end_to_end"], timing.intervals["end_to_end.p50"]
            mark = "" if timing.stability.stable else " (unstable)"
            tail = "–" if whole.p95 is None else f"{whole.p95:.2f}"
            cells += [f"{whole.p50:.2f} [{span.low:.2f}, {span.high:.2f}]{mark}", tail]
        cells.append("–" if row is None else accuracy_text(row))
        if at:
            ratio = case.times_as_fast(at)
            cells.append("–" if ratio is None else f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]")
    return cells


def _table(merged: Merged, cases: Sequence[Shared]) -> str:
    heads = _heads(merged)
    lines = ""
    for case in cases:
        shown = "".join(
            f'<td data-l="{escape(head)}">{_small(cell)}</td>'
            for head, cell in zip(heads[1:], _cells(merged, case), strict=True)
        )
        lines += f"<tr><td>{escape(case.name)}</td>{shown}</tr>"
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _small(cell: str) -> str:
    """An interval and what follows it below the figure."""
    value, bracket, rest = cell.partition(" [")
    return escape(value) + (f'<span class="iv">{escape(rest.replace("]", "", 1))}</span>' if bracket else "")


def _bars(merged: Merged, cases: Sequence[Shared]) -> str:
    bars = {}
    for case in cases:
        for machine, row in zip(merged.machines, case.rows, strict=True):
            timing = speed_of(row) if row is not None else None
            if timing is not None:
                bars[f"{case.name} · {machine.name}"] = timing.stages["end_to_end"].p50
    if not bars:
        return ""
    note = "p50 of a whole answer, milliseconds: shorter is faster."
    drawn = card("Side by side", note, lambda w: charts.bars(bars, w, "Side by side", " ms", 2), full=True)
    return f'<div class="grid">{drawn}</div>'


def _machines(machines: Sequence[Machine]) -> str:
    """What each is: a line a fact, and those that are alike in one."""
    facts: dict[str, list[Any]] = {}
    for at, machine in enumerate(machines):
        env = {**machine.report.environment}
        known = {**env, **(env.pop("versions", None) or {}), "measured": machine.report.created}
        known.pop("versions", None)
        for key, value in known.items():
            facts.setdefault(key, [None] * len(machines))[at] = value
    differ = {k: v for k, v in facts.items() if any(x != v[0] for x in v)}
    alike = [f"{k.replace('_', ' ')} {_plain(v[0])}" for k, v in facts.items() if k not in differ and v[0] is not None]
    head = "".join(f"<th>{escape(m.name)}</th>" for m in machines)
    lines = ""
    for key, values in differ.items():
        told = zip(machines, values, strict=True)
        cells = "".join(f'<td data-l="{escape(m.name)}">{escape(_plain(v))}</td>' for m, v in told)
        lines += f"<tr><td>{escape(key.replace('_', ' '))}</td>{cells}</tr>"
    files = "".join(
        f"<li>{escape(f'{m.name}: {m.file}, sha256 {file_sha256(m.file)[:12]}; {where(m.report)}')}</li>"
        for m in machines
    )
    return (
        f'<h2>The machines</h2><div class="table"><table><thead><tr><th></th>{head}</tr></thead><tbody>{lines}</tbody>'
        f'</table></div><p class="note">Alike: {escape("; ".join(alike))}.</p><ul class="note">{files}</ul>'
        "<footer>Speed between machines is of runs apart from each other; intervals are 95 %, of the turns of both."
        "</footer>"
    )


def _plain(value: Any) -> str:
    return "–" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
