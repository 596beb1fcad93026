"""`edgekit eval`: how good is a model on labelled pictures, and how sure is that figure?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.shared import after, options
from edgekit.cli.shared.helptext import DATA, Group, argument
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

ALARMS = Group("False alarms, with --alarms")
ERASING = Group("Right for the right reason, with --erase")


def evaluate(
    context: typer.Context,
    model: Annotated[Path, argument("MODEL", "An exported ONNX, or a checkpoint (run by torch).")],
    more: Annotated[list[str] | None, argument("PLACE", "More for --alarms, as a shell's pattern gives.")] = None,
    data: Annotated[
        Path | None,
        DATA(
            "-d, --data DIR",
            "Class folders or a csv; for a detector YOLO, Pascal VOC or COCO; for masks images/ and masks/.",
        ),
    ] = None,
    alarms: Annotated[
        list[str] | None,
        ALARMS(
            "--alarms PLACE", "Clips and folders of pictures without the insect: count a detector's false alarms there."
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        ALARMS("--without CLASS", "A class that is not in them; repeatable. Default: none of the model's is."),
    ] = None,
    recall: Annotated[
        float | None,
        ALARMS("--recall X", "Alarm at the threshold with this recall on --data, not at the model's own."),
    ] = None,
    erase: Annotated[
        bool,
        ERASING("--erase", "Ask again with the objects erased, and about them alone: --data has boxes then."),
    ] = False,
    split: Annotated[str | None, DATA("--split SPLIT", "train, val, test or all; default: the held-out one.")] = None,
    apart_from: Annotated[
        str | None, DATA("--apart-from SPLIT", "Leave out what looks like a picture of this split, e.g. train.")
    ] = None,
    classes_map: MapOption = None,
    sheet: Annotated[
        Path | None,
        DATA("--sheet FILE", "Draw the 24 surest wrong answers, or what --erase asked: .png or .jpg."),
    ] = None,
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
    and boundary F, and each class; void pixels do not count. Of a detector also what kinds of mistakes cost how much,
    and --sheet draws the surest wrong answers: some will be the labels' mistakes.

    With --erase: whether it is right for the right reason. What a classifier still says with the labelled insect erased
    and the rest kept it has from the scene; beside it the same with as much erased elsewhere, and the insect alone.

    With --alarms: alarms an hour of clips and a thousand pictures that are without the insect, and when they came, at
    a threshold whose recall on --data stands beside.

    Examples:
        edgekit eval hornets.onnx --data hornets/
        edgekit eval hornets.onnx -d hornets/ --sheet wrong.jpg
        edgekit eval hornets.onnx -d hornets/ --alarms winter/
        edgekit eval bees.onnx --data boxes/ --erase
    """
    from edgekit.api.evaluate import evaluate as measure
    from edgekit.api.model import Model
    from edgekit.artifacts.opening import RunOptions
    from edgekit.data.classes.class_map import class_map
    from edgekit.loading import open_model

    places = [*(alarms or ()), *(more or ())]
    _refuse(data, alarms, places, without, recall)
    _refuse_erasing(data, places, erase, sheet)
    names = class_map(classes_map)
    told = options.checkpoint_options(classes, preprocess, norm, arch, weights_key, multi_label)
    with Model(open_model(model, RunOptions(provider=provider.value, threads=threads), told, say=say)) as opened:
        chosen: dict[str, Any] = {"split": split, "apart_from": apart_from, "classes_map": names}
        evaluation = None if data is None or erase else measure(opened, data, **chosen, sheet=sheet, say=say)
        raised = None
        if places:
            from edgekit.api.alarms import false_alarms

            asked: dict[str, Any] = {"without": without or (), "recall": recall, "evaluation": evaluation}
            raised = false_alarms(opened, places, data=data, **asked, **chosen, say=say)
        erased = None
        if erase and data is not None:
            from edgekit.api.erasing import erasing

            erased = erasing(opened, data, **chosen, sheet=sheet, say=say)
        backend = opened.predictor.session.backend
    measured = [one for one in (evaluation, raised, erased) if one is not None]
    unread = [line for one in measured for line in one.unread]
    for line in unread:
        say(f"not read: {line}")
    if output_format is Format.json:
        facts: dict[str, Any] = {"model": model.name, "backend": backend, "data": data.name if data else None}
        if names is not None:
            facts["map"] = names.table()
        found = evaluation.to_dict() if evaluation is not None else {}
        parts = {"false_alarms": raised, "erasing": erased}
        print_json({**facts, **found, **{name: one.to_dict() for name, one in parts.items() if one is not None}})
    else:
        for line in (line for one in measured for line in one.lines(model.name)):
            typer.echo(line)
    if unread:
        return 1
    beside = data if data is not None else next((Path(place) for place in places if Path(place).exists()), None)
    after.look(context, model, beside)
    return 0


def _refuse(
    data: Path | None, alarms: list[str] | None, places: list[str], without: list[str] | None, recall: float | None
) -> None:
    """Raises UsageError for options that do not go together."""
    from edgekit.errors import UsageError

    if places and not alarms:
        raise UsageError("Clips and folders without the insect go behind --alarms.", got=places[0], expected="--alarms")
    if data is None and not places:
        raise UsageError("There is nothing to measure on.", expected="--data DIR, labelled, or --alarms CLIP_OR_FOLDER")
    if (without or recall is not None) and not places:
        raise UsageError("--without and --recall are for --alarms.", expected="--alarms CLIP_OR_FOLDER beside them")


def _refuse_erasing(data: Path | None, places: list[str], erase: bool, sheet: Path | None) -> None:
    from edgekit.errors import UsageError

    if sheet is not None and data is None:
        raise UsageError("--sheet shows labelled pictures.", got=str(sheet), expected="--data DIR beside it")
    if erase and (data is None or places):
        got = "--alarms" if places else "no --data"
        raise UsageError("--erase needs labelled boxes.", got=got, expected="--data DIR with boxes, without --alarms")
