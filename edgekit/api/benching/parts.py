"""What `bench` and `tune` put together: files opened, data found, attacks crafted, reports written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgekit.api.benching.trials import Erase, Robust
from edgekit.artifacts.kinds import is_checkpoint
from edgekit.benchmark.run import Bench, Hooks, Settings
from edgekit.benchmark.schema import Case, Cold, Layers, Peak, Report
from edgekit.errors import UsageError
from edgekit.screen import some
from edgekit.tasks import task_of

if TYPE_CHECKING:
    from edgekit.artifacts.onnx_file import Artifact
    from edgekit.benchmark.schema import Expected
    from edgekit.benchmark.suite import Suite
    from edgekit.data import Dataset
    from edgekit.data.classes.class_map import ClassMap
    from edgekit.predictor import Predictor
    from edgekit.spec import ModelSpec

MADE = {"hive": 24, "patterns": 48}  # pictures made in code, where none are given
Written = Callable[[Report], None]
Say = Callable[[str], None]


def case(model: str, backend: str, provider: str, threads: int, batch: int, streams: int) -> Case:
    """One case; a checkpoint is run by torch whatever the backend, a deployment.json's model as that says.

    Raises:
        EdgekitError: as `edgekit.artifacts.deployment.resolve`.
    """
    from edgekit.artifacts.deployment import resolve

    found = resolve(Path(model), backend, provider, threads)
    model, backend, provider, threads = str(found.path), found.backend, found.provider, found.threads
    if is_checkpoint(Path(model)):
        backend, provider, threads = "torch", "cpu", 0
    return Case(model=model, backend=backend, provider=provider, threads=threads, batch=batch, streams=streams)


def writer(out: Path) -> Written:
    """Writes a report as bench.json, bench.html, bench.md and bench.csv, each whole, as often as it is called."""
    from edgekit.artifacts.atomic import make_folder, write_bytes

    make_folder(out)

    def write(report: Report) -> None:
        from edgekit.benchmark.report.decision import decide
        from edgekit.benchmark.report.page import as_html
        from edgekit.benchmark.report.text import as_csv, as_markdown
        from edgekit.benchmark.report_file import write_report

        decide(report)
        write_report(out / "bench.json", report, overwrite=True)
        for name, text in (("html", as_html(report)), ("md", as_markdown(report)), ("csv", as_csv(report))):
            write_bytes(out / f"bench.{name}", text.encode(), overwrite=True)

    return write


class PictureSource(Protocol):
    """Where pictures come from: `Pictures`, or a bench pack."""

    def __call__(self, predictor: Predictor) -> Dataset: ...

    def check(self, models: Sequence[Path]) -> None: ...


@dataclass(frozen=True)
class Parts:
    """What is measured beside latency and accuracy, and on what.

    Attributes:
        pictures: instead of those of `data`.
        expected: a case's answers beside those that they must be; None where none are known.
    """

    data: Sequence[Path]
    split: str | None = None
    cold: bool = True
    layers: bool = False
    robustness: int = 0
    attack: Path | None = None
    erase: int = 0
    unverified: bool = False
    classes_map: ClassMap | None = None
    say: Say = lambda line: None
    pictures: PictureSource | None = None
    expected: Callable[[Case, Predictor], Expected] | None = None

    @classmethod
    def of_suite(cls, suite: Suite, data: Sequence[Path], **more: Any) -> Parts:
        """As a suite asks for them; `more` are other attributes."""
        return cls(data, cold=suite.cold, layers=suite.layers, robustness=suite.robustness, erase=suite.erase, **more)

    def measure(self, cases: Sequence[Case], settings: Settings, written: Written, title: str = "") -> Report:
        """One Bench of `cases`, written down whenever there is more."""
        from edgekit.benchmark.report.decision import decide

        pictures = self.pictures or Pictures(self.data, self.split, self.say, self.classes_map)
        pictures.check([Path(model) for model in dict.fromkeys(c.model for c in cases)])
        boxed = self._boxed() if self.erase else None
        hooks = Hooks(
            open=self.open,
            data=pictures,
            cold=cold_of if self.cold else None,
            robustness=Robust(self.robustness, self._crafted_on(cases), self.say) if self.robustness else None,
            erased=Erase(self.erase, boxed, self.split, self.classes_map) if boxed else None,
            layers=layers_of if self.layers else None,
            peak=_peak if self.layers else None,
            expected=self.expected,
            say=self.say,
            done=written,
        )
        names = None if self.classes_map is None else self.classes_map.table()
        report = Bench(cases, replace(settings, map=names), hooks, title or _title(cases)).run()
        decide(report)
        return report

    def open(self, case: Case) -> Predictor:
        """A predictor of the case. Raises EdgekitError of the kind that says why not."""
        from edgekit import loading
        from edgekit.artifacts.opening import RunOptions

        backend = "onnxruntime" if case.backend == "torch" else case.backend
        run = RunOptions(backend, case.provider, case.threads, case.streams)
        return loading.open_model(case.model, run, unverified=self.unverified, say=self.say)

    def _boxed(self) -> Path:
        """The first of the data sets whose objects are known. Raises UsageError without one."""
        from edgekit.data.load import suits

        found = next((path for path in self.data if suits(path, "boxes")), None)
        if found is None:
            raise UsageError(
                "There is nothing that could be erased.",
                got=some(list(map(str, self.data))) if self.data else "no --data",
                expected="pictures with boxes among --data",
            )
        return found

    def _crafted_on(self, cases: Sequence[Case]) -> Path | None:
        found = [Path(c.model) for c in cases if is_checkpoint(Path(c.model))]
        return self.attack or (found[0] if found else None)


class Pictures:
    """The data set for a predictor: the first of the given ones that has what its task needs, else made in code."""

    def __init__(self, paths: Sequence[Path], split: str | None, say: Say, classes_map: ClassMap | None = None) -> None:
        self.paths = paths
        self.split = split
        self.say = say
        self.classes_map = classes_map
        self._unmapped: dict[Path, Dataset] = {}
        self._held: dict[tuple[object, ...], Dataset] = {}

    def __call__(self, predictor: Predictor) -> Dataset:
        key = (predictor.spec.task, predictor.spec.classes)
        if key not in self._held:
            self._held[key] = self._load(predictor.spec)
            for note in self._held[key].notes:
                self.say(note)
        return self._held[key]

    def check(self, models: Sequence[Path]) -> None:
        """That the map fits the data and those of the models that say their classes, before any time is spent.

        Raises:
            UsageError: as `edgekit.data.classes.apply.mapped`. Several models may each use a part of the map; a name
                that none of them and no data set has is refused.
        """
        from edgekit import loading
        from edgekit.errors import EdgekitError

        if self.classes_map is None:
            return
        known: list[str] = []
        described = True
        for model in models:
            try:
                metadata = loading.metadata_of(model)
            except EdgekitError:  # its row says why
                metadata = None
            described = described and metadata is not None
            if metadata is not None:
                self._load(metadata.model)
                known += metadata.model.classes
        if described:
            names = [name for dataset in self._unmapped.values() for name in dataset.classes or ()]
            self.classes_map.require_known(names, list(dict.fromkeys(known)))

    def _load(self, spec: ModelSpec) -> Dataset:
        from edgekit.data import load_dataset
        from edgekit.data.classes.apply import mapped
        from edgekit.data.load import suits
        from edgekit.data.made import STAND_INS

        task = task_of(spec.task)
        fitting = [path for path in self.paths if suits(path, task.truth)]
        if fitting and self.classes_map is not None:
            if fitting[0] not in self._unmapped:
                self._unmapped[fitting[0]] = load_dataset(fitting[0], None, self.split, truth=task.truth)
            return mapped(self._unmapped[fitting[0]], spec.classes, self.classes_map, strict=False)
        if fitting:
            return load_dataset(fitting[0], spec.classes, self.split, truth=task.truth)
        stand_in = STAND_INS[task.stand_in]
        made = stand_in.make(MADE[task.stand_in])
        return made if spec.classes == stand_in.classes else _unlabelled(made)


def _unlabelled(made: Dataset) -> Dataset:
    """Pictures of other classes than the model's: good for timing, and for nothing else."""
    from edgekit.data import Sample

    samples = tuple(Sample(None, s.read(), None, s.name) for s in made)
    note = "timed on pictures made in code; they have other classes than the model, so there is no accuracy"
    return replace(made, samples=samples, classes=None, notes=(note,))


