"""A classifier's one vector a picture: logits, or probabilities that the file makes of them itself.

[N, C], or the same with sides of 1 around it. Probabilities of one class among many become logits by their logarithm,
of which a softmax makes the probabilities again. 1001 columns are ImageNet's thousand classes behind a background.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph.builder import Builder
from edgekit.graph.decoders.arithmetic import part, reshaped
from edgekit.graph.decoders.base import Arrays, Decoder, Kept, Reading, Seen, Size, sigmoid
from edgekit.graph.decoders.recognise import class_names, last_kind, sides_of, without_auxiliary
from edgekit.tasks import task_of
from edgekit.vision.spec import TensorSpec

LEAST = 1e-30  # a probability that float32 has rounded to 0 still needs a logarithm
IMAGENET = 1000


class Classifier(Decoder):
    """Args: done: whether the outputs are probabilities."""

    tasks = ("classification", "multilabel")

    def __init__(self, name: str, done: bool) -> None:
        self.name = name
        self.done = done
        self.expects = f"an output [N, C] of {'probabilities' if done else 'logits'}, or [N, C, 1, 1]"

    def read(self, seen: Seen, task: str) -> list[Reading]:
        found = (self._of(spec, seen, task) for spec in without_auxiliary(seen.outputs))
        return [reading for reading in found if reading is not None]

    def _of(self, spec: TensorSpec, seen: Seen, task: str) -> Reading | None:
        sides = sides_of(spec)
        if sides is None or len([side for side in sides if side != 1]) > 1:
            return None
        columns = int(np.prod(sides))
        known = len(class_names(seen.props))
        background = columns in (known + 1, IMAGENET + 1) and known != columns
        classes = columns - background
        if (known and known != classes) or (classes < 2 and not _several(task)):
            return None
        if seen.model is not None:
            kind = last_kind(seen.model, spec.name)
            if (kind in ("Softmax", "Sigmoid")) != self.done:
                return None
            if self.done and (kind == "Sigmoid") != _several(task):
                return None
        notes = (f"the first of {columns} columns is taken for a background and left out",) if background else ()
        return Reading(self.name, task, {"scores": spec.name}, classes, {"background": background}, notes)

    def append(self, b: Builder, reading: Reading, seen: Seen, kept: Kept) -> dict[str, str]:
        tensor = reshaped(b, reading.roles["scores"], -1)
        if reading.settings.get("background"):
            tensor = part(b, tensor, 1, 1, 1 + reading.classes)
        if _several(reading.task):
            return {"scores": tensor if self.done else b.add("Sigmoid", tensor)}
        if self.done:
            tensor = b.add("Log", b.add("Max", tensor, b.constant([LEAST])))
        return {"logits": tensor}

    def reference(self, reading: Reading, size: Size, outputs: Arrays, kept: Kept) -> dict[str, NDArray[Any]]:
        raw = outputs[reading.roles["scores"]].astype(np.float64)
        raw = raw.reshape(len(raw), -1)
        if reading.settings.get("background"):
            raw = raw[:, 1:]
        if _several(reading.task):
            return {"scores": (raw if self.done else sigmoid(raw)).astype(np.float32)}
        return {"logits": (np.log(np.maximum(raw, LEAST)) if self.done else raw).astype(np.float32)}


def _several(task: str) -> bool:
    """Whether a picture may have several labels."""
    return task_of(task).finds == "labels"


LOGITS = Classifier("logits", done=False)
PROBABILITIES = Classifier("probabilities", done=True)
