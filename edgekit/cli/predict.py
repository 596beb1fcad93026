"""`edgekit predict`: what is on these pictures?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli import options
from edgekit.cli.options import (
    ClassesOption,
    ForceOption,
    Format,
    FormatOption,
    NormOption,
    PreprocessOption,
    Provider,
    ProviderOption,
    ThreadsOption,
    say,
)
from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    from edgekit.predictor import Predictor


def predict(
    model: Annotated[Path, typer.Argument(help="An exported ONNX, or a checkpoint (run by torch).")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for copies with the answer drawn on them.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to give for each picture.")] = 3,
    classes: ClassesOption = None,
    preprocess: PreprocessOption = None,
    norm: NormOption = None,
    provider: ProviderOption = Provider.cpu,
    threads: ThreadsOption = 0,
    force: ForceOption = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Label pictures. Text, or one JSON object a line.

    A picture that cannot be read is reported and the others go on; the exit code is then 1.
    """
    from edgekit import loading
    from edgekit.vision.image import find_pictures

    found = [path for given in pictures for path in find_pictures(given)]
    failed = 0
    with loading.open_predictor(
        model,
        provider=provider.value,
        threads=threads,
        classes=options.read_classes(classes),
        preprocess_spec=options.read_preprocess(preprocess),
        norm=norm,
    ) as predictor:
        copies = _copies(pictures, found, out, force)
        for path in found:
            try:
                _one(predictor, path, top, copies.get(path), force, output_format)
            except EdgekitError as error:
                failed += 1
                say(f"error: {error}")
    if failed:
        say(f"{failed} of {len(found)} pictures could not be labelled")
    if out is not None:
        say(f"annotated copies: {out}")
    return 1 if failed else 0


def _copies(given: list[Path], found: list[Path], out: Path | None, force: bool) -> dict[Path, Path]:
    """Where each annotated copy goes: the tree below a given folder is kept, so equal names do not collide."""
    from edgekit.artifact import make_folder, refuse_existing
    from edgekit.errors import OutputError

    if out is None:
        return {}
    make_folder(out)
    copies: dict[Path, Path] = {}
    for path in found:
        root = next((g for g in given if g.is_dir() and path.is_relative_to(g)), path.parent)
        copy = (out / path.relative_to(root)).with_suffix(".jpg")
        if copy.resolve() == path.resolve() or copy in copies.values():
            raise OutputError(
                f"The copy of {path} would replace {'itself' if copy.resolve() == path.resolve() else 'another copy'}.",
                fix="--out DIR names a folder of its own, one for each folder of pictures",
            )
        refuse_existing(copy, force)
        copies[path] = copy
    return copies


def _one(predictor: Predictor, path: Path, top: int, copy: Path | None, force: bool, output_format: Format) -> None:
    from edgekit.artifact import write_bytes
    from edgekit.vision.image import encode_picture, read_picture

    frame = read_picture(path)
    answer = predictor([frame], top=top)[0]
    if output_format is Format.json:
        best = [{"label": label, "score": round(score, 6)} for label, score in answer.top]
        line = {"file": str(path), "label": answer.label, "index": answer.index, "score": round(answer.score, 6)}
        typer.echo(json.dumps({**line, "top": best}, ensure_ascii=False))
    else:
        typer.echo(f"{path}  " + "  ".join(f"{label} {score:.1%}" for label, score in answer.top))
    if copy is not None:
        from edgekit.vision.draw import annotate

        copy.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(copy, encode_picture(annotate(frame, answer), ".jpg"), overwrite=force)
