"""What a detector in training is measured on: the validation pictures, decoded and resized once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgekit.data.sample import Sample
from edgekit.data.survey.sheet import Cell, write_sheet
from edgekit.errors import InputError
from edgekit.metrics.ground_truth import GroundTruth, Predictions, predictions_of
from edgekit.progress import track
from edgekit.screen import some
from edgekit.spec import ModelSpec
from edgekit.training.measured.reading import readable
from edgekit.vision.decode import detections
from edgekit.vision.draw import with_boxes
from edgekit.vision.image import Frame
from edgekit.vision.preprocess import geometry, normalise, preprocess
from edgekit.vision.results import Detections

EVAL_BATCH = 8
_TRUE = (255, 255, 255)  # the colour of true boxes, beside those of classes


class Validation:
    """The validation pictures as the net sees them, and what is known to be in them."""

    def __init__(self, samples: Sequence[Sample], spec: ModelSpec, say: Callable[[str], None]) -> None:
        self.spec = spec
        self.truths: list[GroundTruth] = []
        self.pixels: list[Frame] = []
        self.shapes: list[tuple[int, ...]] = []
        self.names: list[str] = []
        for sample, frame in readable(samples, Sample.read, say):
            self.pixels.append(preprocess(frame, spec.preprocess))
            self.shapes.append(frame.shape)
            self.names.append(sample.name)
            self.truths.append(sample.ground_truth())

    def found(self, detector: nn.Module) -> list[Predictions] | None:
        """What `detector` finds in each, in the picture's own pixels, or None where its answers are not finite."""
        device = next(detector.parameters()).device
        founds: list[Predictions] = []
        for start in track(range(0, len(self.pixels), EVAL_BATCH), "evaluating"):
            block = normalise(np.stack(self.pixels[start : start + EVAL_BATCH]), self.spec.preprocess)
            x = torch.from_numpy(block).to(device).contiguous(memory_format=torch.channels_last)
            with torch.inference_mode():
                boxes, scores, labels = (t.cpu().numpy() for t in detector(x))
            for row, shape in zip(zip(boxes, scores, labels, strict=True), self.shapes[start:], strict=False):
                place = geometry(shape, self.spec.preprocess)
                try:
                    founds.append(predictions_of(detections(*row, place, shape, self.spec.classes)))
                except InputError:
                    return None
        return founds

    def sheet(self, path: Path, founds: Sequence[Predictions], limits: Sequence[float]) -> None:
        """24 of the pictures, spread evenly, with what was found in colour and what is there in white."""
        classes, spec = self.spec.classes, self.spec.preprocess
        chosen = sorted({i * len(self.pixels) // 24 for i in range(24)})
        cells = []
        for i in chosen:
            place, found = geometry(self.shapes[i], spec), founds[i]
            shown = found.scores >= np.asarray(limits)[found.labels]
            labels = found.labels[shown]
            marked = Detections(
                place.to_net(found.boxes[shown]).astype(np.float32),
                found.scores[shown].astype(np.float32),
                labels,
                tuple(classes[label] for label in labels.tolist()),
            )
            true = [((a, b, c, d), _TRUE) for a, b, c, d in place.to_net(self.truths[i].boxes).tolist()]
            cells.append(Cell(with_boxes(self.pixels[i], marked), self.names[i][-48:], true))
        write_sheet(path, cells, columns=6)


def unmeasured(truths: Sequence[GroundTruth], classes: Sequence[str]) -> list[str]:
    """What the validation pictures cannot tell: AP and threshold of a class without objects, an alarm's without both
    kinds of pictures."""
    present = [sum(bool((truth.labels == i).any()) for truth in truths) for i in range(len(classes))]
    without = [name for name, n in zip(classes, present, strict=True) if not n]
    everywhere = [name for name, n in zip(classes, present, strict=True) if n == len(truths)]
    notes = []
    if without:
        which = "nothing: AP is not measured, and best.pt is the last evaluated epoch"
        which = which if len(without) == len(classes) else f"no {some(without)}: its AP is not measured"
        notes.append(f"WARNING: validation has {which}")
    if without:
        notes.append(f"threshold of {some(without)} stays 0.5: to choose one takes objects to find")
    if without or everywhere:
        names = some([*without, *everywhere])
        notes.append(f"alarm of {names} takes the threshold of the boxes: its own takes pictures with it and without")
    return notes
