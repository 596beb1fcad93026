"""How a picture looks, in 64 bits and in 64 x 64 grey pixels, and how much two of them are one picture.

Two steps. The 64 bits find pairs with the same coarse brightness (N. Krawetz, "Kind of Like That", hackerfactor.com
2013: dHash). That is too little to call two pictures one: insects in one pose before one board have it in common. So
the details are compared too: 32 x 32 grey pixels less their blurred copy, by their correlation, the best over the crops
of either picture, so that a cut margin does not hide a copy. benchmarks/likeness.py measures both limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgekit.data.sample import Sample
from edgekit.errors import PictureError
from edgekit.progress import track
from edgekit.vision.image import check_passes, open_picture

Floats = NDArray[np.float32]

CANDIDATE = 20  # of 64 bits: pairs that differ in more are not compared any further
ALIKE = 0.85  # correlation of details from which on two pictures are the same one
_SMALL, _SIDE = 64, 32  # pixels of what is kept of a picture, and of what is compared
_SHARES = (0.97, 0.94, 0.91, 0.88, 0.85, 0.82)  # of width and height that crops keep
_BLUR = 3.0  # pixels: what is coarser is not detail
_FLAT = 1.0  # grey levels: pictures with less detail have nothing to correlate


@dataclass(frozen=True, eq=False)
class Looks:
    """Of those samples that could be decoded.

    Attributes:
        bits: uint64 [H].
        small: uint8 [H, 64, 64], grey.
        at: int [H], where in the list the samples stand.
        unread: the names of those that were not decoded.
    """

    bits: NDArray[np.uint64]
    small: NDArray[np.uint8]
    at: NDArray[np.intp]
    unread: tuple[str, ...]


def looks(samples: Iterable[Sample]) -> Looks:
    """How every sample looks that can be decoded."""
    bits: list[int] = []
    small: list[NDArray[np.uint8]] = []
    at: list[int] = []
    unread: list[str] = []
    for i, sample in enumerate(track(samples, "comparing pictures for likeness")):
        try:
            grey = _grey(sample)
        except PictureError:
            unread.append(sample.name)
            continue
        bits.append(_bits(grey))
        small.append(np.asarray(grey.resize((_SMALL, _SMALL), Image.Resampling.BOX), dtype=np.uint8))
        at.append(i)
    kept = np.array(small, dtype=np.uint8).reshape(-1, _SMALL, _SMALL)
    return Looks(np.array(bits, dtype=np.uint64), kept, np.array(at, dtype=np.intp), tuple(unread))


def picture_hash(sample: Sample) -> int:
    """64 bits: whether each of 8 x 8 places is brighter than the one to its right, in a grey picture of 9 x 8 pixels.

    Raises:
        PictureError: the file cannot be decoded.
    """
    return _bits(_grey(sample))


def alike(
    a: Looks, b: Looks, least: float = ALIKE, enough: float | None = None
) -> Iterator[tuple[int, NDArray[np.intp], Floats]]:
    """For the pictures of `a` that have some: i, which of `b` are the same picture, and how much (`least` to 1).

    A pair may come from one side only: crops are tried of the pictures of `a`. Of those that are alike by `enough`
    (`least`) uncut none is tried. With `a` for `b` as well, pairs of a picture with itself are left out.
    """
    plain, seen = _details(_halved(b.small)), _details(_halved(a.small))
    for i in range(len(a.bits)):
        near = np.nonzero(ones(a.bits[i] ^ b.bits) <= CANDIDATE)[0]
        near = near[near != i] if a is b else near
        if not len(near):
            continue
        found = plain[near] @ seen[i]
        rest = found < (least if enough is None else enough)
        if rest.any():
            crops = _details(_crops(a.small[i]))
            found[rest] = np.maximum(found[rest], (plain[near[rest]] @ crops.T).max(axis=1))
        if not seen[i].any():  # no detail: only an equal picture is the same
            apart = np.abs(b.small[near].astype(np.float32) - a.small[i]).mean(axis=(1, 2))
            found = np.where(~plain[near].any(axis=1) & (apart < _FLAT), np.float32(1), np.float32(0))
        good = found >= least
        if good.any():
            yield i, near[good], found[good]


def ones(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """How many bits are set in each uint64 (NumPy 2 has bitwise_count; this is for 1.24 too)."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    table = np.array([i.bit_count() for i in range(2**16)], dtype=np.uint8)
    parts = np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape, 4)
    return np.asarray(table[parts].sum(axis=-1, dtype=np.uint8))


