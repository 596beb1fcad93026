"""Every number on the page is one of bench.json, or worked out from it; a number that is not is found."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from edgekit.benchmark.report.page import as_html
from edgekit.benchmark.schema import (
    Agreement,
    Bounded,
    Cold,
    Erased,
    ErasedClass,
    Expected,
    LayerCost,
    Layers,
    Operating,
    Peak,
    Ratio,
    Report,
    Robustness,
    Scenario,
    Span,
)
from tests.benchmark.conftest import made_report, made_row, noisy
from tests.benchmark.traced import Page, content_of, holds, numbers, pool


@pytest.fixture(scope="module")
def report() -> Report:
    rows = [
        made_row("net", noisy(0, 31.7), hits=181),
        made_row("net.int8", noisy(1, 9.3), hits=176, precision="int8"),
        made_row("net", noisy(2, 27.9), hits=180, backend="openvino"),
        made_row("net.int8", noisy(3, 4.1), hits=175, precision="int8", backend="openvino"),
    ]
    rng = np.random.default_rng(5)
    for i, row in enumerate(rows):
        assert row.accuracy is not None
        row.accuracy.curves = {"bee": [Operating(threshold=0.3, recall=91 / 123, precision=57 / (83 + i))]}
        row.accuracy.operating = {"bee": Operating(threshold=0.37, recall=88 / 123, precision=61 / (77 + i))}
        row.cold = Cold(first_result=3131.0 + 77 * i, load=100, peak_mb=150.4 + 13 * i, steady_mb=120)
        row.file_bytes = 46_767_487 if row.precision == "fp32" else 11_812_345
        kinds = {k: (rng.integers(0, 37, 5) / 37).tolist() for k in ("noise", "fog")}
        every = [v for values in kinds.values() for v in values]
        row.expected = Expected(by="another runtime", n=17, identical=17 - 3 * i, passed=True, figures="max|d| 0.0031")
        row.scenarios = [
            Scenario(name="SingleStream", queries=1543 + i, samples=1543 + i, seconds=2.2, percentile=90,
                     latency_ms=31.43 / (i + 1), throughput=33.9 * (i + 1), short=["2.2 s of the 600 s"]),
            Scenario(name="Offline", queries=1, samples=24577, seconds=2.3, throughput=41.7 * (i + 1)),
        ]  # fmt: skip
        row.robustness = Robustness(
            metric="top1", n=37, clean=33 / 37, corruptions=kinds, average=float(np.mean(every)), worst=min(every),
            attacks={"fgsm": {"0": 33 / 37, "4": 4 / 37}}, attacked={"fgsm": 37},
        )  # fmt: skip
        row.erased = Erased(
            n=53, data="somewhere", covered=2,
            classes=[ErasedClass(label="bee", n=47, whole=Span(value=43 / 47, low=0.813, high=0.971), said=43,
                                 still=Span(value=5 / 43, low=0.0389, high=0.2508), elsewhere=None,
                                 alone=Span(value=29 / 47, low=0.4637, high=0.7549), reading="it depends")],
        )  # fmt: skip
        layers = [
            LayerCost(
                name=f"conv{k}.fused", kind="Conv", ms=float(rng.uniform(0.2, 3)), macs=10**7 + 7919 * k,
                bytes=10**5 * (k + 3), node=f"conv{k}", error=0.0123 * (k + 1) if row.precision == "int8" else None,
            )
            for k in range(15)
        ]  # fmt: skip
        layers.append(LayerCost(name="pool", kind="MaxPool", ms=0.7771, bytes=1000))
        total = sum(layer.ms for layer in layers)
        row.layers = Layers(
            source="a profiler", layers=layers, total_ms=total, gmacs_per_second=21.7, share_of_peak=0.23
        )
        if i:
            row.agreement = Agreement(
                reference=rows[0].name, share=Span(value=0.957 - i / 100, low=0.9, high=0.99), p_value=0.0627 * i,
                difference=Span(value=-0.025, low=-0.0517, high=0.0113), verdict="no difference shown",
            )  # fmt: skip
    ratios = [
        Ratio(row=row.name, reference=rows[0].name, stage=stage, speedup=Span(value=v, low=v - 0.13, high=v + 0.17))
        for row, v in zip(rows[1:], (3.29, 1.13, 7.43), strict=True)
        for stage in ("end_to_end", "inference")
    ]
    peak = Peak(gmacs={"fp32": 94.7, "int8": 411.3}, copy_gb=21.3, how="Measured.")
    bounded = [Bounded(model="net.onnx", runtime=runtime, bound_ms=73, percentile=90, row=row, throughput=throughput,
                       latency_ms=latency) for runtime, row, throughput, latency in
               (("onnxruntime", "net", 34.56, 65.43), ("openvino", None, None, None))]  # fmt: skip
    return made_report(*rows, peak=peak, ratios=ratios, bounded=bounded)


COLUMNS: dict[str, Any] = {
    "accuracy": lambda r, s: [100 * r["accuracy"]["metrics"]["top1"][k] for k in ("value", "low", "high")],
    "p50 ms": lambda r, s: [r["timing"]["stages"]["end_to_end"]["p50"],
                            *(r["timing"]["intervals"]["end_to_end.p50"][k] for k in ("low", "high"))],
    "p95": lambda r, s: [r["timing"]["stages"]["end_to_end"]["p95"]],
    "p99": lambda r, s: [r["timing"]["stages"]["end_to_end"]["p99"]],
    "speed-up": lambda r, s: [s[k] for k in ("value", "low", "high")] if s else [1],
    "pictures/s": lambda r, s: [r["timing"]["throughput"]],
    "first result ms": lambda r, s: [r["cold"]["first_result"]],
    "peak MB": lambda r, s: [r["cold"]["peak_mb"]],
    "file MB": lambda r, s: [r["file_bytes"] / 1e6],
    "SingleStream p90 ms": lambda r, s: [r["scenarios"][0]["latency_ms"], r["scenarios"][0]["queries"]],
    "Offline samples/s": lambda r, s: [r["scenarios"][1]["throughput"], r["scenarios"][1]["samples"]],
}  # fmt: skip


def test_each_cell_of_the_table_is_its_row_s_figure(report: Report) -> None:
    content = content_of(report.to_json())
    cells = Page(as_html(report)).cells
    speeds = {r["row"]: r["speedup"] for r in content["ratios"] if r["stage"] == "inference"}
    for column, figures in COLUMNS.items():
        told = [text for label, text in cells if label == column]
        assert len(told) == len(content["rows"])
        for text, row in zip(told, content["rows"], strict=True):
            shown = re.findall(r"\d+(?:\.\d+)?", text.replace("top-1", ""))
            wanted = figures(row, speeds.get(row["name"]))
            assert len(shown) == len(wanted), (column, text)
            for value, figure in zip(shown, wanted, strict=True):
                assert holds(value, np.array([figure])), (column, text, figure)


def test_every_number_of_the_page_is_in_the_json(report: Report) -> None:
    content = content_of(report.to_json())
    known = pool(content)
    shown = numbers(Page(as_html(report)).texts, content)
    assert len(shown) > 400
    assert not [(n, text) for n, text in shown if not holds(n, known)]


def test_a_number_that_is_not_in_it_is_found(report: Report) -> None:
    """Three figures or more, moved by half of what they are: few of those happen to be another figure."""
    content = content_of(report.to_json())
    known = pool(content)
    shown = [n for n, _ in numbers(Page(as_html(report)).texts, content) if len(n.strip("-").replace(".", "")) > 2]
    moved = [f"{float(n) * 1.5137:.{max(2, len(n.partition('.')[2]))}f}" for n in shown]
    found = [n for n in moved if not holds(n, known)]
    assert len(found) > 0.7 * len(moved)
