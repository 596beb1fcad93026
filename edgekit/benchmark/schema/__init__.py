"""The report as data, version 1 of its JSON. HTML, Markdown and CSV are made from it and from nothing else.

Times are milliseconds unless a name says otherwise, sizes bytes or MB of 2^20. What was not measured is null.
"""

from __future__ import annotations

from edgekit.benchmark.schema.part import Part, Span
from edgekit.benchmark.schema.quality import (
    Accuracy,
    Agreement,
    Disagreement,
    Erased,
    ErasedClass,
    Expected,
    Operating,
    Robustness,
)
from edgekit.benchmark.schema.report import Case, Data, Decided, Failure, Packed, Report, Row
from edgekit.benchmark.schema.speed import (
    Block,
    Bounded,
    Cold,
    Figures,
    LayerCost,
    Layers,
    Peak,
    Ratio,
    Scenario,
    ScenarioName,
    Steadiness,
    Timing,
    Warmup,
)

__all__ = [
    "Accuracy",
    "Agreement",
    "Block",
    "Bounded",
    "Case",
    "Cold",
    "Data",
    "Decided",
    "Disagreement",
    "Erased",
    "ErasedClass",
    "Expected",
    "Failure",
    "Figures",
    "LayerCost",
    "Layers",
    "Operating",
    "Packed",
    "Part",
    "Peak",
    "Ratio",
    "Report",
    "Robustness",
    "Row",
    "Scenario",
    "ScenarioName",
    "Span",
    "Steadiness",
    "Timing",
    "Warmup",
]
