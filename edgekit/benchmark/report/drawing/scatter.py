"""Charts of two figures against each other: rows of a report in a scatter, and layers under the roof."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edgekit.benchmark.report.drawing.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Box,
    Canvas,
    Scale,
    Titles,
    axes,
    legend,
    number,
    padded,
    place_labels,
    plot_height,
    shortened,
)


@dataclass(frozen=True)
class Point:
    """A place in a scatter: x and y with what they may be off, and how big it is drawn."""

    name: str
    x: float
    y: float
    x_low: float | None = None
    x_high: float | None = None
    y_low: float | None = None
    y_high: float | None = None
    weight: float | None = None
    series: int = 1


def scatter(
    points: Sequence[Point], width: float, titles: Titles,
    *, log: bool = False, front: bool = False, weights: str = "", percent: bool = True,
) -> str:  # fmt: skip
    """Points with error bars and names; with `front` the points that no other beats in both are joined.

    Args:
        front: small x and large y are better.
        weights: what the area of a bubble stands for.
        percent: y is a share, shown in percent.
    """
    height = 340.0 if width >= 500 else plot_height(width, 300)
    canvas = Canvas(width, height, titles.chart)
    scale = 100.0 if percent else 1.0
    xs = [v for p in points for v in (p.x, p.x_low, p.x_high) if v is not None and v > 0]
    ys = [v * scale for p in points for v in (p.y, p.y_low, p.y_high) if v is not None]
    x_range = padded(xs, log, 0.14)
    y_range = padded(ys, share=0.1, floor=0.0, ceiling=100.0 if percent else None)
    x = Scale(*x_range, LEFT, width - RIGHT - 8, log)
    y = Scale(*y_range, height - BOTTOM, TOP)
    axes(canvas, x, y, titles.x, titles.y, y_unit="%" if percent else "")
    if front:
        joined = pareto([(p.x, p.y) for p in points])
        steps: list[tuple[float, float]] = []
        for i in joined:
            at = (x(points[i].x), y(points[i].y * scale))
            if steps:
                steps.append((at[0], steps[-1][1]))
            steps.append(at)
        canvas.path(steps, "l front")
    largest = max((p.weight or 0 for p in points), default=0)
    dots = []
    bars: list[Box] = []
    for p in points:
        px, py = x(p.x), y(p.y * scale)
        radius = 5.5 if p.weight is None or largest <= 0 else 5 + 17 * math.sqrt(p.weight / largest)
        if p.x_low is not None and p.x_high is not None:
            canvas.line(x(p.x_low), py, x(p.x_high), py, f"e s{p.series}")
            bars.append(Box(x(p.x_low), py - 1, x(p.x_high), py + 1))
        if p.y_low is not None and p.y_high is not None:
            canvas.line(px, y(p.y_low * scale), px, y(p.y_high * scale), f"e s{p.series}")
            bars.append(Box(px - 1, y(p.y_high * scale), px + 1, y(p.y_low * scale)))
        tip = f"{p.name}: {number(p.x)} · {p.y * scale:.2f}{'%' if percent else ''}"
        if p.weight is not None:
            tip += f" · {number(p.weight)} {weights}"
        canvas.add(
            "circle", tip=tip, cx=px, cy=py, r=radius, cls=f"d s{p.series}{' o' if p.weight is not None else ''}"
        )
        dots.append((px, py, radius))
    frame = Box(LEFT + 2, TOP, width - 2, height - BOTTOM - 2)
    texts = [shortened(p.name, width * 0.5) for p in points]
    for label, (px, py, radius) in zip(place_labels(dots, texts, frame, crossed=bars), dots, strict=True):
        if label is None:
            continue
        if label.far:
            edge = min(max(px, label.box.x0), label.box.x1), min(max(py, label.box.y0), label.box.y1)
            away = math.hypot(edge[0] - px, edge[1] - py) or 1.0
            start = px + (edge[0] - px) * radius / away, py + (edge[1] - py) * radius / away
            canvas.line(*start, *edge, "lead")
        canvas.text(label.x, label.y, label.text, "k hl")
    return canvas.render()


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other beats in both (smaller x, larger y), by x."""
    best = -math.inf
    kept = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[i][1] > best:
            kept.append(i)
            best = points[i][1]
    return kept


@dataclass(frozen=True)
class Work:
    """A layer under the roof: its multiply-adds a byte, what it reached, and how much of the time it takes."""

    name: str
    intensity: float
    gmacs: float
    share: float


def roofline(
    series: Mapping[str, Sequence[Work]], peaks: Mapping[str, float], copy_gb: float, width: float, title: str,
    rings: Collection[str] = (),
) -> str:  # fmt: skip
    """What bounds each layer: the copy (the slope) or the arithmetic (the flat roof). Williams et al. 2009.

    Args:
        peaks: 1e9 multiply-adds a second by precision, as measured.
        copy_gb: 1e9 bytes a second, as measured.
        rings: series whose layers are rings, so that those below them are seen.
    """
    canvas = Canvas(width, 0, title)
    top = legend(canvas, list(series), LEFT, 12, width - LEFT - RIGHT, rings) + 16
    canvas.height = top + plot_height(width, 240) + BOTTOM
    works = [w for layers in series.values() for w in layers if w.gmacs > 0 and w.intensity > 0]
    ridge = [p / copy_gb for p in peaks.values()]
    x = Scale(*padded([*(w.intensity for w in works), *ridge], True, 0.06), LEFT, width - RIGHT, True)
    least = max(min((w.gmacs for w in works), default=1.0), max(peaks.values()) / 1e4)
    y = Scale(*padded([least, *peaks.values(), *(w.gmacs for w in works if w.gmacs >= least)], True, 0.05),
              canvas.height - BOTTOM, top, True)  # fmt: skip
    axes(canvas, x, y, "multiply-adds a byte", "1e9 multiply-adds a second")
    roofs = sorted(peaks.items(), key=lambda item: item[1])
    for name, peak in roofs:
        start = max(x.low, y.low / copy_gb)
        bend = peak / copy_gb
        canvas.path([(x(start), y(start * copy_gb)), (x(bend), y(peak)), (x(x.high), y(peak))], "l roof")
        canvas.text(width - RIGHT - 4, y(peak) - 5, f"{name} {number(peak)}", "k hl", "end")
    at = max(x.low, y.low / copy_gb) * 1.3
    canvas.text(x(at) + 8, y(at * copy_gb) + 14, f"copy {copy_gb:.3g} GB/s", "k hl")
    marks = [(work, name, i % 8 + 1) for i, (name, layers) in enumerate(series.items()) for work in layers]
    for work, name, colour in sorted(marks, key=lambda mark: -mark[0].share):  # the small ones on top, whoever's
        if work.gmacs < least or work.intensity <= 0:
            continue
        tip = f"{name}, {work.name}: {number(work.gmacs)}e9 a second, {work.share:.1%} of the time"
        canvas.add("circle", tip=tip, cx=x(work.intensity), cy=y(work.gmacs), r=3 + 14 * math.sqrt(work.share),
                   cls=f"{'r' if name in rings else 'd o'} s{colour}")  # fmt: skip
    return canvas.render()
