"""What a U-Net in training is measured on: the validation pictures, decoded and resized once, and their masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekit.data.sample import Sample
from edgekit.data.survey.sheet import Cell, write_sheet
from edgekit.errors import InputError
from edgekit.metrics.segmentation.report import Counter, PictureCounts
from edgekit.progress import track
from edgekit.spec import ModelSpec
from edgekit.training.measured.reading import readable
from edgekit.vision.image import Frame
from edgekit.vision.preprocess import geometry, normalise, preprocess
from edgekit.vision.segmentation.masks import Masks, masks_of
from edgekit.vision.segmentation.overlay import with_masks

EVAL_BATCH = 4
SHOWN = 12


class MaskValidation:
    """The validation pictures as the net sees them, and the classes of their pixels."""

    def __init__(self, samples: Sequence[Sample], spec: ModelSpec, say: Callable[[str], None]) -> None:
        self.spec = spec
        self.pixels: list[Frame] = []
        self.truths: list[NDArray[np.int16]] = []
        self.samples: list[Sample] = []
        for sample, (frame, mask) in readable(samples, lambda one: (one.read(), one.read_mask()), say):
            self.pixels.append(preprocess(frame, spec.preprocess))
            self.truths.append(mask)
            self.samples.append(sample)

    def counts(self, net: nn.Module) -> PictureCounts | None:
        """What `net`, with its decoding, gets right, at each picture's own size; None for answers that are none."""
        counter = Counter(len(self.spec.classes))
        try:
            for truth, found in zip(self.truths, self._answers(net, range(len(self.pixels))), strict=True):
                counter.add(truth, found.mask)
        except InputError:
            return None
        return counter.counts()

    def sheet(self, path: Path, net: nn.Module) -> None:
        """Of 12 pictures, spread evenly, the true classes on the left and the net's on the right."""
        chosen = sorted({i * len(self.pixels) // SHOWN for i in range(SHOWN)})
        cells = []
        for i, found in zip(chosen, self._answers(net, chosen), strict=True):
            frame = self.samples[i].read()
            true = Masks(self.truths[i], (self.truths[i] >= 0).astype(np.float32), self.spec.classes)
            name = self.samples[i].name[-48:]
            cells.append(Cell(with_masks(frame, true.mask, true.areas), f"true: {name}"))
            cells.append(Cell(with_masks(frame, found.mask, found.areas), f"found: {name}"))
        write_sheet(path, cells, columns=4)

    def _answers(self, net: nn.Module, indices: Sequence[int]) -> Iterator[Masks]:
        device, spec = next(net.parameters()).device, self.spec.preprocess
        for start in track(range(0, len(indices), EVAL_BATCH), "evaluating"):
            block = indices[start : start + EVAL_BATCH]
            x = torch.from_numpy(normalise(np.stack([self.pixels[i] for i in block]), spec)).to(device)
            with torch.inference_mode():
                mask, score = (t.cpu().numpy() for t in net(x.contiguous(memory_format=torch.channels_last)))
            for row, i in enumerate(block):
                shape = self.truths[i].shape
                place = geometry(shape, spec)
                yield masks_of(mask[row], score[row], place, shape, self.spec.classes)


def confusion_table(counts: PictureCounts) -> NDArray[np.int64]:
    """int64 [C, C]: pixels by their class and the one they were given."""
    return counts.confusion[:, : len(counts.confusion)]
