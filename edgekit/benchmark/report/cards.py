"""The figures of the HTML report, each a card with a title, a line that says how to read it, and the drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape

from edgekit.benchmark.report.drawing import charts, scatter
from edgekit.benchmark.report.drawing.scatter import Point
from edgekit.benchmark.report.drawing.svg import Titles
from edgekit.benchmark.report.rows import main_metric
from edgekit.benchmark.report.winners import share_of
from edgekit.benchmark.schema import Disagreement, Report, Row
from edgekit.screen import count_of
from edgekit.tasks import Metric, Task, metric_named, task_of

HALF, FULL, PHONE, PAPER = 520.0, 1090.0, 326.0, 250.0
SHOWN_CLASSES = 16
FEW = 20  # pictures of a class: with fewer one weighs much
PRINTED = 3  # pictures of a card on paper

BARS = "Bars are 95 % intervals"
Draw = Callable[[float], str]
Names = Mapping[str, str]


def card(title: str, note: str, draw: Draw, full: bool = False, extra: str = "", printed: bool = True) -> str:
    """A figure for a wide page, for a phone and for paper, of which the style sheet shows one.

    Args:
        printed: False leaves it out on paper, where something else says the same.
    """
    sized = {"wide": FULL if full else HALF, "narrow": PHONE, **({"paper": PAPER} if printed else {})}
    drawn = "".join(f'<div class="{kind}">{draw(width)}</div>' for kind, width in sized.items())
    more = (" full" if full else "") + ("" if printed else " screen")
    return (
        f'<figure class="card{more}"><h3>{escape(title)}</h3><p class="note">{escape(note)}</p>{drawn}{extra}</figure>'
    )


def pareto(rows: Sequence[Row], names: Names) -> str:
    """Accuracy against latency."""
    points = []
    metric_name = ""
    for i, row in enumerate(rows):
        metric = main_metric(row)
        if metric is None or row.timing is None:
            continue
        metric_name, share = metric
        span, n = row.timing.intervals["end_to_end.p50"], row.case.batch
        across = (span.value / n, share.value, span.low / n, span.high / n, share.low, share.high)
        x, y, x_low, x_high, y_low, y_high = across
        points.append(Point(names[row.name], x, y, x_low, x_high, y_low, y_high, series=i % 8 + 1))
    if not points:
        return ""
    metric_of_all = metric_named(metric_name)
    name = metric_of_all.label
    front, percent = metric_of_all.larger_is_better, metric_of_all.share
    log = max(p.x for p in points) / min(p.x for p in points) > 6
    x_title = "ms a picture, p50 end to end" + (", logarithmic" if log else "")

    def draw(width: float) -> str:
        return scatter.scatter(
            points, width, Titles(f"{name} against latency", x_title, name), log=log, front=front, percent=percent
        )

    note = f"{'Up' if front else 'Down'} and to the left is better. {BARS}"
    note += "; the dashed line joins what nothing beats in both." if front else "."
    return card(f"{name} against latency", note, draw)


def distribution(rows: Sequence[Row], names: Names) -> str:
    """Where the timings of each case lie: one strip a case."""
    samples = {names[r.name]: [v for b in r.timing.blocks for v in b.end_to_end] for r in rows if r.timing}
    if not samples:
        return ""
    note = "Every timing counts; none is removed. Lines at p50, and at p95 and p99 of enough, a dot at the largest."
    return card("Latency distribution", note, lambda w: charts.distributions(samples, w, "Latency distribution"))


def over_time(rows: Sequence[Row], names: Names) -> str:
    """Every timing in the order it was taken: what drifts or throttles shows."""
    blocks = {names[r.name]: [(b.start, b.seconds, b.end_to_end) for b in r.timing.blocks] for r in rows if r.timing}
    if not blocks:
        return ""
    note = "The cases take turns, so that what else the machine does meets all of them. Bars are each turn's median."
    draw = partial(charts.time_series, blocks, title="Latency over the time")
    return card("Over the time", note, lambda w: draw(width=w), full=True, printed=False)


def stages(rows: Sequence[Row], names: Names) -> str:
    """Read, resize, run and decode as bars."""
    order = ("decode", "preprocess", "inference", "post")
    bars = {names[r.name]: {s: r.timing.stages[s].p50 / r.case.batch for s in order} for r in rows if r.timing}
    if not bars:
        return ""
    return card("Where the time goes", "p50 of each stage, ms a picture.", lambda w: charts.stacked(bars, w, "Stages"))


def classes(rows: Sequence[Row], names: Names) -> str:
    """Of each file and runtime the classes that changed most against the reference."""
    if len(rows) < 2 or rows[0].accuracy is None:
        return ""
    base = rows[0].accuracy.classes
    out = ""
    for i, row in _distinct(rows):
        if i == 0 or row.accuracy is None:
            continue
        task = task_of(row.accuracy.task)
        metric = task.metric(task.main)
        changes = {
            name: metric.scale * (value - before)
            for name, value in row.accuracy.classes.items()
            if value is not None and (before := base.get(name)) is not None and value != before
        }
        if not changes:
            continue
        chosen = sorted(changes, key=lambda k: -abs(changes[k]))[:SHOWN_CLASSES]
        shown = {k: changes[k] for k in sorted(chosen, key=lambda k: changes[k])}
        note = f"{metric.label} against {names[rows[0].name]}{metric.unit}"
        if len(changes) > len(shown):
            note += f"; {len(changes) - len(shown)} others left out"
        counts = [row.accuracy.class_counts.get(k, 0) for k in shown]
        if max(counts) < FEW:
            few = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
            note += f". Only {few} a class were seen: one picture weighs much"
        draw = partial(charts.bars, shown, title="Changes per class", unit="", digits=1, series=i % 8 + 1)
        title, printed = f"Per class: {names[row.name]}", max(counts) >= FEW
        out += card(title, note + ".", lambda w, d=draw: d(width=w), printed=printed)  # type: ignore[misc]
    return out


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
        pictures = "".join(
            f'<figure style="margin:0"><img alt="{k}" src="data:image/jpeg;base64,{example[k]}">'
            f"{escape(example[k + '_text'])}</figure>"
            for k in ("clean", "perturbation", "attacked")
        )
        note = "The picture, what was added, and the sum."
        out += (
            f'<div class="card"><h3>{escape(example["title"])}</h3><p class="note">{note}</p>'
            f'<div class="triple">{pictures}</div></div>'
        )
    return out


def disagreements(rows: Sequence[Row], names: Names) -> str:
    """The pictures on which a file and the reference differ most."""
    out = ""
    for _, row in _distinct(rows):
        if row.agreement is None or not row.agreement.worst:
            continue
        told = Task.disagreements if row.accuracy is None else task_of(row.accuracy.task).disagreements
        figures = "".join(map(_picture, row.agreement.worst))
        full = " full" if len(row.agreement.worst) > 2 else ""
        left = len(row.agreement.worst) - PRINTED
        more = f'<p class="note onpaper">{left} more on the page.</p>' if left > 0 else ""
        out += (
            f'<div class="card{full}"><h3>Disagreements: {escape(names[row.name])}</h3><p class="note">{told}</p>'
            f'<div class="worst">{figures}</div>{more}</div>'
        )
    return out


def _picture(d: Disagreement) -> str:
    picture = f'<img alt="{escape(d.picture)}" src="data:image/jpeg;base64,{d.jpeg}">' if d.jpeg else ""
    return (
        f"<figure>{picture}<b>{escape(d.candidate)}</b><br>reference: {escape(d.reference)}<br>"
        f'<span class="sub">truth: {escape(d.truth)}</span></figure>'
    )


def operations(report: Report) -> str:
    """Accuracy against multiply-adds, parameters as the bubble, over all nets of one task."""
    points: dict[str, list[Point]] = {}
    seen = set()
    for row in report.rows:
        metric = main_metric(row)
        if metric is None or not row.macs or not row.params or (row.model, row.precision) in seen:
            continue
        seen.add((row.model, row.precision))
        name, share = metric
        held = points.setdefault(name, [])
        title = f"{row.model.split()[0]} {row.precision}"
        colour = len(held) % 8 + 1
        held.append(
            Point(title, row.macs / 1e9, share.value, None, None, share.low, share.high, float(row.params), colour)
        )
    cards = ""
    for metric_name, group in points.items():
        if len({point.x for point in group}) < 2:  # one net in several precisions: nothing to see
            continue
        label, percent = metric_named(metric_name).label, metric_named(metric_name).share
        title = f"{label} against operations"
        draw = partial(scatter.scatter, group, titles=Titles(title, "1e9 multiply-adds a picture", label),
                       weights="parameters", percent=percent)  # fmt: skip
        cards += card(title, "The bubble's area is the number of parameters.", lambda w, d=draw: d(width=w))  # type: ignore[misc]
    return cards


def _distinct(rows: Sequence[Row]) -> Iterator[tuple[int, Row]]:
    """The first row of each file and runtime: threads and batch change no answer."""
    seen = set()
    for i, row in enumerate(rows):
        key = (row.case.model, row.case.backend, row.case.provider)
        if key not in seen:
            seen.add(key)
            yield i, row
