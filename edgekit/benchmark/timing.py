"""A case's timings as the report has them: summaries with intervals, whether they were steady, and each turn."""

from __future__ import annotations

from functools import partial

import numpy as np

from edgekit.benchmark.measure import END_TO_END, Run
from edgekit.benchmark.report_file import rounded
from edgekit.benchmark.schema import Block, Figures, Peak, Span, Steadiness, Timing, Warmup
from edgekit.benchmark.subject import STAGES
from edgekit.metrics.bootstrap import of_blocks
from edgekit.metrics.percentiles import enough, percentile
from edgekit.metrics.statistics import Interval, stability, summary

OTHERS = 0.1  # share of the CPUs' time, taken by others, from which on a timing is of a busy machine


def best_of(a: Peak, b: Peak) -> Peak:
    """The higher roofs of two measurements of the same machine."""
    return Peak(
        gmacs={name: max(p.gmacs[name] for p in (a, b) if name in p.gmacs) for name in {**a.gmacs, **b.gmacs}},
        copy_gb=max(a.copy_gb, b.copy_gb),
        how=a.how,
    )


def timing(run: Run) -> Timing:
    """The report's form of a run."""
    figures = {s: Figures(**summary(run.samples(s)).to_dict()) for s in (*STAGES, END_TO_END)}
    alone = run.session()
    blocks = {END_TO_END: run.blocks(END_TO_END), "inference": run.blocks("inference")} | (
        {"session": alone} if alone else {}
    )
    intervals = {
        f"{stage}.{name}": span(of_blocks(measured, partial(percentile, percent=q), 300))
        for stage, measured in blocks.items()
        for name, q in (("p50", 50), ("p95", 95))
        if sum(map(len, measured)) >= enough(q)
    }
    steady = stability(run.blocks("inference"), [t.start for t in run.turns])
    outside = [t.cpu_outside for t in run.turns if t.cpu_outside is not None]
    inside = [t.cpu_session for t in run.turns if t.cpu_session is not None]
    findings = list(steady.findings)
    if not run.warm:
        findings.append(f"was not warm after {run.warmup_seconds:.0f} s: the timings had not settled")
    if run.others is not None and run.others > OTHERS:
        findings.append(f"other processes took {run.others:.0%} of the CPUs meanwhile: measured on a busy machine")
    return Timing(
        stages=figures,
        session=Figures(**summary(np.concatenate(alone)).to_dict()) if alone else None,
        intervals=intervals,
        throughput=run.throughput,
        cpu_outside=float(np.mean(outside)) if outside else None,
        cpu_session=float(np.mean(inside)) if inside else None,
        warmup=Warmup(iterations=run.warmup_iterations, seconds=round(run.warmup_seconds, 3), stable=run.warm),
        stability=Steadiness(stable=not findings, findings=findings),
        blocks=[
            Block(
                start=round(t.start, 3),
                seconds=round(t.seconds, 3),
                end_to_end=rounded(t.stages[END_TO_END]),
                inference=rounded(t.stages["inference"]),
            )
            for t in run.turns
        ],
        pace=rounded(run.paces),
        others=None if run.others is None else round(run.others, 4),
        energy=run.energy(),
    )


def per_picture(run: Run, stage: str, batch: int) -> list[float]:
    """The median milliseconds a picture of each turn."""
    return [float(np.median(turn.stages[stage])) / batch for turn in run.turns]


def span(value: Interval) -> Span:
    """An interval as the report has it."""
    return Span(value=value.value, low=value.low, high=value.high)
