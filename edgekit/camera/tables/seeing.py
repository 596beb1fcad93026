"""How frames come, and how they are looked at: source, model, rate, heat, motion, zones, tracks."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from edgekit.config.backends import Backend
from edgekit.config.tables import Table

Point = tuple[float, float]


class SourceConfig(Table):
    """Where frames come from; `${NAME}` in the uri is taken from the environment, so that passwords stay out of it."""

    uri: str = Field(
        default="",
        repr=False,
        description="0, /dev/video0, csi://0, rtsp://, rtmp://, srt://, udp://, http://, a file, folder or glob, synthetic://",
    )
    width: int = Field(default=0, ge=0, le=16384, description="asked of a device; 0: the device's own")
    height: int = Field(default=0, ge=0, le=16384)
    fps: float = Field(
        default=0,
        ge=0,
        le=240,
        description="asked of a device or for still pictures; of files the pace, and stamps don't count; 0: its own",
    )
    real_time: bool = Field(default=False, description="a file at its own pace instead of as fast as possible")
    start: datetime | None = Field(
        default=None,
        description="when a file's first frame was taken: RFC 3339 with a zone; none: by the file's own time",
    )
    open_timeout: float = Field(default=2, gt=0, le=60, description="seconds")
    read_timeout: float = Field(default=2, gt=0, le=60, description="seconds without a frame until a stream is stalled")
    age_limit: float = Field(default=2, gt=0, description="seconds; an older frame is dropped")
    frozen_after: float = Field(default=10, gt=0, description="seconds of the same picture until a stream is frozen")
    lost_after: float = Field(
        default=600, ge=0, description="seconds without a picture until a camera is told to be lost; 0: never"
    )
    retry_longest: float = Field(default=60, ge=1, le=3600, description="seconds; the back-off grows from 1 to this")
    rotate: Literal[0, 90, 180, 270] = Field(
        default=0, description="degrees clockwise, where the camera hangs otherwise"
    )
    flip: Literal["", "horizontal", "vertical"] = Field(default="", description="mirrors the picture, after rotate")
    target: str | None = Field(default=None, description="a board whose pipelines decode, as jetson-orin-nano")

    @field_validator("start", mode="before")
    @classmethod
    def _a_moment(cls, start: Any) -> Any:
        if isinstance(start, str) and re.fullmatch(
            r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", start
        ):
            try:
                start = datetime.fromisoformat(_written_long(start))
            except ValueError as error:
                raise ValueError(f"a moment that exists ({error})") from None
        if start is None or (isinstance(start, datetime) and start.tzinfo is not None and start.timestamp() >= 0):
            return start
        raise ValueError("RFC 3339 with a zone, from 1970 on, as 2026-06-01T10:00:00+02:00")


def _written_long(moment: str) -> str:
    """As Python 3.10 reads it: Z is an offset, and a second has six decimals."""
    whole, dot, rest = moment.upper().replace("Z", "+00:00").partition(".")
    if not dot:
        return whole
    decimals, sign, zone = re.split(r"([+-])", rest)
    return f"{whole}.{decimals[:6]:0<6}{sign}{zone}"


class ModelConfig(Table):
    """What looks at the frames."""

    path: Path = Field(default=Path(), description="an exported model")
    backend: Backend = Field(default="onnxruntime", description="what runs an ONNX")
    provider: Literal["cpu", "cuda", "tensorrt"] = Field(default="cpu", description="of onnxruntime")
    threads: int = Field(default=0, ge=0, description="0: one per physical core")
    streams: int = Field(default=0, ge=0, le=64, description="frames of a file at once; 0: one a core, 4 at most")
    tiles: tuple[int, int] = Field(default=(1, 1), description="columns, rows: small insects in large frames")
    overlap: float = Field(default=0.15, ge=0, le=0.5, description="of neighbouring tiles, share of a tile's side")
    absent: tuple[str, ...] = Field(default=(), description="labels that mean there is nothing; a mask's background")
    smallest: float = Field(
        default=1e-4, ge=0, lt=1, description="share of the frame; a mask's smaller pieces are none"
    )
    crops: bool = Field(default=False, description="a classifier looks at what moved instead of the whole frame")

    @field_validator("tiles")
    @classmethod
    def _some(cls, tiles: tuple[int, int]) -> tuple[int, int]:
        if not all(1 <= n <= 8 for n in tiles):
            raise ValueError("1 to 8 columns and rows")
        return tiles

    @model_validator(mode="after")
    def _one_device(self) -> ModelConfig:
        if self.backend != "onnxruntime" and self.provider != "cpu":
            raise ValueError("provider is onnxruntime's: leave it out, or backend")
        return self


class RateConfig(Table):
    """How often a frame is looked at, in frames a second; 0 is as often as possible."""

    fps: float = Field(default=0, ge=0, le=240)
    idle_fps: float = Field(default=1, ge=0, le=240, description="while nothing moves (needs motion.gate)")
    idle_after: float = Field(default=30, gt=0, description="seconds without motion or visits")
    night_fps: float = Field(default=0.2, gt=0, le=240)
    night_below: float = Field(default=0, ge=0, le=255, description="mean grey level; 0: no night mode")


class ThermalConfig(Table):
    """The ladder that cools the board: at each limit in degrees Celsius the rate goes down to the fps beside it."""

    enabled: bool = True
    limits: tuple[float, ...] = (75, 80, 85, 90)
    fps: tuple[float, ...] = (5, 2, 1, 0)
    hysteresis: float = Field(default=5, gt=0, le=40, description="degrees below a limit until the rate goes up again")
    dwell: float = Field(default=15, ge=0, description="seconds between two steps up")

    @model_validator(mode="after")
    def _a_ladder(self) -> ThermalConfig:
        rising = list(self.limits) == sorted(set(self.limits))
        falling = list(self.fps) == sorted(set(self.fps), reverse=True)
        if len(self.limits) != len(self.fps) or not rising or not falling or min(self.fps, default=0) < 0:
            raise ValueError("as many fps as limits; limits rise, fps fall; 0 pauses")
        return self


class MotionConfig(Table):
    """The gate before the model: without motion of an insect's size nothing is inferred."""

    gate: bool = False
    smallest: float = Field(default=2e-5, gt=0, lt=1, description="share of the frame that moves at least")
    largest: float = Field(default=0.05, gt=0, le=1, description="a larger patch is a person, a shadow or a hand")
    contrast: float = Field(default=12, gt=0, le=255, description="grey levels")
    every: float = Field(default=10, gt=0, description="seconds; a look without motion")


class Zone(Table):
    """A polygon in shares of the frame: `watch` (only there), `ignore` (never there) or `mark` (named in events)."""

    name: str = Field(min_length=1, max_length=64)
    use: Literal["watch", "ignore", "mark"] = "mark"
    points: tuple[Point, ...] = Field(min_length=3, max_length=100)

    @field_validator("points")
    @classmethod
    def _inside(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        if any(not 0 <= v <= 1 for point in points for v in point):
            raise ValueError("shares of the width and height, 0 to 1")
        return points


class TrackConfig(Table):
    """How detections become tracks; distances are in the insect's own size."""

    reach: float = Field(default=2, gt=0, description="sizes that an insect may be from where it is expected")
    reach_growth: float = Field(default=10, ge=0, description="sizes a second more while it was not seen")
    lost_after: float = Field(default=1.0, gt=0, description="seconds without a detection")
    hits: int = Field(default=3, ge=1, le=100, description="detections until a track counts")
    history: int = Field(default=10, ge=3, le=100, description="scores in the median")
