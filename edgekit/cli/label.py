"""`edgekit label`: a page on which pictures get their boxes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.shared import after
from edgekit.cli.shared.options import Format, FormatOption, next_command, print_json, read_classes, say
from edgekit.errors import UsageError


def label(
    context: typer.Context,
    data: Annotated[Path | None, typer.Argument(help="A folder of pictures, or a data set with boxes.")] = None,
    store: Annotated[
        Path | None, typer.Option("--from", help="A camera's store instead: the frames that were marked on its page.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the labels, as YOLO (default: beside the pictures).")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Class names: bee,hornet, or a file with one a line.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Any detector: it proposes boxes, useful pictures come first.")
    ] = None,
    sam: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--sam", metavar="ENCODER DECODER", help="Segment Anything as two ONNX: a click gives a box."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", help="A saliency or mask network as ONNX: a drawn box fits the thing.")
    ] = None,
    folders: Annotated[
        bool,
        typer.Option("--folders", help="Two class folders, present and absent: propose what only present ones have."),
    ] = False,
    absent: Annotated[
        str | None, typer.Option("--absent", help="The same, and which of the two folders is absent.")
    ] = None,
    blind: Annotated[
        int, typer.Option("--blind", min=0, help="Pictures to label before proposals are shown, to measure them.")
    ] = 0,
    host: Annotated[str, typer.Option("--host", help="Where the page listens; elsewhere than here with --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of the page; 0 is any free one.")] = 8770,
    token: Annotated[
        str | None, typer.Option("--token", envvar="EDGEKIT_LABEL_TOKEN", help="What whoever comes must know.")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0, help="Stop after so long.")] = None,
    output_format: FormatOption = Format.text,
) -> int:
    """Give pictures boxes, on a page in a browser: drawn by hand, saved at once, written as YOLO.

    Ctrl-C and SIGTERM stop it; started again, it goes on where it was left.
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
