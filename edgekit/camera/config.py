"""The camera's configuration: one TOML, validated, every key overridable."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from edgekit.config.backends import Backend
from edgekit.config.keys import Where
from edgekit.config.tables import Kind, Table
from edgekit.errors import UsageError

Point = tuple[float, float]
MB = 1_000_000
# what openssl pkey -pubout prints: SubjectPublicKeyInfo of Ed25519 (RFC 8410, section 4) in base64
PublicKey = Annotated[str, StringConstraints(pattern=r"^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$")]


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


class LabelRule(Table):
    """When a label is confirmed; what is left out comes from [visits]."""

    min_score: float | None = Field(default=None, ge=0, le=1)
    threshold: float | None = Field(default=None, ge=0, le=1)
    alarm: float | None = Field(default=None, ge=0, le=1)


class VisitConfig(Table):
    """When tracks become a visit, and what is kept of it."""

    labels: tuple[str, ...] = Field(default=(), description="that make visits; none: every class")
    min_score: float | None = Field(default=None, ge=0, le=1, description="none: the model's of the class, or 0.5")
    threshold: float | None = Field(default=None, ge=0, le=1, description="of the median; none: the model's, or 0.7")
    alarm: float | None = Field(default=None, ge=0, le=1, description="of the best score; none: the model's, or 0")
    end_after: float = Field(default=3, gt=0, description="seconds without until a visit ends")
    cooldown: float = Field(default=5, ge=0, description="seconds after a visit until the label's next one")
    update_every: float = Field(default=10, gt=0, description="seconds")
    snapshot: bool = True
    plain: bool = Field(default=True, description="the snapshot's frame too, nothing drawn on it: to label")
    clip: bool = False
    pre_roll: float = Field(default=3, ge=0, le=60, description="seconds before the visit in its clip")
    post_roll: float = Field(default=2, ge=0, le=60, description="seconds after it")
    longest_clip: float = Field(default=60, gt=0, le=600, description="seconds")


class StoreConfig(Table):
    """Where visits are kept: SQLite and pictures in one folder."""

    folder: Path | None = Field(default=None, description="none: nothing is kept")
    quota_mb: float = Field(default=2000, gt=0, description="of everything in it; the oldest pictures and clips go")
    rows_mb: float | None = Field(
        default=None, gt=0, description="of visits.db, whose oldest visits go; none: a quarter"
    )
    reserve_mb: float = Field(default=500, ge=0, description="of the disk that pictures and clips leave free")

    @property
    def most_rows_mb(self) -> float:
        return self.quota_mb / 4 if self.rows_mb is None else self.rows_mb

    @model_validator(mode="after")
    def _room_for_rows(self) -> StoreConfig:
        if self.most_rows_mb > self.quota_mb:
            raise ValueError("rows_mb is a part of quota_mb, and no larger")
        return self


class WebConfig(Table):
    """The page. Only this machine reaches it, unless `host` says otherwise; then it needs a token."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535, description="0: any free one")
    token: str | None = Field(
        default=None, repr=False, description="16 characters or more; `${NAME}` is of the environment"
    )
    viewers: int = Field(default=4, ge=1, le=64, description="of the live picture at a time")
    live_fps: float = Field(default=10, gt=0, le=60)


class LearnConfig(Table):
    """Learning from visits that were marked on the page, when the camera starts."""

    enabled: bool = False
    golden: str | None = Field(default=None, description="labelled pictures with boxes, which judge what was learnt")
    split: str | None = Field(default=None, description="train, val, test or all; none: the held-out one")
    map: str | None = Field(default=None, description="where they call classes differently, as --map")


class UpdateConfig(Table):
    """Models that come signed while the camera is at the hive (docs/updates.md)."""

    keys: tuple[PublicKey, ...] = Field(default=(), description="ed25519 public keys that may sign; none: no updates")
    trial_minutes: float = Field(default=10, gt=0, le=1440, description="a new model looks until it is kept")
    trial_looks: int = Field(default=100, ge=1, le=100_000, description="that it takes at least in that time")
    slowest: float = Field(default=2, ge=1, le=100, description="times the old model's time a look that it may take")


class OutputConfig(Table):
    """What else is written."""

    video: Path | None = Field(default=None, description="an annotated video, .mp4 or .avi")
    json_lines: bool = Field(default=False, description="events on stdout, one JSON object a line")


