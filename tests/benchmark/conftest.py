"""A predictor whose session takes a known time, and reports made of known timings."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgekit.backends.base import Arrays, Session
from edgekit.benchmark.machine.environment import conditions, environment
from edgekit.benchmark.measure import Run, Turn
from edgekit.benchmark.schema import Accuracy, Case, Data, Report, Row, Span
from edgekit.benchmark.timing import timing
from edgekit.metrics.classification import rate
from edgekit.metrics.statistics import Interval
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec, PreprocessSpec, TensorSpec

SPEC = ModelSpec("resnet18", ("bee", "hornet", "fly"), PreprocessSpec(16, 16, shorter_side=16))


class SleepingSession(Session):
    """Takes `seconds` a run, and answers with the mean of the picture's channels."""

    backend = "sleeping"

    def __init__(self, seconds: float = 0.0, batch: int | str = "N") -> None:
        self.seconds = seconds
        self.runs = 0
        self.inputs = (TensorSpec("image", "uint8", (batch, 16, 16, 3)),)
        self.outputs = (TensorSpec("logits", "float32", (batch, 3)),)

    def _run(self, feeds: Arrays) -> Arrays:
        self.runs += 1
        time.sleep(self.seconds)
        return {"logits": feeds["image"].mean(axis=(1, 2), dtype=np.float32)}


@pytest.fixture
def sleeping() -> Callable[..., Predictor]:
    return lambda seconds=0.0, batch="N": Predictor(SleepingSession(seconds, batch), SPEC, name="sleeping")


def made_run(blocks: list[np.ndarray], paces: list[float] | None = None) -> Run:
    run = Run(20, 0.1, True)
    for i, ms in enumerate(blocks):
        stages = {"decode": ms * 0 + 1.0, "preprocess": ms * 0 + 2.0, "inference": ms, "post": ms * 0 + 0.1}
        stages["end_to_end"] = sum(stages.values())  # type: ignore[arg-type]
        run.turns.append(Turn(float(i), float(ms.sum()) / 1e3, stages, len(ms), 1.5, float(ms.mean())))
    run.paces = paces or [5.0] * len(blocks)
    return run


def made_row(name: str, blocks: list[np.ndarray], hits: int = 180, n: int = 200, **more: Any) -> Row:
    share = rate(hits, n)
    span = Span(value=hits / n, low=share.low, high=share.high)
    backend = more.pop("backend", "onnxruntime")
    accuracy = Accuracy(
        task="classification", n=n, metrics={"top1": span}, classes={"bee": hits / n, "hornet": 0.5},
        class_counts={"bee": n, "hornet": 2}, unread=[],
    )  # fmt: skip
    return Row(
        name=f"{name} · {backend}", case=Case(model=f"/models/{name}.onnx", backend=backend), status="ok",
        model="resnet18 3 classes 16x16", precision=more.pop("precision", "fp32"), verified=True, file_bytes=1_000_000,
        params=11_700_000, macs=1_800_000_000, timing=timing(made_run(blocks, more.pop("paces", None))),
        accuracy=accuracy, **more,
    )  # fmt: skip


def made_report(*rows: Row, **more: Any) -> Report:
    data = {"classification": Data(name="bees", pictures=200, digest="d", made=False, timed=32)}
    return Report(
        schema="edgekit.bench", created="2026-01-01T00:00:00+00:00", title="A <report> & its rows",
        settings={"timed": 32}, environment=more.pop("environment", environment()), before=conditions(),
        after=conditions(), notes=[], data=data, rows=list(rows), **more,
    )  # fmt: skip


def noisy(seed: int, middle: float = 10.0, noise: float = 0.03, turns: int = 5, n: int = 60) -> list[np.ndarray]:
    """Blocks of timings of a machine whose pace wanders a little from turn to turn."""
    rng = np.random.default_rng(seed)
    return [middle * rng.lognormal(0, noise / 3) * rng.lognormal(0, noise, n) for _ in range(turns)]


def near(interval: Interval, value: float) -> bool:
    return interval.low <= value <= interval.high
