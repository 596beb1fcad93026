"""The report as one HTML file: no script, no font, no picture from elsewhere. It opens in ten years as it does today."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from edgekit.bench import charts
from edgekit.bench.charts import Point, Work
from edgekit.bench.schema import Report, Row
from edgekit.bench.style import CSS
from edgekit.bench.text import main_metric, where
from edgekit.bench.winners import groups, short_names, winners

HALF, FULL, PHONE = 520.0, 1090.0, 326.0
SHOWN_CLASSES = 16
SHOWN_LAYERS = 14
GOALS = {"top1": "top-1", "ap50": "AP50", "ap": "AP"}

Draw = Callable[[float], str]


def as_html(report: Report) -> str:
    """The whole page."""
    by_model = {model: rows for model, rows in groups(report).items() if any(r.status == "ok" for r in rows)}
    lost = [row for row in report.rows if row.failure]
    body = [_head(report, by_model), _doubts(report, lost)]
    body += [_model(report, model, rows, i) for i, (model, rows) in enumerate(by_model.items())]
    body += [_operations(report), _roofline(report), _environment(report)]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        f"<title>{escape(report.title)}</title><style>{CSS}</style></head><body><main>"
    )
    return page + "".join(body) + "</main></body></html>\n"


def _head(report: Report, by_model: Mapping[str, Sequence[Row]]) -> str:
    timed = [row for row in report.rows if row.timing]
    steady = sum(row.timing.stability.stable for row in timed if row.timing)
    failed = sum(row.status == "failed" for row in report.rows)
    unverified = sum(row.verified is False for row in report.rows)
    chips = [("", f"{len(report.rows)} case{'s' * (len(report.rows) != 1)}")]
    if timed:
        chips.append(("good" if steady == len(timed) else "warn", f"{steady} of {len(timed)} stable"))
    if failed:
        chips.append(("bad", f"{failed} failed"))
    if unverified:
        chips.append(("bad", f"{unverified} not verified"))
    if not report.complete:
        chips.append(("bad", "interrupted: not complete"))
    chips += [("", f"{d.pictures} pictures, {'made in code' if d.made else d.name}") for d in report.data.values()]
    shown = "".join(f'<span class="chip {cls}">{escape(text)}</span>' for cls, text in chips)
    links = "".join(f'<a href="#m{i}">{escape(model)}</a>' for i, model in enumerate(by_model))
    return (
        f'<header><h1>{escape(report.title)}</h1><p class="sub">{escape(report.created.replace("T", " "))} · '
        f'{escape(where(report))}</p><div class="chips">{shown}</div>'
        f'<nav>{links}<a href="#environment">Environment and method</a></nav></header>'
    )


def _doubts(report: Report, lost: Sequence[Row]) -> str:
    parts = []
    if lost:
        items = ""
        for row in lost:
            assert row.failure is not None
            told = [row.failure.what, *(f"{k}: {v}" for k, v in (
                ("got", row.failure.got), ("expected", row.failure.expected), ("fix", row.failure.fix)) if v)]  # fmt: skip
            items += f"<li><b>{escape(row.name)}</b> {escape(' · '.join(told))}</li>"
        parts.append(f'<div class="call bad"><b>Not measured</b><ul>{items}</ul></div>')
    doubts = [(row.name, f) for row in report.rows if row.timing for f in row.timing.stability.findings]
    if doubts or report.notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
        items += "".join(f"<li><b>{escape(name)}</b> {escape(f)}</li>" for name, f in doubts)
        told = "Timings of an unsettled machine: read them as ratios" if doubts else "Notes"
        parts.append(f'<details class="call"{" open" if len(doubts) < 7 else ""}><summary>{told}</summary>'
                     f"<ul>{items}</ul></details>")  # fmt: skip
    return "".join(parts)


def _model(report: Report, model: str, rows: Sequence[Row], at: int) -> str:
    names = short_names(rows)
    good = [row for row in rows if row.status == "ok"]
    timed = [row for row in good if row.timing and row.verified is not False]
    cards = "".join(
        f'<div class="win"><div class="goal">{escape(w.goal)}</div><div class="value">{escape(w.value)}</div>'
        f'<div class="who">{escape(names[w.row.name])}</div>'
        + (f'<div class="tie">not shown better than {escape(_some(w.ties))}</div>' if w.ties else "")
        + "</div>"
        for w in winners(rows, names)
    )
    figures = [
        _pareto(timed, names),
        _distribution(timed, names),
        _series(timed, names),
        _stages(timed, names),
        _classes(good, names),
        _robustness(good, names),
        _attacks(good, names),
        _worst(good, names),
        _layers(good, names),
    ]
    head = f'<h2 id="m{at}">{escape(model)}</h2><p class="note">{escape(_summary(rows))}</p>'
    return head + f'<div class="wins">{cards}</div>' + _table(report, rows, names) + (
        f'<div class="grid">{"".join(figures)}</div>')  # fmt: skip


def _summary(rows: Sequence[Row]) -> str:
    first = next(row for row in rows if row.status == "ok")
    facts = [f"{first.params / 1e6:.2f} M parameters"] if first.params else []
    facts += [f"{first.macs / 1e9:.2f} G multiply-adds a picture"] if first.macs else []
    facts.append(f"the reference is {short_names(rows)[first.name]}" if len(rows) > 1 else first.name)
    return ", ".join(facts)


def _table(report: Report, rows: Sequence[Row], names: Mapping[str, str]) -> str:
    heads = ["case", "accuracy", "same answer as reference", "p50 ms", "p95", "p99", "session p50", "speed-up",
             "pictures/s", "CPU ms outside", "first result ms", "peak MB", "file MB", "J/picture"]  # fmt: skip
    speed = {r.row: r.speedup for r in report.ratios if r.stage == "inference"}
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
        cells = [title, _accuracy(row), _agreement(row)]
        t = row.timing if row.verified is not False else None
        if t is None:
            cells += ["–"] * 7
        else:
            whole, span = t.stages["end_to_end"], t.intervals["end_to_end.p50"]
            ratio = speed.get(row.name)
            fast = "1" if ratio is None else f"{ratio.value:.2f}×{_iv(f'{ratio.low:.2f}–{ratio.high:.2f}')}"
            cells += [f"{whole.p50:.2f}{_iv(f'{span.low:.1f}–{span.high:.1f}')}", f"{whole.p95:.2f}",
                      f"{whole.p99:.2f}", f"{t.stages['inference'].p50:.2f}", fast, f"{t.throughput:.1f}",
                      "–" if t.cpu_outside is None else f"{t.cpu_outside:.2f}"]  # fmt: skip
        c = row.cold if row.verified is not False else None
        cells += [f"{c.first_result:.0f}" if c and c.first_result else "–",
                  f"{c.peak_mb:.0f}" if c and c.peak_mb else "–",
                  f"{row.file_bytes / 1e6:.1f}" if row.file_bytes else "–"]  # fmt: skip
        joules = t.energy.get("joules_per_inference") if t else None
        cells.append("not measured" if joules is None else f"{joules:.3g}")
        lines.append("<tr>" + "".join(
            f'<td data-l="{escape(h)}">{c}</td>' if j else f"<td>{c}</td>" for j, (h, c) in enumerate(zip(heads, cells, strict=True))
        ) + "</tr>")  # fmt: skip
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _accuracy(row: Row) -> str:
    metric = main_metric(row)
    if metric is None:
        return "–"
    name, span = metric
    return f"{GOALS[name]} {span.value:.1%}{_iv(f'{span.low:.1%}–{span.high:.1%}')}"


def _agreement(row: Row) -> str:
    if row.agreement is None:
        return "–"
    told = row.agreement.verdict + (f", p {row.agreement.p_value:.2g}" if row.agreement.p_value is not None else "")
    return f"{row.agreement.share.value:.1%}{_iv(told)}"


def _pareto(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    points = []
    for i, row in enumerate(rows):
        metric = main_metric(row)
        if metric is None or row.timing is None:
            continue
        span, n = row.timing.intervals["end_to_end.p50"], row.case.batch
        points.append(Point(names[row.name], span.value / n, metric[1].value, span.low / n, span.high / n,
                            metric[1].low, metric[1].high, series=i % 8 + 1))  # fmt: skip
    if not points:
        return ""
    name = GOALS[next(m[0] for row in rows if (m := main_metric(row)))]
    log = max(p.x for p in points) / min(p.x for p in points) > 6

    def draw(width: float) -> str:
        return charts.scatter(points, width, f"{name} against latency", "ms a picture, p50 end to end"
                              + (", logarithmic" if log else ""), name, log=log, front=True)  # fmt: skip

    return _card(f"{name} against latency", "Up and to the left is better; bars are 95 % intervals; the dashed line "
                 "joins what nothing else beats in both.", draw)  # fmt: skip


def _distribution(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    samples = {names[r.name]: [v for b in r.timing.blocks for v in b.end_to_end] for r in rows if r.timing}
    if not samples:
        return ""
    return _card("Latency distribution", "Every timing counts; none is removed. Lines at p50, p95 and p99, a dot at "
                 "the largest.", lambda w: charts.distributions(samples, w, "Latency distribution"))  # fmt: skip


def _series(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    blocks = {names[r.name]: [(b.start, b.seconds, b.end_to_end) for b in r.timing.blocks] for r in rows if r.timing}
    if not blocks:
        return ""
    return _card("Over the time", "The cases take turns, so that the machine's mood meets all of them; bars are each "
                 "turn's median.", lambda w: charts.time_series(blocks, w, "Latency over the time"), full=True)  # fmt: skip


def _stages(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    bars = {names[r.name]: {s: r.timing.stages[s].p50 / r.case.batch for s in ("decode", "preprocess", "inference", "post")}
            for r in rows if r.timing}  # fmt: skip
    if not bars:
        return ""
    return _card("Where the time goes", "p50 of each stage, ms a picture.",
                 lambda w: charts.stacked(bars, w, "Stages"), full=len(bars) > 8)  # fmt: skip


def _classes(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    """Of each row the classes that changed most against the reference."""
    if len(rows) < 2 or rows[0].accuracy is None:
        return ""
    base = rows[0].accuracy.classes
    out = ""
    for i, row in enumerate(rows[1:], 1):
        if row.accuracy is None or (row.case.model, row.case.backend) in {
            (r.case.model, r.case.backend) for r in rows[:i]
        }:
            continue
        changes = {k: 100 * (v - b) for k, v in row.accuracy.classes.items()
                   if v is not None and (b := base.get(k)) is not None and v != b}  # fmt: skip
        if not changes:
            continue
        chosen = sorted(changes, key=lambda k: -abs(changes[k]))[:SHOWN_CLASSES]
        shown = {k: changes[k] for k in sorted(chosen, key=lambda k: changes[k])}
        what = "AP50" if row.accuracy.task == "detection" else "top-1"
        more = f"; {len(changes) - len(shown)} smaller ones left out" if len(changes) > len(shown) else ""
        counts = [row.accuracy.class_counts.get(k, 0) for k in shown]
        few = (
            f" Few pictures a class ({min(counts)} to {max(counts)}): single pictures weigh much."
            if max(counts) < 20
            else ""
        )
        out += _card(f"Per class: {names[row.name]}", f"{what} against {names[rows[0].name]}, points{more}.{few}",
                     lambda w, shown=shown, i=i: charts.bars(shown, w, "Changes per class", "", 1, i % 8 + 1))  # type: ignore[misc]  # fmt: skip
    return out


def _robustness(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    with_it = [row for row in rows if row.robustness and row.robustness.corruptions]
    if not with_it:
        return ""
    curves = {}
    for row in with_it:
        r = row.robustness
        assert r is not None
        by_severity = list(zip(*r.corruptions.values(), strict=True))
        curves[names[row.name]] = [(0.0, r.clean), *((i + 1.0, sum(s) / len(s)) for i, s in enumerate(by_severity))]
    heads = list(with_it[0].robustness.corruptions) if with_it[0].robustness else []
    table = "".join(f"<th>{escape(h)}</th>" for h in ("case", "clean", "mean", "worst", *heads))
    lines = ""
    for row in with_it:
        r = row.robustness
        assert r is not None
        cells = [r.clean, r.average or 0.0, r.worst or 0.0, *(sum(v) / len(v) for v in r.corruptions.values())]
        labels = ("clean", "mean", "worst", *heads)
        lines += f"<tr><td>{escape(names[row.name])}</td>" + "".join(
            f'<td data-l="{escape(h)}">{c:.1%}</td>' for h, c in zip(labels, cells, strict=True)) + "</tr>"  # fmt: skip
    metric = GOALS.get(with_it[0].robustness.metric, "") if with_it[0].robustness else ""
    chart = _card("What a camera meets", f"Mean {metric} over all corruptions, by severity; 0 is clean.",
                  lambda w: charts.lines(curves, w, "Robustness", "severity", metric, percent=True))  # fmt: skip
    worst = {}
    first = with_it[0].robustness
    if first is not None:
        worst = {k: 100 * (sum(v) / len(v) - first.clean) for k, v in first.corruptions.items()}
    drop = _card(f"What costs most: {names[with_it[0].name]}", f"Mean change of {metric} over five severities, points.",
                 lambda w: charts.bars(dict(sorted(worst.items(), key=lambda i: i[1])), w, "Cost of each corruption", ""))  # fmt: skip
    full = f'<div class="card full"><h3>By corruption</h3><p class="note">{metric}, mean of five severities.</p>' \
           f'<div class="table"><table><thead><tr>{table}</tr></thead><tbody>{lines}</tbody></table></div></div>'  # fmt: skip
    return chart + drop + full


def _attacks(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    kinds = list(dict.fromkeys(k for r in rows if r.robustness for k in r.robustness.attacks))
    out = ""
    for kind in kinds:
        curves = {names[r.name]: [(float(e), v) for e, v in r.robustness.attacks[kind].items()]
                  for r in rows if r.robustness and kind in r.robustness.attacks}  # fmt: skip
        title = {"patch": "Adversarial patch"}.get(kind, f"Attack: {kind.upper()}")
        unit = "side of the patch, % of the picture" if kind == "patch" else "eps, 255ths of the range"
        out += _card(title, "Crafted on the checkpoint, scored on every file: does the file answer what was attacked?",
                     lambda w, c=curves, k=kind, u=unit: charts.lines(c, w, k, u, "top-1", percent=True))  # type: ignore[misc]  # fmt: skip
    for row in rows:
        for example in row.robustness.examples if row.robustness else []:
            pictures = "".join(
                f'<figure style="margin:0"><img alt="" src="data:image/jpeg;base64,{example[k]}">'
                f"{escape(example[k + '_text'])}</figure>" for k in ("clean", "perturbation", "attacked"))  # fmt: skip
            out += f'<div class="card"><h3>{escape(example["title"])}</h3><div class="triple">{pictures}</div></div>'
    return out


def _worst(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    out = ""
    seen = set()
    for row in rows:
        key = (row.case.model, row.case.backend)
        if row.agreement is None or not row.agreement.worst or key in seen:
            continue
        seen.add(key)
        figures = ""
        for d in row.agreement.worst:
            picture = f'<img alt="" loading="lazy" src="data:image/jpeg;base64,{d.jpeg}">' if d.jpeg else ""
            figures += (f"<figure>{picture}<b>{escape(d.candidate)}</b><br>reference: {escape(d.reference)}<br>"
                        f'<span class="sub">truth: {escape(d.truth)}</span></figure>')  # fmt: skip
        boxes = row.accuracy is not None and row.accuracy.task == "detection"
        told = "Blue boxes are the reference's, orange this file's." if boxes else "Where the answers differ most."
        out += (f'<div class="card full"><h3>Disagreements: {escape(names[row.name])}</h3><p class="note">{told}</p>'
                f'<div class="worst">{figures}</div></div>')  # fmt: skip
    return out


def _layers(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    out = ""
    for i, row in enumerate(rows):
        if row.layers is None:
            continue
        longest = sorted(row.layers.layers, key=lambda layer: -layer.ms)[:SHOWN_LAYERS]
        shown = {f"{layer.name} ({layer.kind})": layer.ms for layer in longest}
        share = sum(layer.ms for layer in longest) / row.layers.total_ms
        out += _card(f"Slowest layers: {names[row.name]}", f"ms a run, {row.layers.source}; these are {share:.0%} of "
                     f"{row.layers.total_ms:.2f} ms.",
                     lambda w, s=shown, i=i: charts.bars(s, w, "Slowest layers", "", 2, i % 8 + 1))  # type: ignore[misc]  # fmt: skip
    return out


def _operations(report: Report) -> str:
    """Accuracy against multiply-adds, parameters as the bubble, over all nets of one task."""
    points: dict[str, list[Point]] = {}
    seen = set()
    for row in report.rows:
        metric = main_metric(row)
        if metric is None or not row.macs or not row.params or (row.model, row.precision) in seen:
            continue
        seen.add((row.model, row.precision))
        held = points.setdefault(metric[0], [])
        held.append(Point(f"{row.model.split()[0]} {row.precision}", row.macs / 1e9, metric[1].value,
                          y_low=metric[1].low, y_high=metric[1].high, weight=float(row.params),
                          series=len(held) % 8 + 1))  # fmt: skip
    cards = ""
    for metric_name, held in points.items():
        name = GOALS[metric_name]
        cards += _card(f"{name} against operations", "The bubble's area is the number of parameters.",
                       lambda w, h=held, n=name: charts.scatter(h, w, f"{n} against operations",
                       "1e9 multiply-adds a picture", n, weights="parameters"))  # type: ignore[misc]  # fmt: skip
    return f'<h2>Accuracy against operations</h2><div class="grid">{cards}</div>' if cards else ""


def _roofline(report: Report) -> str:
    peak = report.peak
    rows = [row for row in report.rows if row.layers]
    if peak is None or not rows:
        return ""
    names = {
        row.name: name for rows_ in groups(report).values() for row in rows_ for name in [short_names(rows_)[row.name]]
    }
    several = len(groups(report)) > 1
    series = {}
    for row in rows:
        assert row.layers is not None
        title = (row.model.split()[0] + " · " if several else "") + names[row.name]
        series[title] = [
            Work(layer.name, layer.macs / layer.bytes, layer.macs / layer.ms / 1e6, layer.ms / row.layers.total_ms)
            for layer in row.layers.layers if layer.macs and layer.bytes and layer.ms > 0]  # fmt: skip
    shares = "".join(
        f"<dt>{escape(title)}</dt><dd>{row.layers.gmacs_per_second or 0:.1f}e9 multiply-adds a second in the layers: "
        f"{(row.layers.share_of_peak or 0):.0%} of the measured {escape(row.layers.peak)} peak</dd>"
        for title, row in zip(series, rows, strict=True) if row.layers)  # fmt: skip
    chart = _card("Roofline", f"What bounds each layer. Circles are layers, their area the share of the time. {peak.how}",
                  lambda w: charts.roofline(series, peak.gmacs, peak.copy_gb, w, "Roofline"), full=True, extra=f"<dl>{shares}</dl>")  # fmt: skip
    return f'<h2>What bounds the model</h2><div class="grid">{chart}</div>'


def _environment(report: Report) -> str:
    env = {**report.environment}
    versions = env.pop("versions", None) or {}
    facts = [(k.replace("_", " "), ", ".join(map(str, v)) if isinstance(v, list) else v) for k, v in env.items()]
    facts += [(f"before: {k.replace('_', ' ')}", v) for k, v in report.before.items()]
    facts += [(f"after: {k.replace('_', ' ')}", v) for k, v in report.after.items()]
    facts += [(name, version) for name, version in versions.items()]
    settings = [(k, v) for k, v in report.settings.items()]
    energy = sorted({row.timing.energy["source"] for row in report.rows if row.timing})
    method = [
        "Pictures are decoded, resized, run and answered one after the other as in use; each stage is timed by the clock.",
        "Cases are warmed up until neighbouring windows of ten agree to 3 %, then take turns in blocks. No timing is removed.",
        "Intervals are 95 %: blocks are resampled for percentiles, Clopper-Pearson for shares, pictures are resampled for AP.",
        "Speed-ups are of the same turns. Whether a case is worse is McNemar's exact test on the same pictures.",
        "No speed is shown for a file that did not pass its verification.",
        f"Energy: {'; '.join(energy) or 'not measured'}.",
    ]  # fmt: skip
    items = "".join(f"<li>{escape(m)}</li>" for m in method)
    return (
        '<h2 id="environment">Environment and method</h2><div class="grid">'
        f'<div class="card"><h3>Machine and versions</h3>{_facts(facts)}</div>'
        f'<div class="card"><h3>Method</h3><ul style="padding-left:18px;margin:8px 0 14px">{items}</ul>'
        f"<h3>Settings</h3>{_facts(settings)}</div></div>"
        f"<footer>edgekit {escape(str(report.environment.get('edgekit')))} · report version {report.version} · the "
        "figures are in bench.json beside this file</footer>"
    )


def _facts(facts: Sequence[tuple[str, object]]) -> str:
    shown = "".join(
        f"<dt>{escape(str(k))}</dt><dd>{escape('not readable' if v is None else str(v))}</dd>" for k, v in facts
    )
    return f"<dl>{shown}</dl>"


def _card(title: str, note: str, draw: Draw, full: bool = False, extra: str = "") -> str:
    """A figure twice: for a wide page and for a phone; the style sheet shows one."""
    return (
        f'<figure class="card{" full" if full else ""}"><h3>{escape(title)}</h3><p class="note">{escape(note)}</p>'
        f'<div class="wide">{draw(FULL if full else HALF)}</div><div class="narrow">{draw(PHONE)}</div>{extra}</figure>'
    )


def _iv(text: str) -> str:
    return f'<span class="iv">{escape(text)}</span>'


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
