"""Charts as text: scales, ticks, labels that keep apart. Colours are classes, so a page has two themes.

Coordinates are pixels of the drawing, y downwards. Text is measured by estimate, since there is no font here to ask.
Own code: a device that measures has no matplotlib, and its drawings follow no theme of the page.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

SIZE = 12.0  # pixels of text
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 26.0, 42.0  # pixels around a plot
SMALL = 300.0  # a drawing less wide is for paper, and less high too
_NARROW = set("iljtfrI.,:;'|!()[]·- ")
_WIDE = set("mwMW%@—")


def text_width(text: str, size: float = SIZE) -> float:
    """Pixels that a line of sans-serif text takes at most: estimated after DejaVu Sans, the widest in common use."""
    units = sum(0.36 if c in _NARROW else 0.97 if c in _WIDE else 0.7 if c.isupper() else 0.63 for c in text)
    return units * size


def shortened(text: str, width: float, size: float = SIZE) -> str:
    """`text`, with an ellipsis where it would be wider than `width`."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip(" ·-") + "…"


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about `count` of them: steps of 1, 2, 2.5 or 5 (Heckbert 1990)."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """1, 2, 5 of each power of ten, or the powers alone where those would be more than `most`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [m * 10.0**p for p in powers for m in steps if low * 0.999 <= m * 10.0**p <= high * 1.001]
        if len(found) <= most:
            break
    return found or [low, high]


def number(value: float) -> str:
    """A tick's or label's text: three figures, thousands as k, M, G."""
    size = abs(value)
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{value / {'G': 1e9, 'M': 1e6, 'k': 1e3}[unit]:.3g}{unit}"
    if size >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.3g}"


def plot_height(width: float, usual: float) -> float:
    """Of a drawing of this width: lower on paper, so that more stand on a page."""
    return usual if width >= SMALL else round(0.5 * usual)


@dataclass(frozen=True)
class Scale:
    """From values to pixels: `low` at `start`, `high` at `end`; logarithmic where asked."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            share = math.log(max(value, 1e-30) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """About `count` round values on the scale."""
        return log_ticks(self.low, self.high, count + 2) if self.log else nice_ticks(self.low, self.high, count)


def padded(values: Iterable[float], log: bool = False, share: float = 0.08, floor: float | None = None,
           ceiling: float | None = None) -> tuple[float, float]:  # fmt: skip
    """A range that holds `values` with some room around; a single value gets room too."""
    known = [v for v in values if math.isfinite(v)] or [1.0]
    low, high = min(known), max(known)
    if log:
        low, high = max(low, 1e-12), max(high, 1e-12)
        factor = max((high / low) ** share, 1.15)
        return low / factor, high * factor
    room = (high - low) * share or abs(high) * 0.1 or 1.0
    low, high = low - room, high + room
    return (max(low, floor) if floor is not None else low), (min(high, ceiling) if ceiling is not None else high)


@dataclass(frozen=True)
class Titles:
    """Of a chart, and of its two axes."""

    chart: str
    x: str
    y: str


@dataclass(frozen=True)
class Box:
    """x0 <= x1, y0 <= y1."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two have a place in common."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def inside(self, other: Box) -> bool:
        """Whether all of it lies in `other`."""
        return self.x0 >= other.x0 and self.x1 <= other.x1 and self.y0 >= other.y0 and self.y1 <= other.y1


@dataclass(frozen=True)
class Label:
    """A placed text: its left end and baseline, and whether it needs a line to its point."""

    text: str
    x: float
    y: float
    box: Box
    far: bool


def place_labels(
    points: Sequence[tuple[float, float, float]],
    texts: Sequence[str],
    frame: Box,
    size: float = SIZE,
    taken: Sequence[Box] = (),
    crossed: Sequence[Box] = (),
) -> list[Label | None]:
    """Texts beside their points, over no other text or point and inside `frame`; None where there is no room.

    Args:
        points: x, y, radius.
        taken: where nothing may stand.
        crossed: where a text is hard to read: only where there is no other room near.
    """
    dots = [Box(x - r - 1, y - r - 1, x + r + 1, y + r + 1) for x, y, r in points]
    placed: list[Box] = list(taken)
    result: list[Label | None] = [None] * len(points)
    for i in sorted(range(len(points)), key=lambda i: (points[i][1], points[i][0])):
        x, y, r = points[i]
        width = text_width(texts[i], size)
        steps = [(d, lines) for lines in (crossed, ()) for d in (4.0, 12.0, 22.0, 34.0, 48.0)]
        for distance, lines in steps:
            found = None
            for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
                cx = x + dx * (r + distance) + (0 if dx > 0 else -width if dx < 0 else -width / 2)
                cy = y + dy * (r + distance + (size * 0.4 if dx == 0 else 0))
                box = Box(cx - 1, cy - size * 0.6, cx + width + 1, cy + size * 0.6)
                if box.inside(frame) and not any(box.overlaps(b) for b in (*placed, *dots, *lines)):
                    found = Label(texts[i], cx, cy + size * 0.35, box, distance > 12)
                    break
            if found is not None:
                placed.append(found.box)
                result[i] = found
                break
    return result


