"""The figures of the HTML report, each a card with a title, a line that says how to read it, and the drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape

from edgekit.benchmark.report.drawing import charts, scatter
from edgekit.benchmark.report.drawing.scatter import Point
from edgekit.benchmark.report.drawing.svg import Titles
from edgekit.benchmark.report.rows import main_metric
from edgekit.benchmark.schema import Disagreement, Report, Row
from edgekit.tasks import Task, metric_named, task_of

HALF, FULL, PHONE, PAPER = 520.0, 1090.0, 326.0, 250.0
SHOWN_CLASSES = 16
SERIES = 8  # lines of a chart, a colour each
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


def thresholds(rows: Sequence[Row], names: Names) -> str:
    """Of each file of a detector how recall and precision go with the threshold, a line a class."""
    out = ""
    for i, row in _distinct(rows):
        found = row.accuracy
        if found is None or not found.curves:
            continue
        most = sorted(found.curves, key=lambda name: -found.class_counts.get(name, 0))[:SERIES]
        curves = {name: [(100 * at.recall, at.precision) for at in found.curves[name]] for name in most}
        rings = {name: (100 * at.recall, at.precision) for name, at in found.operating.items() if name in curves}
        note = "A line a class, a dot at each of ten thresholds, matched at an IoU of 0.5"
        note += "; the ring is the model's own threshold." if rings else "."
        if len(most) < len(found.curves):
            note += f" {len(found.curves) - len(most)} classes of fewer objects are in bench.json."
        titles = Titles("Precision and recall", "recall, %", "precision")
        draw = partial(charts.lines, curves, titles=titles, percent=True, rings=rings)
        out += card(f"Precision and recall: {names[row.name]}", note, lambda w, d=draw: d(width=w), printed=not i)  # type: ignore[misc]
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
