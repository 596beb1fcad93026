"""What a trained model is, apart from its weights: net, classes, preprocessing and task, as plain frozen data.

A ModelSpec travels in the checkpoint, in the ONNX metadata and in an engine's sidecar. TensorSpec and PreprocessSpec,
which it is made of, live in `edgekit.vision.spec`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from edgekit.tasks import task_of
from edgekit.vision.spec import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PreprocessSpec,
    Suppression,
    TensorSpec,
    canonical_json,
    digest,
    known_keys,
    require,
)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "ModelSpec",
    "PreprocessSpec",
    "Suppression",
    "TensorSpec",
    "canonical_json",
    "digest",
]


@dataclass(frozen=True)
class ModelSpec:
    """What a trained model is, apart from its weights.

    Attributes:
        arch: a name of `edgekit.nets`, e.g. `resnet18`.
        arch_args: keyword arguments of that net beside the number of classes.
        classes: names, in the order of the logits; none for features.
        preprocess: how pictures become its input.
        task: a name of `edgekit.tasks.TASKS`.
        temperature: logits are divided by it (Guo et al. 2017, "On Calibration of Modern Neural Networks", sec. 4.2);
            1 for detection and features.
        max_detections: detections a picture, the K of the outputs; 0 for classification.
        thresholds: the score from which on a box, or a label of several, of each class is shown, 0..1; none: not chosen
            yet.
        dimensions: features a picture, the D of the output; 0 for all other tasks.
        suppression: how duplicates among a detector's boxes are left out, in the graph; None: they are not.
        alarm_thresholds: the score of a picture's best box of each class from which on there is one in the picture,
            0..1, chosen at a limit of false alarms; none: not chosen.
    """

    arch: str
    classes: tuple[str, ...]
    preprocess: PreprocessSpec
    arch_args: Mapping[str, Any] | None = None
    task: str = "classification"
    temperature: float = 1.0
    max_detections: int = 0
    thresholds: tuple[float, ...] = ()
    dimensions: int = 0
    suppression: Suppression | None = None
    alarm_thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        object.__setattr__(self, "alarm_thresholds", tuple(self.alarm_thresholds))
        object.__setattr__(self, "arch_args", dict(self.arch_args or {}))
        task = task_of(self.task)
        require(task.classless or len(self.classes) >= 1, "classes", "none", "at least one class name")
        require(all(isinstance(c, str) and c for c in self.classes), "classes", self.classes, "non-empty names")
        ok = isinstance(self.temperature, (int, float)) and 0 < self.temperature < math.inf
        require(ok, "temperature", self.temperature, "a positive number")
        boxes = self.suppression is None or task.finds == "boxes"
        require(boxes, "suppression", self.suppression, f"none for {task.noun}, which finds no boxes")
        sound = not self.alarm_thresholds or (
            task.finds == "boxes"
            and len(self.alarm_thresholds) == len(self.classes)
            and all(isinstance(t, (int, float)) and 0 <= t <= 1 for t in self.alarm_thresholds)
        )
        require(sound, "alarm_thresholds", self.alarm_thresholds, "of a detector one number 0 to 1 a class, or none")
        task.check(self)

    @property
    def multi_label(self) -> bool:
        """Whether a picture may have any number of its labels."""
        return task_of(self.task).finds == "labels"

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the exported model gives, bound by name: as its task says, e.g. `logits` [N, C]."""
        return task_of(self.task).outputs(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it."""
        common = {
            "task": self.task,
            "arch": self.arch,
            "arch_args": dict(self.arch_args or {}),
            "classes": list(self.classes),
            "preprocess": self.preprocess.to_dict(),
            "temperature": self.temperature,
        }
        own = {name: getattr(self, name) for name in task_of(self.task).fields}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
        suppression = {} if self.suppression is None else {"suppression": self.suppression.to_dict()}
        alarms = {"alarm_thresholds": list(self.alarm_thresholds)} if self.alarm_thresholds else {}
        return {**common, **plain, **suppression, **alarms}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """Inverse of `to_dict`, and reads names written once. Raises InputError on an unknown or missing key."""
        data = _renamed(data)
        names = {f.name for f in fields(cls)}
        known_keys("ModelSpec", data, names)
        for name in ("arch", "classes", "preprocess"):
            require(name in data, name, "nothing", "a value")
        made: dict[str, Any] = {**data, "preprocess": PreprocessSpec.from_dict(data["preprocess"])}
        if isinstance(data.get("suppression"), Mapping):
            made["suppression"] = Suppression.from_dict(data["suppression"])
        return cls(**made)


def _renamed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data of a ModelSpec with today's names: `max_detections` was `keep` once, the head `offset_size` `c22`."""
    renamed = dict(data)
    if "keep" in renamed and "max_detections" not in renamed:
        renamed["max_detections"] = renamed.pop("keep")
    arguments = renamed.get("arch_args")
    if isinstance(arguments, Mapping) and arguments.get("head") == "c22":
        renamed["arch_args"] = {**arguments, "head": "offset_size"}
    return renamed
