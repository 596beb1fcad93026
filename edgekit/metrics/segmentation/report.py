"""How good a segmentation model is: mIoU, pixel accuracy and boundary F of a data set, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.bootstrap import interval, of_share, picked
from edgekit.metrics.segmentation.boundary import boundary_f
from edgekit.metrics.segmentation.confusion import Counts, confusion, intersection_over_union, mean_of_known
from edgekit.metrics.statistics import Interval

ROUNDS = 1000


@dataclass(frozen=True)
class PictureCounts:
    """What was counted, picture by picture; totals, intervals and comparisons come from it.

    Attributes:
        there: int64 [N, C], pixels that have the class.
        told: int64 [N, C], pixels that were given it; void ones are not among them.
        hits: int64 [N, C], pixels that have it and were given it.
        edges: float64 [N, C], boundary F; NaN where a picture has no edge of the class on either side.
        void: int64 [N], pixels that do not count.
        confusion: int64 [C, C + 1], of all pictures; see `confusion`.
    """

    there: Counts
    told: Counts
    hits: Counts
    edges: NDArray[np.float64]
    void: Counts
    confusion: Counts


class Counter:
    """Takes pictures one after the other, so that a large data set needs no memory."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._total = np.zeros((classes, classes + 1), np.int64)
        self._rows: list[tuple[Counts, Counts, Counts]] = []
        self._edges: list[NDArray[np.float64]] = []
        self._void: list[int] = []

    def add(self, truth: NDArray[np.int16], told: NDArray[np.int16]) -> None:
        """One picture: int [h, w] each, -1 for void and for no class. Raises DataError as `confusion`."""
        table = confusion(truth, told, self._classes)
        self._total += table
        square = table[:, : self._classes]
        self._rows.append((table.sum(axis=1), square.sum(axis=0), square.diagonal().copy()))
        self._edges.append(boundary_f(truth, told, self._classes))
        self._void.append(int((truth < 0).sum()))

    def counts(self) -> PictureCounts:
        """What was counted; of one picture at least."""
        there, told, hits = (np.stack(part) for part in zip(*self._rows, strict=True))
        return PictureCounts(there, told, hits, np.stack(self._edges), np.array(self._void), self._total)


@dataclass(frozen=True)
class ClassQuality:
    """One class; what was not measured is None.

    Attributes:
        label: its name.
        pixels: that have it.
        pictures: that have it.
        iou, boundary_f: 0..1.
        recall: share of its pixels that were given it.
        precision: share of the pixels that were given it that have it.
    """

    label: str
    pixels: int
    pictures: int
    iou: float | None
    boundary_f: float | None
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class SegmentationReport:
    """A data set's figures; intervals hold 95 % and are drawn by picture.

    Attributes:
        n: pictures.
        pixels: that count.
        void: share of all pixels that do not.
        miou: the mean over classes of IoU, each over all pixels of all pictures; classes that no pixel has or got are
            left out.
        pixel_accuracy: share of pixels that were given their class.
        boundary_f: the mean over classes of each one's mean over the pictures where it has an edge.
        classes: each class.
    """

    n: int
    pixels: int
    void: float
    miou: Interval | None
    pixel_accuracy: Interval | None
    boundary_f: Interval | None
    classes: tuple[ClassQuality, ...]


def segmentation_report(counts: PictureCounts, classes: Sequence[str]) -> SegmentationReport:
    """The figures of what was counted; `classes` are C names."""
    pixels, void = int(counts.there.sum()), int(counts.void.sum())
    totals = [part.sum(axis=0) for part in (counts.hits, counts.there, counts.told)]
    iou = intersection_over_union(*totals)
    edges = _edge_means(counts.edges, np.ones(len(counts.edges)))
    return SegmentationReport(
        n=len(counts.void),
        pixels=pixels,
        void=void / (pixels + void) if pixels + void else 0.0,
        miou=_drawn(mean_of_known(iou), len(counts.void), lambda weights: _miou(counts, weights)),
        pixel_accuracy=of_share(counts.hits.sum(axis=1), counts.there.sum(axis=1)),
        boundary_f=_drawn(
            mean_of_known(edges), len(counts.void), lambda weights: mean_of_known(_edge_means(counts.edges, weights))
        ),
        classes=tuple(
            ClassQuality(
                label,
                pixels=int(totals[1][i]),
                pictures=int((counts.there[:, i] > 0).sum()),
                iou=_known(iou[i]),
                boundary_f=_known(edges[i]),
                recall=_share(totals[0][i], totals[1][i]),
                precision=_share(totals[0][i], totals[2][i]),
            )
            for i, label in enumerate(classes)
        ),
    )


def miou_difference(reference: PictureCounts, candidate: PictureCounts) -> Interval | None:
    """mIoU of the candidate minus the reference's, on the same pictures, drawn in pairs; None: nothing to measure."""
    n = len(reference.void)
    both = [_miou(side, np.ones(n)) for side in (reference, candidate)]
    if both[0] is None or both[1] is None:
        return None

    def difference(weights: NDArray[np.float64]) -> float | None:
        one, other = _miou(reference, weights), _miou(candidate, weights)
        return None if one is None or other is None else other - one

    return _drawn(both[1] - both[0], n, difference)


def _miou(counts: PictureCounts, weights: NDArray[np.float64]) -> float | None:
    totals = (weights @ part for part in (counts.hits, counts.there, counts.told))
    return mean_of_known(intersection_over_union(*totals))


def _edge_means(edges: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[C]: the mean of each class over the pictures that have one, each as often as its weight says."""
    known = ~np.isnan(edges)
    seen = weights @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(seen > 0, weights @ np.where(known, edges, 0.0) / seen, np.nan))


def _drawn(value: float | None, n: int, figure: Callable[[NDArray[np.float64]], float | None]) -> Interval | None:
    """The interval of a figure of pictures, each as often as its weight says."""
    if value is None:
        return None

    def draw(rng: np.random.Generator) -> float | None:
        return figure(np.bincount(picked(rng, n), minlength=n).astype(np.float64))

    return interval(value, draw, ROUNDS)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
