"""A model's answers on this machine beside those that the pack expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.benchmark.pack.manifest import Answers
from edgekit.benchmark.schema import Expected
from edgekit.data import Dataset
from edgekit.errors import ArtifactError
from edgekit.predictor import Predictor
from edgekit.vision.preprocess import preprocess


def answers(predictor: Predictor, dataset: Dataset, pictures: Sequence[int]) -> dict[str, Any]:
    """The model's outputs by name, [N, ...] each, to these pictures of a set, one picture a run."""
    spec = predictor.spec.preprocess
    rows = [predictor.answers([preprocess(dataset.samples[i].read(), spec)]) for i in pictures]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def compare(predictor: Predictor, wanted: Mapping[str, Any], given: Mapping[str, Any], asked: Answers) -> Expected:
    """How far answers are from those expected: equal bit for bit, and within the gate's limits.

    Args:
        wanted, given: [N, ...] each, by name.

    Raises:
        ArtifactError: the expected answers are of another model.
    """
    shapes = [{name: (v.shape, v.dtype.name) for name, v in side.items()} for side in (wanted, given)]
    if shapes[0] != shapes[1]:
        raise ArtifactError(
            f"The expected answers are not of {predictor.name}.", got=_text(shapes[0]), expected=_text(shapes[1])
        )
    stage = predictor.task.compare("expected", dict(wanted), dict(given), asked.limits, predictor.spec)
    return Expected(
        by=asked.by,
        n=len(asked.pictures),
        identical=_identical(wanted, given),
        passed=stage.passed,
        figures=predictor.task.against(stage, asked.limits),
        problems=list(stage.problems),
    )


def _identical(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> int:
    """Pictures of which every number has the same bits."""
    rows = [[_bytes(a) == _bytes(b) for a, b in zip(wanted[name], given[name], strict=True)] for name in wanted]
    return int(np.all(rows, axis=0).sum())


def _bytes(values: Any) -> bytes:
    """The numbers as they lie in memory."""
    return np.ascontiguousarray(values).tobytes()


def _text(shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{name} {dtype}{list(shape)}" for name, (shape, dtype) in shapes.items())
