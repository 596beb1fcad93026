"""One sample type and one data set type for every layout. No torch: a board evaluates and calibrates with these."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from edgekit.errors import DataError, UsageError
from edgekit.spec import canonical_json
from edgekit.vision.image import Frame, check_frame, read_picture

Layout = Literal["folder", "csv", "pictures", "made"]


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture and what is known about it.

    Attributes:
        path: its file, or None where `frame` is given.
        frame: uint8 [h, w, 3] BGR, or None where `path` is given.
        label: class index, or None where unknown.
        name: what reports call it: the path inside its data set, else the file's name.
    """

    path: Path | None
    frame: Frame | None
    label: int | None
    name: str = ""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.frame is None):
            raise DataError("A sample is a file or a frame.", got="both or neither", expected="one of them")
        if self.frame is not None:
            check_frame(self.frame)
        if not self.name:
            object.__setattr__(self, "name", self.path.name if self.path is not None else "frame")

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
        layout: where it came from.
        notes: what was found on the way, one sentence each: left out, unreadable, doubled. Empty when all was used.
    """

    samples: tuple[Sample, ...]
    classes: tuple[str, ...] | None
    layout: Layout
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def labelled(self) -> bool:
        """Whether every sample has a label."""
        return all(s.label is not None for s in self.samples)

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over the classes and every sample's name, label and content, in order.

        It reads every file once (0.3 s for 250 pictures of 100 KB) and does not depend on where the folder lies.
        """
        total = hashlib.sha256(canonical_json(self.classes).encode())
        for sample in self.samples:
            total.update(canonical_json([sample.name, sample.label, sample.content()]).encode())
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
    return replace(dataset, samples=chosen, notes=(*dataset.notes, f"{n} of {size} pictures, spread evenly"))


def class_index(name: str, classes: Sequence[str]) -> int | None:
    """Index of `name` in `classes`: exactly, else in any case; None if it is not there.

    Raises:
        DataError: the name fits more than one class (ImageNet has two called "crane").
    """
    same = [i for i, c in enumerate(classes) if c == name]
    same = same or [i for i, c in enumerate(classes) if c.casefold() == name.casefold()]
    if len(same) > 1:
        raise DataError(
            f"The class name {name!r} is ambiguous.",
            got=f"classes {', '.join(map(str, same))} of the model have this name",
            expected="one class",
            fix="use a table with the columns file,class_index",
        )
    return same[0] if same else None


def some(names: Sequence[object], limit: int = 5) -> str:
    """The first few of `names` for a message, with how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(str(n) for n in names[:limit]) + more
