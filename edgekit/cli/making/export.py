"""`edgekit export`: a checkpoint becomes one ONNX file that was proven equal to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.shared import after, options, outcome
from edgekit.cli.shared.helptext import DATA, FILE, OUTPUT, TARGET, argument
from edgekit.cli.shared.options import (
    ArchOption,
    ClassesOption,
    ExpectOption,
    ForceOption,
    Format,
    FormatOption,
    Input,
    MultiLabelOption,
    NormOption,
    Precision,
    PreprocessOption,
    WeightsKeyOption,
    say,
)


def export(
    context: typer.Context,
    checkpoint: Annotated[
        Path, argument("CHECKPOINT", "A .pt, .pth, .pth.tar, .ckpt or .safetensors file, or a folder of the Hub.")
    ],
    out: Annotated[Path | None, OUTPUT("-o, --out DIR", "Folder to write to; default: beside the checkpoint.")] = None,
    data: Annotated[
        Path | None, DATA("-d, --data DIR", "Pictures to verify on; default: a small set made in code.")
    ] = None,
    target: Annotated[str, TARGET("-t, --target BOARD", "A board's name, or a .toml of your own.")] = "x86-cpu",
    pictures: Annotated[int, DATA("--pictures N", "How many pictures to verify on.", min=1)] = 64,
    input_kind: Annotated[
        Input, FILE("--input", "uint8: preprocessing in the graph; float: normalized NCHW.")
    ] = Input.uint8,
    batch: Annotated[int | None, FILE("--batch N", "Fixed batch size; default: dynamic.", min=1)] = None,
    raw_heads: Annotated[bool, FILE("--raw-heads", "A detector's file gives its maps too, beside the boxes.")] = False,
    compact: Annotated[
        bool, FILE("--compact", "Store large weights as float16: half the bytes, the same speed.")
    ] = False,
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
    expect: ExpectOption = None,
    classes: ClassesOption = None,
    preprocess: PreprocessOption = None,
    norm: NormOption = None,
    arch: ArchOption = None,
    weights_key: WeightsKeyOption = None,
    multi_label: MultiLabelOption = False,
    force: ForceOption = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Export a checkpoint to a verified ONNX file, in fp32 and, if asked for, in int8, or fp16 where the target has it.

    Folds BatchNorm, puts the preprocessing into the graph, and compares every step with the checkpoint on pictures.
    Writes NAME.onnx and NAME.verify.json. A file that is not equal is kept as NAME.onnx.rejected and the exit code
    is 3.

    Examples:
        edgekit export best.pt --data pictures/
        edgekit export best.pt -d pictures/ -p int8 -t x86-cpu
        edgekit export resnet50.pth --classes imagenet.txt
    """
    from edgekit import pipeline

    asked = pipeline.ExportOptions(
        target=target,
        data=data,
        pictures=pictures,
        input_kind=input_kind.value,
        batch=batch,
        raw_heads=raw_heads,
        compact=compact,
        precision=precision.value,
        calibrate=calibrate,
        max_drop=max_drop,
        told=options.checkpoint_options(classes, preprocess, norm, arch, weights_key, multi_label),
        expect=expect,
        force=force,
    )
    result = pipeline.run_export(checkpoint, out, asked, say)
    code = outcome.told(result, output_format)
    if not code:
        assert result.model is not None
        after.look(context, result.model, data)
    return code
