"""`edgekit verify`: are these two models equal on these pictures?"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options
from edgekit.cli.options import (
    ArchOption,
    ClassesOption,
    Format,
    FormatOption,
    NormOption,
    PreprocessOption,
    Provider,
    ProviderOption,
    ThreadsOption,
    WeightsKeyOption,
    next_command,
    print_json,
    say,
)


def verify(
    reference: Annotated[Path, typer.Argument(help="What is right: a checkpoint or an exported ONNX.")],
    candidate: Annotated[Path, typer.Argument(help="What must equal it: an ONNX, an engine or a checkpoint.")],
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Pictures to compare on; default: a small set made in code.")
    ] = None,
    pictures: Annotated[int, typer.Option("--pictures", min=1, help="How many pictures.")] = 64,
    target: Annotated[str, typer.Option("--target", "-t", help="Whose limits hold.")] = "x86-cpu",
    max_abs: Annotated[
        float | None,
        typer.Option(
            "--max-abs", min=0, help="Largest allowed |d| of a logit, or of a box's score; default: the target's."
        ),
    ] = None,
    classes: ClassesOption = None,
    preprocess: PreprocessOption = None,
    norm: NormOption = None,
    arch: ArchOption = None,
    weights_key: WeightsKeyOption = None,
    provider: ProviderOption = Provider.cpu,
    threads: ThreadsOption = 0,
    output_format: FormatOption = Format.text,
) -> int:
    """Compare two models, from pictures to logits or boxes, each with its own preprocessing.

    Exit code 3 when they differ, 5 when the exported file was made from another checkpoint.
    """
    from edgekit import loading, pipeline
    from edgekit.config import load_target
    from edgekit.suffixes import is_checkpoint
    from edgekit.verify import figures
    from edgekit.verify import verify as compare_models

    made = loading.metadata_of(candidate)
    limits = load_target(target).limits(made.precision if made else "fp32")
    if max_abs is not None:
        limits = limits.model_copy(update={"max_abs": max_abs, "score_shift": max_abs})
    names = options.read_classes(classes)
    spec = options.read_preprocess(preprocess)
    described = None
    if is_checkpoint(reference) and made is not None:
        loading.refuse_stale(candidate, made, reference)
        described = made.model  # what the export of a plain state dict was told, since that says nothing
    opened = functools.partial(
        loading.open_predictor,
        provider=provider.value,
        threads=threads,
        classes=names,
        preprocess_spec=spec,
        norm=norm,
        arch=arch,
        weights_key=weights_key,
        say=say,
        fallback=described,
        unverified=True,  # looking into a rejected file is what this command is for
    )
    with opened(reference) as right, opened(candidate) as other:
        dataset = pipeline.pictures_for_gate(data, pictures, right.spec.task)
        stage = compare_models(right, other, dataset, limits)
    if output_format is Format.json:
        source = "made in code" if data is None else str(data)
        print_json({"passed": stage.passed, "data": source, "stages": [stage.to_dict()]})
    else:
        verdict = "equal" if stage.passed else "NOT equal"
        limit = limits.max_abs if stage.found is None else limits.score_shift
        typer.echo(f"{verdict} on {stage.pictures} pictures: {figures(stage)} (limit {limit:g})")
    if not stage.passed:
        say(f"error: verification failed for {candidate}: " + "; ".join(stage.problems))
        return 3
    next_command("edgekit", "predict", candidate, data or "PICTURE")
    return 0
