"""From scores and boxes at every place of a detector to the K that are given, by operators that every runtime has.

There is no loop and no NonMaxSuppression, whose outputs have no fixed size: the places of the highest scores are
compared with one another as a matrix. Indices are int32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.graph.builder import Builder
from edgekit.graph.decoders.base import Kept
from edgekit.vision.suppress import ROUNDS, Suppression

MOST = 3840  # TensorRT's TopK parses a larger K and then does not build

ToBoxes = Callable[[Builder, str, Mapping[str, str]], str]


@dataclass(frozen=True)
class Places:
    """What a detector says at each of its P places, as tensors of the graph.

    Attributes:
        scores: float32 [N, P, C], or [N, C, P] where `channels_first`; before `sigmoid` where that is set.
        rows: [N, P, R] or [N, R, P], the numbers that a box is made of.
        count: P.
        classes: C.
        boxes: gives x1 y1 x2 y2 in input pixels, float32 [N, K, 4], of the rows [N, K, R] and `fixed` [N, K, k] of
            the places that were chosen.
        fixed: name -> numbers of each place that the net does not give: [P, k], as its cell or its anchor.
        objectness: [N, P, 1] or [N, 1, P], which the scores are multiplied with.
        labels: [N, P], where the net gives them itself; C is 1 then.
        sigmoid: whether scores and objectness are logits.
        powers: of objectness and scores, before they are multiplied.
        every: whether one place may give a box for each of its classes; otherwise the best one counts.
        channels_first: as above.
        width: R.
    """

    scores: str
    rows: str
    count: int
    classes: int
    boxes: ToBoxes
    fixed: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    objectness: str = ""
    labels: str = ""
    sigmoid: bool = False
    powers: tuple[float, float] = (1.0, 1.0)
    every: bool = False
    channels_first: bool = False
    width: int = 4


def select(b: Builder, places: Places, kept: Kept) -> dict[str, str]:
    """Boxes, scores and labels of the K best; those that are suppressed fill the end with score 0.

    A picture with a score that is not a number gets that score everywhere: sorting could have hidden it.

    Raises:
        UsageError: more boxes than TensorRT can sort.
    """
    wanted = kept.looked_at
    if not kept.keep >= 1 or wanted > MOST:
        raise UsageError("Boxes kept of each picture.", got=f"{kept.keep}, {wanted} looked at", expected=f"1 to {MOST}")
    axis = 1 if places.channels_first else 2  # of classes
    combined = _scores(b, places, axis)  # [N, P]; of every class [N, P C], or [N, C P] where channels come first
    total = places.count * (places.classes if places.every else 1)
    n = min(wanted, total)
    values, index64 = b.add_many("TopK", [combined, b.constant([n], np.int64)], 2, axis=1, largest=1, sorted=1)
    index = b.cast(index64, np.int32)  # [N, n]
    place = index
    if places.every and places.classes > 1:
        inner = b.constant([places.count if places.channels_first else places.classes], np.int32)
        owner = b.add("Div", index, inner)
        rest = b.add("Sub", index, b.add("Mul", owner, inner))
        place = rest if places.channels_first else owner
    rows = _take(b, places.rows, place, places.width, places.channels_first)
    fixed = {key: b.add("Gather", b.constant(table), place, axis=0) for key, table in places.fixed.items()}
    boxes = places.boxes(b, rows, fixed)
    if places.labels:
        labels = b.cast(b.add("GatherElements", places.labels, place, axis=1), np.int32)
    elif places.classes == 1:
        labels = b.add("Mul", index, b.constant([0], np.int32))
    elif places.every:
        labels = owner if places.channels_first else rest
    else:
        own = _take(b, places.scores, place, places.classes, places.channels_first)
        labels = b.cast(b.add("ArgMax", own, axis=2, keepdims=0), np.int32)
    if kept.suppression is not None:
        values = b.add("Mul", values, _survivors(b, values, boxes, labels, n, kept.suppression))
        values, best = b.add_many("TopK", [values, b.constant([min(kept.keep, n)], np.int64)], 2, axis=1)
        order = b.cast(best, np.int32)
        boxes = _take(b, boxes, order, 4, False)
        labels = b.add("GatherElements", labels, order, axis=1)
    found = _filled(b, values, boxes, labels, kept.keep - min(kept.keep, n))
    return {**found, "scores": _unhidden(b, places, found["scores"])}


def _scores(b: Builder, places: Places, axis: int) -> str:
    """What the places are sorted by: what grows with the class alone is done once the best class is known."""
    scores, objectness = places.scores, places.objectness
    if not places.every and places.classes > 1:
        scores = b.add("ReduceMax", scores, b.constant([axis], np.int64), keepdims=1)
    if places.sigmoid:
        scores = b.add("Sigmoid", scores)
        objectness = objectness and b.add("Sigmoid", objectness)
    if objectness:
        of_object, of_class = places.powers
        if of_class != 1:
            scores = b.add("Pow", scores, b.constant([of_class]))
        if of_object != 1:
            objectness = b.add("Pow", objectness, b.constant([of_object]))
        scores = b.add("Mul", scores, objectness)
    return b.add("Flatten", scores, axis=1)


def _unhidden(b: Builder, places: Places, values: str) -> str:
    """`values`, or NaN where a score of the picture is NaN: which places a sort gives then is chance."""
    axes = b.constant([1, 2], np.int64)
    total = b.add("ReduceSum", places.scores, axes, keepdims=0)  # [N]
    if places.objectness:
        total = b.add("Add", total, b.add("ReduceSum", places.objectness, axes, keepdims=0))
    total = b.add("Unsqueeze", total, b.constant([1], np.int64))
    return b.add("Where", b.add("IsNaN", total), total, values)


def _take(b: Builder, tensor: str, place: str, width: int, channels_first: bool) -> str:
    """[N, n, width]: what a tensor has at the places int32 [N, n]."""
    axis = 1 if channels_first else 2
    wide = b.add("Unsqueeze", place, b.constant([axis], np.int64))
    if width > 1:
        shape = [1, width, 1] if channels_first else [1, 1, width]
        wide = b.add("Expand", wide, b.constant(shape, np.int64))
    taken = b.add("GatherElements", tensor, wide, axis=3 - axis)
    return b.add("Transpose", taken, perm=[0, 2, 1]) if channels_first else taken


def _survivors(b: Builder, values: str, boxes: str, labels: str, n: int, suppression: Suppression) -> str:
    """float32 [N, n], 1 where greedy suppression keeps a box, 0 where not; the boxes come best first.

    A box is kept where none that is kept stands before it and overlaps it too much. Starting from all, each round puts
    that rule to what the round before gave; after as many rounds as the longest chain nothing changes any more, and
    what stands is what greedy suppression keeps (Zheng et al. 2020, "Enhancing geometric factors ..", sec. 3.2,
    Cluster-NMS). An even number of rounds never loses a box that greedy keeps.
    """
    side = {
        name: b.add("Slice", boxes, *(b.constant([v], np.int64) for v in (i, i + 1, 2)))
        for i, name in enumerate(("x1", "y1", "x2", "y2"))
    }  # [N, n, 1] each
    other = {name: b.add("Transpose", tensor, perm=[0, 2, 1]) for name, tensor in side.items()}  # [N, 1, n]
    lengths = []
    area = ""  # [N, n, 1]
    for low, high in (("x1", "x2"), ("y1", "y2")):
        end, start = b.add("Min", side[high], other[high]), b.add("Max", side[low], other[low])
        lengths.append(b.add("Sub", end, start))
        length = b.add("Relu", b.add("Sub", side[high], side[low]))
        area = b.add("Mul", area, length) if area else length
    # one of the two may stay negative: what is shared is then less than no area
    shared = b.add("Mul", b.add("Relu", lengths[0]), lengths[1])  # [N, n, n]
    # shared > iou (a + b - shared), with the areas on one side
    share = b.constant([suppression.iou / (1 + suppression.iou)])
    part_of = b.add("Mul", area, share)
    both = b.add("Add", part_of, b.add("Transpose", part_of, perm=[0, 2, 1]))
    covers = b.add("And", b.add("Greater", shared, both), b.constant(np.triu(np.ones((n, n), bool), 1), np.bool_))
    if not suppression.across_classes:
        column = b.add("Unsqueeze", labels, b.constant([2], np.int64))
        row = b.add("Unsqueeze", labels, b.constant([1], np.int64))
        covers = b.add("And", covers, b.add("Equal", column, row))
    matrix = b.cast(covers, np.float32)  # [i, j]: i stands before j and is in its way
    one = b.constant([1.0])
    # all: computed, since a product with a constant would be taken for one of the net's layers
    keep = b.cast(b.add("GreaterOrEqual", values, b.constant([0.0])), np.float32)
    keep = b.add("Unsqueeze", keep, b.constant([1], np.int64))
    for _ in range(min(ROUNDS, n + n % 2)):
        keep = b.add("Relu", b.add("Sub", one, b.add("MatMul", keep, matrix)))  # [N, 1, n]
    return b.add("Squeeze", keep, b.constant([1], np.int64))


def _filled(b: Builder, scores: str, boxes: str, labels: str, missing: int) -> dict[str, str]:
    if missing:
        flat, deep = b.constant([0, 0, 0, missing], np.int64), b.constant([0, 0, 0, 0, missing, 0], np.int64)
        scores, labels, boxes = b.add("Pad", scores, flat), b.add("Pad", labels, flat), b.add("Pad", boxes, deep)
    return {"boxes": boxes, "scores": scores, "labels": labels}