class OneCamera(Table):
    """One of several cameras before one model; what it leaves out, table by table and key by key, is as at the top."""

    name: str = Field(min_length=1, max_length=64)
    source: SourceConfig
    rate: RateConfig = RateConfig()
    motion: MotionConfig = MotionConfig()
    zones: tuple[Zone, ...] | None = None
    track: TrackConfig = TrackConfig()
    visits: VisitConfig = VisitConfig()
    labels: dict[str, LabelRule] = Field(default_factory=dict)

    @field_validator("source")
    @classmethod
    def _somewhere(cls, source: SourceConfig) -> SourceConfig:
        if not source.uri:
            raise ValueError("a source with a uri of its own")
        return source


class CameraConfig(Table):
    """Everything that `edgekit camera` is told."""

    device: str = Field(default_factory=lambda: socket.gethostname() or "device", min_length=1, max_length=64)
    camera: str = Field(default="hive", min_length=1, max_length=64)
    source: SourceConfig = SourceConfig()
    model: ModelConfig = ModelConfig()
    rate: RateConfig = RateConfig()
    thermal: ThermalConfig = ThermalConfig()
    motion: MotionConfig = MotionConfig()
    zones: tuple[Zone, ...] = ()
    track: TrackConfig = TrackConfig()
    visits: VisitConfig = VisitConfig()
    labels: dict[str, LabelRule] = Field(default_factory=dict)
    store: StoreConfig = StoreConfig()
    web: WebConfig = WebConfig()
    learn: LearnConfig = LearnConfig()
    update: UpdateConfig = UpdateConfig()
    output: OutputConfig = OutputConfig()
    # [deliver.NAME]: each delivery knows its own keys; they may hold passwords
    deliver: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    cameras: tuple[OneCamera, ...] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _apart(self) -> CameraConfig:
        names = [camera.name for camera in self.cameras]
        if len(names) != len(set(names)):
            raise ValueError("cameras of different names")
        if names and self.source.uri:
            raise ValueError("source.uri at the top or in each of [[cameras]], not both")
        if names and self.output.video is not None:
            raise ValueError("output.video with one camera: leave it out")
        return self

    def each(self) -> tuple[CameraConfig, ...]:
        """The configuration of each camera by itself: of one, this; of several, each with what it has of its own."""
        return tuple(self._of(camera) for camera in self.cameras) or (self,)

    def _of(self, camera: OneCamera) -> CameraConfig:
        own: dict[str, Any] = {"camera": camera.name, "cameras": (), "labels": {**self.labels, **camera.labels}}
        for name in ("source", "rate", "motion", "track", "visits"):
            table: Table = getattr(camera, name)
            given = {key: getattr(table, key) for key in table.model_fields_set}
            own[name] = getattr(self, name).model_copy(update=given)
        if camera.zones is not None:
            own["zones"] = camera.zones
        return self.model_copy(update=own)


_LISTED = 3  # cameras, its place in the list, a key of it: a table there may hold an address


def _secret(where: Where, value: Any) -> bool:
    """Of a value in the wrong place: whether it is, holds or may be meant as an address or token."""
    return (
        bool({"uri", "token"} & set(where))
        or where in (("source",), ("web",), ("cameras",))
        or (where[:1] == ("cameras",) and len(where) <= _LISTED)
        or where[:1] == ("deliver",)
        or not _plain(value)
    )


def _plain(value: Any) -> bool:
    """Whether a message may repeat it: a number, or a text without an @."""
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and "@" not in value)


CONFIGURATIONS = Kind(CameraConfig, "a camera's configuration", example="web.port=8090", secret=_secret)


def load_config(path: Path | None, changes: Sequence[str] = ()) -> CameraConfig:
    """The configuration of a TOML file, or the defaults where there is none.

    Args:
        changes: `table.key=value`, as on the command line, typed as the keys are: `source.uri=0` is the text 0.

    Raises:
        UsageError: not readable, not TOML, an unknown key with the nearest known one, or a value out of its range.
    """
    if path is None:
        return parse_config("", "the command line", changes)
    if ":/" in str(path) and not path.exists():  # no word of it is repeated
        raise UsageError(
            "An address is not a camera's configuration.", expected="a TOML file", fix="edgekit camera --source ADDRESS"
        )
    return CONFIGURATIONS.read(path, changes)


def parse_config(text: str, source: str, changes: Sequence[str] = ()) -> CameraConfig:
    """A configuration from TOML text; `source` is for the messages. Raises UsageError as `load_config`."""
    return CONFIGURATIONS.parse(text, source, changes)
