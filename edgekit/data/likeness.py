"""Which pictures are nearly the same, by a 64-bit hash of how they look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgekit.data.sample import Dataset, Sample, some
from edgekit.errors import DataError, PictureError
from edgekit.progress import track
from edgekit.vision.image import check_passes, open_picture

Hashes = NDArray[np.uint64]

# Of 64 bits. Copies that were compressed or resized again differ in 0 to 3, frames of one scene in 0 to 8 and more. Of
# 71,000 pairs of unrelated photographs (ImageNet, COCO) the nearest two were 9 apart (tests/data/test_split.py).
DISTANCE = 8
_BLOCK = 512  # rows compared at once: 512 x 5000 distances are 20 MB


@dataclass(frozen=True)
class Likeness:
    """Pairs of pictures of two data sets that look alike.

    Attributes:
        pairs: (name in a, name in b, bits that differ), the nearest first.
        a, b: how many pictures of each are in a pair.
        unread: pictures that could not be decoded, and so were not compared.
    """

    pairs: tuple[tuple[str, str, int], ...]
    a: int
    b: int
    unread: tuple[str, ...] = ()

    def warning(self, held: str = "validation", kept: str = "training") -> str | None:
        """One sentence for people, or None where nothing looks alike."""
        if not self.pairs:
            return None
        pairs = [f"{y} ~ {x}" for x, y, _ in self.pairs]
        return (
            f"WARNING: {self.b} {held} picture(s) look like one of {kept}, so the estimate is too good: {some(pairs)}. "
            "Split by group: edgekit.data.split_by_group"
        )


def near_duplicates(a: Dataset, b: Dataset, distance: int = DISTANCE) -> Likeness:
    """The pictures of `b` that look like one of `a`: hashes at most `distance` bits apart.

    It is a warning, not a proof: pictures of one plain background can hash alike, and a mirrored or cropped copy
    does not.
    """
    hashed_a, hashed_b = hashes(a.samples), hashes(b.samples)
    names_a, names_b = [a.samples[i].name for i in hashed_a.at], [b.samples[i].name for i in hashed_b.at]
    found = [(names_a[i], names_b[j], d) for i, j, d in _near(hashed_a.values, hashed_b.values, distance)]
    found.sort(key=lambda pair: (pair[2], pair[1], pair[0]))
    return Likeness(
        tuple(found), len({x for x, _, _ in found}), len({y for _, y, _ in found}), (*hashed_a.unread, *hashed_b.unread)
    )


def unlike(dataset: Dataset, other: Dataset, distance: int = DISTANCE) -> Dataset:
    """`dataset` without the pictures that look like one of `other`, as `near_duplicates` has it.

    Raises:
        DataError: none is left.
    """
    alike = {name for _, name, _ in near_duplicates(other, dataset, distance).pairs}
    samples = tuple(s for s in dataset if s.name not in alike)
    if not samples:
        raise DataError(
            "Every picture looks like one of the split to keep apart from.",
            got=f"{len(dataset)} of {len(dataset)}",
            expected="some that do not",
        )
    note = f"{len(alike)} of {len(dataset)} pictures look like one of the other split, left out: {some(sorted(alike))}"
    return replace(dataset, samples=samples, notes=(*dataset.notes, note))


@dataclass(frozen=True, eq=False)
class Hashed:
    """uint64 [H] hashes, int [H] where in the list their samples stand, and the names of those not decoded."""

    values: Hashes
    at: NDArray[np.intp]
    unread: tuple[str, ...]


def hashes(samples: Iterable[Sample]) -> Hashed:
    """The hash of every sample that can be decoded."""
    values: list[int] = []
    at: list[int] = []
    unread: list[str] = []
    for i, sample in enumerate(track(samples, "comparing pictures for likeness")):
        try:
            values.append(picture_hash(sample))
            at.append(i)
        except PictureError:
            unread.append(sample.name)
    return Hashed(np.array(values, dtype=np.uint64), np.array(at, dtype=np.intp), tuple(unread))


def picture_hash(sample: Sample) -> int:
    """64 bits: whether each of 8 x 8 places is brighter than the one to its right, in a grey picture of 9 x 8 pixels.

    Source: N. Krawetz, "Kind of Like That", hackerfactor.com 2013 (dHash). A JPEG is decoded at an eighth of its size
    where that is enough, which makes this 2 ms for 640 x 640.

    Raises:
        PictureError: the file cannot be decoded.
    """
    if sample.frame is not None:
        grey = Image.fromarray(np.ascontiguousarray(sample.frame[..., ::-1])).convert("L")
    else:
        assert sample.path is not None
        try:
            with open_picture(sample.path) as image:
                check_passes(image, sample.path)
                image.draft("L", (72, 72))
                grey = ImageOps.exif_transpose(image.convert("L"))
        except (OSError, SyntaxError, ValueError, TypeError, LookupError, Image.DecompressionBombError) as error:
            raise PictureError(f"{sample.path} cannot be read as a picture.", got=str(error)) from error
    pixels = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = np.packbits(pixels[:, :-1] > pixels[:, 1:])
    return int.from_bytes(bits.tobytes(), "big")


def components(values: Hashes, distance: int) -> NDArray[np.intp]:
    """int [H]: the lowest index of those that each hash is linked with by steps of at most `distance` bits."""
    parent = np.arange(len(values))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for i, j, _ in _near(values, values, distance):
        one, other = root(i), root(j)
        parent[max(one, other)] = min(one, other)
    return np.array([root(i) for i in range(len(values))], dtype=np.intp)


def _near(a: Hashes, b: Hashes, distance: int) -> Iterator[tuple[int, int, int]]:
    """(i, j, bits that differ) of every pair within `distance`; within one list each pair once."""
    same = a is b
    for start in range(0, len(a), _BLOCK):
        first = start if same else 0
        bits = _ones(a[start : start + _BLOCK, None] ^ b[None, first:])
        rows, columns = np.nonzero(bits <= distance)
        for row, column, d in zip(rows.tolist(), columns.tolist(), bits[rows, columns].tolist(), strict=True):
            i, j = start + row, first + column
            if not same or i < j:
                yield i, j, d


def _ones(words: Hashes) -> NDArray[np.uint8]:
    """How many bits are set in each uint64 (NumPy 2 has bitwise_count; this is for 1.24 too)."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    table = np.array([i.bit_count() for i in range(2**16)], dtype=np.uint8)
    parts = np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape, 4)
    return np.asarray(table[parts].sum(axis=-1, dtype=np.uint8))
