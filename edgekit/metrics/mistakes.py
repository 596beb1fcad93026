"""What a detector gets wrong, by kind, and what each kind costs in AP50. numpy only.

Source: Bolya et al. 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors", sec. 2.2 and 2.3, with its
two limits: an IoU of 0.5 is a match, and up to 0.1 a box is on nothing. A kind costs what AP50 would gain if it
alone were mended; the costs are no parts of a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.average_precision.coco import MAX_DETECTIONS, interpolated
from edgekit.metrics.ground_truth import GroundTruth, Predictions, check_pairs
from edgekit.metrics.matching import NOBODY, take_turns
from edgekit.vision.boxes import iou_matrix

Kind = Literal["background", "localization", "class", "both", "duplicate", "missed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NEAR, FAR = 0.5, 0.1  # IoU: from where on a box is on an object, and up to where it is on nothing


class Mistake(NamedTuple):
    """One wrong box, or one object that none found.

    Attributes:
        picture: its index.
        kind: `background`: on no object. `localization`: on an object of its class, IoU 0.1 to 0.5.
            `class`: on an object of another class. `both`: the one and the other. `duplicate`: on an object
            that a box of a higher score has. `missed`: an object without a box: right, badly placed or of another
            class.
        found: index of the box among the picture's; None where the object was missed.
        object: index of the object that it is on, or that was missed; None where it is on none.
        label: class of the box, or of the missed object.
        score: of the box; 0 where the object was missed.
    """

    picture: int
    kind: Kind
    found: int | None
    object: int | None
    label: int
    score: float


class _Box(NamedTuple):
    """A detection with what became of it; `object` as in `Mistake`."""

    picture: int
    found: int
    label: int
    score: float
    kind: Kind | Literal["right", "aside"]
    object: int | None


@dataclass(frozen=True)
class Mistakes:
    """Of one detector on one set of pictures.

    Attributes:
        ap50: mean over the classes that have objects, 0..1; None where none has.
        costs: of each kind, by how much AP50 were higher without it; None where there is no AP50.
        wrong: the wrong boxes, best score first, and then the objects missed by every box.
    """

    ap50: float | None
    costs: dict[Kind, float | None]
    wrong: tuple[Mistake, ...]

    def count(self, kind: Kind, label: int | None = None) -> int:
        """Mistakes of this kind, of all classes or one."""
        return sum(n for (of, at), n in self._counts.items() if of == kind and label in (None, at))

    @cached_property
    def _counts(self) -> Counter[tuple[Kind, int]]:
        return Counter((m.kind, m.label) for m in self.wrong)


def mistakes(truths: Sequence[GroundTruth], founds: Sequence[Predictions], n_classes: int) -> Mistakes:
    """The mistakes among these detections, COCO's 100 best of a picture and class, and their costs.

    What lies on objects that are set aside is no mistake.

    Raises:
        DataError: not one result a picture, no picture, or a label that is no class.
    """
    check_pairs(truths, founds, n_classes)
    boxes: list[_Box] = []
    missed: list[Mistake] = []
    for picture, (truth, found) in enumerate(zip(truths, founds, strict=True)):
        of_picture = list(_judged(picture, truth, found))
        boxes += of_picture
        touched = {b.object for b in of_picture if b.kind in ("right", "localization", "class")}
        missed += [
            Mistake(picture, "missed", None, i, int(label), 0.0)
            for i, label in enumerate(truth.labels.tolist())
            if i not in touched
        ]
    boxes.sort(key=lambda box: -box.score)
    objects = np.bincount(np.concatenate([t.labels for t in truths]).astype(int), minlength=n_classes)
    lost = np.bincount(np.array([m.label for m in missed], dtype=int), minlength=n_classes)
    labels = [t.labels for t in truths]
    ap50 = _ap50(boxes, objects)
    costs: dict[Kind, float | None] = {}
    for kind in KINDS:
        better = _ap50(boxes, objects - lost) if kind == "missed" else _ap50(_mended(boxes, kind, labels), objects)
        # a class whose every object was missed has no AP without them
        costs[kind] = None if ap50 is None else (ap50 if better is None else better) - ap50
    wrong = [
        Mistake(b.picture, b.kind, b.found, b.object, b.label, b.score)
        for b in boxes
        if b.kind != "right" and b.kind != "aside"
    ]
    return Mistakes(ap50, costs, (*wrong, *missed))


def _judged(picture: int, truth: GroundTruth, found: Predictions) -> Iterator[_Box]:
    """The picture's detections, each class's best 100, best first, with what became of them."""
    order = np.argsort(-found.scores, kind="stable")
    rank = {int(label): order[found.labels[order] == label][:MAX_DETECTIONS] for label in np.unique(found.labels)}
    kept = order[np.isin(order, np.concatenate([*rank.values(), np.zeros(0, dtype=np.intp)]))]
    labels = found.labels[kept]
    overlap = iou_matrix(found.boxes[kept], truth.boxes)
    crowds = iou_matrix(found.boxes[kept], truth.ignored_boxes, np.ones(len(truth.ignored_boxes), dtype=np.bool_))
    same = labels[:, None] == truth.labels[None, :]
    (taken,) = take_turns(np.where(same, overlap, -np.inf), [NEAR], ties="last")
    aside = ((crowds >= NEAR) & (labels[:, None] == truth.ignored_labels[None, :])).any(axis=1)
    used = np.zeros(len(truth.labels), dtype=np.bool_)
    used[taken[taken != NOBODY]] = True
    for i, index in enumerate(kept.tolist()):
        kind: Kind | Literal["right", "aside"]
        if taken[i] != NOBODY:
            kind, on = "right", int(taken[i])
        else:
            kind, on = ("aside", NOBODY) if aside[i] else _kind(overlap[i], same[i], used)
        score = float(found.scores[index])
        yield _Box(picture, index, int(labels[i]), score, kind, None if on == NOBODY else on)


def _kind(overlap: NDArray[Any], same: NDArray[np.bool_], used: NDArray[np.bool_]) -> tuple[Kind, int]:
    """Of a box that matched nothing: the kind of its mistake, and the object."""
    if not len(overlap):
        return "background", NOBODY
    own, other = np.where(same, overlap, -1.0), np.where(same, -1.0, overlap)
    if FAR <= own.max() <= NEAR:
        return "localization", int(own.argmax())
    if other.max() >= NEAR:
        return "class", int(other.argmax())
    taken = np.where(used, own, -1.0)
    if taken.max() >= NEAR:
        return "duplicate", int(taken.argmax())
    return ("background", NOBODY) if overlap.max() <= FAR else ("both", int(overlap.argmax()))


def _mended(boxes: Sequence[_Box], kind: Kind, labels: Sequence[NDArray[np.int64]]) -> list[_Box]:
    """The detections, best first, with this kind's put right, or left out where there is nothing to be right about.

    An object that nothing matched goes to the best box that is badly placed on it or calls it something else, whichever
    of the two is mended, as in the authors' program (tidecv 1.0.1, BestGTMatch).
    """
    has = {(b.picture, b.object) for b in boxes if b.kind == "right"}
    mended = []
    for box in boxes:
        claims = box.kind in ("localization", "class") and (box.picture, box.object) not in has
        if claims:
            has.add((box.picture, box.object))
        if box.kind != kind:
            mended.append(box)
        elif claims and box.object is not None:
            mended.append(box._replace(kind="right", label=int(labels[box.picture][box.object])))
    return mended


def _ap50(boxes: Sequence[_Box], objects: NDArray[np.int64]) -> float | None:
    """COCO's AP at IoU 0.5, mean over classes with objects."""
    of_label: dict[int, list[_Box]] = {}
    for box in boxes:
        of_label.setdefault(box.label, []).append(box)
    values = []
    for label in np.flatnonzero(objects > 0).tolist():
        mine = of_label.get(label, [])
        right = np.array([[b.kind == "right" for b in mine]], dtype=np.bool_)
        aside = np.array([[b.kind == "aside" for b in mine]], dtype=np.bool_)
        values.append(float(interpolated(right, aside, int(objects[label])).mean()) if mine else 0.0)
    return float(np.mean(values)) if values else None
