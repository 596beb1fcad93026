"""One sample type and one data set type for every layout. No torch: a board evaluates and calibrates with these."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.data.drawn_mask import DrawnMask
from edgekit.data.mask_file import MaskFile, MaskStack
from edgekit.data.names import plain
from edgekit.errors import DataError, UsageError
from edgekit.metrics.ground_truth import GroundTruth
from edgekit.progress import track
from edgekit.screen import count_of
from edgekit.spec import canonical_json
from edgekit.vision.image import Frame, check_frame, read_picture


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture and what is known about it.

    Boxes are x1 y1 x2 y2 in continuous pixels of the frame as `read` gives it, upright: the first pixel spans 0 to 1.
    Arrays are copied, and read-only.

    Attributes:
        path: its file, or None where `frame` is given.
        frame: uint8 [h, w, 3] BGR, or None where `path` is given.
        label: class index of the whole picture, or None where unknown.
        name: what reports call it: the path inside its data set, else the file's name.
        boxes: float32 [M, 4] of positive area, or None where objects are not known. [0, 4]: known to have none.
        box_labels: int64 [M], class indices; given exactly where `boxes` is.
        box_areas: float32 [M], square pixels, where the layout states the object's own (COCO: of its mask), else None
            and a box's area counts. Only COCO's small/medium/large read it.
        ignored_boxes: float32 [K, 4], None for none: COCO's crowds, VOC's difficult objects. They need not be found,
            and what is found there is not wrong.
        ignored_labels: int64 [K], class indices.
        exact_boxes, exact_ignored: float64 [M, 4] and [K, 4], `boxes` and `ignored_boxes` as the layout has them,
            before they were rounded to float32, to be written in another one. Anything else given here is dropped.
        labels: class indices of all that the picture shows, where the layout tells several; then `label` is None. ():
            it is known to show none of them.
        unknown_labels: beside `labels`, class indices of what it may show or not.
        mask: the class of every pixel, int [h, w] of the upright frame's size with -1 for void, or what has it: a
            file, or outlines; None where that is not known.
    """

    path: Path | None
    frame: Frame | None
    label: int | None
    name: str = ""
    boxes: NDArray[np.float32] | None = None
    box_labels: NDArray[np.int64] | None = None
    box_areas: NDArray[np.float32] | None = None
    ignored_boxes: NDArray[np.float32] | None = None
    ignored_labels: NDArray[np.int64] | None = None
    labels: tuple[int, ...] | None = None
    unknown_labels: tuple[int, ...] = ()
    mask: MaskFile | MaskStack | DrawnMask | NDArray[np.int16] | None = None
    exact_boxes: NDArray[np.float64] | None = None
    exact_ignored: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.frame is None):
            raise DataError("A sample is a file or a frame.", got="both or neither", expected="one of them")
        if self.frame is not None:
            check_frame(self.frame)
        if not self.name:
            object.__setattr__(self, "name", self.path.name if self.path is not None else "frame")
        self._freeze("boxes", "box_labels", "box_areas")
        self._freeze("ignored_boxes", "ignored_labels")
        self._keep_exact("exact_boxes", self.boxes)
        self._keep_exact("exact_ignored", self.ignored_boxes)
        if self.boxes is None and self.ignored_boxes is not None:
            raise self._bad("boxes set aside and no boxes", "boxes, if only [0, 4] of them")
        if self.mask is not None and not isinstance(self.mask, (MaskFile, MaskStack, DrawnMask)):
            object.__setattr__(self, "mask", _frozen(self.mask, np.int64).astype(np.int16))

    def _freeze(self, boxes: str, labels: str, areas: str | None = None) -> None:
        """Checks one group of arrays and puts read-only copies in their place."""
        given = {name: getattr(self, name) for name in (boxes, labels, areas) if name}
        if given[boxes] is None and all(v is None for v in given.values()):
            return
        if given[boxes] is None or given[labels] is None:
            raise self._bad(f"only one of {boxes} and {labels}", "both or neither")
        xyxy = _frozen(np.reshape(given[boxes], (-1, 4)) if np.size(given[boxes]) == 0 else given[boxes], np.float32)
        index = _frozen(given[labels], np.int64)
        if xyxy.ndim != 2 or xyxy.shape[1] != 4 or index.shape != xyxy.shape[:1]:
            raise self._bad(f"{boxes} {list(xyxy.shape)}, {labels} {list(index.shape)}", "[M, 4] and [M]")
        sound = np.isfinite(xyxy).all(axis=1) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1) & (index >= 0)
        if not sound.all():
            worst = int((~sound).argmax())
            raise self._bad(f"{xyxy[worst].tolist()} of class {index[worst]}", "finite x1 < x2, y1 < y2, a class >= 0")
        object.__setattr__(self, boxes, xyxy)
        object.__setattr__(self, labels, index)
        if areas is not None and given[areas] is not None:
            stated = _frozen(given[areas], np.float32)
            if stated.shape != index.shape or not (stated >= 0).all():
                raise self._bad(f"{areas} {stated.tolist()[:5]}", f"{len(index)} numbers, 0 or more")
            object.__setattr__(self, areas, stated)

    def _keep_exact(self, name: str, rounded: NDArray[np.float32] | None) -> None:
        """Keeps exact boxes if they are those of `rounded`: whoever replaces boxes need not know of these."""
        given = getattr(self, name)
        if given is not None:
            exact = _frozen(given, np.float64)
            kept = rounded is not None and np.array_equal(exact.astype(np.float32), rounded)
            object.__setattr__(self, name, exact if kept else None)

    def _bad(self, got: str, expected: str) -> DataError:
        return DataError(f"The boxes of {self.name} cannot be used.", got=got, expected=expected)

    def ground_truth(self) -> GroundTruth:
        """What the detection metrics compare with. Raises DataError where the objects are not known."""
        if self.boxes is None or self.box_labels is None:
            raise self._bad("no boxes", "a data set with boxes: YOLO, Pascal VOC or COCO")
        return GroundTruth(self.boxes, self.box_labels, self.box_areas, self.ignored_boxes, self.ignored_labels)

    def read_mask(self) -> NDArray[np.int16]:
        """int16 [h, w], the class index of every pixel of the frame, -1 for void.

        Raises:
            DataError: it is not known, or has a number that is no class.
            PictureError: a file that cannot be read.
        """
        if self.mask is None:
            raise DataError(
                f"{self.name} has no mask.", got="no mask", expected="pictures in images/ and masks of theirs in masks/"
            )
        return self.mask if isinstance(self.mask, np.ndarray) else self.mask.read()

    def read(self) -> Frame:
        """The frame, uint8 [h, w, 3] BGR; the caller's own to write into. Raises PictureError."""
        if self.frame is not None:
            return self.frame.copy()
        assert self.path is not None
        return read_picture(self.path)

    def content(self) -> str:
        """sha256 (hex) of the file's bytes, or of the frame's shape and pixels. Raises DataError if a file is gone."""
        if self.frame is not None:
            shape = canonical_json(list(self.frame.shape)).encode()
            return hashlib.sha256(shape + self.frame.tobytes()).hexdigest()
        assert self.path is not None
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{self.path} cannot be read any more.", got=str(error)) from error


