"""`edgekit adopt`: an ONNX that someone else made becomes an edgekit file that was proven equal to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.shared import after, options, outcome
from edgekit.cli.shared.helptext import DATA, FILE, MODEL, OUTPUT, TARGET, Group, argument
from edgekit.cli.shared.options import (
    ClassesOption,
    ForceOption,
    Format,
    FormatOption,
    Input,
    MapOption,
    Precision,
    say,
)
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.spec import PreprocessSpec
BOXES = Group("Boxes")


def adopt(
    context: typer.Context,
    model: Annotated[Path, argument("FILE", "Any ONNX file with one picture as its input.")],
    out: Annotated[Path, OUTPUT("-o, --out DIR", "Folder to write to.")] = Path("adopted"),
    task: Annotated[
        str | None, MODEL("--task TASK", "What it is for: detection, classification ..., if it does not say.")
    ] = None,
    data: Annotated[
        Path | None,
        DATA("-d, --data DIR", "Pictures to compare on; default: made in code. Labels tell what fits."),
    ] = None,
    preprocess: Annotated[
        str | None,
        MODEL("--preprocess STYLE", "How pictures are prepared: STYLE[,KEY=VALUE...] or FILE.toml."),
    ] = None,
    decoder: Annotated[
        str | None, MODEL("--decoder NAME", "How outputs are read: a name, or FILE.toml; else as they tell.")
    ] = None,
    classes: ClassesOption = None,
    classes_map: MapOption = None,
    size: Annotated[
        str | None, MODEL("--size HxW", "Height x width, such as 480x640, of a file that takes any.")
    ] = None,
    keep: Annotated[int, BOXES("--keep N", "Boxes a picture.", min=1)] = 100,
    candidates: Annotated[
        int | None,
        BOXES("--candidates N", "So many of the highest scores are compared for duplicates; 600.", min=1),
    ] = None,
    iou: Annotated[
        float | None, BOXES("--iou X", "Boxes that overlap a better one by more are left out; usual: 0.6.")
    ] = None,
    across_classes: Annotated[
        bool, BOXES("--across-classes", "Also where the two boxes are of different classes.")
    ] = False,
    no_suppression: Annotated[bool, BOXES("--no-suppression", "Leave duplicates in.")] = False,
    target: Annotated[str, TARGET("-t, --target BOARD", "A board's name, or a .toml of your own.")] = "x86-cpu",
    pictures: Annotated[int, DATA("--pictures N", "How many pictures to compare on.", min=1)] = 64,
    input_kind: Annotated[
        Input, FILE("--input", "uint8: preprocessing in the graph; float: normalized NCHW.")
    ] = Input.uint8,
    batch: Annotated[
        int | None, FILE("--batch N", "1 for a fixed batch; default: dynamic where possible.", min=1, max=1)
    ] = None,
    precision: Annotated[
        Precision, TARGET("-p, --precision", "int8, or fp16 where the target has it: a second file.")
    ] = Precision.fp32,
    calibrate: Annotated[
        int, TARGET("--calibrate N", "Pictures of --data to measure ranges on, beside the gate's.", min=1)
    ] = 96,
    max_drop: Annotated[
        float | None,
        TARGET("--max-drop POINTS", "int8: points of agreement that may be lost; the worst layers go back.", min=0),
    ] = None,
    force: ForceOption = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Adopt an ONNX from elsewhere: clean it, put preprocessing and decoding inside, and prove the result equal to it.

    The original is run by onnxruntime behind preprocessing and decoding of its own, in numpy, and every stage must
    answer alike. Writes NAME.onnx and NAME.verify.json into a folder. A file that is not equal is kept as
    NAME.onnx.rejected and the exit code is 3. Where nobody says how pictures are prepared, labelled ones (--data) tell
    what fits; that is proposed and never taken.

    Examples:
        edgekit adopt yolox.onnx --preprocess yolox
        edgekit adopt net.onnx -d pictures/ --task detection
    """
    from edgekit.data.classes.class_map import class_map
    from edgekit.pipeline.adopting import CANDIDATES, AdoptOptions, run_adopt
    from edgekit.spec import Suppression

    if no_suppression and (iou is not None or across_classes):
        raise UsageError("Duplicates are left in or out.", got="--no-suppression beside --iou or --across-classes")
    asked = AdoptOptions(
        task=task,
        data=data,
        target=target,
        decoder=decoder,
        preprocess=_preprocess(preprocess),
        size=options.read_size(size),
        classes=options.read_classes(classes),
        classes_map=class_map(classes_map),
        suppression=None if no_suppression else Suppression(0.6 if iou is None else iou, across_classes),
        suppress=not no_suppression,
        keep=keep,
        candidates=max(CANDIDATES, keep) if candidates is None else candidates,
        pictures=pictures,
        input_kind=input_kind.value,
        batch=batch,
        precision=precision.value,
        calibrate=calibrate,
        max_drop=max_drop,
        force=force,
    )
    result = run_adopt(model, out, asked, say)
    code = outcome.told(result, output_format)
    if not code:
        assert result.model is not None
        after.look(context, result.model, data)
    return code


def _preprocess(given: str | None) -> str | PreprocessSpec | None:
    """A style stays text; the file of a spec is read."""
    if given is None or not given.lower().endswith(".toml"):
        return given
    return options.read_preprocess(Path(given))
