"""Two models' detections, compared as sets: order among near-ties is chance, a box elsewhere, of another class or of
another score is not, nor are scores that rise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.metrics.matching import NOBODY, take_turns
from edgekit.tasks.base import Outputs
from edgekit.tasks.protocols import GateLimits
from edgekit.tasks.stage import FoundShare, Stage
from edgekit.vision.boxes import iou_matrix
from edgekit.vision.decode import DEFAULT_SCORE

# Of a picture's detections these must have a partner: all of this score or more, and so many of the best. What lies
# below is the noise that every heatmap has, and where K cuts it off is chance.
COUNTED, BEST = 0.05, 10
CUT = 1e-6
# On a flat heatmap, as early in a training, which place of a plateau is its peak is rounding: a detection of the
# same class and, to 1e-6, the same score whose corners are this near, in pixels, is a tie. Only few may be: a decoding
# that is off by a cell has such neighbours everywhere.
PLATEAU, TIED = 8.0, 0.02
# Where a picture is flat, black bars say, the plateau is as wide as that, and suppression leaves any of its places: a
# detection elsewhere of the same class, score and size. A wrong place of one looks the same, so very few may be.
FAR_TIED = 0.002
SAME_CORNERS = 0.1  # pixels; so are two whose corners are all this near: boxes of no area have no IoU


def compare_found(
    name: str, reference: Outputs, candidate: Outputs, limits: GateLimits, thresholds: Sequence[float] = ()
) -> Stage:
    """Compares `boxes`, `scores` and `labels` of N pictures as sets, against `limits`.

    Args:
        thresholds: of each class; where only shown boxes count, those at or above them.
    """
    n = len(reference["scores"])
    shapes = [[list(side[key].shape) for key in ("boxes", "scores", "labels")] for side in (reference, candidate)]
    if shapes[0] != shapes[1]:
        problem = f"boxes, scores and labels {shapes[1]} instead of {shapes[0]}"
        return Stage(name, False, float("inf"), float("inf"), None, 0, n, (problem,), found=FoundShare(0, 0.0, 0.0))
    if not all(np.isfinite(candidate[key]).all() for key in ("boxes", "scores")):
        nothing = FoundShare(0, 0.0, float("nan"))
        problem = "boxes or scores that are NaN or infinite"
        return Stage(name, False, float("nan"), float("nan"), None, 0, n, (problem,), found=nothing)
    fall = [bool((np.diff(side["scores"], axis=1) <= 0).all()) for side in (reference, candidate)]
    wanted = partners = near = far = 0
    score_shift = box_shift = 0.0
    for i in range(n):
        for one, other in ((reference, candidate), (candidate, reference)):
            count, pairs, tied = _partners(
                {k: v[i] for k, v in one.items()}, {k: v[i] for k, v in other.items()}, limits, thresholds
            )
            wanted += count
            partners += len(pairs)
            near += tied[0]
            far += tied[1]
            for a, b in pairs:
                score_shift = max(score_shift, abs(float(one["scores"][i, a]) - float(other["scores"][i, b])))
                box_shift = max(box_shift, float(np.abs(one["boxes"][i, a] - other["boxes"][i, b]).max()))
    ties = min(near, int(TIED * wanted)) + min(far, int(FAR_TIED * wanted))
    share = (partners + ties) / wanted if wanted else 0.0
    problems = []
    if share < limits.boxes_matched:
        problems.append(f"boxes matched {share:.2%} of {wanted} < {limits.boxes_matched:.2%}")
    if score_shift > limits.score_shift:
        problems.append(f"score shift {score_shift:.3g} > {limits.score_shift:g}")
    if fall == [True, False]:  # as sets they may be equal, but the contract says best first
        problems.append("scores that are not sorted, best first")
    if not wanted:
        problems.append("no boxes" if n else "no pictures")
    peak = float(reference["scores"].max(initial=0.0))
    found = FoundShare(wanted, share, box_shift)
    relative = score_shift / peak if peak else score_shift
    return Stage(name, not problems, score_shift, relative, None, ties, n, tuple(problems), found=found)


def _partners(
    one: Outputs, other: Outputs, limits: GateLimits, thresholds: Sequence[float]
) -> tuple[int, list[tuple[int, int]], tuple[int, int]]:
    """How many of `one`'s detections count, which of `other`'s is the partner of each that has one, and of the rest how
    many are ties with a place near and with one farther away."""
    scores = one["scores"]
    if limits.boxes == "shown":
        floor = np.asarray(thresholds or (DEFAULT_SCORE,) * (int(one["labels"].max(initial=0)) + 1))
        count = scores >= floor[one["labels"]]
    else:
        count = (scores >= COUNTED) | (np.arange(len(scores)) < BEST)
    # where K cuts through equal scores, as on the flat heatmap of a net that hardly learnt, which ones stay is chance
    clear = scores > (scores.min() + CUT if scores.min() > 0 else 0)
    counted = np.flatnonzero(clear & count)
    if not len(counted):
        return 0, [], (0, 0)
    overlap = iou_matrix(one["boxes"][counted], other["boxes"])
    apart = np.abs(one["boxes"][counted][:, None] - other["boxes"]).max(2)
    same = (overlap >= limits.box_iou) | (apart <= SAME_CORNERS)
    fits = same & (one["labels"][counted][:, None] == other["labels"]) & (other["scores"] > 0)
    alike = other["labels"] == one["labels"][counted][:, None]
    alike &= np.abs(other["scores"] - scores[counted][:, None]) <= CUT
    sides = [side["boxes"][:, 2:] - side["boxes"][:, :2] for side in (one, other)]
    as_large = np.abs(sides[0][counted][:, None] - sides[1]).max(2) <= SAME_CORNERS
    # of several at one place the one of the nearest score
    (taken,) = take_turns(np.where(fits, -np.abs(other["scores"] - scores[counted][:, None]), -np.inf))
    paired = taken != NOBODY
    pairs = list(zip(counted[paired].tolist(), taken[paired].tolist(), strict=True))
    near = (alike & (apart <= PLATEAU))[~paired].any(axis=1)
    far = (alike & as_large)[~paired].any(axis=1) & ~near
    return len(counted), pairs, (int(near.sum()), int(far.sum()))
