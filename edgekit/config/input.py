"""The table [input] of a recipe: the sizes of pictures, and how they become them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from edgekit.config.tables import Table
from edgekit.spec import IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec

_Side = Annotated[int, Field(ge=8, le=4096)]


class Input(Table):
    """Sizes in pixels. A net trained on crops likes to be run a little larger (Touvron et al. 2019, FixRes).

    A size is one number for a square, or [height, width].
    """

    train_size: _Side | tuple[_Side, _Side] = Field(224, description="of the augmented pictures")
    size: _Side | tuple[_Side, _Side] = Field(224, description="of the net's input in evaluation and on the device")
    resize: Literal["crop", "letterbox", "stretch"] = "crop"
    shorter_side: int | None = Field(None, description="before the crop; none: the larger side * 8 / 7")
    interpolation: Literal["bilinear", "bicubic", "area", "pyramid"] = Field(
        "bilinear", description="antialiased; with area a camera's resize costs half, with pyramid a sixth"
    )

    mean: tuple[float, float, float] | None = Field(None, description="RGB, of white = 1; none: the net's own")
    std: tuple[float, float, float] | None = Field(None, description="as mean")

    def preprocess(self) -> PreprocessSpec:
        """What evaluation and the device do. Raises InputError for sizes that contradict each other."""
        height, width = sides(self.size)
        shorter = self.shorter_side
        if self.resize == "crop" and shorter is None:
            shorter = round(max(height, width) * 8 / 7)
        mean, std = self.mean or IMAGENET_MEAN, self.std or IMAGENET_STD
        return PreprocessSpec(height, width, self.resize, shorter, self.interpolation, mean=mean, std=std)

    def as_published(self, usual: PreprocessSpec) -> Input:
        """With what the recipe does not say as the net's published weights have it.

        Where the recipe says a size and nothing of the shorter side, its share of the crop is kept.
        """
        size = (usual.height, usual.width)
        own: dict[str, Any] = {
            "train_size": size,
            "size": size,
            "resize": usual.resize,
            "interpolation": usual.interpolation,
        }
        own |= {"mean": usual.mean, "std": usual.std}
        update = {name: value for name, value in own.items() if name not in self.model_fields_set}
        if usual.shorter_side is not None and "shorter_side" not in self.model_fields_set and self.resize == "crop":
            share = max(sides(self.size if "size" in self.model_fields_set else size)) / max(size)
            update["shorter_side"] = round(usual.shorter_side * share)
        return self.model_copy(update=update)


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a size as recipes write it."""
    return (size, size) if isinstance(size, int) else size
