"""A whole measurement: cases opened, checked, evaluated, timed in turns; what fails keeps its reason in its row."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import Artifact, read_onnx
from edgekit.bench import yardstick
from edgekit.bench.accuracy import evaluate
from edgekit.bench.agreement import Answers, accuracy, agreement, read_samples
from edgekit.bench.environment import condition_notes, conditions, environment
from edgekit.bench.measure import END_TO_END, Plan, Run, measure
from edgekit.bench.operations import costs
from edgekit.bench.schema import (
    Accuracy,
    Block,
    Case,
    Cold,
    Data,
    Failure,
    Figures,
    Layers,
    Peak,
    Ratio,
    Report,
    Robustness,
    Row,
    Span,
    Steadiness,
    Timing,
    Warmup,
    rounded,
)
from edgekit.bench.stats import Interval, bootstrap, paired_ratio, stability, summary
from edgekit.bench.subject import STAGES, Subject
from edgekit.data import Dataset, Sample, sample_evenly
from edgekit.errors import EdgekitError
from edgekit.predictor import Predictor
from edgekit.vision.image import encode_picture

Say = Callable[[str], None]
Opener = Callable[[Case], Predictor]
OTHERS = 0.1  # share of the CPUs' time, taken by others, from which on a timing is of a busy machine


@dataclass(frozen=True)
class Hooks:
    """What the caller brings, since it lies on a higher floor than this room.

    Attributes:
        open: a predictor of a case; raises EdgekitError where it cannot be.
        data: the pictures for a predictor's task and classes.
        cold: the figures of a process of its own, or None to leave them out.
        robustness: accuracy of a predictor under corruptions and attacks, or None.
        layers: times per layer of a case, or None.
        peak: the machine's own roof, or None.
        say: told what goes on.
        done: given the report after each row that is finished, to keep what was measured if the next one ends it all.
    """

    open: Opener
    data: Callable[[Predictor], Dataset]
    cold: Callable[[Case, Path], Cold] | None = None
    robustness: Callable[[Case, Predictor, Dataset], Robustness] | None = None
    layers: Callable[[Case, Artifact, Peak | None], Layers | None] | None = None
    peak: Callable[[], Peak] | None = None
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
    """

    plan: Plan = field(default_factory=Plan)
    timed: int = 32
    accuracy: int | None = None
    pictures: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "yardstick": yardstick.NAME}


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
        self.answers: dict[tuple[str, str, str], Answers] = {}
        self.report = Report(
            schema="edgekit.bench",
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            title=title,
            settings=settings.to_dict(),
            environment=environment(),
            before=conditions(),
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
            if self.hooks.peak is not None:
                self.hooks.say("measuring the machine's own peak")
                report.peak = self.hooks.peak()
            with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as folder, ExitStack() as stack:
                self._measure(Path(folder), stack)
            report.complete = True
        except BaseException as error:
            self._cut_short(error)
            raise
        finally:
            report.after = conditions()
            report.notes += condition_notes(report.before, report.after, os.cpu_count() or 1)
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
        self.hooks.done(self.report)

    def _measure(self, folder: Path, stack: ExitStack) -> None:
        subjects: dict[str, list[Subject]] = {}
        of_name: dict[str, Case] = {}
        for case in self.cases:
            self.hooks.say(f"opening {case.name}")
            row = self.rows[case] = Row(name=case.name, case=case, status="ok")
            with self._guarded(row):
                predictors = [stack.enter_context(self.hooks.open(case)) for _ in range(case.streams)]
                self._describe(row, predictors[0])
                dataset = self.hooks.data(predictors[0])
                self._accuracy(row, predictors[0], dataset)
                timed = timed_pictures(dataset, self.settings.timed, folder)
                task = predictors[0].spec.task
                self.report.data.setdefault(task, Data(
                    name=dataset.layout if dataset.layout == "made" else _name(dataset), pictures=len(dataset),
                    digest=dataset.digest, made=dataset.layout == "made", timed=len(timed)))  # fmt: skip
                if row.verified is False:
                    self.report.notes.append(f"{row.name} did not pass its verification: its speed was not measured")
                    continue
                if self.hooks.cold is not None:
                    assert timed[0].path is not None
                    row.cold = self.hooks.cold(case, timed[0].path)
                subjects[case.name] = [Subject(p, timed, case.batch) for p in predictors]
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
            with self._guarded(row, keep=True):
                if self.hooks.robustness is not None and row.case.batch == 1 and row.case.streams == 1:
                    self.hooks.say(f"robustness of {name}")
                    predictor = streams[0].predictor
                    row.robustness = self.hooks.robustness(row.case, predictor, self.hooks.data(predictor))
            self._keep()

    @contextmanager
    def _guarded(self, row: Row, keep: bool = False) -> Iterator[None]:
        """An EdgekitError becomes the row's failure; with `keep` a note, and the row stands."""
        try:
            yield
        except (EdgekitError, ImportError, MemoryError) as error:
            told = _failure(error)
            self.hooks.say(f"{row.name}: {told.what}")
            if keep:
                self.report.notes.append(f"{row.name}: {told.what} {told.got or ''}".strip())
                return
            row.status, row.failure = "failed", told
            row.timing = row.cold = None  # no speed beside a failure

    def _describe(self, row: Row, predictor: Predictor) -> None:
        path = Path(row.case.model)
        spec = predictor.spec
        row.model = f"{spec.arch} {len(spec.classes)} classes {spec.preprocess.height}x{spec.preprocess.width}"
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

    def _accuracy(self, row: Row, predictor: Predictor, dataset: Dataset) -> None:
        """Once for each file and runtime: threads and batch change nothing that is measured here."""
        wanted = self.settings.accuracy
        known = dataset.labelled if predictor.spec.task == "classification" else dataset.boxed
        if wanted == 0 or not known:
            return
        chosen = dataset if wanted is None else sample_evenly(dataset, wanted)
        key = (row.case.model, row.case.backend, row.case.provider)
        if key not in self.answers:
            self.hooks.say(f"accuracy of {row.name} on {len(chosen)} pictures")
            evaluation = evaluate(predictor, chosen)
            samples = read_samples(chosen, evaluation.unread)
            self.answers[key] = Answers(evaluation, samples, predictor.spec.classes, predictor.spec.thresholds)
        row.accuracy = accuracy(self.answers[key])
        reference = self._reference(row)
        if reference is not None and (other := self._answers(reference.case)) is not None:
            row.agreement = agreement(other, self.answers[key], reference.name, self.settings.pictures)

    def _answers(self, case: Case) -> Answers | None:
        return self.answers.get((case.model, case.backend, case.provider))

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
                a = _per_picture(runs[reference.name], stage, reference.case.batch)
                b = _per_picture(run, stage, of_name[name].batch)
                self.report.ratios.append(
                    Ratio(row=name, reference=reference.name, stage=stage, speedup=_span(paired_ratio(a, b)))
                )


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
        f"{stage}.{name}": _span(bootstrap(measured, lambda v, q=q: float(np.percentile(v, q)), 300))  # type: ignore[misc]
        for stage, measured in blocks.items()
        for name, q in (("p50", 50), ("p95", 95))
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


def timed_pictures(dataset: Dataset, count: int, folder: Path) -> list[Sample]:
    """Pictures as files, so that decoding is part of what is timed; those made in code are written as JPEG."""
    chosen = []
    for i, sample in enumerate(sample_evenly(dataset, count)):
        if sample.path is None:
            path = folder / f"{len(dataset)}-{i:04d}.jpg"
            if not path.exists():
                path.write_bytes(encode_picture(sample.read(), ".jpg"))
            chosen.append(Sample(path, None, sample.label, sample.name))
        else:
            try:
                sample.read()
            except EdgekitError:
                continue  # accuracy says which ones cannot be read
            chosen.append(sample)
    if not chosen:
        raise EdgekitError("None of the pictures can be read.", got=f"{count} tried", expected="readable pictures")
    return chosen


def _per_picture(run: Run, stage: str, batch: int) -> list[float]:
    return [float(np.median(turn.stages[stage])) / batch for turn in run.turns]


def _failure(error: BaseException) -> Failure:
    if isinstance(error, EdgekitError):
        return Failure(
            kind=type(error).__name__, what=error.what, got=error.got, expected=error.expected, fix=error.fix
        )
    return Failure(kind=type(error).__name__, what=str(error) or type(error).__name__)


def _name(dataset: Dataset) -> str:
    paths = [str(s.path) for s in dataset if s.path is not None]
    return Path(os.path.commonpath(paths)).name if len(paths) > 1 else dataset.layout


def _span(value: Interval) -> Span:
    return Span(value=value.value, low=value.low, high=value.high)


__all__ = ["Accuracy", "Bench", "Hooks", "Settings", "timed_pictures", "timing"]
