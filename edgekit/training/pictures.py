"""Decoded training pictures, in memory as far as they fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from edgekit.cores import usable_cpus
from edgekit.data import Sample
from edgekit.errors import DataError, PictureError
from edgekit.progress import track
from edgekit.screen import some
from edgekit.vision.image import Frame


class Pictures:
    """uint8 [3, h, w] RGB of each sample, decoded once and kept up to a limit.

    All are read once at the start, so that a broken file is found then and not in mid-epoch. Those are left out and
    listed in `unread`; one that breaks later raises PictureError when it is asked for.

    Args:
        samples: what to read.
        shorter_side: larger pictures are shrunk to it first: more pixels than twice the net's input only cost time.
        limit: bytes to keep; what exceeds it is decoded every time.
        say: is told what is kept and what was left out.

    Raises:
        DataError: none can be read.
    """

    def __init__(
        self, samples: Sequence[Sample], *, shorter_side: int, limit: int, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._shorter_side = shorter_side
        self._kept: dict[int, Tensor] = {}
        self._sizes: list[tuple[int, int]] = []
        self.samples: list[Sample] = []
        self.unread: list[str] = []
        held = 0
        with ThreadPoolExecutor(usable_cpus()) as pool:
            decoded = track(pool.map(self._try, samples), "decoding pictures", len(samples))
            for sample, result in zip(samples, decoded, strict=True):
                if isinstance(result, PictureError):
                    self.unread.append(f"{sample.name} ({result.got or result.what})")
                    continue
                image, size = result
                if held + image.nbytes <= limit:
                    self._kept[len(self.samples)] = image
                    held += image.nbytes
                self._sizes.append(size)
                self.samples.append(sample)
        if not self.samples:
            raise DataError(
                "None of the pictures can be read.",
                got=some(self.unread),
                expected="at least one whole picture",
                fix="copy them again",
            )
        if self.unread:
            say(f"{len(self.unread)} unreadable, left out: {some(self.unread)}")
        rest = len(self.samples) - len(self._kept)
        say(
            f"{len(self._kept)} of {len(self.samples)} decoded pictures kept in memory, {held / 2**20:.0f} MB"
            + (f"; {rest} are decoded every epoch (data.cache_mb is {limit / 2**20:.0f})" if rest else "")
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Tensor:
        kept = self._kept.get(index)
        return self._read(self.samples[index])[0] if kept is None else kept

    def original_size(self, index: int) -> tuple[int, int]:
        """Height and width of the file's picture, which labels speak of."""
        return self._sizes[index]

    def _try(self, sample: Sample) -> tuple[Tensor, tuple[int, int]] | PictureError:
        try:
            return self._read(sample)
        except PictureError as error:
            return error

    def _read(self, sample: Sample) -> tuple[Tensor, tuple[int, int]]:
        frame = sample.read()
        rgb = np.ascontiguousarray(_shrunk(frame, self._shorter_side)[..., ::-1])
        # channels last in memory, as torchvision's fast resize wants it
        return torch.from_numpy(rgb).permute(2, 0, 1), (frame.shape[0], frame.shape[1])


def _shrunk(frame: Frame, shorter_side: int) -> Frame:
    h, w = frame.shape[:2]
    if min(h, w) <= shorter_side:
        return frame
    ratio = shorter_side / min(h, w)
    size = (max(1, round(w * ratio)), max(1, round(h * ratio)))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
