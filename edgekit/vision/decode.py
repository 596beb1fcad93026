"""From a net's outputs to answers. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import InputError, UsageError
from edgekit.screen import count_of
from edgekit.vision.boxes import clip
from edgekit.vision.preprocess import Geometry
from edgekit.vision.results import Classification, Detections

DEFAULT_SCORE = (
    0.3  # the score from which on a box is shown where no threshold was chosen on data (the official demo's)
)


def detections(
    boxes: ArrayLike,
    scores: ArrayLike,
    labels: ArrayLike,
    place: Geometry,
    frame_shape: tuple[int, ...],
    classes: Sequence[str],
    thresholds: Sequence[float] = (),
) -> Detections:
    """One picture's outputs of a detector, in the frame's pixels.

    Args:
        boxes: [K, 4], x1 y1 x2 y2 in the net's pixels.
        scores: [K], descending; 0 where there is nothing.
        labels: [K].
        place: where the frame lies in the net's input.
        frame_shape: (h, w, ...); boxes are cut to it, and those outside, as in a letterbox's border, are left out.
        classes: names.
        thresholds: smallest score of each class; none: everything above 0.

    Raises:
        InputError: a score or box that is not finite, or a label that is no class.
    """
    xyxy, score, label = np.asarray(boxes), np.asarray(scores), np.asarray(labels).astype(np.int64)
    real = score > 0
    if not (np.isfinite(score).all() and np.isfinite(xyxy[real]).all()):
        raise InputError(
            "The net gave detections that are not finite.",
            got="NaN or infinity in a score or box",
            expected="finite numbers",
            fix="verify the model: edgekit verify; a half-precision overflow is the usual cause",
        )
    strange = label[real][(label[real] < 0) | (label[real] >= len(classes))]
    if len(strange):
        raise InputError(
            "The net gave a label that is no class.", got=str(strange[0]), expected=f"0 to {len(classes) - 1}"
        )
    if len(thresholds):
        real &= score >= np.asarray(thresholds, dtype=np.float64)[np.where(real, label, 0)]
    moved = clip(place.to_frame(xyxy[real]), frame_shape[0], frame_shape[1]).astype(np.float32)
    inside = (moved[:, 2:] > moved[:, :2]).all(axis=1)
    kept = label[real][inside]
    return Detections(
        moved[inside], score[real][inside].astype(np.float32), kept, tuple(classes[i] for i in kept.tolist())
    )


def softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Probabilities over the last axis: float64 [..., C], in 0..1, summing to 1.

    The largest logit is subtracted first, so no finite input overflows. A row with NaN or +inf gives NaN.
    """
    x = np.asarray(logits, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # inf - inf: the NaN is the answer
        e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def classify(logits: ArrayLike, classes: Sequence[str], top: int = 5) -> list[Classification]:
    """One answer a row; among equal logits the lower class index comes first.

    Args:
        logits: [N, C], before softmax.
        classes: C names in the order of the logits.
        top: how many answers to keep in `Classification.top`; more than C gives C.

    Raises:
        UsageError: `top` below 1.
        InputError: a shape that does not fit the classes, or a logit that is not finite: a score made from it
            would look like an answer.
    """
    if top < 1:
        raise UsageError("top must be at least 1.", got=str(top), expected="1 or more")
    rows = np.asarray(logits, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != len(classes) or not classes:
        raise InputError(
            "The logits do not fit the classes.",
            got=f"logits {list(rows.shape)}, {count_of(len(classes), 'class')}",
            expected="logits [N, C] with one column a class",
            fix="use the classes the model was exported with",
        )
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise InputError(
            "The net gave logits that are not finite.",
            got=f"NaN or infinity in {int(bad.sum())} of {len(rows)} rows, the first is row {int(bad.argmax())}",
            expected="finite numbers",
            fix="verify the model: edgekit verify; a half-precision overflow is the usual cause",
        )
    return [_one(row, classes, top) for row in rows]


def _one(row: NDArray[np.float32], classes: Sequence[str], top: int) -> Classification:
    order = np.argsort(-row, kind="stable")[:top]
    scores = softmax(row)
    own = row.copy()  # the session writes its next answer into the same buffer
    own.flags.writeable = False
    best = tuple((classes[i], float(scores[i])) for i in order)
    return Classification(index=int(order[0]), label=best[0][0], score=best[0][1], top=best, logits=own)
