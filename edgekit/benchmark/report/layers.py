"""Layer by layer: two precisions or two runtimes side by side, and each layer below the machine's roof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape

from edgekit.benchmark.report.cards import card
from edgekit.benchmark.report.drawing import scatter
from edgekit.benchmark.report.drawing.scatter import Work
from edgekit.benchmark.report.rows import groups, short_names
from edgekit.benchmark.schema import LayerCost, Layers, Report, Row

SHOWN, PRINTED = 12, 4
Names = Mapping[str, str]


def tables(rows: Sequence[Row], names: Names) -> str:
    """The dearest layers of each runtime, a precision beside the reference's; of one precision, its runtimes."""
    held = [row for row in rows if row.layers is not None]
    found = "".join(_table(a, b, names) for a, b in pairs(held))
    return f'<div class="pair">{found}</div>' if found else ""


def pairs(rows: Sequence[Row]) -> list[tuple[Row, Row | None]]:
    """Which rows stand beside each other: alike but for the precision, or alike but for the runtime; then alone."""
    left, found = list(rows), []
    while left:
        first = left.pop(0)
        others = [row for row in left if _settings(row) == _settings(first)]
        other = next(
            (row for row in others if row.precision != first.precision and _runtime(row) == _runtime(first)), None
        )
        if other is None:
            other = next((row for row in others if row.sha256 == first.sha256 and row.sha256), None)
            if other is not None and any(
                r.precision != other.precision and _runtime(r) == _runtime(other) for r in rows
            ):
                other = None  # which has a precision of its own to stand beside
        if other is not None:
            left = [row for row in left if row is not other]
        found.append((first, other))
    return found


def _settings(row: Row) -> tuple[int, int, int]:
    return row.case.threads, row.case.batch, row.case.streams


def _runtime(row: Row) -> tuple[str, str]:
    return row.case.backend, row.case.provider


def _table(a: Row, b: Row | None, names: Names) -> str:
    assert a.layers is not None
    if b is None or b.layers is None:
        return _alone(a.layers, names[a.name])
    theirs = {layer.node: layer for layer in b.layers.layers if layer.node is not None}
    both = [(layer, theirs[layer.node]) for layer in a.layers.layers if layer.node is not None and layer.node in theirs]
    if not both:
        return _alone(a.layers, names[a.name]) + _alone(b.layers, names[b.name])
    both.sort(key=lambda pair: -max(pair[0].ms, pair[1].ms))
    shown, rest = both[:SHOWN], both[SHOWN:]
    mine, other = map(escape, _apart(names[a.name], names[b.name]))
    errors = any(y.error is not None for _, y in both)
    heads = ["layer", f"ms, {mine}", f"ms, {other}", "times as fast", f"MB moved, {mine}", f"MB moved, {other}"]
    lines = _printed([_line(_named(x, y), x, y, heads, errors) for x, y in shown])
    total = (a.layers.total_ms, b.layers.total_ms)
    sums = [sum(x.ms for x, _ in both), sum(y.ms for _, y in both)]
    if rest:
        lines += _sums(
            f"{len(rest)} more of these", sum(x.ms for x, _ in rest), sum(y.ms for _, y in rest), heads, errors
        )
    lines += _sums(
        "additions, pooling, conversions and the like", total[0] - sums[0], total[1] - sums[1], heads, errors
    )
    lines += _sums("all", *total, heads, errors, "sum")
    head = "".join(f"<th>{h}</th>" for h in (*heads, *(["error"] if errors else [])))
    note = f"Convolutions and products, slowest first. {escape(a.layers.source)}"
    note += f"; {escape(b.layers.source)}." if b.layers.source != a.layers.source else "."
    if errors:
        note += " Error: the difference's root mean square over that of the output."
    return _card(f"Layer by layer: {escape(names[a.name])} and {escape(names[b.name])}", note, head, lines)


def _apart(a: str, b: str) -> tuple[str, str]:
    """What differs of two rows' names: of `fp32 · openvino` and `int8 · openvino` the precision."""
    mine, other = a.split(" · "), b.split(" · ")
    if len(mine) != len(other) or mine == other:
        return a, b
    differ = [(x, y) for x, y in zip(mine, other, strict=True) if x != y]
    return " · ".join(x for x, _ in differ), " · ".join(y for _, y in differ)


def _named(x: LayerCost, y: LayerCost) -> str:
    """The file's own name of a layer, with what each runtime calls it where that is another."""
    own = str(x.node)
    other = [f"{layer.name} ({layer.kind})" for layer in (x, y) if layer.name != own]
    kind = x.kind if x.kind == y.kind else f"{x.kind}, {y.kind}"
    return (
        f'<span title="{escape(" and ".join(other) or own)}">{escape(own)}</span><span class="iv">{escape(kind)}</span>'
    )


def _line(name: str, x: LayerCost, y: LayerCost, heads: Sequence[str], errors: bool) -> str:
    cells = [f"{x.ms:.3f}", f"{y.ms:.3f}", _times(x.ms, y.ms), _mb(x.bytes), _mb(y.bytes)]
    cells += ["–" if y.error is None else f"{y.error:.1%}"] if errors else []
    return _row(name, cells, heads, errors)


