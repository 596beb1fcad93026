"""`edgekit bench`: how fast, how right and how robust is each file on this machine?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.options import (
    ForceOption,
    Format,
    FormatOption,
    Provider,
    ProviderOption,
    next_command,
    say,
)

if TYPE_CHECKING:
    from edgekit.bench.schema import Case, Cold
    from edgekit.data import Dataset
    from edgekit.predictor import Predictor

MADE = 24


def bench(
    models: Annotated[
        list[Path] | None, typer.Argument(help="Exported files or checkpoints; the first is what others compare with.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", "-d", help="Labelled pictures, or boxes for a detector; repeatable. Default: made."),
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="train, val, test or all.")] = None,
    backend: Annotated[
        list[str] | None, typer.Option("--backend", "-b", help="A runtime; repeatable. Default: onnxruntime.")
    ] = None,
    provider: ProviderOption = Provider.cpu,
    threads: Annotated[list[int] | None, typer.Option("--threads", min=0, help="Repeatable; 0: a core each.")] = None,
    batch: Annotated[list[int] | None, typer.Option("--batch", min=1, help="Pictures in a run; repeatable.")] = None,
    streams: Annotated[list[int] | None, typer.Option("--streams", min=1, help="Sessions at once; repeatable.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="Measured for each case.")] = 10.0,
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="Instead of --seconds.")] = None,
    turns: Annotated[int, typer.Option("--turns", min=1, help="Blocks, in which the cases take turns.")] = 5,
    warmup: Annotated[float, typer.Option("--warmup", min=0, help="Seconds at most until a case is warm.")] = 10.0,
    pictures: Annotated[
        int | None, typer.Option("--pictures", min=0, help="For accuracy; default all, 0: no accuracy.")
    ] = None,
    cold: Annotated[bool, typer.Option("--cold/--no-cold", help="Start a process for each case.")] = True,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the report.")] = Path("bench"),
    force: ForceOption = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Measure files side by side: latency by stage, throughput, accuracy, cold start, memory, energy.

    Writes bench.json, bench.html, bench.md and bench.csv to --out. A case that fails keeps its reason in its row; the
    exit code is then 1.
    """
    from edgekit.bench.measure import Plan
    from edgekit.bench.run import Bench, Hooks, Settings

    cases = [
        case(str(m), b, provider.value, t, n, s)
        for m in models or []
        for b in backend or ["onnxruntime"]
        for t in threads or [0]
        for n in batch or [1]
        for s in streams or [1]
    ]
    settings = Settings(Plan(seconds, iterations, turns, warmup), accuracy=pictures)
    hooks = Hooks(opener, Pictures(data, split), cold_of if cold else None, say=say)
    report = Bench(cases, settings, hooks).run()
    from edgekit.bench.text import as_markdown

    typer.echo(as_markdown(report))
    return 1 if any(row.failure for row in report.rows) else 0


def case(model: str, backend: str, provider: str, threads: int, batch: int, streams: int) -> Case:
    """One case; a checkpoint is run by torch whatever the backend."""
    from edgekit import loading
    from edgekit.bench.schema import Case

    if Path(model).suffix in loading.CHECKPOINTS:
        backend, provider = "torch", "cpu"
    return Case(model=model, backend=backend, provider=provider, threads=threads, batch=batch, streams=streams)


def opener(case: Case) -> Predictor:
    """A predictor of the case. Raises EdgekitError of the kind that says why not."""
    from edgekit import loading

    backend = "onnxruntime" if case.backend == "torch" else case.backend
    return loading.open_predictor(Path(case.model), backend=backend, provider=case.provider, threads=case.threads)


def cold_of(case: Case, picture: Path) -> Cold:
    """A cold start of the case, in a process of its own."""
    from edgekit.bench.cold import cold_start

    return cold_start([sys.executable, "-m", "edgekit.cli.bench_child", case.model_dump_json(), str(picture)])


class Pictures:
    """The data set for a predictor: the first of the given ones that has what its task needs, else made in code."""

    def __init__(self, paths: list[Path] | None, split: str | None) -> None:
        self.paths = paths or []
        self.split = split
        self._held: dict[tuple[object, ...], Dataset] = {}

    def __call__(self, predictor: Predictor) -> Dataset:
        key = (predictor.spec.task, predictor.spec.classes)
        if key not in self._held:
            self._held[key] = self._load(predictor)
            for note in self._held[key].notes:
                say(note)
        return self._held[key]

    def _load(self, predictor: Predictor) -> Dataset:
        from edgekit.data import HIVE_CLASSES, PATTERNS, hive_pictures, load_dataset, made_pictures
        from edgekit.data.layouts import has_boxes

        spec = predictor.spec
        boxed = spec.task == "detection"
        fitting = [path for path in self.paths if has_boxes(path) == boxed]
        if fitting:
            return load_dataset(fitting[0], spec.classes, self.split)
        if boxed:
            made = hive_pictures(MADE)
            return made if spec.classes == HIVE_CLASSES else _unlabelled(made)
        made = made_pictures(2 * MADE)
        return made if spec.classes == PATTERNS else _unlabelled(made)


def _unlabelled(made: Dataset) -> Dataset:
    """Pictures of other classes than the model's: good for timing, and for nothing else."""
    from dataclasses import replace

    from edgekit.data import Sample

    samples = tuple(Sample(None, s.read(), None, s.name) for s in made)
    return replace(made, samples=samples, classes=None, notes=("made pictures have other classes: no accuracy",))


__all__ = ["bench", "case", "cold_of", "next_command", "opener"]
