"""A target: a kind of board, what its runtime takes, and what the gate allows there."""

from __future__ import annotations

import os
import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from edgekit.config.backends import Backend
from edgekit.config.schemes import SchemeName
from edgekit.config.tables import Kind, Table
from edgekit.errors import UsageError

Precision = Literal["fp32", "fp16", "int8"]
COMPACT: Literal["fp32-w16"] = "fp32-w16"  # computed in float32, with large weights rounded to float16


class Limits(Table):
    """What the gate allows between the checkpoint and one precision of it."""

    max_abs: float = Field(gt=0, description="largest |difference| of any logit")
    top1_agreement: float = Field(gt=0, le=1, description="smallest share of pictures with the same first class")
    boxes_matched: float = Field(0.999, gt=0, le=1, description="smallest share of boxes that have a partner")
    boxes: Literal["all", "shown"] = Field("all", description="which count: down to a score of 0.05, or those shown")
    box_iou: float = Field(0.9, gt=0, le=1, description="from which on two boxes are the same")
    score_shift: float = Field(1e-3, gt=0, le=1, description="largest |difference| of a matched box's or label's score")
    features_shift: float = Field(1e-3, gt=0, description="largest |difference| of a feature, in root mean squares")
    cosine: float = Field(0.99999, gt=-1, lt=1, description="smallest cosine similarity of a picture's features")
    pixels_equal: float = Field(0.9999, gt=0, le=1, description="smallest share of a mask's pixels of the same class")
    inner_pixels_equal: float = Field(0.9999, gt=0, le=1, description="the same, away from edges")
    class_iou: float = Field(0.99, gt=0, le=1, description="smallest IoU of a class of the two masks")
    scores_beyond: float = Field(1e-4, ge=0, le=1, description="share of pixels beyond score_shift, at most")


# Weights rounded to 11 bits are the same on every board, so these hold where a target has no table of its own. Three
# trained nets moved by a third of that or less (docs/commands.md).
COMPACT_LIMITS = Limits(
    max_abs=0.05,
    top1_agreement=0.998,
    boxes_matched=0.998,
    boxes="shown",
    box_iou=0.9,
    score_shift=0.005,
    features_shift=0.05,
    cosine=0.9999,
    pixels_equal=0.999,
    inner_pixels_equal=0.9995,
    class_iou=0.97,
    scores_beyond=0.001,
)


class Runtime(Table):
    """How the exported file is run, for the gate and as the target's default."""

    backend: Backend = "onnxruntime"
    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    threads: int = Field(0, ge=0, description="0: one per physical core")


class Pipelines(Table):
    """GStreamer pipelines that decode in hardware, up to BGR, with `{uri}` and the like to fill in."""

    rtsp: str = ""
    csi: str = ""


class EngineTable(Table):
    """How `edgekit build` compiles for the target; the attributes of `edgekit.artifacts.engine_key.BuildOptions`."""

    library: Literal["tensorrt", "tensorrt_rtx"] = "tensorrt"
    sms: tuple[str, ...] = Field(min_length=1, description="compute capabilities, such as 8.7")
    batch: tuple[int, int, int] = Field((1, 1, 8), description="smallest, best, largest; of a dynamic batch")
    workspace_mib: int | None = Field(None, ge=1)
    hardware: Literal["none", "same-sm", "ampere-plus"] = "none"
    version_compatible: bool = False
    dla: int | None = Field(None, ge=0, description="core; what it cannot run goes to the GPU")
    level: int | None = Field(None, ge=0, le=5, description="the builder's effort")

    @field_validator("sms")
    @classmethod
    def _capabilities(cls, sms: tuple[str, ...]) -> tuple[str, ...]:
        if any(not re.fullmatch(r"\d+\.\d", sm) for sm in sms):
            raise ValueError('compute capabilities such as "8.7"')
        return sms

    @field_validator("batch")
    @classmethod
    def _ascending(cls, batch: tuple[int, int, int]) -> tuple[int, int, int]:
        if not 1 <= batch[0] <= batch[1] <= batch[2]:
            raise ValueError("three sizes from 1 on, none smaller than the one before")
        return batch


class Target(Table):
    """A kind of board: what its runtime takes, and what must hold there."""

    name: str
    description: str
    opset: int = Field(ge=18, le=25)
    runtimes: tuple[Literal["onnxruntime", "openvino", "tensorrt"], ...] = Field(min_length=1)
    runtime: Runtime = Field(default_factory=lambda: Runtime(threads=0))
    precisions: tuple[Precision, ...] = ("fp32",)
    scheme: SchemeName | None = Field(None, description="how int8 is placed in the graph")
    engine: EngineTable | None = Field(None, description="for targets whose runtime compiles the graph")
    gate: dict[Precision | Literal["fp32-w16"], Limits]
    pipelines: Pipelines = Field(default_factory=Pipelines, description="how a camera's frames are decoded")

    @field_validator("gate")
    @classmethod
    def _complete(cls, gate: dict[Precision, Limits]) -> dict[Precision, Limits]:
        if "fp32" not in gate:  # every export begins there
            raise ValueError("a table [gate.fp32]")
        return gate

    @model_validator(mode="after")
    def _consistent(self) -> Target:
        without = [name for name in self.precisions if name not in self.gate]
        if without:
            raise ValueError(f"a table [gate.{without[0]}] for each of the precisions")
        if "int8" in self.precisions and self.scheme is None:
            raise ValueError("a scheme for int8")
        return self

    def limits(self, precision: str) -> Limits:
        """The gate's limits of `fp32`, `fp16` or `int8`, also by the name of an int8 scheme, and of `fp32-w16`.

        Raises:
            UsageError: the target has none for it.
        """
        if precision == COMPACT:
            return self.gate.get(COMPACT, COMPACT_LIMITS)
        kind = precision.split("-", maxsplit=1)[0]
        found = {str(name): limits for name, limits in self.gate.items()}.get(kind)
        if found is None:
            raise UsageError(
                f"{self.name} has no limits for {precision}.",
                got=precision,
                expected="one of " + ", ".join(self.gate),
                fix=f"a table [gate.{kind}] in a target of your own",
            )
        return found


TARGETS = Kind(Target, "a target", package="edgekit.targets")


def target_names() -> tuple[str, ...]:
    """Names of the targets that edgekit ships."""
    return TARGETS.names()


def load_target(name: str | os.PathLike[str]) -> Target:
    """A shipped target by name, or one's own by the path of its TOML file.

    Raises:
        UsageError: unknown name, or a file that is not a target.
    """
    return TARGETS.load(name)


def parse_target(text: str, source: str) -> Target:
    """A target from TOML text; `source` is for the messages. Raises UsageError as `load_target`."""
    return TARGETS.parse(text, source)