def cold_of(case: Case, picture: Path) -> Cold:
    """A cold start of the case, in a process of its own."""
    from edgekit.benchmark.cold import cold_start

    return cold_start([sys.executable, "-m", "edgekit.api.benching.child", case.model_dump_json(), str(picture)])


def layers_of(case: Case, artifact: Artifact, peak: Peak | None) -> Layers | None:
    """Times per layer, where the backend gives them and the batch takes one picture."""
    from edgekit.benchmark.layers.profile import layers

    return layers(artifact, case.backend, case.threads, case.batch, peak) if case.streams == 1 else None


def _peak() -> Peak:
    from edgekit.benchmark.machine.roof import measure_peak

    return measure_peak()


def installed_backends(chosen: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Runtimes that open exported files here, and the providers of each that are worth trying.

    Args:
        chosen: only these, installed or not; what is not is a row that says so.
    """
    from importlib.util import find_spec

    from edgekit.backends import BACKENDS

    names = chosen or [name for name in BACKENDS if find_spec(name) is not None]
    return {name: ["cpu", "cuda"] if name == "onnxruntime" and _has_cuda() else ["cpu"] for name in names}


def _has_cuda() -> bool:
    """Whether onnxruntime here was built with a CUDA provider; that it starts is seen when it is tried."""
    try:
        import onnxruntime
    except ImportError:
        return False
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _title(cases: Sequence[Case]) -> str:
    return "Benchmark of " + some(list(dict.fromkeys(Path(c.model).stem for c in cases)), 3)
