"""`edgekit eval`: how often is a model right on labelled pictures, and how sure is that figure?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli import options
from edgekit.cli.options import (
    ClassesOption,
    Format,
    FormatOption,
    NormOption,
    PreprocessOption,
    Provider,
    ProviderOption,
    ThreadsOption,
    next_command,
    print_json,
    say,
)

if TYPE_CHECKING:
    from edgekit.vision.metrics import ClassificationReport, Rate

SHOWN = 20


def evaluate(
    model: Annotated[Path, typer.Argument(help="An exported ONNX, or a checkpoint (run by torch).")],
    data: Annotated[Path, typer.Option("--data", "-d", help="Class folders, or a csv of file,class_index.")],
    classes: ClassesOption = None,
    preprocess: PreprocessOption = None,
    norm: NormOption = None,
    provider: ProviderOption = Provider.cpu,
    threads: ThreadsOption = 0,
    output_format: FormatOption = Format.text,
) -> int:
    """Measure a classifier: top-1, top-5 and per class, with 95 % Clopper-Pearson intervals."""
    from edgekit import loading
    from edgekit.bench.accuracy import evaluate as measure
    from edgekit.data.layouts import load_dataset

    with loading.open_predictor(
        model,
        provider=provider.value,
        threads=threads,
        classes=options.read_classes(classes),
        preprocess_spec=options.read_preprocess(preprocess),
        norm=norm,
    ) as predictor:
        dataset = load_dataset(data, predictor.spec.classes)
        for note in dataset.notes:
            say(note)
        evaluation = measure(predictor, dataset)
    for line in evaluation.unread:
        say(f"not read: {line}")
    if output_format is Format.json:
        facts = {"model": model.name, "backend": predictor.session.backend, "data": data.name}
        print_json({**facts, **evaluation.to_dict()})
    else:
        _print(model, evaluation.report)
    next_command("edgekit", "predict", model, data if data.is_dir() else data.parent)
    return 1 if evaluation.unread else 0


def _print(model: Path, report: ClassificationReport) -> None:
    typer.echo(f"{model.name} on {report.n} pictures, 95 % intervals")
    for name, rate in (("top-1", report.top1), (f"top-{report.k}", report.top5)):
        typer.echo(f"  {name:<28} {_text(rate)}")
    seen = [entry for entry in report.classes if entry.n]
    if len(seen) > SHOWN:
        seen = sorted(seen, key=lambda entry: entry.top1.value or 0.0)[:SHOWN]
        typer.echo(f"  the {SHOWN} weakest classes (--format json has all)")
    for entry in seen:
        typer.echo(f"  {entry.label:<28.28} {_text(entry.top1)}  of {entry.n}")


def _text(rate: Rate) -> str:
    return f"{rate.value or 0.0:7.2%}   [{rate.low:.2%}, {rate.high:.2%}]"
