"""The cards of what a model stands: corruptions by severity and kind, attacks, and its objects erased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape

from edgekit.benchmark.report.cards import BARS, Names, card
from edgekit.benchmark.report.drawing import charts
from edgekit.benchmark.report.drawing.svg import Titles
from edgekit.benchmark.report.winners import share_of
from edgekit.benchmark.schema import Row, Span
from edgekit.screen import count_of
from edgekit.tasks import Metric, metric_named


def robustness(rows: Sequence[Row], names: Names) -> str:
    """Curves by severity, and what costs most."""
    held = [(row, row.robustness) for row in rows if row.robustness and row.robustness.corruptions]
    if not held:
        return ""
    named = metric_named(held[0][1].metric)
    metric, percent = named.label, named.share
    curves = {}
    for row, r in held:
        by_severity = list(zip(*r.corruptions.values(), strict=True))
        means = [sum(s) / len(s) for s in by_severity]
        curves[names[row.name]] = [(0.0, r.clean), *((i + 1.0, mean) for i, mean in enumerate(means))]
    spans = {names[row.name]: r.n for row, r in held} if named.rate else {}
    note = f"Mean {metric} over all corruptions, by severity; 0 is clean. {count_of(held[0][1].n, 'picture')}."
    note += f" {BARS}." if spans else f" {metric} has no interval here: small differences mean nothing."
    chart = card(
        "What a camera meets",
        note,
        lambda w: charts.lines(curves, w, Titles("Robustness", "severity", metric), percent=percent, pictures=spans),
    )
    first = held[0][1]
    cost = {k: named.scale * (sum(v) / len(v) - first.clean) for k, v in first.corruptions.items()}
    ordered = dict(sorted(cost.items(), key=lambda item: item[1]))
    drop = card(
        f"What costs most: {names[held[0][0].name]}",
        f"Mean change of {metric} over five severities{named.unit}.",
        lambda w: charts.bars(ordered, w, "Cost of each corruption", ""),
        printed=False,  # the table has them
    )
    return chart + drop


def corruptions(rows: Sequence[Row], names: Names) -> str:
    """Every corruption of every case, with intervals where pictures are counted."""
    held = [(row, row.robustness) for row in rows if row.robustness and row.robustness.corruptions]
    if not held:
        return ""
    metric = metric_named(held[0][1].metric)
    heads = ("clean", "mean", "worst", *(kind.replace("_", " ") for kind in held[0][1].corruptions))
    lines = ""
    for row, r in held:
        cells = [r.clean, r.average, r.worst, *(sum(v) / len(v) for v in r.corruptions.values())]
        texts = ["–" if c is None else metric.text(c) for c in cells]
        if metric.rate:
            texts = [t if c is None else t + _wide(c, r.n, metric) for t, c in zip(texts, cells, strict=True)]
        shown = "".join(f'<td data-l="{escape(h)}">{c}</td>' for h, c in zip(heads, texts, strict=True))
        lines += f"<tr><td>{escape(names[row.name])}</td>{shown}</tr>"
    head = "".join(f"<th>{escape(h)}</th>" for h in ("case", *heads))
    note = f"{metric.label} of {count_of(held[0][1].n, 'picture')}, the mean of five severities."
    if metric.rate:
        note += " Below it the 95 % interval, as wide as so many pictures make it"
        note += '<span class="onpaper">, on paper of clean, mean and worst alone</span>.'
    return (
        f'<div class="card full table-card"><h3>By corruption</h3><p class="note">{note}</p><div class="table">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></div>"
    )


def _wide(value: float, n: int, metric: Metric) -> str:
    span = share_of(value, n)
    return f'<span class="iv">{escape(metric.text(span.low))}–{escape(metric.text(span.high))}</span>'


def attacks(rows: Sequence[Row], names: Names) -> str:
    """A curve a kind of attack, and an example."""
    held = [(row, row.robustness) for row in rows if row.robustness]
    kinds = list(dict.fromkeys(kind for _, r in held for kind in r.attacks))
    titles = {"fgsm": "Attack: FGSM", "pgd": "Attack: PGD", "patch": "Attack: a patch"}
    out = ""
    for kind in kinds:
        curves = {
            names[row.name]: [(float(e), v) for e, v in r.attacks[kind].items()] for row, r in held if kind in r.attacks
        }
        unit = "side of the patch, % of the picture's" if kind == "patch" else "eps in 255ths, pixels are whole levels"
        counts = {names[row.name]: r.attacked[kind] for row, r in held if kind in r.attacked}
        draw = partial(charts.lines, curves, titles=Titles(kind, unit, "top-1"), percent=True, pictures=counts)
        note = "Made on the checkpoint, scored on every file."
        if counts:
            note += f" {count_of(min(counts.values()), 'picture')}. {BARS}."
        out += card(titles.get(kind, kind), note, lambda w, d=draw: d(width=w))  # type: ignore[misc]
    example = next((e for _, r in held for e in r.examples), None)
    if example is not None:
        out += _three(example, ("clean", "perturbation", "attacked"), "The picture, what was added, and the sum.")
    return out


def erased(rows: Sequence[Row], names: Names) -> str:
    """What each case still says with the objects erased, and pictures of the first that has some."""
    held = [(row, row.erased) for row in rows if row.erased is not None]
    if not held:
        return ""
    heads = ("whole", "objects erased", "as much erased elsewhere", "objects alone", "reading")
    lines = ""
    for row, found in held:
        for one in found.classes:
            texts = (*map(_share, (one.whole, one.still, one.elsewhere, one.alone)), escape(one.reading))
            shown = "".join(f'<td data-l="{h}">{c}</td>' for h, c in zip(heads, texts, strict=True))
            lines += f"<tr><td>{escape(names[row.name])}: {escape(one.label)}</td>{shown}</tr>"
    head = "".join(f"<th>{h}</th>" for h in ("case", *heads))
    first = held[0][1]
    note = f"{count_of(first.n, 'picture')} of {escape(first.data)}: the share of which it says the class, of the "
    note += "whole picture; of those of which it does, with the objects filled from around, and with as much filled "
    note += (
        "elsewhere; and of the objects alone. Below it the 95 % interval. What stays without the object was not the "
    )
    note += "object."
    out = (
        f'<div class="card full table-card"><h3>Right for the right reason?</h3><p class="note">{note}</p>'
        f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></div>'
    )
    shown_of = next((pair for pair in held if pair[1].examples), None)
    if shown_of is not None:
        note = f"What {names[shown_of[0].name]} says of it, of it without the objects, and of the objects."
        out += "".join(_three(example, ("whole", "erased", "alone"), note) for example in shown_of[1].examples)
    return out


def _share(span: Span | None) -> str:
    if span is None:
        return "–"
    return f'{span.value:.1%}<span class="iv">{span.low:.1%}–{span.high:.1%}</span>'


def _three(example: Mapping[str, str], kinds: Sequence[str], note: str) -> str:
    """A card of three pictures, each with its text below."""
    pictures = "".join(
        f'<figure style="margin:0"><img alt="{k}" src="data:image/jpeg;base64,{example[k]}">'
        f"{escape(example[k + '_text'])}</figure>"
        for k in kinds
    )
    return (
        f'<div class="card"><h3>{escape(example["title"])}</h3><p class="note">{escape(note)}</p>'
        f'<div class="triple">{pictures}</div></div>'
    )
