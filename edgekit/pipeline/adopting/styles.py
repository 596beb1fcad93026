"""How pictures are prepared for a net that does not say it: by the name of a style, with single values changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from edgekit.config.keys import nearest, unknown_key
from edgekit.errors import InputError, UsageError
from edgekit.spec import IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec

_ZERO, _BYTE, _ONE, _HALF = (0.0,) * 3, (1 / 255,) * 3, (1.0,) * 3, (0.5,) * 3
_PLAIN = {"resize": "stretch", "interpolation": "bilinear", "antialias": False}
_LETTERBOX = {**_PLAIN, "resize": "letterbox"}
# of ImageNet's means, 0 to 255, that Caffe's nets subtract from BGR pictures (Simonyan and Zisserman 2015, sec. 2.1)
_CAFFE = tuple(v / 255 for v in (103.939, 116.779, 123.68))

STYLES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "yolox": {**_LETTERBOX, "align": "corner", "color": "bgr", "mean": _ZERO, "std": _BYTE},
        "ultralytics": {**_LETTERBOX, "color": "rgb", "mean": _ZERO, "std": _ONE},
        "imagenet": {"color": "rgb", "mean": IMAGENET_MEAN, "std": IMAGENET_STD},
        "unit": {"color": "rgb", "mean": _ZERO, "std": _ONE},
        "half": {"color": "rgb", "mean": _HALF, "std": _HALF},
        "raw": {"color": "bgr", "mean": _ZERO, "std": _BYTE},
        "caffe": {"color": "bgr", "mean": _CAFFE, "std": _BYTE},
    }
)
MEANS = {
    "yolox": "letterbox at the top left, BGR, 0 to 255",
    "ultralytics": "letterbox in the centre, RGB, 0 to 1",
    "imagenet": "RGB, ImageNet's mean and std",
    "unit": "RGB, 0 to 1",
    "half": "RGB, -1 to 1",
    "raw": "BGR, 0 to 255",
    "caffe": "BGR, 0 to 255 less ImageNet's means",
}
SHARE = 0.875  # of the resized picture's side that a classifier's crop takes, where nothing is said: 224 of 256


def of_style(text: str, task: str, size: tuple[int, int]) -> PreprocessSpec:
    """The PreprocessSpec of `STYLE` or `STYLE,KEY=VALUE,...`, such as `imagenet,interpolation=bicubic`.

    Args:
        task: what resizes where the style does not say it: a classifier's picture is cropped, others are stretched.
        size: height and width of the net's input, in pixels.

    Raises:
        UsageError: no such style or key, or a value that cannot be used.
    """
    name, *changes = [part.strip() for part in text.split(",")]
    if name not in STYLES:
        raise UsageError(
            "There is no such way to prepare a picture.",
            got=name or "nothing",
            expected=", ".join(f"{style} ({meaning})" for style, meaning in MEANS.items()) + "; or a TOML file",
            fix=nearest(name, list(STYLES)),
        )
    cropped: dict[str, Any] = {"resize": "crop", "interpolation": "bilinear", "antialias": True}
    values: dict[str, Any] = {**(cropped if task in CROPPED else _PLAIN), **STYLES[name]}
    known = [f.name for f in fields(PreprocessSpec)]
    for change in _joined(changes):
        key, equals, value = change.partition("=")
        if not equals or key not in known:
            raise UsageError(f"--preprocess {text} says what no picture has.", **unknown_key(key, known))
        values[key] = _value(value)
    height, width = size
    values = {"height": height, "width": width, **values}
    shorter = round(max(values["height"], values["width"]) / SHARE)
    values.setdefault("shorter_side", shorter if values["resize"] == "crop" else None)
    try:
        return PreprocessSpec(**values)
    except InputError as error:
        raise UsageError(
            f"--preprocess {text}: {error.what}", got=error.got, expected=error.expected, fix=error.fix
        ) from error


CROPPED = ("classification", "multi-label", "features")


def sized(spec: PreprocessSpec, size: tuple[int, int]) -> PreprocessSpec:
    """`spec` for a net of this input size; a stated other one is refused.

    Raises:
        UsageError: `spec` has another size.
    """
    if (spec.height, spec.width) != size:
        raise UsageError(
            "--preprocess makes pictures of another size than the net takes.",
            got=f"{spec.height} x {spec.width}",
            expected=f"{size[0]} x {size[1]}",
            fix=f"height = {size[0]} and width = {size[1]}",
        )
    return replace(spec)


def _joined(parts: list[str]) -> list[str]:
    """Lists have commas too: `mean=[0.5, 0.5, 0.5]` comes in three parts."""
    found: list[str] = []
    for part in parts:
        if found and found[-1].count("[") > found[-1].count("]"):
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return tuple(value) if isinstance(value, list) else value
