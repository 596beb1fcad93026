"""`edgekit label`: a page on which pictures get their boxes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.shared import after
from edgekit.cli.shared.helptext import OUTPUT, Group, argument
from edgekit.cli.shared.options import Format, FormatOption, next_command, print_json, read_classes, say
from edgekit.errors import UsageError

LABELS = Group("Labels")
PROPOSALS = Group("Proposals")
PAGE = Group("The page")


def label(
    context: typer.Context,
    data: Annotated[Path | None, argument("DIR", "A folder of pictures, or a data set with boxes.")] = None,
    store: Annotated[
        Path | None, LABELS("--from STORE", "A camera's store instead: the frames that were marked on its page.")
    ] = None,
    out: Annotated[
        Path | None, OUTPUT("-o, --out DIR", "Folder for the labels, as YOLO (default: beside the pictures).")
    ] = None,
    classes: Annotated[
        str | None, LABELS("--classes NAMES", "Class names: bee,hornet, or a file with one a line.")
    ] = None,
    model: Annotated[
        Path | None, PROPOSALS("-m, --model MODEL", "Any detector: it proposes boxes, useful pictures come first.")
    ] = None,
    sam: Annotated[
        tuple[Path, Path] | None,
        PROPOSALS("--sam ENCODER DECODER", "Segment Anything as two ONNX: a click gives a box."),
    ] = None,
    mask: Annotated[
        Path | None, PROPOSALS("--mask FILE", "A saliency or mask network as ONNX: a drawn box fits the thing.")
    ] = None,
    folders: Annotated[
        bool,
        PROPOSALS("--folders", "Two class folders, present and absent: propose what only present ones have."),
    ] = False,
    absent: Annotated[
        str | None, PROPOSALS("--absent NAME", "The same, and which of the two folders is absent.")
    ] = None,
    blind: Annotated[
        int, PROPOSALS("--blind N", "Pictures to label before proposals are shown, to measure them.", min=0)
    ] = 0,
    host: Annotated[str, PAGE("--host ADDRESS", "Where the page listens; elsewhere than here with --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, PAGE("--port N", "Of the page; 0 is any free one.", min=0, max=65535)] = 8770,
    token: Annotated[
        str | None, PAGE("--token SECRET", "What whoever comes must know.", envvar="EDGEKIT_LABEL_TOKEN")
    ] = None,
    seconds: Annotated[float | None, PAGE("--seconds S", "Stop after so long.", min=0)] = None,
    output_format: FormatOption = Format.text,
) -> int:
    """Give pictures boxes, on a page in a browser: drawn by hand, saved at once, written as YOLO.

    Ctrl-C and SIGTERM stop it; started again, it goes on where it was left.

    Examples:
        edgekit label pictures/
        edgekit label pictures/ --model hornet-mobile
        edgekit label --from visits/store --classes bee,hornet
    """
    from edgekit.api.label import label as run
    from edgekit.labels.assistant import CHECKED

    names = _names(classes)
    with _stopped_by_signals():
        done = run(
            data, store=store, out=out, classes=names, model=model, sam=sam, mask=mask, folders=absent or folders,
            blind=blind, host=host, port=port, token=token, seconds=seconds, say=say,
        )  # fmt: skip
    if output_format is Format.json:
        print_json(done.to_dict())
    else:
        counted = ", ".join(f"{name} {n}" for name, n in done.boxes.items()) or "no classes yet"
        typer.echo(f"{done.done} of {done.pictures} pictures are done: {counted}")
        if done.quality is not None and done.quality.pictures >= CHECKED:
            told = (
                f"; {done.accepted} objects are accepted proposals, which agree by themselves" if done.accepted else ""
            )
            typer.echo(f"{done.quality}{told}")
        typer.echo(f"{done.out}")
    if done.done:
        next_command("edgekit", "data", done.out)
    else:
        next_command(*after.again(context, token=None))
    return 0


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the page, and are no failure: it is what ends it."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _names(given: str | None) -> tuple[str, ...]:
    if given is None:
        return ()
    if Path(given).is_file():
        return tuple(read_classes(Path(given)) or ())
    names = tuple(name.strip() for name in given.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise UsageError(
            "--classes is a list of names.", got=given, expected="bee,hornet, or a file with one name a line"
        )
    return names
