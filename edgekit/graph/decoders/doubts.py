"""What decoded answers look like when outputs are read wrongly: a proof against the same reading cannot see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph.decoders.base import Reading, Size

Answers = Mapping[str, NDArray[Any]]

BEST = 10  # boxes of each picture that are looked at
FAINT = 0.2  # of a hundred boxes the least ones are noise, far below
MANY = 20  # boxes that a picture must have, to tell
NEAR = 2.0  # pixels: shares of a picture that were taken for them
FEW = 8  # pictures that may all be unsure
SOME = 0.2  # of the boxes, that may be odd


def doubts(reading: Reading, size: Size, answers: Answers) -> tuple[str, ...]:
    """One sentence for each thing that pictures should not have given, and what usually explains it.

    Args:
        reading: how the outputs were read.
        size: of the input.
        answers: the contract's outputs for some pictures, [N, ...] each.
    """
    if "boxes" in answers:
        return tuple(_of_boxes(reading, size, answers))
    if "logits" in answers:
        return tuple(_of_logits(answers["logits"]))
    return tuple(_of_scores(answers.get("score", answers.get("scores"))))


def _of_boxes(reading: Reading, size: Size, answers: Answers) -> list[str]:
    scores, boxes = answers["scores"], answers["boxes"].astype(np.float64)
    found = _of_scores(scores)
    least = [row[row > 0].min() for row in scores if (row > 0).sum() >= MANY]
    if not found and least and np.median(least) >= FAINT:
        found.append(
            f"even the least of a picture's boxes have scores of {np.median(least):.2f}: is the activation done twice, "
            "or a background counted as a class?"
        )
    there = scores[:, :BEST] > 0
    best = boxes[:, :BEST][there]
    best = best[np.isfinite(best).all(axis=1)]
    if not len(best):
        return found
    sides = best[:, 2:] - best[:, :2]
    middle = (best[:, 2:] + best[:, :2]) / 2
    outside = ((middle < 0) | (middle > (size[1], size[0]))).any(axis=1)
    if np.abs(best).max() <= NEAR < min(size) / 8:
        found.append(f"all boxes lie within {np.abs(best).max():.2g} pixels of the corner: are they shares of 0 to 1?")
    elif (sides <= 0).any(axis=1).mean() > SOME:
        share = (sides <= 0).any(axis=1).mean()
        found.append(f"{share:.0%} of the best boxes end before they begin: are they sizes, or y before x?")
    elif outside.mean() > SOME:
        found.append(
            f"the middles of {outside.mean():.0%} of the best boxes lie outside the picture: pixels, or shares?"
        )
    named = {int(v) for v in answers["labels"][:, :BEST][there].tolist()}
    strange = sorted(n for n in named if n < 0 or (reading.classes and n >= reading.classes))
    if strange:
        found.append(f"a box has the label {strange[0]}: do the classes begin at 1?")
    return found


def _of_logits(logits: NDArray[Any]) -> list[str]:
    total = logits.astype(np.float64).sum(axis=1)
    if logits.min(initial=0) >= 0 and logits.shape[1] > 1 and np.allclose(total, 1, atol=1e-3):
        return ["the logits of each picture sum to 1: are they probabilities already?"]
    shares = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    highest = float((1 / shares.sum(axis=1)).max(initial=0))
    most = np.e / (np.e + logits.shape[1] - 1)  # that a softmax makes of numbers of 0 to 1
    if len(logits) >= FEW and logits.shape[1] > 2 and highest <= most:
        return [f"no class of any picture gets more than {highest:.2g}: is the activation done already?"]
    return []


def _of_scores(scores: NDArray[Any] | None) -> list[str]:
    if scores is None or not scores.size:
        return []
    low, high = float(np.nanmin(scores)), float(np.nanmax(scores))
    if low < -1e-6 or high > 1 + 1e-6:
        return [f"scores are {low:.3g} to {high:.3g}: is an activation missing?"]
    return []
