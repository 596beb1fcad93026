"""One scenario on one model: queries one after another, or all samples at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.benchmark.scenarios.rules import PERCENTILE, QUERY, estimate, shortcomings
from edgekit.benchmark.schema import Bounded, Case, Row, Scenario, ScenarioName
from edgekit.benchmark.subject import TAKE_UP, Subject
from edgekit.progress import working
from edgekit.tasks import ANY
from edgekit.vision.preprocess import normalise, preprocess

WITHIN = 90.0  # the percentile of a run's latency that a bound is for, as SingleStream's


class Asked(Protocol):
    """What is asked of scenarios; `edgekit.benchmark.run.Settings` is one."""

    @property
    def scenarios(self) -> Sequence[ScenarioName]: ...

    @property
    def scenario_seconds(self) -> float: ...


def run_scenarios(
    case: Case, streams: Sequence[Subject], asked: Asked, pictures: int, say: Callable[[str], None]
) -> list[Scenario]:
    """Those asked that fit a case: none of several streams, and of a larger batch Offline alone."""
    names = [name for name in asked.scenarios if len(streams) == 1 and (case.batch == 1 or name == "Offline")]
    found = []
    for name in names:
        say(f"{name} of {case.name}, {asked.scenario_seconds:g} s")
        found.append(run_scenario(name, streams[0], asked.scenario_seconds, pictures))
    return found


def run_scenario(
    name: ScenarioName, subject: Subject, seconds: float, pictures: int, clock: Callable[[], float] = time.perf_counter
) -> Scenario:
    """Runs a scenario for `seconds`, with samples that lie resized in memory, in turn.

    SingleStream and MultiStream send the next query of 1 or 8 samples when the last was answered. Offline has all
    samples from the start, and takes them `subject.batch` at a time. A query of more samples than the model's fixed
    batch is run in parts.

    Args:
        pictures: in the data set, which limits how many samples the rules ask of Offline.
    """
    task, spec = subject.predictor.task, subject.predictor.spec
    frames = [picture.read() for picture in subject.pictures]
    samples = [_sample(subject, frame) for frame in frames]
    size = QUERY.get(name, subject.batch)
    step = min(size, subject.predictor.fixed_batch or subject.predictor.session.largest_batch or size)
    sent = 0

    def query() -> None:
        nonlocal sent
        for first in range(0, size, step):
            chosen = [(sent + first + i) % len(samples) for i in range(step)]
            block = samples[chosen[0]][None] if step == 1 else np.stack([samples[i] for i in chosen])
            given = subject.predictor.session.run({"image": block})
            task.decode(given, [frames[i].shape for i in chosen], spec, ANY)
        sent += size

    for _ in range(TAKE_UP):
        query()
    sent = 0
    latencies: list[float] = []
    begin = now = clock()
    with working(name, max(1, round(seconds))) as work:
        while now - begin < seconds or not latencies:
            before = now
            query()
            now = clock()
            latencies.append((now - before) * 1e3)
            if int(now - begin) > int(before - begin):
                work.step(int(now - begin) - int(before - begin))
    took = now - begin
    percent = PERCENTILE.get(name)
    latency, discarded = estimate(latencies, percent) if percent else (None, None)
    return Scenario(
        name=name,
        queries=len(latencies) if percent else 1,
        samples=sent,
        seconds=round(took, 3),
        percentile=percent,
        latency_ms=latency,
        discarded=discarded,
        throughput=sent / took,
        short=shortcomings(name, sent, took, latency, pictures),
    )


def _sample(subject: Subject, frame: Any) -> NDArray[Any]:
    """[H, W, 3] uint8 or [3, H, W] float32: one picture as the session takes it, without the batch's axis."""
    spec = subject.predictor.spec.preprocess
    pixels = preprocess(frame, spec)
    if subject.predictor.session.inputs[0].dtype != "float32":
        return pixels
    found: NDArray[Any] = normalise(pixels[None], spec)[0]
    return found


def within_bound(rows: Sequence[Row], bound_ms: float | None) -> list[Bounded]:
    """Of each file and runtime the settings with the highest throughput whose p90 of a run is within the bound.

    A run's latency is that of a whole answer to its batch, from the pictures' files on. Without a bound there is none.
    """
    groups: dict[tuple[str, str], list[tuple[float, float | None, str]]] = {}
    for row in rows if bound_ms is not None else ():
        if row.timing is not None and row.verified is not False:
            runtime = row.case.backend if row.case.provider == "cpu" else f"{row.case.backend}-{row.case.provider}"
            measured = (row.timing.throughput, row.timing.stages["end_to_end"].p90, row.name)
            groups.setdefault((Path(row.case.model).name, runtime), []).append(measured)
    found = []
    for (model, runtime), some in groups.items():
        kept = [one for one in some if bound_ms is not None and one[1] is not None and one[1] <= bound_ms]
        throughput, latency, name = max(kept) if kept else (None, None, None)
        found.append(
            Bounded(
                model=model,
                runtime=runtime,
                bound_ms=bound_ms or 0.0,
                percentile=WITHIN,
                row=name,
                throughput=throughput,
                latency_ms=latency,
            )
        )
    return found
