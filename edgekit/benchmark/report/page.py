"""The report as one HTML file: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from edgekit.benchmark.report import cards, held, layers, robustness
from edgekit.benchmark.report.decision import Decision, decisions
from edgekit.benchmark.report.rows import groups, main_metric, short_names
from edgekit.benchmark.report.style import CSS
from edgekit.benchmark.report.text import number, pictures_of, where
from edgekit.benchmark.report.winners import Winner, judged
from edgekit.benchmark.schema import Report, Row, Span
from edgekit.screen import count_of
from edgekit.tasks import metric_named

METHOD = (
    "Pictures are decoded, resized, run and answered one after the other, as in use; the clock runs all the time.",
    "Cases are warmed up until neighbouring windows of ten agree to 3 %, then take turns. No timing is removed.",
    "A percentile is a timing that was measured (nearest rank). From too few it is not given: p90, p95, p99 and p99.9 "
    "need 10, 20, 100 and 1000, so that one lies beyond it at least.",
    "Intervals are 95 %: turns are resampled for percentiles, pictures for AP; shares have Clopper-Pearson's.",
    "Speed-ups are of the same turns. Whether a file is worse is McNemar's exact test on the same pictures.",
    "A card is shown for what is better than every other case beyond those intervals, and for nothing else.",
    "No speed is shown for a file that did not pass its verification.",
)


def as_html(report: Report) -> str:
    """The whole page."""
    by_model = {model: rows for model, rows in groups(report).items() if any(r.status == "ok" for r in rows)}
    lost = [row for row in report.rows if row.failure]
    body = [_head(report, by_model), _doubts(report, lost)]
    body += [_model(report, model, rows, i) for i, (model, rows) in enumerate(by_model.items())]
    bounds = cards.operations(report) + layers.roofline(report)
    bounds = f'<h2>What bounds the models</h2><div class="grid">{bounds}</div>' if bounds else ""
    body.append(f'<div class="last">{bounds}{_environment(report)}</div>')
    return document(report.title, body)


def document(title: str, body: Sequence[str]) -> str:
    """The parts as one file that asks nothing from elsewhere."""
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head><body><main>"
    )
    return head + "".join(body) + "</main></body></html>\n"


def _head(report: Report, by_model: Mapping[str, Sequence[Row]]) -> str:
    timed = [row for row in report.rows if row.timing]
    steady = sum(row.timing.stability.stable for row in timed if row.timing)
    failed = sum(row.status == "failed" for row in report.rows)
    unverified = sum(row.verified is False for row in report.rows)
    chips = [("", count_of(len(report.rows), "case"))]
    if timed:
        chips.append(("good" if steady == len(timed) else "warn", f"{steady} of {len(timed)} stable"))
    if failed:
        chips.append(("bad", f"{failed} failed"))
    if unverified:
        chips.append(("bad", f"{unverified} not verified"))
    chips += held.chips(report)
    if not report.complete:
        chips.append(("bad", "interrupted: not complete"))
    chips += [("", f"{pictures_of(d)}, {'made in code' if d.made else d.name}") for d in report.data.values()]
    shown = "".join(f'<span class="chip {cls}">{escape(text)}</span>' for cls, text in chips)
    links = "".join(f'<a href="#m{i}">{escape(model)}</a>' for i, model in enumerate(by_model))
    return (
        f'<header><h1>{escape(report.title)}</h1><p class="sub">{escape(report.created.replace("T", " "))} · '
        f'{escape(where(report))}</p>{_decided(decisions(report))}<div class="chips">{shown}</div>'
        f'<nav>{links}<a href="#environment">Environment and method</a></nav></header>'
    )


def _decided(found: Sequence[Decision]) -> str:
    """What to deploy, a sentence a model."""
    lines = "".join(
        f'<p class="{d.level}">{escape(d.opening)}<b>{escape(d.lead)}</b>: {escape(d.reason)}.</p>' for d in found
    )
    return f'<div class="decide">{lines}</div>'


def _doubts(report: Report, lost: Sequence[Row]) -> str:
    parts = []
    if lost:
        alike: dict[str, list[str]] = {}
        for row in lost:
            assert row.failure is not None
            more = {"got": row.failure.got, "expected": row.failure.expected, "fix": row.failure.fix}
            told = " · ".join([row.failure.what, *(f"{k}: {v}" for k, v in more.items() if v)])
            alike.setdefault(told, []).append(row.name)
        items = "".join(f"<li><b>{escape(', '.join(n))}</b> {escape(told)}</li>" for told, n in alike.items())
        parts.append(f'<div class="call bad"><b>Not measured</b><ul>{items}</ul></div>')
    doubts = [(row.name, f) for row in report.rows if row.timing for f in row.timing.stability.findings]
    if doubts or report.notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
        by_row: dict[str, list[str]] = {}
        for name, finding in doubts:
            by_row.setdefault(name, []).append(finding)
        many = ' class="screen"' if len(by_row) > FEW else ""
        items += "".join(
            f"<li{many}><b>{escape(name)}</b> {escape('; '.join(all_of))}</li>" for name, all_of in by_row.items()
        )
        items += '<li class="onpaper">what was seen of each: on the page and in bench.json</li>' if many else ""
        heading = "Notes"
        if doubts:
            cases = len({name for name, _ in doubts})
            heading = (
                f"The machine was not settled in {cases} of {len(report.rows)} cases: read their timings as ratios"
            )
        parts.append(f'<details class="call"{" open" if len(doubts) <= SHORT else ""}><summary>{heading}</summary>'
                     f"<ul>{items}</ul></details>")  # fmt: skip
    return "".join(parts)


def _model(report: Report, model: str, rows: Sequence[Row], at: int) -> str:
    names = short_names(rows)
    good = [row for row in rows if row.status == "ok"]
    timed = [row for row in good if row.timing and row.verified is not False]
    found = judged(rows, names)
    wins = f'<div class="wins">{"".join(map(_win, found.winners))}</div>' if found.winners else ""
    if found.open:
        wins += f'<p class="note">Not decided: {escape("; ".join(found.open))}.</p>'
    figures = [
        cards.pareto(timed, names),
        cards.distribution(timed, names),
        cards.stages(timed, names),
        cards.classes(good, names),
        cards.thresholds(good, names),
        robustness.robustness(good, names),
        robustness.attacks(good, names),
        cards.disagreements(good, names),
        cards.over_time(timed, names),
        robustness.corruptions(good, names),
        robustness.erased(good, names),
        layers.tables(timed, names),
    ]
    head = f'<h2 id="m{at}">{escape(model)}</h2><p class="note">{escape(_summary(rows))}</p>'
    drawn = "".join(figures)
    notes = held.notes(report, good, names)
    if apart := dict.fromkeys(re.findall(r'<figure class="card[^"]* screen"><h3>([^<:]+)', drawn)):
        notes.append(f'<li class="onpaper">Not on paper: {", ".join(apart).lower()}.</li>')
    told = f'<ul class="note">{"".join(notes)}</ul>' if notes else ""
    return f'<div class="top">{head}{wins}{_table(report, rows, names)}</div>{told}<div class="grid">{drawn}</div>'


def _win(w: Winner) -> str:
    mark = ' <span class="tag warn">unstable</span>' if w.unstable else ""
    margin = f'<div class="tie">{escape(w.margin)}</div>' if w.margin else ""
    return (
        f'<div class="win"><div class="goal">{escape(w.goal)}{mark}</div><div class="value">{escape(w.value)}</div>'
        f'<div class="who">{escape(w.who)}</div>{margin}</div>'
    )


def _summary(rows: Sequence[Row]) -> str:
    first = next(row for row in rows if row.status == "ok")
    facts = [f"{first.params / 1e6:.2f} M parameters"] if first.params else []
    facts += [f"{first.macs / 1e9:.2f} G multiply-adds a picture"] if first.macs else []
    facts.append(f"the reference is {short_names(rows)[first.name]}" if len(rows) > 1 else first.name)
    return ", ".join(facts)


SHORT, FEW = 6, 3  # doubts that stand there unasked, and those that do on paper too
HEADS = (
    "case", "accuracy", "same answer as reference", "p50 ms", "p95", "p99", "session p50", "speed-up", "pictures/s",
    "CPU ms outside", "first result ms", "peak MB", "file MB",
)  # fmt: skip
JOULES = "J/picture"


def _table(report: Report, rows: Sequence[Row], names: Mapping[str, str]) -> str:
    speed = {r.row: r.speedup for r in report.ratios if r.stage == "inference"}
    more = held.heads(rows)
    heads = [*HEADS, *([JOULES] if any(map(_joules, rows)) else []), *more]
    lines = []
    for i, row in enumerate(rows):
        title = f'<span class="sw s{i % 8 + 1}"></span>{escape(names[row.name])}'
        if row.status == "failed":
            why = escape(row.failure.what if row.failure else "")
            lines.append(f'<tr class="failed"><td>{title}</td><td class="l" colspan="{len(heads) - 1}">{why}</td></tr>')
            continue
        if row.verified is False:
            title += '<span class="tag">not verified: no speed shown</span>'
        elif row.timing and not row.timing.stability.stable:
            title += '<span class="tag warn">unstable</span>'
        cells = [_accuracy(row), _agreement(row), *_figures(row, speed.get(row.name))]
        cells += ["–" if (joules := _joules(row)) is None else f"{joules:.3g}"] if JOULES in heads else []
        cells += held.cells(row, more)
        wide = {HEADS[2]: ' class="w"'}
        shown = (f'<td{wide.get(h, "")} data-l="{escape(h)}">{c}</td>' for h, c in zip(heads[1:], cells, strict=True))
        lines.append(f"<tr><td>{title}</td>{''.join(shown)}</tr>")
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _figures(row: Row, speed: Span | None) -> list[str]:
    """Everything about speed and size; dashes where a file is not verified."""
    if row.timing is None or row.verified is False:
        return ["–"] * (len(HEADS) - 3)
    t, c = row.timing, row.cold
    whole, span = t.stages["end_to_end"], t.intervals["end_to_end.p50"]
    return [
        f"{whole.p50:.2f}{_iv(f'{span.low:.1f}–{span.high:.1f}')}",
        number(whole.p95, "–"),
        number(whole.p99, "–"),
        f"{t.session.p50:.2f}" if t.session else "–",
        "1" if speed is None else f"{speed.value:.2f}×{_iv(f'{speed.low:.2f}–{speed.high:.2f}')}",
        f"{t.throughput:.1f}",
        "–" if t.cpu_outside is None else f"{t.cpu_outside:.2f}",
        f"{c.first_result:.0f}" if c and c.first_result else "–",
        f"{c.peak_mb:.0f}" if c and c.peak_mb else "–",
        f"{row.file_bytes / 1e6:.1f}" if row.file_bytes else "–",
    ]


def _joules(row: Row) -> float | None:
    return None if row.timing is None or row.verified is False else row.timing.energy.get("joules_per_inference")


def _accuracy(row: Row) -> str:
    metric = main_metric(row)
    if metric is None:
        return "–"
    name, span = metric_named(metric[0]), metric[1]
    return f"{name.label} {name.text(span.value)}{_iv(f'{name.text(span.low)}–{name.text(span.high)}')}"


def _agreement(row: Row) -> str:
    if row.agreement is None:
        return "–"
    told = row.agreement.verdict + (f", p {row.agreement.p_value:.2g}" if row.agreement.p_value is not None else "")
    share = row.agreement.share
    return f"{share.value:.1%}{_iv(told)}" if share else f"not measured{_iv('neither shows a box')}"


def _environment(report: Report) -> str:
    env = {**report.environment}
    versions = env.pop("versions", None) or {}
    facts = [(k.replace("_", " "), ", ".join(map(str, v)) if isinstance(v, list) else v) for k, v in env.items()]
    facts += [(f"before: {k.replace('_', ' ')}", v) for k, v in report.before.items()]
    facts += [(f"after: {k.replace('_', ' ')}", v) for k, v in report.after.items()]
    facts += [(name, version) for name, version in versions.items()]
    settings: list[tuple[str, object]] = []
    for key, value in report.settings.items():
        settings += [(f"{key}: {k}", v) for k, v in value.items()] if isinstance(value, dict) else [(key, value)]
    energy = sorted({row.timing.energy["source"] for row in report.rows if row.timing})
    method = (*METHOD, f"Energy: {'; '.join(energy) or 'not measured'}.")
    items = "".join(f"<li>{escape(m)}</li>" for m in method)
    return (
        '<h2 id="environment">Environment and method</h2><div class="grid">'
        f'<div class="card"><h3>Machine and versions</h3>{_facts(facts)}</div>'
        f'<div class="card"><h3>Method</h3><ul style="padding-left:18px;margin:8px 0 14px">{items}</ul>'
        f"<h3>Settings</h3>{_facts(settings, 'Not set')}</div></div>"
        f"<footer>edgekit {escape(str(report.environment.get('edgekit')))} · report version {report.version} · the "
        "figures are in bench.json beside this file</footer>"
    )


def _facts(facts: Sequence[tuple[str, object]], missing: str = "Not readable here") -> str:
    """What is known, a line each; the names of the rest in one."""
    shown = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts if v is not None)
    unknown = ", ".join(k for k, v in facts if v is None)
    return f"<dl>{shown}</dl>" + (f'<p class="note">{missing}: {escape(unknown)}.</p>' if unknown else "")


def _iv(text: str) -> str:
    return f'<span class="iv">{escape(text)}</span>'
