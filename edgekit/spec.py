"""What a trained model is, apart from its weights: net, classes, preprocessing and task, as plain frozen data.

A ModelSpec travels in the checkpoint, in the ONNX metadata and in an engine's sidecar. TensorSpec and PreprocessSpec,
which it is made of, live in `edgekit.vision.spec`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from edgekit.vision.spec import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PreprocessSpec,
    TensorSpec,
    canonical_json,
    choice,
    digest,
    known_keys,
    require,
)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "ModelSpec",
    "PreprocessSpec",
    "TensorSpec",
    "canonical_json",
    "digest",
]

Task = Literal["classification", "detection"]


@dataclass(frozen=True)
class ModelSpec:
    """What a trained model is, apart from its weights.

    Attributes:
        arch: a name of `edgekit.nets`, e.g. `resnet18`.
        arch_args: keyword arguments of that net beside the number of classes.
        classes: names, in the order of the logits.
        preprocess: how pictures become its input.
        task: `classification` or `detection`.
        temperature: logits are divided by it (Guo et al. 2017, "On Calibration of Modern Neural Networks", sec. 4.2);
            1 for detection.
        max_detections: detections a picture, the K of the outputs; 0 for classification.
        thresholds: for detection the score from which on a box of each class is shown, 0..1; none: not chosen yet.
    """

    arch: str
    classes: tuple[str, ...]
    preprocess: PreprocessSpec
    arch_args: Mapping[str, Any] | None = None
    task: Task = "classification"
    temperature: float = 1.0
    max_detections: int = 0
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        object.__setattr__(self, "arch_args", dict(self.arch_args or {}))
        choice("task", self.task, get_args(Task))
        require(len(self.classes) >= 1, "classes", "none", "at least one class name")
        require(all(isinstance(c, str) and c for c in self.classes), "classes", self.classes, "non-empty names")
        ok = isinstance(self.temperature, (int, float)) and 0 < self.temperature < math.inf
        require(ok, "temperature", self.temperature, "a positive number")
        if self.task == "classification":
            require(
                self.max_detections == 0 and not self.thresholds,
                "max_detections",
                self.max_detections,
                "0, and no thresholds, for a classifier",
            )
            return
        require(self.temperature == 1, "temperature", self.temperature, "1 for detection")
        require(
            isinstance(self.max_detections, int) and self.max_detections >= 1,
            "max_detections",
            self.max_detections,
            "1 or more for detection",
        )
        ok = len(self.thresholds) in (0, len(self.classes)) and all(
            isinstance(t, (int, float)) and 0 <= t <= 1 for t in self.thresholds
        )
        require(ok, "thresholds", self.thresholds, "one number 0 to 1 a class, or none")

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the exported model gives, bound by name.

        `logits` [N, C] for classification. For detection `boxes` [N, K, 4] (x1 y1 x2 y2 in input pixels), `scores`
        [N, K] (0..1, descending) and `labels` [N, K].
        """
        if self.task == "classification":
            return (TensorSpec("logits", "float32", ("N", len(self.classes))),)
        return (
            TensorSpec("boxes", "float32", ("N", self.max_detections, 4)),
            TensorSpec("scores", "float32", ("N", self.max_detections)),
            TensorSpec("labels", "int32", ("N", self.max_detections)),
        )

    def to_dict(self) -> dict[str, Any]:
        common = {
            "task": self.task,
            "arch": self.arch,
            "arch_args": dict(self.arch_args or {}),
            "classes": list(self.classes),
            "preprocess": self.preprocess.to_dict(),
            "temperature": self.temperature,
        }
        if self.task == "classification":
            return common
        return {**common, "max_detections": self.max_detections, "thresholds": list(self.thresholds)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """Inverse of `to_dict`, and reads names written once. Raises InputError on an unknown or missing key."""
        data = _renamed(data)
        names = {f.name for f in fields(cls)}
        known_keys("ModelSpec", data, names)
        for name in ("arch", "classes", "preprocess"):
            require(name in data, name, "nothing", "a value")
        return cls(**{**data, "preprocess": PreprocessSpec.from_dict(data["preprocess"])})


def _renamed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data of a ModelSpec with today's names: `max_detections` was `keep` once, the head `offset_size` `c22`."""
    renamed = dict(data)
    if "keep" in renamed and "max_detections" not in renamed:
        renamed["max_detections"] = renamed.pop("keep")
    arguments = renamed.get("arch_args")
    if isinstance(arguments, Mapping) and arguments.get("head") == "c22":
        renamed["arch_args"] = {**arguments, "head": "offset_size"}
    return renamed
