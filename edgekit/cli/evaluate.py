"""`edgekit eval`: how good is a model on labelled pictures, and how sure is that figure?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.shared import after, options
from edgekit.cli.shared.options import (
    ArchOption,
    ClassesOption,
    Format,
    FormatOption,
    NormOption,
    PreprocessOption,
    Provider,
    ProviderOption,
    ThreadsOption,
    WeightsKeyOption,
    print_json,
    say,
)
from edgekit.screen import shown

if TYPE_CHECKING:
    from edgekit.metrics.classification import ClassificationReport, Rate
    from edgekit.metrics.detection import DetectionReport

WEAKEST_SHOWN = 20
AVERAGES = ("ap", "ap50", "ap75", "small", "medium", "large", "voc07")


def evaluate(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="An exported ONNX, or a checkpoint (run by torch).")],
    data: Annotated[
        Path, typer.Option("--data", "-d", help="Class folders or a csv; for a detector YOLO, Pascal VOC or COCO.")
    ],
    split: Annotated[
        str | None, typer.Option("--split", help="train, val, test or all; default: the held-out one.")
    ] = None,
    apart_from: Annotated[
        str | None, typer.Option("--apart-from", help="Leave out what looks like a picture of this split, e.g. train.")
    ] = None,
    classes: ClassesOption = None,
    preprocess: PreprocessOption = None,
    norm: NormOption = None,
    arch: ArchOption = None,
    weights_key: WeightsKeyOption = None,
    provider: ProviderOption = Provider.cpu,
    threads: ThreadsOption = 0,
    output_format: FormatOption = Format.text,
) -> int:
    """Measure a model, with 95 % Clopper-Pearson intervals.

    A classifier: top-1, top-5 and per class. A detector: COCO AP and its parts, VOC07's 11 points, precision and
    recall at its thresholds, and the alarm (is there one in the picture?).
    """
    from edgekit import loading
    from edgekit.benchmark.quality.accuracy import DetectionEvaluation
    from edgekit.benchmark.quality.accuracy import evaluate as measure
    from edgekit.data import load_dataset, without_near_duplicates

    with loading.open_predictor(
        model,
        provider=provider.value,
        threads=threads,
        classes=options.read_classes(classes),
        preprocess_spec=options.read_preprocess(preprocess),
        norm=norm,
        arch=arch,
        weights_key=weights_key,
        say=say,
    ) as predictor:
        dataset = load_dataset(data, predictor.spec.classes, split)
        if apart_from is not None:
            dataset = without_near_duplicates(dataset, load_dataset(data, predictor.spec.classes, apart_from))
        for note in dataset.notes:
            say(note)
        evaluation = measure(predictor, dataset)
    for line in evaluation.unread:
        say(f"not read: {line}")
    if output_format is Format.json:
        facts = {"model": model.name, "backend": predictor.session.backend, "data": data.name}
        print_json({**facts, **evaluation.to_dict()})
    elif isinstance(evaluation, DetectionEvaluation):
        _print_found(model, evaluation.report)
    else:
        _print(model, evaluation.report)
    if evaluation.unread:
        return 1
    after.look(context, model, data)
    return 0


def _print(model: Path, report: ClassificationReport) -> None:
    typer.echo(f"{model.name} on {report.n} pictures, 95 % intervals")
    for name, rate in (("top-1", report.top1), (f"top-{report.k}", report.top5)):
        typer.echo(f"  {name:<28} {_text(rate)}")
    if report.balanced is not None:
        typer.echo(f"  {'balanced':<28} {report.balanced:7.2%}")
    else:
        from edgekit.data.sample import some

        gone = report.unmeasured
        typer.echo(f"  {'balanced':<28} not measured: no picture of {some(gone)} ({len(gone)} classes)")
    seen = [entry for entry in report.classes if entry.n]
    if len(seen) > WEAKEST_SHOWN:
        seen = sorted(seen, key=lambda entry: entry.top1.value or 0.0)[:WEAKEST_SHOWN]
        typer.echo(f"  the {WEAKEST_SHOWN} weakest classes (--format json has all)")
    for entry in seen:
        typer.echo(f"  {shown(entry.label):<28.28} {_text(entry.top1)}  of {entry.n}")


def _print_found(model: Path, report: DetectionReport) -> None:
    typer.echo(f"{model.name} on {report.n} pictures with {sum(report.objects)} objects")
    typer.echo(f"  {'':<20}{'objects':>8}" + "".join(f"{name:>8}" for name in AVERAGES))
    rows = [(name, objects, averages) for (name, averages), objects in zip(report.classes, report.objects, strict=True)]
    for name, objects, averages in (("all classes", sum(report.objects), report.mean), *rows):
        values = [getattr(averages, key) for key in AVERAGES]
        told = "".join(f"{'-':>8}" if v is None else f"{v:8.3f}" for v in values)
        typer.echo(f"  {shown(name):<20.20}{objects:>8}{told}")
    typer.echo("boxes at the threshold, IoU 0.5, 95 % intervals")
    for point in report.operating:
        told = f"precision {_text(point.precision, 'boxes')}  recall {_text(point.recall, 'objects')}"
        typer.echo(f"  {shown(point.label):<20.20}{point.threshold:>8.3f}  {told}")
    typer.echo("alarm: is there one in the picture?")
    for alarm in report.alarms:
        if alarm.best is None or alarm.auroc is None:
            typer.echo(
                f"  {shown(alarm.label):<20.20} not measured: {alarm.present} pictures with it, {alarm.absent} without"
            )
            continue
        best = alarm.best
        typer.echo(
            f"  {shown(alarm.label):<20.20} AUROC {alarm.auroc:.3f}  F1 {best.f1:.3f} at {best.threshold:.3f}"
            f"  ({alarm.present} pictures with it, {alarm.absent} without)"
        )
        for limit, at in alarm.at_limits:
            rates = f"recall {_text(at.recall)} at {at.threshold:.3f}"
            sure = "" if at.false_positives.high <= limit else f"; too few pictures to be sure of {limit:g}"
            typer.echo(f"  {'':<20} {rates} with {at.false_positives.hits} false alarms{sure}")


def _text(rate: Rate, without: str = "") -> str:
    """`without`: what there is none of where nothing was measured."""
    if rate.value is None:
        return "not measured" + (f" (no {without})" if without else "")
    return f"{rate.value:7.2%}   [{rate.low:.2%}, {rate.high:.2%}]"
