"""The tables of a file that describes a net's outputs (`edgekit.graph.decoders.description` reads them)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edgekit.config.tables import Table

Activation = Literal["none", "sigmoid", "softmax"]
Columns = tuple[int, int]
GRIDDED = ("ltrb", "offsets", "deltas")


class BoxesTable(Table):
    """Where the four numbers of a box stand and how they are meant; `kinds/described.py` says what each setting is."""

    output: str | tuple[str, ...] = Field(description="several: one a stride, in their order")
    format: Literal["xyxy", "yxyx", "xywh", "cxcywh", "ltrb", "offsets", "deltas"]
    unit: Literal["pixels", "picture", "cells"] = "pixels"
    columns: Columns | None = None
    axis: Literal["first", "last"] = "last"
    strides: tuple[int, ...] = ()
    anchors: tuple[tuple[tuple[float, float], ...], ...] = ()
    offset: float = Field(0.5, ge=0, le=1, description="of a cell's middle, in cells")
    bins: int = Field(1, ge=1, le=64, description="of a distance's distribution (Li et al. 2020, GFL, sec. 3.2)")
    variances: tuple[float, float] = (0.1, 0.2)

    @model_validator(mode="after")
    def _complete(self) -> BoxesTable:
        if self.format in GRIDDED and not self.strides:
            raise ValueError(f"strides: the format {self.format} starts from cells")
        if self.format == "deltas" and not self.anchors:
            raise ValueError("anchors: the format deltas starts from them")
        if self.anchors and len(self.anchors) != len(self.strides):
            raise ValueError("as many lists of anchors as strides")
        if (self.unit == "cells" and self.format != "ltrb") or (self.unit == "picture" and self.format in GRIDDED):
            raise ValueError("unit = 'cells' with ltrb alone, 'picture' with none of " + ", ".join(GRIDDED))
        if self.bins > 1 and self.format != "ltrb":
            raise ValueError("bins: ltrb alone is a distribution")
        if any(stride < 1 for stride in self.strides):
            raise ValueError("strides of 1 or more")
        return self


class ScoresTable(Table):
    """The scores of a place's classes, [N, places, classes]."""

    output: str | tuple[str, ...]
    columns: Columns | None = None
    axis: Literal["first", "last"] = "last"
    activation: Activation = Field("none", description="that is still to be done")
    background: Literal["none", "first", "last"] = "none"
    every: bool = Field(False, description="a place may give a box for each of its classes")


class ObjectnessTable(Table):
    """How likely it is that a place has anything, one number each; along the axis of the scores."""

    output: str | tuple[str, ...]
    columns: Columns | None = None
    activation: Literal["none", "sigmoid"] = "none"
    powers: tuple[float, float] = Field((1.0, 1.0), description="of objectness and class, before they are multiplied")


class LabelsTable(Table):
    """The class number of each place, [N, places]."""

    output: str
    columns: Columns | None = None
    first: int = Field(0, description="number of the first class, where it is not 0")


class HeadsTable(Table):
    """YOLO's maps as the last layers give them; `kinds/yolo_heads.py`."""

    outputs: tuple[str, ...] = Field(min_length=1, description="in the order of the strides")
    strides: tuple[int, ...]
    anchors: tuple[tuple[tuple[float, float], ...], ...]
    sizes: Literal["square", "exp"] = "square"
    activation: Literal["none", "sigmoid"] = "sigmoid"

    @model_validator(mode="after")
    def _complete(self) -> HeadsTable:
        if not len(self.outputs) == len(self.strides) == len(self.anchors) or len(set(map(len, self.anchors))) > 1:
            raise ValueError("as many strides and lists of anchors as outputs, and as many anchors in each")
        return self


class ClassesTable(Table):
    """A classifier's output, [N, C]."""

    output: str
    values: Literal["logits", "probabilities"]
    background: Literal["none", "first"] = "none"


class MaskTable(Table):
    """A segmentation net's maps, [N, C, h, w], or [N, h, w, C] where the axis is last."""

    output: str
    values: Literal["logits", "probabilities"]
    axis: Literal["first", "last"] = "first"


class FeaturesTable(Table):
    output: str
    of: Literal["vector", "first", "mean"] = "vector"


class Description(Table):
    """Tables of one task: boxes and scores (and objectness, labels) or heads; classes; mask; features."""

    boxes: BoxesTable | None = None
    scores: ScoresTable | None = None
    objectness: ObjectnessTable | None = None
    labels: LabelsTable | None = None
    heads: HeadsTable | None = None
    classes: ClassesTable | None = None
    mask: MaskTable | None = None
    features: FeaturesTable | None = None
