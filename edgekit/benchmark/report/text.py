"""The report as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from edgekit.benchmark.report.decision import decisions
from edgekit.benchmark.report.rows import main_metric, speed_of
from edgekit.benchmark.schema import Data, Report, Row
from edgekit.screen import count_of
from edgekit.tasks import metric_named

COLUMNS = (
    "name", "status", "model", "precision", "backend", "provider", "threads", "batch", "streams", "verified",
    "metric", "accuracy", "accuracy_low", "accuracy_high", "agreement", "p50_ms", "p90_ms", "p95_ms", "p99_ms",
    "p999_ms", "min_ms", "max_ms", "mean_ms", "stdev_ms", "n", "session_p50_ms", "inference_p50_ms", "decode_p50_ms",
    "preprocess_p50_ms", "post_p50_ms", "pictures_per_second", "cpu_outside_ms", "stable", "joules_per_picture",
    "first_result_ms", "load_ms", "peak_mb", "steady_mb", "file_bytes", "params", "macs", "problem",
)  # fmt: skip


def as_csv(report: Report) -> str:
    """One line a row; what was not measured is empty."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(COLUMNS)
    for row in report.rows:
        rows.writerow([_cell(value) for value in _values(row)])
    return stream.getvalue()


def _values(row: Row) -> Sequence[object]:
    metric, t, c = main_metric(row), speed_of(row), row.cold if speed_of(row) else None
    share = row.agreement.share if row.agreement else None
    whole = t.stages["end_to_end"] if t else None
    of = [getattr(whole, k) if whole else None
          for k in ("p50", "p90", "p95", "p99", "p999", "min", "max", "mean", "stdev", "n")]  # fmt: skip
    stages = [t.stages[s].p50 if t else None for s in ("inference", "decode", "preprocess", "post")]
    return (
        row.name, row.status, row.model, row.precision, row.case.backend, row.case.provider, row.case.threads,
        row.case.batch, row.case.streams, row.verified,
        metric[0] if metric else None, *((metric[1].value, metric[1].low, metric[1].high) if metric else (None,) * 3),
        share.value if share else None, *of, t.session.p50 if t and t.session else None, *stages,
        t.throughput if t else None, t.cpu_outside if t else None, t.stability.stable if t else None,
        t.energy.get("joules_per_inference") if t else None,
        *((c.first_result, c.load, c.peak_mb, c.steady_mb) if c else (None,) * 4),
        row.file_bytes, row.params, row.macs,
        row.failure.what if row.failure else None,
    )  # fmt: skip


def number(value: float | None, missing: str = "-") -> str:
    """A figure in a table."""
    return missing if value is None else f"{value:.2f}"


def pictures_of(data: Data) -> str:
    """How many pictures stand behind a report's accuracy, and of how many."""
    some = "" if data.measured in (None, data.pictures) else f"{data.measured} of "
    return some + count_of(data.pictures, "picture")


