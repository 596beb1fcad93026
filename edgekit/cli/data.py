"""`edgekit data`: what is in a data set and what is wrong with it; and the set in another layout."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.shared import after
from edgekit.cli.shared.helptext import Group, argument
from edgekit.cli.shared.options import Format, FormatOption, MapOption, next_command, print_json, say
from edgekit.errors import UsageError
from edgekit.screen import count_of

if TYPE_CHECKING:
    from edgekit.data.survey.sets import Sets
    from edgekit.data.writing.convert import Written
LOOKED = Group("What is looked at")
WRITTEN = Group("Writing the set in another layout")


class To(str, Enum):
    """A layout that is written."""

    yolo = "yolo"
    coco = "coco"
    voc = "voc"


def data(
    folder: Annotated[
        Path,
        argument("DIR", "Pictures with labels in any layout that is read, or synthetic://hive."),
    ],
    split: Annotated[
        str | None, LOOKED("--split SPLIT", "train, val, test, or all as one set; default: each split.")
    ] = None,
    quick: Annotated[
        bool, LOOKED("--quick", "Read headers only: no picture is decoded, and none compared for likeness.")
    ] = False,
    sheet: Annotated[
        Path | None, LOOKED("--sheet FILE", "Write a sheet of pictures with their boxes here, to look at.")
    ] = None,
    to: Annotated[To | None, WRITTEN("--to", "Write the set to --out in this layout.")] = None,
    out: Annotated[
        Path | None, WRITTEN("-o, --out DIR", "Folder for --to, which must not be there yet, or be empty.")
    ] = None,
    link: Annotated[bool, WRITTEN("--link", "With --to: hard links to the pictures, not copies.")] = False,
    classes_map: MapOption = None,
    val_share: Annotated[
        float | None,
        WRITTEN("--val-share SHARE", "With --to: hold this share out of a set without splits.", min=0.01, max=0.99),
    ] = None,
    group: Annotated[
        str | None,
        WRITTEN("--group PATTERN", "With --val-share: a pattern on names; what it finds stays in one split."),
    ] = None,
    seed: Annotated[int, WRITTEN("--seed N", "Of --val-share.", min=0)] = 0,
    output_format: FormatOption = Format.text,
) -> int:
    """Say what a data set is: layout, splits, classes, sizes, boxes, and what is wrong with it.

    Found are pictures that cannot be read, boxes that cannot be used, copies and near-duplicates also between splits,
    classes without objects or with two spellings. With --to the set is written in another layout, as the whole folder
    or not at all; what that layout cannot hold is said.

    Examples:
        edgekit data pictures/
        edgekit data pictures/ --sheet sheet.jpg
        edgekit data pictures/ --to coco --out as-coco
    """
    from edgekit.data.classes.class_map import class_map
    from edgekit.data.survey.report import report_of
    from edgekit.data.survey.sets import read_sets
    from edgekit.data.survey.sheet import data_sheet
    from edgekit.data.writing.convert import convert_data

    _refuse(to, out, sheet, link, val_share, group)
    names = class_map(classes_map)
    if to is not None and out is not None:
        told: dict[str, Any] = {"val_share": val_share, "group": group, "seed": seed}
        written = convert_data(folder, out, to=to.value, split=split, link=link, classes_map=names, say=say, **told)
        _print(written, output_format)
        next_command("edgekit", "data", out, "--sheet", after.fresh(f"{out.name}.jpg"))
        return 0
    sets = read_sets(folder, split, names)
    if sheet is not None:
        data_sheet(sheet, sets)
    report = report_of(sets, quick)
    if output_format is Format.json:
        print_json({"data": folder.name, **report.to_dict()})
    else:
        for line in report.lines(folder.name):
            typer.echo(line)
    _next(folder, sets, sheet)
    return 0


def _refuse(
    to: To | None, out: Path | None, sheet: Path | None, link: bool, val_share: float | None, group: str | None
) -> None:
    """Raises UsageError for options that need others."""
    alone = [name for name, given in (("--out", out), ("--link", link), ("--val-share", val_share)) if given]
    if to is None and alone:
        raise UsageError(f"{alone[0]} is for a set that is written.", fix="--to yolo, coco or voc")
    if to is not None and out is None:
        raise UsageError("--to needs a folder to write to.", expected="--out DIR")
    if to is not None and sheet is not None:
        raise UsageError("--sheet shows a set that is there.", fix="edgekit data OUT --sheet FILE, once it is written")
    if group is not None and val_share is None:
        raise UsageError("--group is for --val-share.", fix="--val-share 0.2")


def _print(written: Written, output_format: Format) -> None:
    if output_format is Format.json:
        print_json(written.to_dict())
        return
    splits = ", ".join(
        f"{k} {count_of(n, 'picture')} and {count_of(written.objects[k], 'box')}" for k, n in written.pictures.items()
    )
    typer.echo(f"{written.out}: {written.layout}, {splits}")
    for line in written.lost:
        typer.echo(f"  not held: {line}")
    for line in written.notes:
        typer.echo(f"  {line}")


def _next(folder: Path, sets: Sets, sheet: Path | None) -> None:
    pictures = after.pictures_of(folder)
    if sheet is None:
        next_command("edgekit", "data", folder, "--sheet", after.fresh("sheet.jpg"))
    elif sets.boxed:
        next_command("edgekit", "train", "centernet-tiny", "--data", folder)
    elif sets.layout == "pictures":
        next_command("edgekit", "label", folder)
    elif all(part.labelled for part in sets.parts.values()):
        next_command("edgekit", "train", "resnet18-finetune", "--data", folder)
    elif pictures is not None:
        next_command("edgekit", "predict", "hornet-mobile", pictures)
    else:
        next_command("edgekit", "doctor")
