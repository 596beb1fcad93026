"""An export from beginning to end: the stages in their order, one for float32 and one for a smaller precision."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgekit.artifacts.atomic import output_folder, refuse_existing
from edgekit.artifacts.kinds import checkpoint_stem
from edgekit.artifacts.opening import CheckpointOptions
from edgekit.config.target import COMPACT, Target
from edgekit.errors import UsageError
from edgekit.gate.compare import Gate
from edgekit.gate.spent import Spent
from edgekit.pipeline.compact import compact_stage
from edgekit.pipeline.embed_metadata import environment
from edgekit.pipeline.expected import read_pairs
from edgekit.pipeline.folding import fold_stages
from edgekit.pipeline.graph import onnx_stages
from edgekit.pipeline.options import CALIBRATE, PICTURES, ExportOptions, trained_rounding
from edgekit.pipeline.pictures import calibration_pictures, describe, pictures_for_gate
from edgekit.pipeline.precision import make, make_trained, precision_name
from edgekit.pipeline.verdict import basis_of
from edgekit.pipeline.writing import ExportResult, finish
from edgekit.spec import PreprocessSpec
from edgekit.tasks import task_of
from edgekit.tasks.stage import finite
from edgekit.version import __version__


def export(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    target: str | os.PathLike[str] | Target = "x86-cpu",
    data: str | os.PathLike[str] | None = None,
    pictures: int = PICTURES,
    input_kind: str = "uint8",
    batch: int | None = None,
    raw_heads: bool = False,
    compact: bool = False,
    precision: str = "fp32",
    calibrate: int = CALIBRATE,
    max_drop: float | None = None,
    classes: Sequence[str] | None = None,
    preprocess_spec: PreprocessSpec | None = None,
    norm: str | None = None,
    arch: str | None = None,
    weights_key: str | None = None,
    multi_label: bool | None = None,
    expect: str | os.PathLike[str] | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> ExportResult:
    """Exports a checkpoint to one ONNX file that was proven equal to it.

    Args:
        checkpoint: see `edgekit.checkpoints.checkpoint.load_checkpoint`.
        out: folder for NAME.onnx and NAME.verify.json; default is the checkpoint's own.
        target: shipped name, path of a TOML, or a Target.
        data: pictures to verify on (class folders, csv or a flat folder); default is a small set made in code.
        pictures: how many of them, spread evenly.
        input_kind: `uint8` (preprocessing in the graph) or `float`.
        batch: fixed batch size; None for dynamic.
        raw_heads: a detector's file gives its maps too (`heatmap` and so on), beside the boxes.
        compact: NAME.onnx stores large weights as float16, half the bytes, and computes in float32 as before; it is
            within limits of the checkpoint then, not equal. A second file is made from unrounded weights all the same.
        precision: `fp32`, or `fp16` or `int8` beside it: NAME.fp16.onnx, NAME.int8-x86.onnx, made from the file that
            was proven and compared with the checkpoint again.
        calibrate: pictures of `data` that the ranges of fp16 and int8 are measured on; not the gate's.
        max_drop: points of agreement that int8 may lose on those; the worst layers go back to float until it holds.
        classes, preprocess_spec, norm, arch, weights_key, multi_label: what a foreign checkpoint does not say; as
            load_checkpoint.
        expect: .npz with recorded pairs of input and output, which the net and the file must answer alike; see
            `edgekit.pipeline.expected`.
        force: replace existing files.
        say: gets a line per stage.

    Returns:
        The result; `passed` is False when the gate rejected it. The file is then NAME.onnx.rejected, and whatever
        NAME.onnx there was is untouched.

    Raises:
        EdgekitError: of the kind that says what could not be read, built or written.
    """
    options = ExportOptions(
        target=target if isinstance(target, Target) else os.fspath(target),
        data=None if data is None else Path(data),
        pictures=pictures,
        input_kind=input_kind,
        batch=batch,
        raw_heads=raw_heads,
        compact=compact,
        precision=precision,
        calibrate=calibrate,
        max_drop=max_drop,
        told=CheckpointOptions(classes, preprocess_spec, norm, arch, weights_key, multi_label),
        expect=None if expect is None else Path(expect),
        force=force,
    )
    return run_export(Path(checkpoint), None if out is None else Path(out), options, say)


def run_export(
    checkpoint: Path, out: Path | None, options: ExportOptions, say: Callable[[str], None] = lambda line: None
) -> ExportResult:
    """As `export`, with the options in one object as `edgekit export` hands them on."""
    spent = Spent()
    out = checkpoint.parent if out is None else out
    target = options.require_possible()
    name = precision_name(target, options.precision)
    stem = checkpoint_stem(checkpoint)
    model_path, report_path = out / f"{stem}.onnx", out / f"{stem}.verify.json"

    from edgekit.checkpoints.checkpoint import load_checkpoint
    from edgekit.nets.detector import with_decoding
    from edgekit.qat.answers import trained_answers

    loaded = load_checkpoint(checkpoint, **options.told.arguments())
    made_path = out / f"{stem}.{name}.onnx"
    wanted = (made_path, made_path.with_suffix(".verify.json")) if options.precision != "fp32" else ()
    for path in (model_path, report_path, *wanted):
        refuse_existing(path, options.force)
    basis = basis_of(loaded)
    pairs = read_pairs(options.expect, loaded.spec) if options.expect is not None else None
    if pairs is not None:
        basis = basis.proven(len(pairs))
    dataset = pictures_for_gate(options.data, options.pictures, loaded.spec.task)
    gate = Gate(dataset, target.gate["fp32"], loaded.spec, say, spent=spent)
    task = task_of(loaded.spec.task)
    if options.raw_heads and not task.raw_heads:
        raise UsageError("--raw-heads is for detectors.", got=f"{loaded.spec.arch}, {task.noun}")
    pool = None
    held = trained_rounding(loaded, name, options.max_drop, options.input_kind, say)
    if options.data is not None and options.precision != "fp32" and held is None:
        pool = calibration_pictures(gate.dataset, options.data, options.calibrate)
    net = with_decoding(loaded.net(), loaded.spec)
    spent.mark("loading")
    with output_folder(out):
        for note in (*loaded.notes, *gate.dataset.notes):
            say(note)
        if pairs is not None:
            say(f"{pairs.describe()}; limit max|d| {gate.limits.max_abs:g}, the same first class")

        content: dict[str, Any] = {
            "format": 1,
            "passed": False,
            "edgekit": __version__,
            "checkpoint": {
                "name": checkpoint.name,
                "sha256": loaded.sha256,
                "kind": loaded.source,
                "notes": list(loaded.notes),
            },
            "target": target.name,
            "precision": "fp32",
            "input": options.input_kind,
            "data": describe(gate.dataset, options.data),
            "limits": gate.limits.model_dump(),
        }
        artifact = None
        folded, fold_report = fold_stages(loaded, net, gate, pairs)
        if gate.passed:
            artifact = onnx_stages(loaded, folded, gate, target, options, model_path, basis)
        proven = artifact
        if options.compact and artifact is not None and gate.passed:
            artifact, content["compact"] = compact_stage(artifact, gate, target, model_path, basis)
            content.update(precision=COMPACT, limits=gate.limits.model_dump())
        if fold_report is not None:
            content["fold"] = finite(
                {
                    "layers": [asdict(f) for f in fold_report.layers],
                    "fused": [asdict(f) for f in fold_report.fused],
                    "left": list(fold_report.left),
                    "notes": list(fold_report.notes),
                }
            )
        content["environment"] = environment()
        result = finish(content, gate, artifact, model_path, target, options.force, basis, pairs)
        if options.precision == "fp32" or not result.passed or proven is None:
            return result
        say(f"{result.model}: proven; now {name}")
        second = Gate(gate.dataset, target.limits(name), gate.spec, say, reference=gate.reference, pixels=gate.pixels)
        if held is not None:
            second.reference = trained_answers(loaded, gate.pixels)
            second.spent.mark("trained net")
            basis = replace(basis, reference=f"{basis.reference}, with the rounding that it was trained with")
            made = make_trained(proven, second, target, held, made_path, basis)
        else:
            assert pool is not None
            made = make(proven, second, target, name, made_path, pool, basis, max_drop=options.max_drop, say=say)
        content = {
            **{k: content[k] for k in ("format", "edgekit", "checkpoint", "target", "input", "data", "environment")},
            "passed": False,
            "precision": name,
            "limits": second.limits.model_dump(),
            **made.facts,
        }
        return replace(finish(content, second, made.artifact, made_path, target, options.force, basis), base=result)
