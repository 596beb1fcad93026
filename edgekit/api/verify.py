"""Are two models equal on pictures, and is one equal to recorded pairs?"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit import loading, pipeline
from edgekit.artifacts.kinds import is_checkpoint
from edgekit.artifacts.onnx_file import is_foreign
from edgekit.artifacts.opening import BY_DEFAULT, NOTHING_TOLD, CheckpointOptions, RunOptions
from edgekit.config.target import Limits, load_target
from edgekit.data.classes.class_map import ClassMapLike, class_map
from edgekit.errors import UsageError
from edgekit.gate.classes import pair_classes
from edgekit.gate.compare import verify as compare_models
from edgekit.pipeline.adopting import is_adopted, open_original
from edgekit.predictor import Predictor
from edgekit.screen import count_of
from edgekit.tasks import Task
from edgekit.tasks.stage import Stage


@dataclass(frozen=True)
class Judgement:
    """One comparison.

    Attributes:
        reference: what is right, in words.
        on: what it was compared on, in words.
        stage: what was measured and whether the limits hold.
        task: what both models are for.
        classes: how their classes were brought together by a map, in words; empty without one.
    """

    reference: str
    on: str
    stage: Stage
    task: Task
    classes: str = ""

    @property
    def more(self) -> dict[str, str]:
        """What is told of it in JSON where there is something to tell."""
        return {"classes": self.classes} if self.classes else {}


@dataclass(frozen=True)
class Verification:
    """What came of `verify`.

    Attributes:
        precision: of the candidate: `fp32` is to be equal, `fp16` and the int8 schemes within limits.
        limits: that had to hold.
        data: where the pictures are from; None where recorded pairs alone were compared.
        judgements: one for the reference, one for the recorded pairs, as they were asked for.
    """

    precision: str
    limits: Limits
    data: str | None
    judgements: tuple[Judgement, ...]

    @property
    def passed(self) -> bool:
        """Whether all limits hold."""
        return all(one.stage.passed for one in self.judgements)

    @property
    def problems(self) -> tuple[str, ...]:
        """What failed, in words; empty when passed."""
        return tuple(problem for one in self.judgements for problem in one.stage.problems)

    def lines(self) -> list[str]:
        """A line a judgement, for people."""
        relation = "equal to" if self.precision == "fp32" else f"{self.precision} within the limits of"
        return [
            f"{relation if one.stage.passed else f'NOT {relation}'} {one.reference}{one.on}:"
            f" {one.task.figures(one.stage)} (limit {one.task.limit(self.limits):g})"
            for one in self.judgements
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        stages = [{**one.stage.to_dict(), "compared_with": one.reference, **one.more} for one in self.judgements]
        return {"passed": self.passed, "data": self.data, "stages": stages}


def verify(
    reference: str | os.PathLike[str],
    candidate: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    *,
    pictures: int = pipeline.PICTURES,
    target: str | os.PathLike[str] = "x86-cpu",
    max_abs: float | None = None,
    expect: str | os.PathLike[str] | None = None,
    classes_map: ClassMapLike | None = None,
    run: RunOptions = BY_DEFAULT,
    checkpoint: CheckpointOptions = NOTHING_TOLD,
    say: Callable[[str], None] = lambda line: None,
) -> Verification:
    """Compares two models, from pictures to outputs, each with its own preprocessing, as `edgekit verify` does.

    Args:
        reference: what is right: a checkpoint, an exported ONNX, or the original of an adopted one.
        candidate: what must equal it: an ONNX, an engine or a checkpoint. None with `expect` alone.
        data: pictures to compare on, their labels play no part; default is a small set made in code.
        pictures: how many of them, spread evenly.
        target: a board's name, or a TOML of one's own, whose limits hold.
        max_abs: instead of the target's: the largest |d| of a logit, or of a box's score.
        expect: an .npz of recorded pairs, `images` and `logits`, that the last model named must answer alike.
        classes_map: where the two call classes differently: a mapping of the reference's names to the candidate's, or
            what `--map` takes; `-` leaves a class of either out. See `edgekit.evaluate`.
        run: what runs an exported file, of both.
        checkpoint: what a foreign checkpoint does not say of itself.
        say: called with a line for whatever is to be told.

    A file that did not pass its verification is opened too: looking into it is what this is for.

    Returns:
        What was compared and what came of it; `passed` is False when they differ.

    Raises:
        UsageError: nothing to compare with, or models of other tasks or classes.
        ArtifactError: the candidate was made from another checkpoint than `reference`.
        EdgekitError: as `edgekit.load`.
    """
    right = Path(reference)
    judged = right if candidate is None else Path(candidate)
    if candidate is None and expect is None:
        raise UsageError(
            "There is nothing to compare with.",
            got=f"{right} alone",
            expected="REFERENCE CANDIDATE, or MODEL --expect PAIRS.npz",
        )
    names = class_map(classes_map)
    if names is not None and candidate is None:
        raise UsageError("--map names the classes of two models.", got="one model", fix="leave --map out")
    made = loading.metadata_of(judged)
    precision = made.precision if made else "fp32"
    limits = load_target(target).limits(precision)
    if max_abs is not None:
        limits = limits.model_copy(update={"max_abs": max_abs, "score_shift": max_abs})
    described = None
    if candidate is not None and is_checkpoint(right) and made is not None:
        loading.refuse_stale(judged, made, right)
        described = made.model  # what the export of a plain state dict was told, since that says nothing
    several = {path for path in (right, judged) if is_checkpoint(path)} or {judged}  # may have a weights_key

    def opened(path: Path) -> Predictor:
        if path == right and made is not None and is_adopted(made) and is_foreign(path):
            return open_original(path, made)
        mine = checkpoint if path in several else replace(checkpoint, weights_key=None)
        return loading.open_model(path, run, mine, unverified=True, fallback=described, say=say)

    judgements = []
    with opened(judged) as other:
        if candidate is not None:
            with opened(right) as first:
                paired = pair_classes(first, other, names)
                dataset = pipeline.pictures_for_gate(None if data is None else Path(data), pictures, first.spec.task)
                stage = compare_models(first, other, dataset, limits, paired)
                on = f" on {count_of(stage.pictures, 'picture')}" + (f", {paired.text}" if paired.text else "")
                judgements.append(Judgement(f"{right.name} ({first.what})", on, stage, first.task, paired.text))
        if expect is not None:
            stage = pipeline.expected_of(judged, other, Path(expect), limits)
            judgements.append(Judgement(f"{stage.pictures} recorded pairs of input and output", "", stage, other.task))
    source = "made in code" if data is None else str(data)
    return Verification(precision, limits, source if candidate is not None else None, tuple(judgements))
