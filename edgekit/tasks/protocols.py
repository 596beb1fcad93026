"""What a task reads of what stands above it: of a model's spec, and of the gate's limits."""

from __future__ import annotations

from typing import Protocol

from edgekit.vision.spec import PreprocessSpec


class Spec(Protocol):
    """What a task reads of a `edgekit.spec.ModelSpec`."""

    @property
    def arch(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def preprocess(self) -> PreprocessSpec: ...

    @property
    def temperature(self) -> float: ...

    @property
    def max_detections(self) -> int: ...

    @property
    def thresholds(self) -> tuple[float, ...]: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def alarm_thresholds(self) -> tuple[float, ...]: ...


class GateLimits(Protocol):
    """What the gate allows; `edgekit.config.target.Limits` says what each means."""

    @property
    def max_abs(self) -> float: ...

    @property
    def top1_agreement(self) -> float: ...

    @property
    def boxes(self) -> str: ...

    @property
    def box_iou(self) -> float: ...

    @property
    def boxes_matched(self) -> float: ...

    @property
    def score_shift(self) -> float: ...

    @property
    def features_shift(self) -> float: ...

    @property
    def cosine(self) -> float: ...

    @property
    def pixels_equal(self) -> float: ...

    @property
    def inner_pixels_equal(self) -> float: ...

    @property
    def class_iou(self) -> float: ...

    @property
    def scores_beyond(self) -> float: ...