def _sums(name: str, x: float, y: float, heads: Sequence[str], errors: bool, cls: str = "") -> str:
    cells = [f"{x:.3f}", f"{y:.3f}", _times(x, y), "", ""] + ([""] if errors else [])
    return _row(escape(name), cells, heads, errors, cls)


def _row(name: str, cells: Sequence[str], heads: Sequence[str], errors: bool, cls: str = "") -> str:
    titles = [*heads[1:], *(["error"] if errors else [])]
    shown = "".join(f'<td data-l="{h}">{c}</td>' if c else "<td></td>" for h, c in zip(titles, cells, strict=True))
    mark = f' class="{cls}"' if cls else ""
    return f"<tr{mark}><td>{name}</td>{shown}</tr>"


def _printed(lines: Sequence[str]) -> str:
    """The rows, of which paper has the first, and a line that says where the others are."""
    left = len(lines) - PRINTED
    if left < 2:
        return "".join(lines)
    rest = (line.replace("<tr>", '<tr class="screen">', 1) for line in lines[PRINTED:])
    told = f'<tr class="onpaper"><td class="l" colspan="9">the next {left} are on the page and in bench.json</td></tr>'
    return "".join((*lines[:PRINTED], *rest, told))


def _times(before: float, now: float) -> str:
    if before <= 0 or now <= 0:
        return "–"
    return f"{before / now:.2f}" if before >= now else f'<span class="tag">{before / now:.2f}</span>'


def _mb(size: int | None) -> str:
    return "–" if size is None else f"{size / 1e6:.2f}"


def _alone(layers: Layers, name: str) -> str:
    longest = sorted(layers.layers, key=lambda layer: -layer.ms)
    shown, rest = longest[:SHOWN], longest[SHOWN:]
    heads = ["layer", "ms", "of all", "MB moved"]
    dearest = []
    for layer in shown:
        title = f'{escape(layer.name)}<span class="iv">{escape(layer.kind)}</span>'
        cells = [f"{layer.ms:.3f}", f"{layer.ms / layers.total_ms:.1%}", _mb(layer.bytes)]
        dearest.append(_row(title, cells, heads, False))
    lines = _printed(dearest)
    if rest:
        spent = sum(layer.ms for layer in rest)
        lines += _row(f"{len(rest)} more", [f"{spent:.3f}", f"{spent / layers.total_ms:.1%}", ""], heads, False)
    lines += _row("all", [f"{layers.total_ms:.3f}", "", ""], heads, False, "sum")
    head = "".join(f"<th>{h}</th>" for h in heads)
    return _card(f"Layer by layer: {escape(name)}", f"The slowest first. {escape(layers.source)}.", head, lines)


def _card(title: str, note: str, head: str, lines: str) -> str:
    return (
        f'<div class="card"><h3>{title}</h3><p class="note">{note}</p><div class="table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></div>"
    )


def roofline(report: Report) -> str:
    """Each layer against the machine's measured peak and bandwidth, a drawing a model; a runtime has its own marks."""
    peak = report.peak
    held = {model: [row for row in rows if row.layers] for model, rows in groups(report).items()}
    held = {model: rows for model, rows in held.items() if rows}
    if peak is None or not held:
        return ""
    charts = ""
    for model, rows in held.items():
        names = short_names(groups(report)[model])
        runtimes = list(dict.fromkeys(_runtime(row) for row in rows))
        series, rings, shares = {}, set(), ""
        for row in rows:
            assert row.layers is not None
            name, total = names[row.name], row.layers.total_ms
            series[name] = [
                Work(layer.name, layer.macs / layer.bytes, layer.macs / layer.ms / 1e6, layer.ms / total)
                for layer in row.layers.layers
                if layer.macs and layer.bytes and layer.ms > 0
            ]
            if runtimes.index(_runtime(row)) % 2:
                rings.add(name)
            if row.layers.gmacs_per_second and row.layers.share_of_peak:
                shares += f"<dt>{escape(name)}</dt><dd>{escape(_share(row.layers))}</dd>"
        draw = partial(scatter.roofline, series, peak.gmacs, peak.copy_gb, title=f"Roofline: {model}", rings=rings)
        note = "Marks are layers, their area the share of the time"
        note += f"; rings are {runtimes[1][0]}'s" if rings else ""
        note += "; the roofs as in the first." if charts else f". {peak.how}"
        title = f"Roofline: {model.split()[0]}" if len(held) > 1 else "Roofline"
        charts += card(title, note, lambda w, d=draw: d(width=w), extra=f"<dl>{shares}</dl>")  # type: ignore[misc]
    return charts


def _share(layers: Layers) -> str:
    told = f"{layers.gmacs_per_second:.1f}e9 a second over all layers, "
    told += f"{layers.share_of_peak:.0%} of the measured {layers.peak} peak"
    over = layers.share_of_peak is not None and layers.share_of_peak > 1
    return told + (": the machine was busier when the peak was measured" if over else "")