def _grey(sample: Sample) -> Image.Image:
    """A JPEG is decoded at a part of its size where that is enough, which makes this 2 ms for 640 x 640."""
    if sample.frame is not None:
        return Image.fromarray(np.ascontiguousarray(sample.frame[..., ::-1])).convert("L")
    assert sample.path is not None
    try:
        with open_picture(sample.path) as image:
            check_passes(image, sample.path)
            image.draft("L", (2 * _SMALL, 2 * _SMALL))
            return ImageOps.exif_transpose(image.convert("L"))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, Image.DecompressionBombError) as error:
        raise PictureError(f"{sample.path} cannot be read as a picture.", got=str(error)) from error


def _bits(grey: Image.Image) -> int:
    pixels = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    return int.from_bytes(np.packbits(pixels[:, :-1] > pixels[:, 1:]).tobytes(), "big")


def _halved(small: NDArray[np.uint8]) -> Floats:
    """[H, 64, 64] -> [H, 32, 32]."""
    return np.asarray(small.reshape(-1, _SIDE, 2, _SIDE, 2).mean(axis=(2, 4), dtype=np.float32), dtype=np.float32)


def _details(pictures: Floats) -> Floats:
    """[H, 32, 32] -> [H, 1024]: less the blurred picture, of length 1 so that a product is a correlation; else 0."""
    # as few large products as can be: a batch of small ones takes five times as long
    along = (pictures.reshape(-1, _SIDE) @ _BLURRED.T).reshape(-1, _SIDE, _SIDE).transpose(0, 2, 1)
    blurred = (along.reshape(-1, _SIDE) @ _BLURRED.T).reshape(-1, _SIDE, _SIDE).transpose(0, 2, 1)
    rows = (pictures - blurred).reshape(-1, _SIDE * _SIDE)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.where(length >= _FLAT * _SIDE, rows / np.maximum(length, 1e-6), 0), dtype=np.float32)


def _crops(small: NDArray[np.uint8]) -> Floats:
    """[64, 64] -> [54, 32, 32]: of each share nine crops, at the edges and in the middle."""
    picture = small.astype(np.float32)
    nine = [((s @ picture) @ s.T).reshape(3, _SIDE, 3, _SIDE).transpose(0, 2, 1, 3) for s in _WINDOWS]
    return np.concatenate(nine).reshape(-1, _SIDE, _SIDE)


def _window(start: float, length: float) -> Floats:
    """[32, 64]: the matrix that makes 32 mean values of the pixels from `start` on, over `length` of 64."""
    edges = start + length * np.arange(_SIDE + 1) / _SIDE
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(_SMALL)[None]
    share = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return np.asarray(share / share.sum(axis=1, keepdims=True), dtype=np.float32)


def _kernel() -> Floats:
    """[32, 32]: a Gaussian along one axis, its weight at the borders given to what is inside."""
    apart = np.arange(_SIDE)[:, None] - np.arange(_SIDE)[None]
    weight = np.exp(-0.5 * (apart / _BLUR) ** 2)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float32)


_BLURRED = _kernel()
# [96, 64] of each share: three windows, one below the other
_WINDOWS = [np.concatenate([_window(_SMALL * (1 - s) * o, _SMALL * s) for o in (0, 0.5, 1)]) for s in _SHARES]
