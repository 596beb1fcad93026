"""The table [net] of a recipe: which net, and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgekit.config.tables import Table

ARGUMENTS = ("norm", "trunk", "neck", "head", "width")


class Net(Table):
    """Which net, and what it starts from.

    `norm`, `trunk`, `neck`, `head`, `width` and `arguments` are the net's own: what is not said is not passed to it,
    and one that it does not take is refused (`edgekit.nets`).
    """

    arch: str = "resnet18"
    norm: Literal["batch", "group", "layer", "instance", "none"] = Field("batch", description="of a ResNet")
    trunk: str = Field("timm:tf_efficientnet_lite0", description="of the nets `centernet` and `unet`: timm:NAME")
    neck: Literal["fpn", "deconv"] = Field("fpn", description="of a CenterNet")
    head: Literal["ltrb", "offset_size"] = Field("ltrb", description="of a CenterNet")
    width: float = Field(1.0, gt=0, le=4, description="factor on all channels of a ResNet, CenterNet or U-Net")
    arguments: dict[str, bool | int | float | str] = Field({}, description="of another net, by their names")
    max_detections: int = Field(100, ge=1, le=3840, description="detections a picture")
    weights: str = Field(
        "none", description="imagenet (torchvision's, fetched when asked), none, a file, or a model in the box"
    )

    def asked(self) -> dict[str, Any]:
        """The keyword arguments that were asked for: by name, without what was left out."""
        return {**{name: getattr(self, name) for name in ARGUMENTS if name in self.model_fields_set}, **self.arguments}

    @model_serializer(mode="wrap")
    def _without_what_was_left_out(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A net has its own defaults: those above would be said of one that has others."""
        left = {name for name in (*ARGUMENTS, "arguments") if name not in self.model_fields_set}
        return {name: value for name, value in plain(self).items() if name not in left}

    @model_validator(mode="after")
    def _said_once(self) -> Net:
        if twice := [name for name in ARGUMENTS if name in self.arguments]:
            raise ValueError(f"{', '.join(twice)} beside arch, not among the arguments")
        return self

    @model_validator(mode="before")
    @classmethod
    def _names_written_once(cls, values: Any) -> Any:
        return names_of_today(values) if isinstance(values, dict) else values


def key_of(argument: str) -> str:
    """Where a recipe says an argument of its net: `net.norm`, `net.arguments.depth`."""
    return f"net.{argument}" if argument in ARGUMENTS else f"net.arguments.{argument}"


def names_of_today(net: Mapping[str, Any]) -> dict[str, Any]:
    """The table [net] of a recipe or run that was written before, and says `keep` and `c22`."""
    renamed = dict(net)
    if "keep" in renamed and "max_detections" not in renamed:
        renamed["max_detections"] = renamed.pop("keep")
    return {**renamed, "head": "offset_size"} if renamed.get("head") == "c22" else renamed
