"""What a model takes and gives, as plain frozen data: tensors, and the way from a picture to the net's numbers.

These objects travel in the checkpoint, in the ONNX metadata and in an engine's sidecar. They have one
canonical JSON form and so one hash: two that differ in anything that changes a pixel differ in their hash.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from edgekit.errors import InputError

Color = Literal["rgb", "bgr"]
Resize = Literal["stretch", "letterbox", "crop"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "area", "pyramid"]
Align = Literal["centre", "corner"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def canonical_json(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclass(frozen=True)
class TensorSpec:
    """Name, numpy dtype name and shape of one input or output. A `str` in the shape is a dynamic dimension."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.shape))}]"

    def accepts(self, dtype: str, shape: tuple[int, ...]) -> bool:
        """Whether an array of `dtype` and `shape` fits; every dynamic dimension must be at least 1."""
        return (
            dtype == self.dtype
            and len(shape) == len(self.shape)
            and all(n >= 1 if isinstance(d, str) else n == d for n, d in zip(shape, self.shape, strict=True))
        )


@dataclass(frozen=True)
class PreprocessSpec:
    """From a picture to the numbers the net was trained on.

    A frame is uint8 [h, w, 3] in OpenCV's BGR order. `edgekit.vision.preprocess` resizes it to uint8
    [height, width, 3]; channel order, scaling to 0..1 and `(x - mean) / std` follow, in the exported graph or in numpy.

    Attributes:
        height, width: the net's input in pixels.
        resize: `crop` (shorter side to `shorter_side`, then centre crop), `letterbox` (whole picture, ratio
            kept, padded with `pad`) or `stretch` (ratio not kept).
        shorter_side: pixels, for `crop` only.
        interpolation: `nearest`, `bilinear`, `bicubic`, `area` (OpenCV's) or `pyramid`: the mean of each two pixels as
            long as a side is at least twice its end (OpenCV's INTER_AREA), then OpenCV's bilinear.
        antialias: whether the filter widens when shrinking. With `bilinear` and `bicubic` this is what
            torchvision trains with and gives the same pixels; without it these are OpenCV's INTER_LINEAR/INTER_CUBIC.
            `area` and `pyramid` always average and `nearest` never does.
        pad: grey level 0..255 around a letterboxed picture.
        align: where a letterboxed picture lies: in the `centre`, its sides rounded, or at the top left `corner`, its
            sides cut to whole pixels, as YOLOX has it.
        color: channel order the net expects.
        mean, std: per channel, in 0..1 units, in the order of `color`.

    Raises:
        InputError: a value out of its range, or a combination that means nothing.
    """

    height: int = 224
    width: int = 224
    resize: Resize = "crop"
    shorter_side: int | None = 256
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    pad: int = 114
    color: Color = "rgb"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    align: Align = "centre"

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        choice("color", self.color, get_args(Color))
        choice("resize", self.resize, get_args(Resize))
        choice("interpolation", self.interpolation, get_args(Interpolation))
        choice("align", self.align, get_args(Align))
        require(self.align == "centre" or self.resize == "letterbox", "align", self.align, "centre unless letterboxed")
        for name in ("height", "width"):
            require(
                isinstance(getattr(self, name), int) and 1 <= getattr(self, name) <= 16384,
                name,
                getattr(self, name),
                "1 to 16384 pixels",
            )
        if self.resize == "crop":
            ok = isinstance(self.shorter_side, int) and self.shorter_side >= max(self.height, self.width)
            require(ok, "shorter_side", self.shorter_side, "at least the crop's larger side")
        else:
            require(self.shorter_side is None, "shorter_side", self.shorter_side, "none unless resize = 'crop'")
        require(isinstance(self.antialias, bool), "antialias", self.antialias, "true or false")
        fixed = {"area": True, "pyramid": True, "nearest": False}.get(self.interpolation)
        if fixed is not None:
            require(self.antialias is fixed, "antialias", self.antialias, f"{fixed} for {self.interpolation}")
        require(isinstance(self.pad, int) and 0 <= self.pad <= 255, "pad", self.pad, "0 to 255")
        require(len(self.mean) == 3 and all(map(math.isfinite, self.mean)), "mean", self.mean, "3 finite numbers")
        ok = len(self.std) == 3 and all(math.isfinite(v) and v > 0 for v in self.std)
        require(ok, "std", self.std, "3 positive numbers")

    @property
    def digest(self) -> str:
        """sha256 (hex) of the canonical form."""
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, read by `from_dict`. `align` is left out where it is `centre`, as it once always was."""
        data = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        if self.align == "centre":
            del data["align"]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PreprocessSpec:
        """Inverse of `to_dict`. Raises InputError on an unknown key; a missing key takes its default."""
        known_keys("PreprocessSpec", data, {f.name for f in fields(cls)})
        return cls(**data)

    def describe(self) -> str:
        """One line for people."""
        antialiased = self.antialias and self.interpolation not in ("area", "pyramid")
        how = f"{self.interpolation}{' antialiased' if antialiased else ''}"
        if self.resize == "crop":
            policy = f"shorter side {self.shorter_side}, centre crop {self.height}x{self.width}"
        else:
            where = " at the top left" if self.align == "corner" else ""
            policy = f"{self.resize}{where} {self.height}x{self.width}"
        return f"{policy}, {how}, {self.color}"


@dataclass(frozen=True)
class Suppression:
    """Which of several boxes on one thing is kept: the one of the highest score.

    Attributes:
        iou: a box that overlaps a kept one of a higher score by more than this is left out; 0 to 1.
        across_classes: also where the two are of different classes.

    Raises:
        InputError: a value out of its range.
    """

    iou: float = 0.6
    across_classes: bool = False

    def __post_init__(self) -> None:
        ok = isinstance(self.iou, (int, float)) and not isinstance(self.iou, bool) and 0 < self.iou < 1
        require(ok, "suppression.iou", self.iou, "more than 0 and less than 1")
        across = self.across_classes
        require(isinstance(across, bool), "suppression.across_classes", across, "true or false")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Suppression:
        """Inverse of `to_dict`. Raises InputError on an unknown key."""
        known_keys("Suppression", data, {f.name for f in fields(cls)})
        return cls(**data)


def require(ok: bool, name: str, got: object, expected: str) -> None:
    """Raises InputError unless a field's value is `ok`."""
    if not ok:
        raise InputError(f"{name} has a value that cannot be used.", got=repr(got), expected=expected)


def _numbers(name: str, got: Any) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in got)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} has a value that cannot be used.", got=repr(got), expected="3 numbers") from error


def choice(name: str, got: object, allowed: tuple[str, ...]) -> None:
    """Raises InputError unless `got` is one of `allowed`."""
    require(got in allowed, name, got, "one of " + ", ".join(allowed))


def known_keys(what: str, data: Mapping[str, Any], names: set[str]) -> None:
    """Raises InputError where the plain data of `what` has other keys than `names`."""
    unknown = sorted(set(data) - names)
    if unknown:
        raise InputError(
            f"{what} has unknown keys.",
            got=", ".join(unknown),
            expected="only " + ", ".join(sorted(names)),
            fix="it may come from a newer edgekit: upgrade, or remove the key",
        )
