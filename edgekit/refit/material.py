"""What there is to learn from: marks that say something, and golden pictures that hold the fit and judge it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekit.artifacts.marks import Mark
from edgekit.data.sample import Dataset, Sample, class_index
from edgekit.errors import DataError, PictureError
from edgekit.progress import track
from edgekit.refit.examples import Golden, Places, Said
from edgekit.screen import count_of
from edgekit.spec import ModelSpec
from edgekit.vision.image import read_picture
from edgekit.vision.preprocess import geometry

Usable = tuple[NDArray[np.uint8], int, "int | None"]


def usable_marks(marks: Sequence[Mark], classes: Sequence[str]) -> tuple[list[Usable], tuple[str, ...]]:
    """Frames of marks, the class each was taken for and the one it is; and why others say nothing."""
    usable: list[Usable] = []
    left = []
    for mark in marks:
        label = class_index(mark.label, classes)
        meant = None if mark.meant is None else class_index(mark.meant, classes)
        if label is None or (mark.meant is not None and meant is None):
            left.append(f"{mark.visit}: the model has no class {mark.label if label is None else mark.meant}")
            continue
        if mark.picture is None:
            left.append(f"{mark.visit}: its picture was not kept (visits.plain)")
            continue
        try:
            usable.append((read_picture(mark.picture), label, meant))
        except PictureError as error:
            left.append(f"{mark.visit}: {error.got or error.what}")
    return usable, tuple(left)


def golden_halves(
    golden: Dataset, classes: Sequence[str], touched: Sequence[int]
) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Golden pictures that keep the fit in its place, and those that judge it."""
    if not golden.boxed:
        got = f"layout {golden.layout!r}"
        raise DataError("Golden pictures have labelled boxes.", got=got, expected="YOLO, Pascal VOC or COCO")
    judges = replace(golden, samples=golden.samples[1::2])
    counts = judges.box_counts
    few = [f"{classes[i]} {counts[i] if i < len(counts) else 0}" for i in touched if i >= len(counts) or counts[i] < 20]
    if few:
        raise DataError(
            "The golden pictures cannot judge these classes.",
            got=f"objects in every second picture: {', '.join(few)}",
            expected="20 of each at least",
            fix="name a larger labelled set in learn.golden",
        )
    return golden.samples[0::2], judges.samples


def readable_frames(
    samples: Sequence[Sample], say: Callable[[str], None]
) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
    """Those that can be read, one after another."""
    readable = 0
    for sample in track(samples, "looking at golden pictures"):
        try:
            frame = sample.read()
        except PictureError as error:
            say(f"not read: {sample.name}: {error.got or error.what}")
            continue
        readable += 1
        yield sample, frame
    if not readable:
        raise DataError("None of the golden pictures can be read.", got=f"{count_of(len(samples), 'picture')}")


def says_wrong(frame: Sequence[Said]) -> bool:
    """Whether a mark says that what was told of is not of that class."""
    return frame[0].meant != frame[0].label


def golden_of(sample: Sample, frame: NDArray[np.uint8], places: Places, spec: ModelSpec) -> Golden:
    """A labelled picture with its boxes where the places are."""
    assert sample.boxes is not None
    assert sample.box_labels is not None
    stride = spec.preprocess.height / places.logits.shape[0]
    boxes = geometry(frame.shape, spec.preprocess).to_net(sample.boxes) / stride
    return Golden(places, boxes, sample.box_labels)