def _cell(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def as_markdown(report: Report) -> str:
    """For a terminal, a pull request or a README: what to deploy, the table, and what speaks against it."""
    lines = [f"# {report.title}", ""]
    for told in decisions(report):
        lines += [f"{told.opening}**{told.lead}**: {told.reason}.", ""]
    lines += [f"{report.created} · {where(report)}", ""]
    if not report.complete:
        lines += ["**Not complete: the run was interrupted.**", ""]
    lines += [
        "| case | precision | accuracy (95 %) | agreement | p50 ms | p95 | p99 | session p50 | pictures/s | first result ms | MB | stable |",  # noqa: E501
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in report.rows:
        lines.append("| " + " | ".join(_markdown(row)) + " |")
    ratios = [r for r in report.ratios if r.stage == "inference"]
    if ratios:
        lines += ["", "In turns, inference within a whole answer, a picture:", ""]
        lines += [f"- {r.row}: {r.speedup.value:.2f} times as fast as {r.reference} "
                  f"[{r.speedup.low:.2f}, {r.speedup.high:.2f}]" for r in ratios]  # fmt: skip
    failed = [row for row in report.rows if row.failure]
    if failed:
        lines += ["", "Failed:", ""]
        for row in failed:
            assert row.failure is not None
            more = {"got": row.failure.got, "expected": row.failure.expected, "fix": row.failure.fix}
            parts = [row.failure.what, *(f"{k}: {v}" for k, v in more.items() if v)]
            lines.append(f"- {row.name}: " + "; ".join(parts))
    held = [f"- {row.name}: {row.expected.text}" for row in report.rows if row.expected is not None]
    if report.pack is not None:
        lines += ["", f"Measured from {report.pack.name}, written {report.pack.created}:", "", *held]
    erased = [
        f"- {row.name}: {one.label}: {one.reading} "
        f"({'-' if one.still is None else f'{one.still.value:.1%} of {one.said}'} still)"
        for row in report.rows
        if row.erased
        for one in row.erased.classes
    ]
    if erased:
        lines += ["", "Asked with the objects erased:", "", *erased]
    scenarios = [f"- {row.name}: {one.text}" for row in report.rows for one in row.scenarios]
    if scenarios:
        lines += ["", "MLPerf Inference's edge scenarios, measured without its LoadGen (no MLPerf results):", ""]
        lines += scenarios
    if report.bounded:
        lines += ["", "Highest throughput within a latency:", "", *(f"- {one.text}" for one in report.bounded)]
    doubts = [
        f"{row.name}: {finding}" for row in report.rows if row.timing for finding in row.timing.stability.findings
    ]
    if doubts or report.notes:
        lines += ["", "Doubtful:", "", *(f"- {line}" for line in (*report.notes, *doubts))]
    energy = {row.timing.energy["source"] for row in report.rows if row.timing}
    lines += ["", f"Energy: {'; '.join(sorted(energy)) or 'not measured'}.", ""]
    for task, data in report.data.items():
        made = " made in code" if data.made else f" of {data.name}"
        lines.append(f"Data ({task}): {pictures_of(data)}{made}, timings rotate over {data.timed}.")
    return "\n".join(lines) + "\n"


def where(report: Report) -> str:
    """One line: the machine and the versions that compute."""
    env = report.environment
    emulated = env.get("emulated")
    cpu = f"{env.get('machine')} emulated by {emulated}: no speed" if emulated else env.get("cpu")
    names = [env.get("gpu"), cpu, f"{env.get('usable_cpus')} CPUs"]
    isa = [flag for flag in ("amx_int8", "avx512_vnni", "avx_vnni", "i8mm") if flag in (env.get("isa") or [])]
    kept = {k: v for k, v in (env.get("versions") or {}).items() if k in ("onnxruntime", "openvino", "torch")}
    tools = ", ".join(f"{k} {v}" for k, v in kept.items())
    return " · ".join([*(str(n) for n in names if n), *isa[:1], f"edgekit {env.get('edgekit')}", tools])


def _markdown(row: Row) -> list[str]:
    metric, t, c = main_metric(row), speed_of(row), row.cold
    shown = "-"
    if metric is not None:
        value, low, high = (metric_named(metric[0]).text(v) for v in (metric[1].value, metric[1].low, metric[1].high))
        shown = f"{metric[0]} {value} [{low}, {high}]"
    agree = f"{row.agreement.share.value:.1%}" if row.agreement and row.agreement.share else "-"
    if t is None:
        return [
            row.name,
            row.precision,
            shown,
            agree,
            *["-"] * 7,
            "not verified" if row.verified is False else "failed",
        ]
    whole = t.stages["end_to_end"]
    return [
        row.name, row.precision, shown, agree, f"{whole.p50:.2f}", number(whole.p95), number(whole.p99),
        f"{t.session.p50:.2f}" if t.session else "-", f"{t.throughput:.1f}",
        f"{c.first_result:.0f}" if c and c.first_result else "-",
        f"{c.peak_mb:.0f}" if c and c.peak_mb else "-", "yes" if t.stability.stable else "**no**",
    ]  # fmt: skip
