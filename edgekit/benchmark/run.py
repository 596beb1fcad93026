"""A whole measurement: cases opened, checked, evaluated, timed in turns; what fails keeps its reason in its row."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgekit.artifacts.onnx_file import Artifact, read_onnx
from edgekit.benchmark.layers.errors import LayerErrors
from edgekit.benchmark.layers.operations import costs
from edgekit.benchmark.machine import reference_workload
from edgekit.benchmark.machine.environment import condition_notes, conditions, environment
from edgekit.benchmark.measure import END_TO_END, MeasurementPlan, Run, measure
from edgekit.benchmark.pictures import name_of, timed_pictures
from edgekit.benchmark.quality.answering import Answering
from edgekit.benchmark.scenarios.rules import SECONDS
from edgekit.benchmark.scenarios.run import run_scenarios, within_bound
from edgekit.benchmark.schema import (
    Case,
    Cold,
    Data,
    Erased,
    Expected,
    Failure,
    Layers,
    Peak,
    Ratio,
    Report,
    Robustness,
    Row,
    ScenarioName,
)
from edgekit.benchmark.subject import Subject
from edgekit.benchmark.timing import best_of, per_picture, span, timing
from edgekit.cores import cpu_numbers
from edgekit.data import Dataset
from edgekit.errors import EdgekitError
from edgekit.graph.passes.space_to_depth import blocks_for
from edgekit.metrics.statistics import paired_ratio
from edgekit.predictor import Predictor
from edgekit.screen import count_of

Say = Callable[[str], None]
Opener = Callable[[Case], Predictor]


@dataclass(frozen=True)
class Hooks:
    """What the caller brings, since it lies on a higher floor than this room.

    Attributes:
        open: a predictor of a case, with its streams where the runtime has them; raises EdgekitError.
        data: the pictures for a predictor's task and classes.
        cold: the figures of a process of its own, or None to leave them out.
        robustness: accuracy of a predictor under corruptions and attacks, or None.
        erased: what a predictor says with the objects erased, or None.
        layers: times per layer of a case, or None.
        peak: the machine's own roof, or None.
        expected: a predictor's answers beside those that they must be, or None where none are known.
        say: told what goes on.
        done: given the report after each row that is finished, to keep what was measured if the next one ends it all.
    """

    open: Opener
    data: Callable[[Predictor], Dataset]
    cold: Callable[[Case, Path], Cold] | None = None
    robustness: Callable[[Case, Predictor, Dataset], Robustness] | None = None
    erased: Callable[[Predictor], Erased] | None = None
    layers: Callable[[Case, Artifact, Peak | None], Layers | None] | None = None
    peak: Callable[[], Peak] | None = None
    expected: Callable[[Case, Predictor], Expected] | None = None
    say: Say = lambda _: None
    done: Callable[[Report], None] = lambda _: None


@dataclass(frozen=True)
class Settings:
    """How to measure; part of the report, and equal in two that are compared.

    Attributes:
        plan: how long.
        timed: pictures that the timings rotate over.
        accuracy: pictures that accuracy is measured on; None for all, 0 for no accuracy.
        pictures: keep thumbnails of the worst disagreements.
        scenarios: of MLPerf Inference's edge rules, each for `scenario_seconds`, on rows of one stream.
        latency_bound: milliseconds; None leaves the highest throughput within a bound out.
        map: names of classes that the data calls otherwise, as `ClassMap.table` has them; None: by their own.
    """

    plan: MeasurementPlan = field(default_factory=MeasurementPlan)
    timed: int = 32
    accuracy: int | None = None
    pictures: bool = True
    scenarios: Sequence[ScenarioName] = ()
    scenario_seconds: float = SECONDS
    latency_bound: float | None = None
    map: Mapping[str, Sequence[str]] | None = None

    def to_dict(self) -> dict[str, Any]:
        plain = {**asdict(self), "yardstick": reference_workload.NAME}  # its key since version 1
        names = plain.pop("map")
        unasked = {"scenarios", "scenario_seconds"} if not self.scenarios else set()
        unasked |= {"latency_bound"} if self.latency_bound is None else set()
        plain = {name: value for name, value in plain.items() if name not in unasked}
        return plain if names is None else {**plain, "map": {name: list(others) for name, others in names.items()}}


class Bench:
    """One run over `cases`; the first that has the same model as a later one is that one's reference.

    Args:
        title: of the report.
    """

    def __init__(self, cases: Sequence[Case], settings: Settings, hooks: Hooks, title: str = "edgekit bench") -> None:
        self.cases = list(dict.fromkeys(cases))
        self.settings = settings
        self.hooks = hooks
        self.rows: dict[Case, Row] = {}
        self.answering = Answering(settings.accuracy, settings.pictures, hooks.expected, hooks.say)
        self.layer_errors = LayerErrors()
        self.report = Report(
            schema="edgekit.bench",
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            title=title,
            settings=settings.to_dict(),
            environment=environment(),
            before=conditions(look=0.5),
            after={},
            notes=[],
            data={},
            rows=[],
            complete=False,
        )

    def run(self) -> Report:
        """Measures everything. An EdgekitError of one case becomes its row; the others go on."""
        report = self.report
        begin = time.perf_counter()
        try:
            emulated = report.environment["emulated"]
            if emulated:
                report.notes.append(f"the processor is emulated by {emulated}: no speed was measured")
            elif self.hooks.peak is not None:
                self.hooks.say("measuring the machine's own peak")
                report.peak = self.hooks.peak()
            with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as folder, ExitStack() as stack:
                self._measure(Path(folder), stack)
            report.bounded = within_bound(report.rows, self.settings.latency_bound)
            report.complete = True
        except BaseException as error:
            self._cut_short(error)
            raise
        finally:
            report.after = conditions()
            report.notes += condition_notes(report.before, report.after, len(cpu_numbers()))
            report.settings["took_seconds"] = round(time.perf_counter() - begin, 1)
            self._keep()
        return report

    def _cut_short(self, error: BaseException) -> None:
        """Rows that were under way say so."""
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        for case in self.cases:
            row = self.rows.setdefault(case, Row(name=case.name, case=case, status="failed"))
            if row.timing is None and row.failure is None:
                row.status = "failed"
                row.failure = Failure(kind=type(error).__name__, what=f"Not measured: {why}.")

    def _keep(self) -> None:
        self.report.rows = [self.rows[case] for case in self.cases if case in self.rows]
        for task, data in self.report.data.items():
            self.answering.describe(task, data)
        self.hooks.done(self.report)

    def _measure(self, folder: Path, stack: ExitStack) -> None:
        subjects: dict[str, list[Subject]] = {}
        of_name: dict[str, Case] = {}
        for case in self.cases:
            self.hooks.say(f"opening {case.name}")
            row = self.rows[case] = Row(name=case.name, case=case, status="ok")
            with self._guarded(row):
                predictors = [stack.enter_context(self.hooks.open(case))]
                while len(predictors) * predictors[0].session.streams < case.streams:
                    predictors.append(stack.enter_context(self.hooks.open(case)))
                self._describe(row, predictors[0])
                dataset = self.hooks.data(predictors[0])
                self.answering.write(row, predictors[0], dataset, self._reference(row))
                timed = timed_pictures(dataset, self.settings.timed, folder)
                task = predictors[0].spec.task
                self.report.data.setdefault(task, Data(
                    name=dataset.layout if dataset.layout == "made" else name_of(dataset), pictures=len(dataset),
                    digest=dataset.digest, made=dataset.layout == "made", timed=len(timed)))  # fmt: skip
                if row.verified is False:
                    self.report.notes.append(f"{row.name} did not pass its verification: its speed was not measured")
                    continue
                if self.report.environment["emulated"]:
                    continue
                if self.hooks.cold is not None:
                    assert timed[0].path is not None
                    row.cold = self.hooks.cold(case, timed[0].path)
                shared = [predictors[i % len(predictors)] for i in range(case.streams)]
                subjects[case.name] = [Subject(p, timed, case.batch) for p in shared]
                of_name[case.name] = case
                for subject in subjects[case.name]:  # that it runs at all, before the turns begin
                    subject.run()
            if row.status == "failed":
                subjects.pop(case.name, None)
            self._keep()
        runs = measure(subjects, self.settings.plan, self.hooks.say) if subjects else {}
        for name, run in runs.items():
            self.rows[of_name[name]].timing = timing(run)
        self._ratios(runs, of_name)
        self._keep()
        if self.hooks.peak is not None and self.report.peak is not None:  # the best counts, and a moment may be busy
            self.report.peak = best_of(self.report.peak, self.hooks.peak())
        for name, streams in subjects.items():
            row = self.rows[of_name[name]]
            with self._guarded(row, keep=True):
                if self.hooks.layers is not None and of_name[name].model.endswith(".onnx"):
                    self.hooks.say(f"layers of {name}")
                    artifact = read_onnx(Path(of_name[name].model))
                    row.layers = self.hooks.layers(of_name[name], artifact, self.report.peak)
                    self.layer_errors.write(row, self._reference(row), artifact, streams[0].feeds)
            with self._guarded(row, keep=True):
                if self.hooks.robustness is not None and row.case.batch == 1 and row.case.streams == 1:
                    self.hooks.say(f"robustness of {name}")
                    predictor = streams[0].predictor
                    row.robustness = self.hooks.robustness(row.case, predictor, self.hooks.data(predictor))
            with self._guarded(row, keep=True):
                if self.hooks.erased is not None and row.case.batch == 1 and row.case.streams == 1:
                    self.hooks.say(f"objects erased for {name}")
                    row.erased = self.hooks.erased(streams[0].predictor)
            with self._guarded(row, keep=True):
                pictures = self.report.data[streams[0].predictor.spec.task].pictures
                row.scenarios = run_scenarios(row.case, streams, self.settings, pictures, self.hooks.say)
            self._keep()

    @contextmanager
    def _guarded(self, row: Row, keep: bool = False) -> Iterator[None]:
        """An EdgekitError becomes the row's failure; with `keep` a note, and the row stands."""
        try:
            yield
        except (EdgekitError, ImportError, MemoryError) as error:
            told = Failure.of(error)
            self.hooks.say(f"{row.name}: {told.what}")
            if keep:
                self.report.notes.append(f"{row.name}: {told.what} {told.got or ''}".strip())
                return
            row.status, row.failure = "failed", told
            row.timing = row.cold = None  # no speed beside a failure

    def _describe(self, row: Row, predictor: Predictor) -> None:
        path = Path(row.case.model)
        spec = predictor.spec
        row.model = (
            f"{spec.arch} {count_of(len(spec.classes), 'class')} {spec.preprocess.height}x{spec.preprocess.width}"
        )
        row.sha256 = predictor.sha256
        row.file_bytes = path.stat().st_size if path.is_file() else None
        row.input = predictor.session.inputs[0].dtype
        row.precision = "fp32"
        if path.suffix in (".onnx", ".rejected"):
            artifact = read_onnx(path)
            row.precision = artifact.metadata.precision
            row.verified = artifact.metadata.verification.get("passed") is True
            counted = costs(artifact.model)
            row.params, row.macs = counted.params, counted.macs
            doubt, notes = blocks_for(artifact.model, row.case.backend), self.report.notes
            if doubt and (note := f"{path.name}: {doubt}") not in notes:  # once a file
                notes.append(note)

    def _reference(self, row: Row) -> Row | None:
        for case in self.cases:
            other = self.rows.get(case)
            if other is None or other is row:
                return None
            if other.status == "ok" and other.model == row.model:
                return other
        return None

    def _ratios(self, runs: Mapping[str, Run], of_name: Mapping[str, Case]) -> None:
        """Each row against its reference, turn by turn."""
        for name, run in runs.items():
            reference = self._reference(self.rows[of_name[name]])
            if reference is None or reference.name not in runs or len(run.turns) < 2:
                continue
            for stage in (END_TO_END, "inference"):
                a = per_picture(runs[reference.name], stage, reference.case.batch)
                b = per_picture(run, stage, of_name[name].batch)
                self.report.ratios.append(
                    Ratio(row=name, reference=reference.name, stage=stage, speedup=span(paired_ratio(a, b)))
                )
