"""`edgekit export`: a checkpoint becomes one ONNX file that was proven equal to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.shared import after, options, outcome
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
        Path, typer.Argument(help="A .pt, .pth, .pth.tar, .ckpt or .safetensors file, or a folder of the Hub.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write to; default: beside the checkpoint.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Pictures to verify on; default: a small set made in code.")
    ] = None,
    target: Annotated[str, typer.Option("--target", "-t", help="A board's name, or a .toml of your own.")] = "x86-cpu",
    pictures: Annotated[int, typer.Option("--pictures", min=1, help="How many pictures to verify on.")] = 64,
    input_kind: Annotated[
        Input, typer.Option("--input", help="uint8: preprocessing in the graph; float: normalized NCHW.")
    ] = Input.uint8,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Fixed batch size; default: dynamic.")] = None,
    raw_heads: Annotated[
        bool, typer.Option("--raw-heads", help="A detector's file gives its maps too, beside the boxes.")
    ] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="Store large weights as float16: half the bytes, the same speed.")
    ] = False,
    precision: Annotated[
        Precision, typer.Option("--precision", "-p", help="int8, or fp16 where the target has it: a second file.")
    ] = Precision.fp32,
    calibrate: Annotated[
        int, typer.Option("--calibrate", min=1, help="Pictures of --data to measure ranges on, beside the gate's.")
    ] = 96,
    max_drop: Annotated[
        float | None,
        typer.Option("--max-drop", min=0, help="int8: points of agreement that may be lost; the worst layers go back."),
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
