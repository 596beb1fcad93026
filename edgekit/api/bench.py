"""How fast, how right and how robust is each file on this machine?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.api.benching.parts import Parts, case, writer
from edgekit.benchmark.measure import MeasurementPlan
from edgekit.benchmark.run import Settings
from edgekit.benchmark.scenarios.rules import SECONDS
from edgekit.benchmark.schema import Report, ScenarioName
from edgekit.benchmark.suite import refuse_existing_report
from edgekit.data.classes.class_map import ClassMapLike, class_map


@dataclass(frozen=True)
class BenchOptions:
    """What is seldom asked of `bench`.

    Attributes:
        iterations: measured of each case, instead of seconds.
        turns: blocks, in which the cases take turns.
        warmup: seconds at most until a case is warm.
        streams: numbers of sessions at once.
        cold: start a process for each case, to time its start and see its memory.
        layers: time per layer, and the roofline.
        scenarios: of MLPerf Inference's edge rules, `SingleStream`, `MultiStream` or `Offline`, each for
            `scenario_seconds`; the rules ask for 600.
        latency_bound: milliseconds, within which the highest throughput is told.
        robustness: pictures for corruptions and attacks; 0 for neither.
        attack: checkpoint on which attacks are crafted; default is one among the models.
        unverified: measure files too that did not pass their verification.
        classes_map: where the data calls classes differently than a model; see `edgekit.evaluate`. Several models may
            each use a part of it.
        erase: pictures with boxes, asked about again with the objects erased, as `edgekit.erasing` does; 0 for none.
    """

    iterations: int | None = None
    turns: int = 5
    warmup: float = 10.0
    streams: Sequence[int] = (1,)
    cold: bool = True
    layers: bool = False
    scenarios: Sequence[ScenarioName] = ()
    scenario_seconds: float = SECONDS
    latency_bound: float | None = None
    robustness: int = 0
    attack: str | os.PathLike[str] | None = None
    unverified: bool = False
    classes_map: ClassMapLike | None = None
    erase: int = 0


def bench(
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    *,
    out: str | os.PathLike[str] | None = None,
    split: str | None = None,
    backends: Sequence[str] = ("onnxruntime",),
    provider: str = "cpu",
    threads: Sequence[int] = (0,),
    batch: Sequence[int] = (1,),
    seconds: float = 10.0,
    pictures: int | None = None,
    options: BenchOptions | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Measures files side by side, as `edgekit bench` does: latency by stage, throughput, accuracy, memory, energy.

    Args:
        models: exported files, checkpoints or names, one or several; the first is what the others compare with.
        data: labelled pictures, or boxes for a detector, one set or several; the first that fits a model's task is
            taken for it. Default is a set made in code.
        out: folder for bench.html, bench.json, bench.md and bench.csv; None writes nothing.
        split: `train`, `val`, `test` or `all`.
        backends, provider, threads, batch: how each model is run; every combination is a case. 0 threads are one per
            physical core.
        seconds: measured for each case.
        pictures: how many accuracy is measured on; None for all, 0 for no accuracy.
        options: what is seldom asked.
        force: replace a report in `out`.
        say: called with a line for whatever is to be told.

    Returns:
        The report: a row a case, times in milliseconds. A case that fails keeps its reason as the row's `failure`, and
        the others go on.

    Raises:
        UsageError: a plan that cannot be measured.
        EdgekitError: `out` holds a report already.
    """
    options = options or BenchOptions()
    attack = None if options.attack is None else Path(options.attack)
    if out is not None:
        refuse_existing_report(Path(out), force)
    settings = Settings(
        MeasurementPlan(seconds, options.iterations, options.turns, options.warmup),
        accuracy=pictures,
        scenarios=options.scenarios,
        scenario_seconds=options.scenario_seconds,
        latency_bound=options.latency_bound,
    )
    written = (lambda report: None) if out is None else writer(Path(out))
    cases = [
        case(str(model), backend, provider, number, n, streams)
        for model in _paths(models)
        for backend in backends
        for number in threads
        for n in batch
        for streams in options.streams
    ]
    parts = Parts(
        _paths(data), split, cold=options.cold, layers=options.layers, robustness=options.robustness, attack=attack,
        erase=options.erase, unverified=options.unverified, classes_map=class_map(options.classes_map), say=say,
    )  # fmt: skip
    return parts.measure(cases, settings, written)


def _paths(given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    return [Path(given)] if isinstance(given, (str, os.PathLike)) else [Path(one) for one in given]
