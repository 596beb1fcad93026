"""The report's charts, drawn with `svg.py`. Each takes its data and a width, and gives an SVG.

Series take the colours s1 to s8 in order. A chart is drawn once wide and once for a phone, not squeezed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgekit.benchmark.report.drawing.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    SMALL,
    TOP,
    Canvas,
    Scale,
    Titles,
    axes,
    legend,
    number,
    padded,
    plot_height,
    shortened,
    text_width,
)
from edgekit.metrics.classification import clopper_pearson
from edgekit.metrics.percentiles import percentile, percentile_if_enough

DENSITY = 120  # points of a distribution's outline


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]], width: float, titles: Titles,
    *, percent: bool = False, pictures: Mapping[str, int] | None = None,
    rings: Mapping[str, tuple[float, float]] | None = None,
) -> str:  # fmt: skip
    """Series over a common x, with a legend.

    Args:
        percent: y is a share, shown in percent.
        pictures: of each series how many a share was counted on: its exact intervals are drawn as bars.
        rings: of some series a place that is marked with a ring.
    """
    names = list(series)
    canvas = Canvas(width, 0, titles.chart)
    top = legend(canvas, names, LEFT, 12, width - LEFT - RIGHT) + 16
    canvas.height = top + plot_height(width, 190) + BOTTOM
    scale = 100.0 if percent else 1.0
    every = [p for points in (*series.values(), (rings or {}).values()) for p in points]
    bars = {name: [clopper_pearson(round(b * n), n) for _, b in series[name]] for name, n in (pictures or {}).items()}
    ys = [p[1] * scale for p in every] + [end * scale for spans in bars.values() for span in spans for end in span]
    x_values = [p[0] for p in every]
    low, high = min(x_values), max(x_values)
    x = Scale(low, high if high > low else low + 1, LEFT, width - RIGHT)
    y_range = padded(ys, share=0.06, floor=0.0, ceiling=100.0 if percent else None)
    y = Scale(*y_range, canvas.height - BOTTOM, top)
    axes(canvas, x, y, titles.x, titles.y, y_unit="%" if percent else "")
    for i, name in enumerate(names):
        colour = i % 8 + 1
        aside = 4.0 * (i - (len(names) - 1) / 2) if bars else 0.0  # bars of the same x would lie on each other
        points = [(x(a) + aside, y(b * scale)) for a, b in series[name]]
        canvas.path(points, f"l s{colour}")
        for (px, _), (low, high) in zip(points, bars.get(name, ()), strict=False):
            canvas.line(px, y(low * scale), px, y(high * scale), f"e s{colour}")
        for (px, py), (a, b) in zip(points, series[name], strict=True):
            tip = f"{name}: {number(b * scale)}{'%' if percent else ''} at {number(a)}"
            canvas.add("circle", tip=tip, cx=px, cy=py, r=3.2, cls=f"d s{colour}")
        if rings and name in rings:
            a, b = rings[name]
            canvas.add("circle", tip=f"{name}: {number(b * scale)}{'%' if percent else ''} at {number(a)}",
                       cx=x(a), cy=y(b * scale), r=7, cls=f"r s{colour}")  # fmt: skip
    return canvas.render()


def time_series(blocks: Mapping[str, Sequence[tuple[float, float, Sequence[float]]]], width: float, title: str) -> str:
    """Every timing over the time, each turn of a case a run of dots, its median a bar.

    Args:
        blocks: of each case its turns: start in seconds, seconds, milliseconds [n].
    """
    names = list(blocks)
    canvas = Canvas(width, 0, title)
    top = legend(canvas, names, LEFT, 12, width - LEFT - RIGHT) + 16
    canvas.height = top + 200 + BOTTOM
    ends = [start + long for turns in blocks.values() for start, long, _ in turns]
    values = [v for turns in blocks.values() for _, _, ms in turns for v in ms]
    log = max(values) / min(values) > 12
    x = Scale(0, max(ends), LEFT, width - RIGHT)
    y = Scale(*padded(values, log, 0.04, floor=0.0), canvas.height - BOTTOM, top, log)
    axes(canvas, x, y, "seconds", "ms end to end" + (", logarithmic" if log else ""))
    for i, name in enumerate(names):
        colour = i % 8 + 1
        for start, long, ms in blocks[name]:
            at = np.linspace(start, start + long, len(ms)) if len(ms) > 1 else np.array([start])
            # of many dots that would lie on each other, every n-th and each of the largest
            step = max(1, len(ms) // 160)
            keep = {*range(0, len(ms), step), *np.argsort(ms)[-3:].tolist()}
            d = "".join(f"M{x(at[j]):.1f} {y(ms[j]):.1f}h.01" for j in sorted(keep))
            canvas.add("path", d=d, cls=f"p s{colour}")
            middle = percentile(ms, 50)
            canvas.add("line", tip=f"{name}: p50 {middle:.2f} ms from {start:.0f} s on", x1=x(start), y1=y(middle),
                       x2=max(x(start + long), x(start) + 3), y2=y(middle), cls=f"m s{colour}")  # fmt: skip
    return canvas.render()


def distributions(samples: Mapping[str, Sequence[float]], width: float, title: str) -> str:
    """One row a case: the outline of its density, with p50, p95, p99 and the largest marked. The axis is logarithmic
    where the largest is more than ten times the smallest."""
    row, label = 54.0 if width >= SMALL else 38.0, 20.0
    canvas = Canvas(width, TOP + row * len(samples) + BOTTOM, title)
    values = [v for ms in samples.values() for v in ms]
    log = max(values) / min(values) > 10
    x = Scale(*padded(values, log, 0.02, floor=0.0), 12, width - RIGHT, log)
    bottom = canvas.height - BOTTOM
    for tick in x.ticks(max(3, round(width / 90))):
        canvas.line(x(tick), TOP - 10, x(tick), bottom)
        canvas.text(x(tick), bottom + 17, number(tick), "k", "middle")
    canvas.line(12, bottom, width - RIGHT, bottom, "a")
    canvas.text(width / 2, bottom + 34, "ms end to end" + (", logarithmic" if log else ""), "n", "middle")
    for i, (name, ms) in enumerate(samples.items()):
        base = TOP + row * (i + 1) - 6
        held = np.asarray(ms, dtype=np.float64)
        known = {f"p{q}": value for q in (50, 95, 99) if (value := percentile_if_enough(held, q)) is not None}
        marks = [(mark, value) for mark, value in known.items() if width > 400 or mark != "p95"]
        tail = "  ".join(f"{mark} {number(value)}" for mark, value in marks)
        canvas.text(12, base - row + label + 1, shortened(name, width - 40 - text_width(tail)), "k hl", tip=name)
        canvas.text(width - RIGHT, base - row + label + 1, tail, "k hl", "end")
        places = np.array([x(v) for v in held])
        at = np.linspace(12, width - RIGHT, DENSITY)
        quartiles = float(np.subtract(*np.percentile(places, [75, 25]))) / 1.34
        spread = max(1.5, 0.9 * min(float(places.std()), quartiles) * len(held) ** -0.2)  # Silverman 1986, (3.31)
        density = np.exp(-0.5 * ((at[:, None] - places[None, :]) / spread) ** 2).sum(axis=1)
        high = density / (density.max() or 1) * (row - label - 6)
        outline = [(float(a), base - float(h)) for a, h in zip(at, high, strict=True)]
        canvas.path([(12.0, base), *outline, (width - RIGHT, base)], f"b s{i % 8 + 1}", closed=True)
        for q in known.values():
            canvas.line(x(q), base + 3, x(q), base - (row - label - 6), f"q s{i % 8 + 1}")
        canvas.add(
            "circle",
            tip=f"largest {number(float(held.max()))} ms",
            cx=x(float(held.max())),
            cy=base,
            r=2.5,
            cls=f"d s{i % 8 + 1}",
        )
    return canvas.render()


def stacked(rows: Mapping[str, Mapping[str, float]], width: float, title: str, unit: str = "ms") -> str:
    """A bar a case, its parts side by side, with their sum at the end."""
    parts = list(dict.fromkeys(k for values in rows.values() for k in values))
    canvas = Canvas(width, 0, title)
    y = legend(canvas, parts, 0, 12, width) + 6
    longest = max(sum(values.values()) for values in rows.values()) or 1.0
    room = width - 66
    for name, values in rows.items():
        canvas.text(0, y + 10, shortened(name, width), "k", tip=name)
        at = 0.0
        for i, part in enumerate(parts):
            long = values.get(part, 0.0) / longest * room
            if long > 0.05:
                canvas.add("rect", tip=f"{part}: {number(values[part])} {unit}", x=at, y=y + 16, height=16,
                           width=max(0.3, long - (1.5 if long > 4 else 0)), rx=2, cls=f"f s{i % 8 + 1}")  # fmt: skip
            shown = number(values.get(part, 0.0))
            if long > text_width(shown, 11) + 8:
                canvas.text(at + long / 2, y + 28, shown, "in", "middle")
            at += long
        canvas.text(at + 6, y + 28, f"{number(sum(values.values()))} {unit}", "k mono")
        y += 44
    canvas.height = y + 4
    return canvas.render()


def bars(values: Mapping[str, float], width: float, title: str, unit: str, digits: int = 1, series: int = 1) -> str:
    """Horizontal bars from a common zero, names on the left; negative ones go left and are red."""
    canvas = Canvas(width, 8 + 22.0 * len(values) + 8, title)
    names = min(width * 0.42, max((text_width(n) for n in values), default=0) + 8)
    low, high = min(0.0, *values.values()), max(0.0, *values.values())
    shown = {n: f"{v:+.{digits}f}{unit}" if low < 0 else f"{v:.{digits}f}{unit}" for n, v in values.items()}
    widest = max(text_width(s) for s in shown.values()) + 8
    left = names + (widest if low < 0 else 0)
    x = Scale(low, high if high > low else low + 1, left, width - (widest if high > 0 else 8))
    for i, (name, value) in enumerate(values.items()):
        y = 8 + 22.0 * i
        canvas.text(names - 6, y + 13, shortened(name, names - 8), "k", "end", tip=name)
        a, b = sorted((x(0), x(value)))
        colour = f"s{series}" if value >= 0 else "bad"
        canvas.add("rect", x=a, y=y + 3, width=max(1.0, b - a), height=14, rx=2, cls=f"f {colour}")
        canvas.text(
            x(value) + (5 if value >= 0 else -5), y + 14, shown[name], "k mono", "start" if value >= 0 else "end"
        )
    canvas.line(x(0), 4, x(0), canvas.height - 4, "a")
    return canvas.render()
