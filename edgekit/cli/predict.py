"""`edgekit predict`: what is on these pictures?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.shared import after, options
from edgekit.cli.shared.helptext import OUTPUT, Group, argument
from edgekit.cli.shared.options import (
    ArchOption,
    ClassesOption,
    ForceOption,
    Format,
    FormatOption,
    MultiLabelOption,
    NormOption,
    PreprocessOption,
    Provider,
    ProviderOption,
    ThreadsOption,
    WeightsKeyOption,
    next_command,
    say,
)
from edgekit.errors import EdgekitError
from edgekit.progress import track

if TYPE_CHECKING:
    from edgekit.predictor import Frame
    from edgekit.vision.results import Result
ANSWER = Group("The answer")


def predict(
    context: typer.Context,
    model: Annotated[Path, argument("MODEL", "An exported ONNX, a checkpoint, hornet-mobile or centernet-tiny.")],
    pictures: Annotated[list[Path], argument("PICTURE", "Pictures, or folders of them.")],
    out: Annotated[Path | None, OUTPUT("-o, --out DIR", "Folder for copies with the answer drawn on them.")] = None,
    top: Annotated[int, ANSWER("--top N", "How many classes to give for each picture.", min=1)] = 3,
    threshold: Annotated[
        float | None,
        ANSWER(
            "--threshold X",
            "Of a detector's boxes (default: the model's own, or 0.3), or a mask's pixels (default: 0).",
            min=0,
            max=1,
        ),
    ] = None,
    classes: ClassesOption = None,
    preprocess: PreprocessOption = None,
    norm: NormOption = None,
    arch: ArchOption = None,
    weights_key: WeightsKeyOption = None,
    multi_label: MultiLabelOption = False,
    provider: ProviderOption = Provider.cpu,
    threads: ThreadsOption = 0,
    force: ForceOption = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Label pictures, or mark what a detector finds in them. Text, or one JSON object a line.

    Of a segmentation model the copies show the classes in colours, and x.mask.png beside each has the class indices.

    A picture that cannot be read is reported and the others go on; the exit code is then 1.

    Examples:
        edgekit predict hornet-mobile picture.jpg
        edgekit predict best.onnx pictures/ --out marked
        edgekit predict best.onnx pictures/ --format json
    """
    from edgekit import loading
    from edgekit.artifacts.opening import RunOptions
    from edgekit.tasks import Asked
    from edgekit.vision.find import find_pictures
    from edgekit.vision.image import read_picture

    found = [path for given in pictures for path in find_pictures(given)]
    failed = 0
    told = options.checkpoint_options(classes, preprocess, norm, arch, weights_key, multi_label)
    run = RunOptions(provider=provider.value, threads=threads)
    with loading.open_model(model, run, told, say=say) as predictor:
        copies = _copies(pictures, found, out, force)
        options.tell_origin(predictor.name, predictor.trained_on)
        for path in track(found, "looking at pictures"):
            try:
                frame = read_picture(path)
                (result,) = predictor([frame], Asked(top, threshold))
                typer.echo(_line(path, result, output_format))
                if path in copies:
                    _write(copies[path], result, frame, found, force)
            except EdgekitError as error:
                failed += 1
                say(f"error: {error}")
    if out is not None:
        say(f"annotated copies: {out}")
    if failed:
        say(f"{failed} of {len(found)} pictures could not be labelled")
        return 1
    marked = after.fresh("marked")
    if out is None and _collision(found, _places(pictures, found, marked)) is None:
        next_command(*after.again(context, out=marked, force=None))
    else:
        after.look(context, model)
    return 0


def _copies(given: list[Path], found: list[Path], out: Path | None, force: bool) -> dict[Path, Path]:
    """Where each annotated copy goes: the tree below a given folder is kept, so equal names do not collide."""
    from edgekit.artifacts.atomic import make_folder, refuse_existing
    from edgekit.errors import OutputError

    if out is None:
        return {}
    make_folder(out)
    copies = _places(given, found, out)
    if (wrong := _collision(found, copies)) is not None:
        itself = copies[wrong].resolve() == wrong.resolve()
        raise OutputError(
            f"The copy of {wrong} would replace {'itself' if itself else 'another copy'}.",
            fix="--out DIR names a folder of its own, one for each folder of pictures",
        )
    for copy in copies.values():
        refuse_existing(copy, force)
    return copies


def _places(given: list[Path], found: list[Path], out: Path) -> dict[Path, Path]:
    copies = {}
    for path in found:
        root = next((g for g in given if g.is_dir() and path.is_relative_to(g)), path.parent)
        copies[path] = (out / path.relative_to(root)).with_suffix(".jpg")
    return copies


def _collision(found: list[Path], copies: dict[Path, Path]) -> Path | None:
    """A picture whose copy would lie where the picture itself does, or an earlier one's copy."""
    taken: set[Path] = set()
    for path in found:
        if copies[path].resolve() == path.resolve() or copies[path] in taken:
            return path
        taken.add(copies[path])
    return None


def _line(path: Path, result: Result, output_format: Format) -> str:
    from edgekit.screen import shown

    if output_format is Format.json:
        return json.dumps({"file": str(path), **result.to_dict()}, ensure_ascii=False)
    return f"{shown(path)}  {result}"


def _write(copy: Path, result: Result, frame: Frame, given: list[Path], force: bool) -> None:
    """The picture with the answer drawn on it, and beside it what of the answer is a file of its own: a mask."""
    from edgekit.artifacts.atomic import write_bytes
    from edgekit.errors import OutputError
    from edgekit.vision.image import encode_picture

    copy.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(copy, encode_picture(result.draw(frame), ".jpg"), overwrite=force)
    for suffix, data in result.files().items():
        beside = copy.with_name(copy.stem + suffix)
        if any(path.resolve() == beside.resolve() for path in given):
            raise OutputError(f"{beside} would replace a picture.", fix="--out DIR names a folder of its own")
        write_bytes(beside, data, overwrite=force)
