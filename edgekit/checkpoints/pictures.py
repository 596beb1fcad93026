"""The pictures that a net of timm or torchvision takes, as its own library makes them: transforms that share no code
with `edgekit.vision`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from PIL import Image
from torch import Tensor

from edgekit.checkpoints.claims import PLAIN, Claims, Published
from edgekit.nets.library import has_tag, of_library, preprocess, without_tag

Transform = Callable[[Image.Image], Tensor]
_SAID = ("size", "mean", "std", "interpolation", "crop_pct", "crop_mode")


@dataclass(frozen=True)
class Pictures:
    """Whose transforms, and what a file says otherwise.

    Attributes:
        arch: the net, with the tag of its weights where one is named.
        said: by the words of `edgekit.checkpoints.words`.
    """

    arch: str
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def whose(self) -> str:
        """For people: `timm's own transforms of tf_efficientnet_lite0.in1k`."""
        return f"{self.arch.partition(':')[0]}'s own transforms of {weights_of(self.arch).partition(':')[2]}"

    def transform(self) -> Transform:
        """From a Pillow picture, RGB, to the net's input: float32 [3, H, W], normalized."""
        library, _, name = self.arch.partition(":")
        return _of_timm(name, self.said) if library == "timm" else _of_torchvision(name, self.said)


def published(arch: str, tag: str | None) -> Published:
    """What pictures the published weights of a net take; torchvision's of its ResNets, where there are none.

    Args:
        arch: a net, with a tag where its name says one.
        tag: as the file says it elsewhere.

    Raises:
        UsageError: there are no weights of this tag.
        InputError: they are prepared in a way that a PreprocessSpec cannot say.
    """
    if not of_library(arch):
        return PLAIN
    full = _full(arch, tag)
    spec = preprocess(full)
    if spec is None:
        return PLAIN
    library, _, name = weights_of(full).partition(":")
    share = (_timm_config(name).crop_pct or 0.875) if library == "timm" else spec.height / (spec.shorter_side or 256)
    return Published(spec, share, f"{library}'s of {name}", full != without_tag(full))


def pictures_of(arch: str, claims: Claims, tag: str | None) -> Pictures | None:
    """The library's own transforms with what the file says, or None where they cannot do what it says."""
    if not of_library(arch) or claims["shorter"] is not None or claims["color"] is not None:
        return None
    size, presets = claims["size"], arch.startswith("torchvision:")  # whose crops are square, and nothing else
    if presets and ((size is not None and size.value[0] != size.value[1]) or claims["crop_mode"] is not None):
        return None
    full = _full(arch, tag)
    if preprocess(full) is None:
        return None
    return Pictures(full, {kind: claim.value for kind in _SAID if (claim := claims[kind]) is not None})


def weights_of(arch: str) -> str:
    """`timm:resnet18.a1_in1k` for `timm:resnet18`: the weights that its library names first."""
    library, _, name = arch.partition(":")
    if library == "timm":
        config = _timm_config(name)
        named = config.tag and config.tag != "untrained"  # of a net without weights
        return f"timm:{config.architecture}.{config.tag}" if named else arch
    return arch if "." in name else f"{arch}.{_entry(name).name}"


def _full(arch: str, tag: str | None) -> str:
    """With the tag that is said elsewhere, where the name has none and its library knows it."""
    return f"{arch}.{tag}" if tag and without_tag(arch) == arch and has_tag(f"{arch}.{tag}") else arch


def _timm_config(name: str) -> Any:
    import timm

    return timm.get_pretrained_cfg(name)


def _entry(name: str) -> Any:
    from torchvision.models import get_model_weights

    bare, _, tag = name.partition(".")
    return next(entry for entry in get_model_weights(bare) if tag in ("", entry.name))


def _of_timm(name: str, said: Mapping[str, Any]) -> Transform:
    data: Any = import_module("timm.data")

    stated = {kind: said[kind] for kind in _SAID[1:] if kind in said}
    if "size" in said:
        stated["input_size"] = (3, *said["size"])
    config = data.resolve_data_config(args=stated, pretrained_cfg=_timm_config(name).to_dict())
    made: Transform = data.create_transform(**config, is_training=False)
    return made


def _of_torchvision(name: str, said: Mapping[str, Any]) -> Transform:
    from torchvision.transforms import InterpolationMode

    entry = _entry(name)
    usual = entry.transforms()
    stated: dict[str, Any] = {kind: said[kind] for kind in ("mean", "std") if kind in said}
    if "interpolation" in said:
        stated["interpolation"] = InterpolationMode(said["interpolation"])
    if "size" in said or "crop_pct" in said:
        size = said["size"][0] if "size" in said else usual.crop_size[0]
        share = said.get("crop_pct", usual.crop_size[0] / usual.resize_size[0])
        stated |= {
            "crop_size": size,
            "resize_size": math.floor(size / share) if "crop_pct" in said else round(size / share),
        }
    made: Transform = entry.transforms(**stated)
    return made
