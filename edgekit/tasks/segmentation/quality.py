"""How good a segmentation model is: mIoU and each class, as figures, text and JSON, and beside another one."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.bootstrap import of_share
from edgekit.metrics.segmentation.report import PictureCounts, SegmentationReport, miou_difference
from edgekit.metrics.statistics import Interval
from edgekit.screen import count_of, shown
from edgekit.tasks.evaluation import WORST, DifferingPicture, Evaluation, MetricValues, SideBySide
from edgekit.vision.image import Frame

NAMES = {"miou": "mIoU", "pixel_accuracy": "pixel accuracy", "boundary_f": "boundary F"}


@dataclass(frozen=True)
class Packed:
    """A mask as it waits to be compared: int16 [h, w], compressed. A data set's masks would not fit in memory."""

    data: bytes
    shape: tuple[int, ...]

    def mask(self) -> NDArray[np.int16]:
        """int16 [h, w]."""
        return np.frombuffer(zlib.decompress(self.data), np.int16).reshape(self.shape)


def packed(mask: NDArray[np.int16]) -> Packed:
    """A mask, int16 [h, w], compressed; `Packed.mask` gives it back."""
    return Packed(zlib.compress(np.ascontiguousarray(mask).tobytes(), 1), mask.shape)


@dataclass(frozen=True)
class SegmentationEvaluation(Evaluation):
    """A segmentation model's report and what it was made from.

    Attributes:
        report: mIoU, pixel accuracy, boundary F and each class.
        counts: of each picture.
        masks: what the model gave, one a picture, in the order of the data set, of the picture's size.
    """

    report: SegmentationReport
    counts: PictureCounts
    masks: tuple[Packed, ...]

    @property
    def main(self) -> float | None:
        return None if self.report.miou is None else self.report.miou.value

    @property
    def classes(self) -> dict[str, float | None]:
        return {one.label: one.iou for one in self.report.classes}

    def figures(self) -> MetricValues:
        found = {name: value for name, value in self._figures().items() if value is not None}
        return MetricValues(self.report.n, found, {one.label: one.pixels for one in self.report.classes})

    def _figures(self) -> dict[str, Interval | None]:
        return {name: getattr(self.report, name) for name in NAMES}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what was not measured is null."""
        plain: dict[str, Any] = {"n": self.report.n, "pixels": self.report.pixels, "void": self.report.void}
        for name, value in self._figures().items():
            plain[name] = None if value is None else value.value
            plain[f"{name}_interval"] = None if value is None else [value.low, value.high]
        fields = ("pixels", "pictures", "iou", "recall", "precision", "boundary_f")
        classes = {one.label: {name: getattr(one, name) for name in fields} for one in self.report.classes}
        return {**plain, "confidence": 0.95, "unread": list(self.unread), "classes": classes}

    def lines(self, model: str) -> list[str]:
        report = self.report
        told = [
            f"{model} on {count_of(report.n, 'picture')} with {report.pixels / 1e6:.3g} million pixels that count "
            f"({report.void:.1%} are void), 95 % intervals"
        ]
        for name, value in self._figures().items():
            figure = "not measured: no pixel has a class"
            if value is not None:
                figure = f"{value.value:.3f}   [{value.low:.3f}, {value.high:.3f}]"
            told.append(f"  {NAMES[name]:<20} {figure}")
        told.append(f"  {'':<20}{'pictures':>9}{'pixels':>8}{'IoU':>8}{'recall':>8}{'precis.':>8}{'edges':>8}")
        for one in report.classes:
            share = one.pixels / report.pixels if report.pixels else 0.0
            values = (one.iou, one.recall, one.precision, one.boundary_f)
            figures = "".join(f"{'-':>8}" if value is None else f"{value:8.3f}" for value in values)
            told.append(f"  {shown(one.label):<20.20}{one.pictures:>9}{share:>8.2%}{figures}")
        return told

    def against(self, candidate: SegmentationEvaluation) -> SideBySide:
        """Pixels that get the same class from both, mIoU drawn in pairs, and the pictures that differ most."""
        equal, seen = np.zeros(len(self.masks)), np.zeros(len(self.masks))
        for i, (one, other) in enumerate(zip(self.masks, candidate.masks, strict=True)):
            same = one.mask() == other.mask()
            equal[i], seen[i] = same.sum(), same.size
        difference = miou_difference(self.counts, candidate.counts)
        verdict = "not measured" if difference is None else "no difference shown"
        if difference is not None and (difference.low > 0 or difference.high < 0):
            verdict = "better" if difference.low > 0 else "worse"
        order = np.argsort(equal / seen, kind="stable").tolist()
        worst = tuple(
            DifferingPicture(
                i,
                truth=f"{count_of(int((self.counts.there[i] > 0).sum()), 'class')}",
                reference=self._right(i),
                candidate=candidate._right(i),
                weight=float(1 - equal[i] / seen[i]),
                draw=_marker(self.masks[i], candidate.masks[i]),
            )
            for i in order[:WORST]
            if equal[i] < seen[i]
        )
        return SideBySide(of_share(equal, seen), difference, verdict, worst=worst)

    def _right(self, i: int) -> str:
        """How much of a picture is right, for people."""
        there = self.counts.there[i].sum()
        return f"{self.counts.hits[i].sum() / there:.1%} right" if there else "all void"


def _marker(one: Packed, other: Packed) -> Callable[[Frame], Frame]:
    """Draws white what the two give different classes, on the darkened picture."""

    def draw(frame: Frame) -> Frame:
        picture = (frame // 2).astype(np.uint8)
        picture[one.mask() != other.mask()] = 255
        return picture

    return draw
