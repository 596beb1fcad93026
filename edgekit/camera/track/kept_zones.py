"""Zones that were drawn on the page: `zones.toml` in the store, in place of those in the configuration.

The configuration itself is left alone: it may be read-only, and a person wrote it, with comments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from edgekit.artifacts.atomic import write_bytes
from edgekit.camera.config import CameraConfig, Zone
from edgekit.config.tables import Kind, Table
from edgekit.errors import EdgekitError

NAME = "zones.toml"
MOST = 20  # zones of a camera
_MODE = 0o600
_HEAD = "# Drawn on the page, in place of the configuration's zones. Without this file those count again.\n"


class DrawnZones(Table):
    """What was drawn on one camera's picture; nothing, where all zones were taken away."""

    zones: tuple[Zone, ...] = Field(default=(), max_length=MOST)

    @field_validator("zones")
    @classmethod
    def _can_be_read(cls, zones: tuple[Zone, ...]) -> tuple[Zone, ...]:
        if not all(zone.name.isprintable() for zone in zones):
            raise ValueError("names of letters that can be seen")
        return zones


class _File(Table):
    cameras: dict[str, DrawnZones] = Field(default_factory=dict)


_FILES = Kind(_File, "a file of drawn zones")
_DRAWN = Kind(DrawnZones, "a list of zones")


def checked(given: Mapping[str, Any]) -> tuple[Zone, ...] | None:
    """The zones that a request brings; None where it says null. Raises UsageError for what is neither."""
    if "zones" in given and given["zones"] is None:
        return None
    return _DRAWN.check({"zones": given.get("zones")}, "What was drawn").zones


def read_drawn(store: Path, camera: str) -> tuple[Zone, ...] | None:
    """The zones that were drawn for a camera; None where none ever were.

    Raises:
        UsageError: the file cannot be read, or is none.
    """
    found = _read(store).cameras.get(camera)
    return None if found is None else found.zones


def write_drawn(store: Path, camera: str, zones: Sequence[Zone] | None) -> None:
    """Keeps what was drawn for a camera, or forgets it where that is None: then the configuration's zones count again.
    What was drawn for others stays. For one thread at a time.

    Raises:
        UsageError: the file that is there cannot be read.
        OutputError: it cannot be written.
    """
    tables = {name: found.zones for name, found in _read(store).cameras.items() if name != camera}
    if zones is not None:
        tables[camera] = tuple(zones)
    text = _HEAD + "".join(_table(name, tables[name]) for name in sorted(tables))
    _FILES.parse(text, NAME)  # what cannot be read again is not written
    write_bytes(store / NAME, text.encode(), overwrite=True, mode=_MODE)


def with_drawn(config: CameraConfig, say: Callable[[str], None]) -> CameraConfig:
    """One camera's configuration with the zones that were drawn, where there are some; that is said.

    A file that cannot be read is said too, and the configuration's own zones count: a camera that watches too much
    tells more than one that did not start.
    """
    store = config.store.folder
    if store is None:
        return config
    try:
        zones = read_drawn(store, config.camera)
    except EdgekitError as error:
        say(f"error: the configuration's zones count, since those that were drawn cannot be read: {error}")
        return config
    if zones is None or zones == config.zones:
        return config
    say(f"zones of {config.camera}: the {len(zones)} drawn on the page ({store / NAME}), not the configuration's")
    return config.model_copy(update={"zones": zones})


def _read(store: Path) -> _File:
    path = store / NAME
    return _FILES.read(path) if path.exists() else _File()


def _table(camera: str, zones: Sequence[Zone]) -> str:
    rows = "".join(f"  {{ name = {_quoted(z.name)}, use = {_quoted(z.use)}, points = {_points(z)} }},\n" for z in zones)
    return f"\n[cameras.{_quoted(camera)}]\nzones = [\n{rows}]\n"


def _points(zone: Zone) -> str:
    return json.dumps([[round(v, 4) for v in point] for point in zone.points])


def _quoted(text: str) -> str:
    """A basic string of TOML, whose escapes are JSON's, but that TOML also wants DEL escaped and no surrogates."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
