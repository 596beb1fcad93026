"""Two models' masks, compared pixel by pixel: edges may be off a little, what lies inside a thing may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.segmentation.confusion import intersection_over_union, mean_of_known
from edgekit.tasks.base import Outputs
from edgekit.tasks.protocols import GateLimits
from edgekit.tasks.stage import Stage

# A class with fewer pixels on both sides together says nothing by its IoU: one at an edge is a percent of it
COUNTED = 100
# A picture alone may be this much further off than all of them together; one that is answered as another is all wrong
WORST_PICTURE = 10


def compare_masks(
    name: str, reference: Outputs, candidate: Outputs, limits: GateLimits, classes: Sequence[str]
) -> Stage:
    """Compares `mask` and `score` of N pictures against `limits`.

    Edges are the reference's pixels within two of a change of class: rounding moves them, so they have a limit of
    their own (`pixels_equal` counts them, `inner_pixels_equal` does not). Scores are compared where the classes agree;
    a share of `scores_beyond` of them may be further apart than `score_shift`. The IoU of a class leaves ties out
    (`near_ties`): a class that the net is never sure of would hang on them alone.

    Args:
        classes: names; an index that is none fails.
    """
    n = len(reference["mask"])
    shapes = [[list(side[key].shape) for key in ("mask", "score")] for side in (reference, candidate)]
    none = {"pixels_equal": 0.0, "inner_pixels_equal": 0.0, "class_iou": 0.0}
    if shapes[0] != shapes[1]:
        problem = f"mask and score {shapes[1]} instead of {shapes[0]}"
        return Stage(name, False, float("inf"), float("inf"), None, 0, n, (problem,), own=none)
    wrong = _no_answer(candidate, classes)
    if wrong or not n:
        return Stage(name, False, float("nan"), float("nan"), None, 0, n, (wrong or "no pictures",), own=none)
    table = np.zeros((len(classes), len(classes)), np.int64)
    equal, inner, inner_equal = (np.zeros(n, np.int64) for _ in range(3))
    ties, beyond, shift, size = 0, 0, 0.0, reference["mask"][0].size
    for i in range(n):
        want, got = reference["mask"][i], candidate["mask"][i]
        same, inside = want == got, ~near_edges(want)
        equal[i], inner[i], inner_equal[i] = same.sum(), inside.sum(), (same & inside).sum()
        tie = ~same & near_ties(reference["score"][i], candidate["score"][i], limits.score_shift)
        ties += int(tie.sum())
        table += _table(want[~tie], got[~tie], len(classes))
        gaps = np.abs(candidate["score"][i].astype(np.float64) - reference["score"][i])[same]
        shift = max(shift, float(gaps.max(initial=0.0)))
        beyond += int((gaps > limits.score_shift).sum())
    shares = float(equal.sum() / (n * size)), float(inner_equal.sum() / max(1, inner.sum())) if inner.sum() else 1.0
    worst, label = _worst_class(table)
    problems = []
    for what, share, limit, pictures in (
        ("equal pixels", shares[0], limits.pixels_equal, equal / size),
        ("equal pixels away from edges", shares[1], limits.inner_pixels_equal, inner_equal / np.maximum(1, inner)),
    ):
        alone = float(pictures[inner > 0].min(initial=1.0)) if "edges" in what else float(pictures.min())
        if share < limit:
            problems.append(f"{what} {share:.4%} < {limit:.4%}")
        elif alone < 1 - WORST_PICTURE * (1 - limit):
            problems.append(f"{what} of the worst picture {alone:.2%} < {1 - WORST_PICTURE * (1 - limit):.2%}")
    if worst < limits.class_iou:
        problems.append(f"IoU of {classes[label]} {worst:.4f} < {limits.class_iou:g}")
    if beyond > limits.scores_beyond * equal.sum():
        problems.append(
            f"{beyond / equal.sum():.4%} of the scores are off by more than {limits.score_shift:g}, "
            f"max|d score| {shift:.3g}"
        )
    peak = float(reference["score"].max(initial=0.0))
    own = {
        "pixels_equal": shares[0],
        "inner_pixels_equal": shares[1],
        "class_iou": worst,
        "scores_beyond": float(beyond / max(1, equal.sum())),
        "classes_seen": float((table.sum(axis=1) > 0).sum()),
    }
    return Stage(name, not problems, shift, shift / peak if peak else shift, None, ties, n, tuple(problems), own=own)


def between(one: NDArray[Any], other: NDArray[Any], classes: int) -> tuple[float, float]:
    """(share of pixels that differ, mean of 1 - IoU over the classes) of two masks, int [N, H, W] each."""
    table = _table(one, other, classes)
    iou = intersection_over_union(table.diagonal(), table.sum(axis=1), table.sum(axis=0))
    return float((one != other).mean()), 1 - (mean_of_known(iou) or 0.0)


def near_ties(reference: NDArray[Any], candidate: NDArray[Any], shift: float) -> NDArray[np.bool_]:
    """bool [H, W]: where another class may be first though no class's score moved by more than `shift`.

    The reference's first class a is second in the candidate, behind b. With moves of at most `shift` b's new score is
    that near to a's old one, and as the two old ones are 1 at most together, so are b's new one less `shift` and a's.

    Args:
        reference, candidate: float [H, W], the score of each one's first class.
    """
    one, other = reference.astype(np.float64), candidate.astype(np.float64)
    return np.asarray((np.abs(other - one) <= shift) & (one + other <= 1 + shift))


def near_edges(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """bool [H, W]: which pixels lie within two of a pixel of another class, up, down, across or diagonally."""
    edge = np.zeros(mask.shape, bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        change = mask[one] != mask[other]
        edge[one] |= change
        edge[other] |= change
    wide = edge.copy()
    wide[1:] |= edge[:-1]
    wide[:-1] |= edge[1:]
    tall = wide.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide


def _no_answer(candidate: Outputs, classes: Sequence[str]) -> str:
    mask, score = candidate["mask"], candidate["score"]
    if not np.isfinite(score).all():
        return "scores that are NaN or infinite"
    if mask.size and not 0 <= mask.min() <= mask.max() < len(classes):
        strange = int(mask.max()) if mask.max() >= len(classes) else int(mask.min())
        return f"a mask with the index {strange}, which is no class: there are 0 to {len(classes) - 1}"
    return ""


def _table(one: NDArray[Any], other: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """int64 [C, C]: pixels by the class of one mask and that of the other."""
    cells = one.astype(np.int64).ravel() * classes + other.ravel()
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def _worst_class(table: NDArray[np.int64]) -> tuple[float, int]:
    """The smallest IoU of a class with enough pixels, and which; (1, 0) where there is none."""
    there, told, hits = table.sum(axis=1), table.sum(axis=0), table.diagonal()
    iou = intersection_over_union(hits, there, told)
    iou[there + told - hits < COUNTED] = np.nan
    if np.isnan(iou).all():
        return 1.0, 0
    return float(np.nanmin(iou)), int(np.nanargmin(iou))
