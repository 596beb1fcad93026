"""The camera's configuration: one TOML, validated, every key overridable."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from edgekit.camera.tables.keeping import (
    MB,
    LabelRule,
    LearnConfig,
    OutputConfig,
    StoreConfig,
    UpdateConfig,
    VisitConfig,
    WebConfig,
)
from edgekit.camera.tables.seeing import (
    ModelConfig,
    MotionConfig,
    RateConfig,
    SourceConfig,
    ThermalConfig,
    TrackConfig,
    Zone,
)
from edgekit.config.keys import Where
from edgekit.config.tables import Kind, Table
from edgekit.errors import UsageError

__all__ = [  # all that is in a configuration, by one name
    "CONFIGURATIONS",
    "MB",
    "CameraConfig",
    "LabelRule",
    "LearnConfig",
    "ModelConfig",
    "MotionConfig",
    "OneCamera",
    "OutputConfig",
    "RateConfig",
    "SourceConfig",
    "StoreConfig",
    "ThermalConfig",
    "TrackConfig",
    "UpdateConfig",
    "VisitConfig",
    "WebConfig",
    "Zone",
    "load_config",
    "parse_config",
]


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
