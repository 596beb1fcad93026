"""What a segmentation model gives, what that means, and when two are equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from edgekit.errors import DataError, UsageError
from edgekit.metrics.segmentation.report import Counter, segmentation_report
from edgekit.screen import count_of
from edgekit.tasks.base import ANY, Asked, Outputs, Task
from edgekit.tasks.evaluation import Answered, Metric, Pictures
from edgekit.tasks.protocols import GateLimits, Spec
from edgekit.tasks.segmentation.compare import between, compare_masks
from edgekit.tasks.segmentation.quality import SegmentationEvaluation, packed
from edgekit.tasks.stage import Stage
from edgekit.vision.preprocess import geometry
from edgekit.vision.segmentation.masks import Masks, masks_of
from edgekit.vision.spec import TensorSpec, require


class SegmentationTask(Task):
    """A class for every pixel: `mask` int32 [N, H, W] of class indices, `score` float32 [N, H, W], 0..1."""

    name = "segmentation"
    noun = "a segmentation model"
    metrics = (
        Metric("miou", "mIoU"),
        Metric("pixel_accuracy", "pixel accuracy"),
        Metric("boundary_f", "boundary F"),
    )
    main = "miou"
    training_figures = ("miou", "pixel_accuracy", "boundary_f")
    stand_in = "hive"
    truth = "masks"
    finds = "masks"
    decodes_in_graph = True
    merges = True
    unrecorded = "whose pixels are compared as masks"
    disagreements = "White pixels are those that the two give different classes."

    def outputs(self, spec: Spec) -> tuple[TensorSpec, ...]:
        size = (spec.preprocess.height, spec.preprocess.width)
        return (TensorSpec("mask", "int32", ("N", *size)), TensorSpec("score", "float32", ("N", *size)))

    def check(self, spec: Spec) -> None:
        super().check(spec)
        require(
            len(spec.classes) >= 2,
            "classes",
            spec.classes,
            "two at least: what is around the one is a class (background)",
        )

    def unfit_input(self, resize: str, sides: Iterable[int]) -> str:
        if resize == "crop":
            return "input.resize as letterbox or stretch: a crop would cut pixels off"
        if any(side % 32 for side in sides):
            return "input sizes that are multiples of 32 for segmentation"
        return ""

    def decode(self, answers: Outputs, shapes: Sequence[tuple[int, ...]], spec: Spec, asked: Asked) -> list[Masks]:
        rows = zip(answers["mask"], answers["score"], shapes, strict=False)
        return [
            masks_of(mask, score, geometry(shape, spec.preprocess), shape, spec.classes, asked.threshold or 0.0)
            for mask, score, shape in rows
        ]

    def compare(self, name: str, reference: Outputs, candidate: Outputs, limits: GateLimits, spec: Spec) -> Stage:
        return compare_masks(name, reference, candidate, limits, spec.classes)

    def reordered(self, answers: Outputs, ours: Sequence[str], theirs: Sequence[str | None]) -> Outputs:
        """Raises UsageError for a class that is left out: each pixel is of one."""
        if None in theirs:
            raise UsageError(
                "Every pixel of a mask has a class, so none can be left out.",
                got=f"{list(theirs).count(None)} of {count_of(len(theirs), 'class')} left out",
                expected="each as a class that both have",
                fix=f"--map '{ours[0]}=*' takes all the others as {ours[0]}",
            )
        places = np.array([ours.index(name) for name in theirs if name is not None], dtype=np.int32)
        return {**answers, "mask": places[answers["mask"]]}

    def figures(self, stage: Stage) -> str:
        if "pixels_equal" not in stage.own:  # a file that could not be run
            return super().figures(stage)
        return (
            f"pixels {stage.own['pixels_equal']:9.4%} away from edges {stage.own['inner_pixels_equal']:9.4%} "
            f"worst IoU {stage.own['class_iou']:.4f} max|d score| {stage.max_abs:<9.3g}"
            + (f"  {stage.ties} ties" if stage.ties else "")
        )

    def against(self, stage: Stage, limits: GateLimits) -> str:
        if "pixels_equal" not in stage.own:  # a file that could not be run
            return super().against(stage, limits)
        return (
            f"equal pixels {stage.own['pixels_equal']:.4%} of at least {limits.pixels_equal:.4%}, away from edges "
            f"{stage.own['inner_pixels_equal']:.4%} of at least {limits.inner_pixels_equal:.4%}, worst IoU of a class "
            f"{stage.own['class_iou']:.4f} of at least {limits.class_iou:g}"
        )

    def limit(self, limits: GateLimits) -> float:
        return limits.score_shift

    def drift(self, wanted: Outputs, given: Outputs, limits: GateLimits, spec: Spec) -> tuple[float, float]:
        """The share of pixels that changed, plus the mean of 1 - IoU, and the points: the first of them.

        The points bound what pixel accuracy can lose; mIoU can lose more where the classes are small, so it is measured
        on labelled pictures (`edgekit bench`).
        """
        changed, apart = between(wanted["mask"], given["mask"], len(spec.classes))
        spread = (given["score"].astype(np.float64) - wanted["score"]) ** 2
        return changed + apart + float(spread.mean()), 100 * changed

    def unknown(self, pictures: Pictures) -> DataError:
        return DataError(
            "The pictures have no masks, so no pixel can be counted as right.",
            got=f"layout {pictures.layout!r}",
            expected="pictures in images/ and PNGs of class indices of the same names in masks/, or Pascal VOC's "
            "JPEGImages/ and SegmentationClass/",
            fix="edgekit predict draws masks without measuring",
        )

    def evaluate(self, answered: Iterable[Answered], spec: Spec) -> SegmentationEvaluation:
        counter, kept = Counter(len(spec.classes)), []
        for one in answered:
            row: dict[str, Any] = {name: values[None] for name, values in one.outputs.items()}
            (found,) = self.decode(row, [one.shape], spec, ANY)
            counter.add(one.truth.read_mask(), found.mask)
            kept.append(packed(found.mask))
        counts = counter.counts()
        return SegmentationEvaluation(segmentation_report(counts, spec.classes), counts, tuple(kept))


TASK = SegmentationTask()
