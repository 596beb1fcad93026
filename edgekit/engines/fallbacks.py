"""The files that a build tries one after the other: all of one model, verified, and what lint says about them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from edgekit.artifacts.onnx_file import Artifact, read_onnx
from edgekit.backends.trt.refusal import RefusedError
from edgekit.config.target import Precision, Target
from edgekit.errors import ArtifactError, UsageError
from edgekit.graph import lint
from edgekit.predictor import require_verified

ORDER: tuple[Precision, ...] = ("int8", "fp16", "fp32")  # a fallback has more bits than what it stands in for


def rungs_of(model: Path, fallbacks: Sequence[Path]) -> list[Artifact]:
    """The files to try, all of one model, verified, each with more bits than the one before.

    Raises:
        UsageError: a fallback with as many bits or fewer.
        ArtifactError: a file that cannot be read, or of another model.
        VerificationError: one that did not pass the gate when it was exported.
    """
    rungs = [read_onnx(path) for path in (model, *fallbacks)]
    for rung in rungs:
        require_verified(rung)
    first = rungs[0].metadata
    for before, rung in itertools.pairwise(rungs):
        described = rung.metadata
        same = (first.lineage.checkpoint, first.model, first.input)
        if (described.lineage.checkpoint, described.model, described.input) != same:
            raise ArtifactError(
                f"{rung.path} is not the same model as {model}.",
                got=f"checkpoint {described.lineage.checkpoint[:12]}",
                expected=f"checkpoint {first.lineage.checkpoint[:12]}, the same classes, preprocessing and input",
                fix="export all precisions from one checkpoint",
            )
        if ORDER.index(precision_of(rung)) <= ORDER.index(precision_of(before)):
            raise UsageError(
                f"{rung.path} cannot be a fallback for {before.path}.",
                got=f"{described.precision} after {before.metadata.precision}",
                expected="more bits each time: int8, fp16, fp32",
            )
    return rungs


def precision_of(artifact: Artifact) -> Precision:
    """`int8`, `fp16` or `fp32`, whatever the scheme. Raises ArtifactError for anything else."""
    kind, _, _ = artifact.metadata.precision.partition("-")  # int8-trt is int8
    found = next((name for name in ORDER if name == kind), None)
    if found is None:
        raise ArtifactError(
            f"{artifact.path} has a precision that edgekit does not build.",
            got=artifact.metadata.precision,
            expected=", ".join(ORDER),
        )
    return found


def refuse_lint(artifact: Artifact, target: Target) -> None:
    """Raises ArtifactError for what lint calls an error: also what the builder would take and get wrong."""
    findings = lint.lint(artifact.model, runtimes=("tensorrt",), opset=target.opset)
    for finding in findings:
        if finding.severity == "error":
            rule = next(rule for rule in lint.RULES if rule.id == finding.rule)
            raise ArtifactError(
                f"{artifact.path} breaks the lint rule {finding.rule}.",
                got=finding.message,
                expected=rule.reason,
                fix=f"{finding.fix}; edgekit export CHECKPOINT --target {target.name} does",
            )


def in_lint_words(error: RefusedError, artifact: Artifact) -> RefusedError:
    """The refusal with what our lint knows about that node: what it is, why it is refused, and what to do."""
    for finding in lint.lint(artifact.model, runtimes=("tensorrt",)):
        if error.node and finding.where == error.node:
            rule = next(rule for rule in lint.RULES if rule.id == finding.rule)
            error.got = f"{finding.message} ({error.said})"
            error.expected, error.fix = rule.reason, finding.fix
            break
    return error
