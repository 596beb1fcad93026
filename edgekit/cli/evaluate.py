"""`edgekit eval`: how good is a model on labelled pictures, and how sure is that figure?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.shared import after, options
from edgekit.cli.shared.options import (
    ArchOption,
    ClassesOption,
    Format,
    FormatOption,
    MapOption,
    MultiLabelOption,
    NormOption,
    PreprocessOption,
    Provider,
    ProviderOption,
    ThreadsOption,
    WeightsKeyOption,
    print_json,
    say,
)


def evaluate(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="An exported ONNX, or a checkpoint (run by torch).")],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            "-d",
            help="Class folders or a csv; for a detector YOLO, Pascal VOC or COCO; for masks images/ and masks/.",
        ),
    ],
    split: Annotated[
        str | None, typer.Option("--split", help="train, val, test or all; default: the held-out one.")
    ] = None,
    apart_from: Annotated[
        str | None, typer.Option("--apart-from", help="Leave out what looks like a picture of this split, e.g. train.")
    ] = None,
    classes_map: MapOption = None,
    classes: ClassesOption = None,
    preprocess: PreprocessOption = None,
    norm: NormOption = None,
    arch: ArchOption = None,
    weights_key: WeightsKeyOption = None,
    multi_label: MultiLabelOption = False,
    provider: ProviderOption = Provider.cpu,
    threads: ThreadsOption = 0,
    output_format: FormatOption = Format.text,
) -> int:
    """Measure a model, with 95 % Clopper-Pearson intervals.

    A classifier: top-1, top-5 and per class. A detector: COCO AP and its parts, VOC07's 11 points, precision and
    recall at its thresholds, and the alarm (is there one in the picture?). A segmentation model: mIoU, pixel accuracy
    and boundary F, and each class; void pixels do not count.
    """
    from edgekit.api.evaluate import evaluate as measure
    from edgekit.api.model import Model
    from edgekit.artifacts.opening import RunOptions
    from edgekit.data.classes.class_map import class_map
    from edgekit.loading import open_model

    names = class_map(classes_map)
    told = options.checkpoint_options(classes, preprocess, norm, arch, weights_key, multi_label)
    with Model(open_model(model, RunOptions(provider=provider.value, threads=threads), told, say=say)) as opened:
        evaluation = measure(opened, data, split=split, apart_from=apart_from, classes_map=names, say=say)
        backend = opened.predictor.session.backend
    for line in evaluation.unread:
        say(f"not read: {line}")
    if output_format is Format.json:
        facts: dict[str, Any] = {"model": model.name, "backend": backend, "data": data.name}
        if names is not None:
            facts["map"] = names.table()
        print_json({**facts, **evaluation.to_dict()})
    else:
        for line in evaluation.lines(model.name):
            typer.echo(line)
    if evaluation.unread:
        return 1
    after.look(context, model, data)
    return 0
