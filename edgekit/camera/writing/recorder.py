"""One camera's share of the output: the pictures and clips of its visits, and its events, completed with them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.camera.clock import wall
from edgekit.camera.config import CameraConfig
from edgekit.camera.deliver.base import Event
from edgekit.camera.deliver.live_view import encode
from edgekit.camera.events.counts import QuarterCounts
from edgekit.camera.events.pictured import Pictured, objects_of
from edgekit.camera.events.visits import VisitEvent
from edgekit.camera.store.clips import Clips
from edgekit.camera.store.reader import local_day
from edgekit.camera.store.store import Store
from edgekit.camera.writing.frame_result import FrameResult
from edgekit.vision.image import Frame

_ORDER = ("schema", "id", "seq", "type", "device", "camera")  # first in an event, for people


@dataclass(frozen=True)
class Recorded:
    """A camera whose results are written.

    Attributes:
        config: of this camera alone.
        model: name, sha256, precision, for its events.
        counts: what its loop counts.
        patient: whether its loop waits for a slow disk, as for files; else pictures are given up, and events never.
    """

    config: CameraConfig
    model: Mapping[str, str]
    counts: QuarterCounts
    patient: bool


class Recorder:
    """Keeps the pictures and clips of a camera's visits. All calls come from the output's one thread.

    Args:
        store: of all cameras; None where nothing is kept.
    """

    def __init__(self, recorded: Recorded, store: Store | None) -> None:
        self.patient, self.counts, self.model = recorded.patient, recorded.counts, dict(recorded.model)
        self._config, self._store = recorded.config, store
        self.name = recorded.config.camera
        self._clips: Clips | None = None
        if store is not None and recorded.config.visits.clip:
            pictures, visits = store.pictures, recorded.config.visits
            self._clips = Clips(store.folder, visits, store.room_for, pictures.clip_lost, pictures.clips_today)
        self._pictures: dict[str, Pictured] = {}
        self._files: dict[str, dict[str, dict[str, Any]]] = {}

    def wants(self, result: FrameResult) -> bool:
        """Whether the frame is worth drawing on: for a clip or a picture of a visit."""
        return bool(self._clips or (result.pictured and self._store and self._config.visits.snapshot))

    def see(self, result: FrameResult, drawn: Frame) -> None:
        """Takes a frame that it `wants`, as it came and drawn on."""
        assert result.frame is not None
        jpeg = encode(drawn)
        if result.pictured:
            plain = encode(result.frame) if self._config.visits.plain else None
            picture = Pictured(jpeg, plain, objects_of(result.frame, result.found))
            self._pictures.update(dict.fromkeys(result.pictured, picture))
        for ident in self._clips.see(jpeg, result.at) if self._clips else ():
            self._finish(ident)

    def completed(self, event: VisitEvent, number: int) -> Event:
        """The event as everybody is told it, `number` its place in the order; its pictures are on the disk then."""
        mine = {"seq": number, "device": self._config.device, "camera": self.name}
        if event.kind in ("lost", "back"):
            return {**{key: {**event.content, **mine}[key] for key in _ORDER}, **event.content}
        day = local_day(wall(event.at) if event.moment is None else event.moment)
        if self._clips and event.kind == "start":
            self._clips.begin(event.ident, event.at, day)
        picture = self._pictures.pop(event.ident, None)
        if picture is not None and self._store and self._config.visits.snapshot:
            self._keep(self._store, event.ident, picture, day)
        clip = self._clips.name(event.ident) if self._clips else None
        if self._clips and event.kind == "end":
            self._clips.end(event.ident, event.at)
        files = self._files.pop(event.ident, {}) if event.kind == "end" else self._files.get(event.ident, {})
        whole = {
            **event.content,
            **mine,
            "model": self.model,
            "snapshot": files.get("snapshot"),
            "plain": files.get("plain"),
            "clip": {"path": clip} if clip else None,
        }
        return {**{key: whole[key] for key in _ORDER}, **whole}

    def finish(self, over: bool) -> None:
        """Closes the clips whose time is over; all of them at the end."""
        if self._clips:
            now = float("-inf") if self.patient else time.monotonic()  # of a file frames alone tell the time
            for ident in self._clips.open if over else self._clips.over(now):  # no frame comes of a lost camera
                self._finish(ident)

    @property
    def running(self) -> tuple[str, ...]:
        """Visits whose clip is being written."""
        return self._clips.open if self._clips else ()

    def _finish(self, ident: str) -> None:
        """Closes a clip; from then on its visit names it."""
        path = self._clips.finish(ident) if self._clips else None
        if path is not None and self._store:
            self._store.name_clip(ident, path.relative_to(self._store.folder).as_posix())

    def _keep(self, store: Store, ident: str, picture: Pictured, day: str) -> None:
        """Writes a visit's pictures, in the folder of those before; one that cannot be written leaves the last."""
        files = self._files.setdefault(ident, {})
        name, folder = f"{ident}.jpg", files["snapshot"]["path"].split("/")[1] if "snapshot" in files else day
        if written := store.keep_file("snapshots", name, picture.drawn, folder):
            files["snapshot"] = written
        if picture.plain is not None and (written := store.keep_file("plain", name, picture.plain, folder)):
            files["plain"] = {**written, "objects": list(picture.objects)}