@dataclass
class Canvas:
    """A drawing under way. `title` is what a reader who cannot see it is told."""

    width: float
    height: float
    title: str
    parts: list[str] = field(default_factory=list)

    def add(self, tag: str, text: str | None = None, tip: str | None = None, **attributes: object) -> None:
        """One element; `cls` is its class, `_` in a name becomes `-`, and `tip` is shown when pointed at."""
        inner = "" if text is None else escape(text)
        if tip is not None:
            inner += f"<title>{escape(tip)}</title>"
        words = " ".join(f'{_name(k)}="{_value(v)}"' for k, v in attributes.items() if v is not None)
        self.parts.append(f"<{tag} {words}/>" if not inner else f"<{tag} {words}>{inner}</{tag}>")

    def text(
        self, x: float, y: float, text: str, cls: str = "t", anchor: str = "start", tip: str | None = None
    ) -> None:
        """A text with its baseline at y and, by `anchor`, its start, middle or end at x; `tip`, where it is not the
        same, is shown when pointed at."""
        more = tip if tip != text else None
        self.add("text", text, more, x=x, y=y, cls=cls, text_anchor=None if anchor == "start" else anchor)

    def line(self, x1: float, y1: float, x2: float, y2: float, cls: str = "g") -> None:
        """A straight line, of the grid's look unless `cls` says another."""
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, cls=cls)

    def path(
        self, points: Sequence[tuple[float, float]], cls: str, closed: bool = False, tip: str | None = None
    ) -> None:
        """A line through `points`; nothing where there are none."""
        if points:
            d = "M" + "L".join(f"{_value(x)} {_value(y)}" for x, y in points) + ("Z" if closed else "")
            self.add("path", tip=tip, d=d, cls=cls)

    def render(self) -> str:
        """The drawing so far as an SVG element."""
        w, h = _value(self.width), _value(self.height)
        head = f'<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{escape(self.title)}">'
        return head + "".join(self.parts) + "</svg>"


def axes(canvas: Canvas, x: Scale, y: Scale, x_title: str, y_title: str, x_unit: str = "", y_unit: str = "") -> None:
    """Grid, ticks and titles; `x` and `y` say where the plot is. Tick texts that would touch are left out."""
    left, right, bottom, top = x.start, x.end, y.start, y.end
    for value in _ticks(y, round((bottom - top) / 50)):
        at = y(value)
        canvas.line(left, at, right, at)
        canvas.text(left - 6, at + 4, number(value) + y_unit, "k", "end")
    last = -math.inf
    for value in _ticks(x, round((right - left) / 80)):
        at, shown = x(value), number(value) + x_unit
        half = text_width(shown) / 2
        canvas.line(at, bottom, at, bottom + 4, "a")
        if at - half > last + 6:
            canvas.text(at, bottom + 17, shown, "k", "middle")
            last = at + half
    canvas.line(left, bottom, right, bottom, "a")
    half = text_width(x_title, 11.5) / 2
    canvas.text(max(half, min((left + right) / 2, canvas.width - half)), bottom + 34, x_title, "n", "middle")
    canvas.text(2, top - 10, y_title, "n")


def _ticks(scale: Scale, count: int) -> list[float]:
    """About `count`, and two at least where round numbers allow: one alone gives no scale."""
    tried = [scale.ticks(n) for n in range(max(2, count), max(2, count) + 5)]
    return next((found for found in tried if len(found) > 1), tried[0])


def legend(
    canvas: Canvas, names: Sequence[str], x: float, y: float, width: float, hollow: Collection[str] = ()
) -> float:
    """Squares with names, in as many lines as it takes; the y below them. Colours are the classes s1, s2, ..."""
    at, line = x, 18 if canvas.width >= SMALL else 15
    for i, name in enumerate(names):
        shown = shortened(name, width - 20)
        need = 18 + text_width(shown) + 14
        if at > x and at + need - 14 > x + width:
            at, y = x, y + line
        canvas.add(
            "rect", x=at, y=y - 9, width=10, height=10, rx=2, cls=f"{'r' if name in hollow else 'f'} s{i % 8 + 1}"
        )
        canvas.text(at + 15, y, shown, "k", tip=name)
        at += need
    return y + line


def _name(key: str) -> str:
    return "class" if key == "cls" else key.replace("_", "-")


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escape(str(value))
