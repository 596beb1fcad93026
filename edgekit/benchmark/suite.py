"""A suite: what to measure, written down as TOML, so that it is measured again the same way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from edgekit.artifacts.atomic import make_folder
from edgekit.artifacts.kinds import weights_file
from edgekit.artifacts.onnx_file import file_sha256
from edgekit.benchmark.measure import MeasurementPlan
from edgekit.benchmark.report_file import read_report, write_report
from edgekit.benchmark.run import Settings
from edgekit.benchmark.scenarios.rules import SECONDS
from edgekit.benchmark.scenarios.run import within_bound
from edgekit.benchmark.schema import Case, Report, ScenarioName
from edgekit.config.tables import ClassNames, Kind, Table
from edgekit.errors import EdgekitError, InputError
from edgekit.screen import count_of
from edgekit.spec import canonical_json


class Matrix(Table):
    """Models that take turns: every one on every backend, with every number of threads, batch and streams."""

    models: tuple[str, ...] = Field(min_length=1, description="paths, from the folder given with --models")
    backends: tuple[str, ...] = ("onnxruntime",)
    providers: tuple[str, ...] = ("cpu",)
    threads: tuple[int, ...] = (0,)
    batch: tuple[int, ...] = (1,)
    streams: tuple[int, ...] = (1,)


class Suite(Table):
    """What to measure, how long, and on which pictures."""

    title: str
    seconds: float = Field(default=10.0, gt=0)
    iterations: int | None = Field(default=None, ge=1, description="runs of each case, instead of seconds")
    turns: int = Field(default=5, ge=1)
    warmup: float = Field(default=10.0, ge=0)
    timed: int = Field(default=32, ge=1)
    accuracy: int | None = Field(default=None, ge=0, description="pictures; 0 for none")
    robustness: int = Field(default=0, ge=0, description="pictures; 0 for none")
    erase: int = Field(default=0, ge=0, description="pictures with boxes; 0 for none")
    attack: str | None = Field(default=None, description="checkpoint to craft attacks on, from the folder of --models")
    scenarios: tuple[ScenarioName, ...] = Field(default=(), description="of MLPerf Inference's edge rules")
    scenario_seconds: float = Field(default=SECONDS, gt=0, description="of each; the rules ask for 600")
    latency_bound: float | None = Field(default=None, gt=0, description="ms: the highest throughput within it is told")
    layers: bool = False
    cold: bool = True
    data: tuple[str, ...] = Field(default=(), description="paths, from the folder given with --data-root")
    map: ClassNames = Field(default={}, description="the models' class names = the data's, where they differ")
    matrix: tuple[Matrix, ...] = Field(min_length=1)

    def settings(self) -> Settings:
        """How its cases are measured."""
        plan = MeasurementPlan(self.seconds, self.iterations, self.turns, self.warmup)
        return Settings(
            plan,
            timed=self.timed,
            accuracy=self.accuracy,
            scenarios=self.scenarios,
            scenario_seconds=self.scenario_seconds,
            latency_bound=self.latency_bound,
        )


SUITES = Kind(Suite, "a suite")


def load_suite(path: Path) -> Suite:
    """A suite from its TOML. Raises UsageError with the key that is wrong and the one that may be meant."""
    return SUITES.read(path)


def group_cases(matrix: Matrix, root: Path, case: Callable[..., Case]) -> list[Case]:
    """The cases of one matrix, in the order written; a checkpoint comes once, whatever the backends."""
    cases = [
        case(str(root / model), backend, provider, threads, batch, streams)
        for model in matrix.models
        for backend in matrix.backends
        for provider in matrix.providers
        for threads in matrix.threads
        for batch in matrix.batch
        for streams in matrix.streams
    ]
    return list(dict.fromkeys(cases))


def run_suite(
    groups: Sequence[Sequence[Case]],
    settings: dict[str, Any],
    folder: Path,
    bench: Callable[[Sequence[Case], Callable[[Report], None]], Report],
    written: Callable[[Report], None],
    say: Callable[[str], None] = lambda _: None,
    resume: bool = False,
) -> Report:
    """Measures group after group, each kept in `folder` as soon as it is done.

    A group is taken from there with `resume`, where its files, cases and settings are still those and it was finished.

    Args:
        bench: measures one group, and tells what it has whenever it has more.
        written: given the report so far, to write it down.

    Returns:
        All groups as one report.
    """
    make_folder(folder)
    parts: list[Report] = []
    for number, cases in enumerate(groups, 1):
        kept = folder / f"{number:02d}-{_key(cases, settings)}.json"
        held = _held(kept) if resume else None
        if held is not None:
            say(f"group {number} of {len(groups)}: measured before, taken from {kept}")
            parts.append(held)
            continue
        say(f"group {number} of {len(groups)}: {count_of(len(cases), 'case')}")

        def so_far(report: Report, before: Sequence[Report] = tuple(parts)) -> None:
            written(merged([*before, report], complete=False))

        report = bench(cases, so_far)
        write_report(kept, report, overwrite=True)
        parts.append(report)
    whole = merged(parts, complete=all(p.complete for p in parts))
    written(whole)
    return whole


def merged(parts: Sequence[Report], complete: bool) -> Report:
    """One report of several of the same machine and settings."""
    first = parts[0]
    data: dict[str, Any] = {}
    for part in parts:
        data |= part.data
    peaks = [p.peak for p in parts if p.peak is not None]
    return first.model_copy(
        update={
            "rows": [row for part in parts for row in part.rows],
            "ratios": [ratio for part in parts for ratio in part.ratios],
            "bounded": within_bound([row for part in parts for row in part.rows], first.settings.get("latency_bound")),
            "notes": list(dict.fromkeys(note for part in parts for note in part.notes)),
            "data": data,
            "after": parts[-1].after,
            "peak": peaks[0] if peaks else None,
            "complete": complete,
        }
    )


def _held(path: Path) -> Report | None:
    if not path.is_file():
        return None
    try:
        report = read_report(path)
    except InputError:
        return None  # written by another version: measured again
    return report if report.complete else None


def _key(cases: Sequence[Case], settings: dict[str, Any]) -> str:
    """Of what the group's figures depend on: cases, settings and the files' bytes."""
    files = {}
    for case in cases:
        try:
            files[case.model] = file_sha256(weights_file(Path(case.model)))
        except OSError:
            files[case.model] = "missing"
    text = canonical_json([[c.model_dump() for c in cases], settings, files])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def refuse_existing_report(folder: Path, force: bool) -> None:
    """Raises EdgekitError where a report lies and may not be replaced."""
    found = [n for n in ("bench.json", "bench.html", "bench.md", "bench.csv") if (folder / n).exists()]
    if found and not force:
        raise EdgekitError(
            f"{folder} holds a report already.",
            got=", ".join(found),
            fix="--force replaces it, --out DIR writes elsewhere",
        )