@dataclass(frozen=True)
class Dataset:
    """Pictures in a fixed order.

    Attributes:
        samples: at least one.
        classes: names in the order of the labels, or None where only numbers or nothing are known.
        layout: what it was read as: `made`, `folder`, `csv`, `csv with labels`, `pictures`, or a name of
            `edgekit.data.load.BOXED`, `masks`, `outlines`, or that of a format of label files.
        notes: what was found on the way, one sentence each: left out, unreadable, doubled, clipped; for boxes also
            how many of each class. Empty when all was used.
    """

    samples: tuple[Sample, ...]
    classes: tuple[str, ...] | None
    layout: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def labelled(self) -> bool:
        """Whether every sample has a label of its own (a class of the whole picture)."""
        return all(s.label is not None for s in self.samples)

    @property
    def labels_known(self) -> bool:
        """Whether of every sample all labels are known, be there none."""
        return all(s.labels is not None for s in self.samples)

    @property
    def boxed(self) -> bool:
        """Whether of every sample the objects are known, be there none."""
        return all(s.boxes is not None for s in self.samples)

    @property
    def masked(self) -> bool:
        """Whether of every sample the class of each pixel is known."""
        return all(s.mask is not None for s in self.samples)

    @property
    def any_boxed(self) -> bool:
        """Whether of any sample the objects are known."""
        return any(s.boxes is not None for s in self.samples)

    @cached_property
    def box_counts(self) -> tuple[int, ...]:
        """Objects of each class, in the order of `classes`; what is set aside is not counted."""
        labels = [s.box_labels for s in self.samples if s.box_labels is not None]
        return tuple(np.bincount(np.concatenate(labels), minlength=len(self.classes or ())).tolist() if labels else ())

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over the classes and every sample's name, label, boxes, mask and content, in order.

        It reads every file once (0.3 s for 250 pictures of 100 KB) and does not depend on where the folder lies.
        """
        total = hashlib.sha256(canonical_json(self.classes).encode())
        for sample in track(self.samples, "hashing pictures"):
            total.update(canonical_json([sample.name, sample.label, sample.content()]).encode())
            if sample.boxes is not None:
                total.update(_box_bytes(sample))
            if sample.labels is not None:
                total.update(canonical_json([list(sample.labels), list(sample.unknown_labels)]).encode())
            if sample.mask is not None:
                total.update(_mask_bytes(sample.mask))
        return total.hexdigest()


def sample_evenly(dataset: Dataset, n: int) -> Dataset:
    """`n` samples spread over the whole list, the middle one of each n-th; the same ones every time.

    A list sorted by class stays balanced so. With n at or above the size it is `dataset` itself.

    Raises:
        UsageError: n below 1.
    """
    if n < 1:
        raise UsageError("At least one sample must be taken.", got=str(n), expected="1 or more")
    size = len(dataset)
    if n >= size:
        return dataset
    chosen = tuple(dataset.samples[(2 * i + 1) * size // (2 * n)] for i in range(n))
    return replace(
        dataset, samples=chosen, notes=(*dataset.notes, f"{n} of {count_of(size, 'picture')}, spread evenly")
    )


def class_index(name: str, classes: Sequence[str]) -> int | None:
    """Index of `name` in `classes`: as it stands, else but for Unicode's form and spaces around it, else in any case.

    None if it is not there.

    Raises:
        DataError: the name fits more than one class (ImageNet has two called "crane").
    """
    own = plain(name)
    same = [i for i, c in enumerate(classes) if c == name]
    same = same or [i for i, c in enumerate(classes) if plain(c) == own]
    same = same or [i for i, c in enumerate(classes) if plain(c).casefold() == own.casefold()]
    if len(same) > 1:
        raise DataError(
            f"The class name {name!r} is ambiguous.",
            got=f"classes {', '.join(map(str, same))} of the model have this name",
            expected="one class",
            fix="use a table with the columns file,class_index",
        )
    return same[0] if same else None


def _frozen(values: ArrayLike, dtype: Any) -> NDArray[Any]:
    given = np.asarray(values)
    if dtype is np.int64 and given.size and given.dtype.kind not in "iu":
        raise DataError("Class indices are whole numbers.", got=str(given.dtype), expected="integers")
    own = np.array(given, dtype=dtype, order="C", copy=True)
    own.flags.writeable = False
    return own


def _box_bytes(sample: Sample) -> bytes:
    arrays = (sample.boxes, sample.box_labels, sample.box_areas, sample.ignored_boxes, sample.ignored_labels)
    shapes = canonical_json([None if a is None else list(a.shape) for a in arrays]).encode()
    return shapes + b"".join(a.tobytes() for a in arrays if a is not None)


def _mask_bytes(mask: MaskFile | MaskStack | DrawnMask | NDArray[np.int16]) -> bytes:
    """What a digest sees of a mask: the file as it stands with what its numbers are, or the array."""
    if isinstance(mask, MaskFile):
        table = None if mask.classes is None else sorted(mask.classes.items())
        colours = [sorted(mask.colours.items())] if mask.colours else []
        return canonical_json([table, mask.orientation, *colours]).encode() + mask.path.read_bytes()
    if not isinstance(mask, np.ndarray):
        mask = mask.read()
    return canonical_json(list(mask.shape)).encode() + mask.tobytes()
