"""`edgekit verify`: are these two models equal on these pictures, and is one equal to recorded pairs?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from edgekit.cli.shared import after, options
from edgekit.cli.shared.options import (
    ArchOption,
    ClassesOption,
    ExpectOption,
    Format,
    FormatOption,
    NormOption,
    PreprocessOption,
    Provider,
    ProviderOption,
    ThreadsOption,
    WeightsKeyOption,
    print_json,
    say,
)
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.config.target import Limits
    from edgekit.predictor import Predictor
    from edgekit.tasks import Task
    from edgekit.tasks.stage import Stage


def verify(
    context: typer.Context,
    reference: Annotated[Path, typer.Argument(help="What is right: a checkpoint or an exported ONNX.")],
    candidate: Annotated[
        Path | None,
        typer.Argument(help="What must equal it: an ONNX, an engine or a checkpoint; --expect alone needs none."),
    ] = None,
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
    expect: ExpectOption = None,
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

    With --expect the last one named is compared with recorded pairs of input and output. Exit code 3 when they differ,
    5 when the exported file was made from another checkpoint.
    """
    from edgekit import loading, pipeline
    from edgekit.artifacts.kinds import is_checkpoint
    from edgekit.artifacts.opening import RunOptions
    from edgekit.config.target import load_target
    from edgekit.gate.compare import verify as compare_models

    judged = reference if candidate is None else candidate
    if candidate is None and expect is None:
        raise UsageError(
            "There is nothing to compare with.",
            got=f"{reference} alone",
            expected="REFERENCE CANDIDATE, or MODEL --expect PAIRS.npz",
        )
    made = loading.metadata_of(judged)
    precision = made.precision if made else "fp32"
    limits = load_target(target).limits(precision)
    if max_abs is not None:
        limits = limits.model_copy(update={"max_abs": max_abs, "score_shift": max_abs})
    told = options.checkpoint_options(classes, preprocess, norm, arch, weights_key)
    run = RunOptions(provider=provider.value, threads=threads)
    described = None
    if candidate is not None and is_checkpoint(reference) and made is not None:
        loading.refuse_stale(candidate, made, reference)
        described = made.model  # what the export of a plain state dict was told, since that says nothing
    several = {path for path in (reference, judged) if is_checkpoint(path)} or {judged}  # may have --weights-key

    def opened(path: Path) -> Predictor:
        mine = told if path in several else replace(told, weights_key=None)
        # looking into a rejected file is what this command is for
        return loading.open_model(path, run, mine, unverified=True, fallback=described, say=say)

    judgements: list[Judgement] = []
    with opened(judged) as other:
        if candidate is not None:
            with opened(reference) as right:
                dataset = pipeline.pictures_for_gate(data, pictures, right.spec.task)
                stage = compare_models(right, other, dataset, limits)
                judgements.append(
                    Judgement(f"{reference.name} ({right.what})", f" on {stage.pictures} pictures", stage, right.task)
                )
        if expect is not None:
            stage = pipeline.expected_of(judged, other, expect, limits)
            judgements.append(Judgement(f"{stage.pictures} recorded pairs of input and output", "", stage, other.task))
    passed = all(one.stage.passed for one in judgements)
    if output_format is Format.json:
        source = "made in code" if data is None else str(data)
        stages = [{**one.stage.to_dict(), "compared_with": one.reference} for one in judgements]
        print_json({"passed": passed, "data": source if candidate is not None else None, "stages": stages})
    else:
        for one in judgements:
            typer.echo(one.text(precision, limits))
    if not passed:
        problems = [problem for one in judgements for problem in one.stage.problems]
        say(f"error: verification failed for {judged}: " + "; ".join(problems))
        return 3
    after.look(context, judged, data)
    return 0


class Judgement(NamedTuple):
    """What was compared with what, and what came of it."""

    reference: str
    on: str
    stage: Stage
    task: Task

    def text(self, precision: str, limits: Limits) -> str:
        """fp32 is equal, fp16 and int8 are within limits."""
        stage = self.stage
        relation = "equal to" if precision == "fp32" else f"{precision} within the limits of"
        verdict = relation if stage.passed else f"NOT {relation}"
        figures, limit = self.task.figures(stage), self.task.limit(limits)
        return f"{verdict} {self.reference}{self.on}: {figures} (limit {limit:g})"
