"""Everything that is written, in a thread of its own, so that a slow disk delays no frame.

Each part fails for itself: a clip that cannot be written costs no event, and a delivery that raises costs neither a row
nor what the other deliveries are told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from edgekit.camera.clock import wall
from edgekit.camera.config import CameraConfig
from edgekit.camera.deliver import make_deliveries
from edgekit.camera.deliver.base import CameraNow, Event, Setup, nowhere
from edgekit.camera.deliver.fan_out import FanOut
from edgekit.camera.deliver.listener import Listener
from edgekit.camera.deliver.live_view import encode
from edgekit.camera.events.counts import QuarterCounts
from edgekit.camera.events.pictured import Pictured, objects_of
from edgekit.camera.events.visits import VisitEvent
from edgekit.camera.problems import Problems
from edgekit.camera.store.clips import Clips
from edgekit.camera.store.database import NAME
from edgekit.camera.store.leftovers import crashed
from edgekit.camera.store.pending.outbox import Outbox
from edgekit.camera.store.reader import local_day
from edgekit.camera.store.store import Store
from edgekit.vision.draw import with_boxes
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections

_WAITING = 8  # results
_EVERY = 5.0  # seconds between two writes of counts
_ORDER = ("schema", "id", "seq", "type", "device", "camera")  # first in an event, for people


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What came of a frame.

    Attributes:
        frame: None where it was given up because the disk is slow.
        shown: what is drawn on it.
        pictured: visits that this frame shows best so far.
        model: what this and later events say about the model, where that changed.
        found: what the model found in it, under its own labels.
    """

    frame: Frame | None
    shown: Detections
    at: float
    events: tuple[VisitEvent, ...] = ()
    pictured: tuple[str, ...] = ()
    model: Mapping[str, str] | None = None
    found: Detections | None = None


class EventWriter:
    """Completes events and hands them to the store and the deliveries; writes pictures and clips.

    Args:
        model: name, sha256, precision, for the events.
        patient: whether `put` waits for a slow disk, as for files; else pictures are given up, and events never.
        fps: of the annotated frames, a second, once they come.
        listeners: get every event, each a copy.
        cameras, switch: as `Setup` has them.

    Attributes:
        started: visits that began, by label.

    Raises:
        EdgekitError: the store or a delivery cannot be used as it is configured.
    """

    def __init__(
        self,
        config: CameraConfig,
        model: Mapping[str, str],
        counts: QuarterCounts,
        say: Callable[[str], None],
        *,
        patient: bool,
        fps: Callable[[], float],
        listeners: tuple[Listener, ...] = (),
        cameras: Callable[[], Sequence[CameraNow]] = tuple,
        switch: Callable[[str, bool], None] = nowhere,
    ) -> None:
        self._config, self._model, self._counts, self._say = config, dict(model), counts, say
        folder = config.store.folder
        outbox = self._outbox = Outbox(folder / NAME if folder else None, say)
        setup = Setup(config, patient, fps, outbox, say, cameras, switch)
        self._fan_out = FanOut(make_deliveries(setup, listeners), say)
        outbox.keep_only(self._fan_out.names)
        self.store = Store(folder, config.store, say, outbox) if folder else None
        self._clips = self._clips_of(self.store) if self.store and config.visits.clip else None
        self._patient = patient
        self._queue: deque[FrameResult] = deque()
        self._changed = threading.Condition()
        self._done = False
        self._busy_since: float | None = None
        self._seq = 0
        self._recovered = self.store is None
        self._pictures: dict[str, Pictured] = {}
        self._files: dict[str, dict[str, dict[str, Any]]] = {}
        self._counted = time.monotonic()
        self._problems = Problems(say)
        self.started: dict[str, int] = {}
        self.events = 0
        self.skipped = 0
        self.unwritten = 0
        self._thread = threading.Thread(target=self._run, name="camera-output", daemon=True)

    def start(self) -> None:
        """Ends the visits in which an earlier process died, then takes results."""
        if self.store and self.store.open_to_others:
            self._say(f"warning: others on this machine may read {len(self.store.open_to_others)} parts "
                      "of the store: its disk or their owner allows no less")  # fmt: skip
        self._recover()
        self._fan_out.start()
        self._thread.start()

    def put(self, result: FrameResult) -> None:
        with self._changed:
            if self._patient:
                self._changed.wait_for(lambda: len(self._queue) < _WAITING or self._done)
            elif len(self._queue) >= _WAITING:
                self._give_up()
            self._queue.append(result)
            self._changed.notify_all()

    def stop(self, timeout: float = 10) -> bool:
        """Writes what waits and closes everything; whether that was done in time."""
        with self._changed:
            self._done = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if not self._thread.is_alive():
            return True
        with self._changed:
            self.unwritten = sum(len(result.events) for result in self._queue) + (
                self.store.waiting if self.store else 0
            )
        self._say(f"error: the output did not end within {timeout:g} s: {self.unwritten} events were not written")
        return False

    @property
    def stuck_for(self) -> float:
        """Seconds that the thread has been at one result."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def problem(self) -> str:
        """What cannot be written now, or nothing."""
        return (self.store.problem if self.store else "") or self._problems.problem or self._fan_out.problem

    @property
    def dropped(self) -> dict[str, int]:
        """What was given up since the start, by kind: never kept or told (`lost`), or removed to make room."""
        lost = {"events_lost": 0, **(vars(self.store.dropped) if self.store else {})}
        lost["events_lost"] += self.unwritten
        return {**lost, "lines_lost": self._fan_out.lost("lines")}

    @property
    def deliveries(self) -> list[dict[str, Any]]:
        """How each delivery does, as `FanOut.status`."""
        return self._fan_out.status()

    def _give_up(self) -> None:
        """The oldest result without events and pictures goes; where all have some, the oldest picture."""
        plain = next((o for o in self._queue if not o.events and not o.pictured and not o.model), None)
        self.skipped += 1
        if plain is not None:
            self._queue.remove(plain)
            return
        index = next((i for i, o in enumerate(self._queue) if o.frame is not None), None)
        if index is not None:
            self._queue[index] = replace(self._queue[index], frame=None)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue) or self._done, 1.0)
                result = self._queue.popleft() if self._queue else None
                over = self._done and result is None
                self._changed.notify_all()
            self._busy_since = time.monotonic()
            if result is not None:
                self._problems.attempt("events", partial(self._write, result))
            self._problems.attempt("output", partial(self._regularly, over))
            self._busy_since = None
            if over:
                return

    def _write(self, result: FrameResult) -> None:
        self._model = dict(result.model or self._model)
        if result.frame is not None and (self._fan_out.takes_frames or self._clips or result.pictured):
            self._problems.attempt("pictures", partial(self._picture, result))
        for event in result.events:
            self._tell(self._completed(event))

    def _picture(self, result: FrameResult) -> None:
        assert result.frame is not None
        drawn, at = with_boxes(result.frame, result.shown), result.at
        if self._clips or (result.pictured and self.store and self._config.visits.snapshot):
            jpeg = encode(drawn)
            if result.pictured:
                plain = encode(result.frame) if self._config.visits.plain else None
                self._pictures.update(
                    dict.fromkeys(result.pictured, Pictured(jpeg, plain, objects_of(result.frame, result.found)))
                )
            for ident in self._clips.see(jpeg, at) if self._clips else ():
                self._finish(ident)
        self._fan_out.show(drawn, at)

    def _clips_of(self, store: Store) -> Clips:
        return Clips(store.folder, self._config.visits, store.room_for, store.pictures.clip_lost)

    def _finish(self, ident: str) -> None:
        """Closes a clip; from then on its visit names it."""
        path = self._clips.finish(ident) if self._clips else None
        if path is not None and self.store:
            self.store.name_clip(ident, path.relative_to(self.store.folder).as_posix())

    def _recover(self) -> None:
        """Once the store can be read: ends the visits in which an earlier process died."""
        if self._recovered or self.store is None or not self.store.readable:
            return
        self._recovered = True
        self.store.sweep(self._clips.open if self._clips else ())
        for event in self.store.unfinished():
            self._tell(crashed(event, self._next()))

    def _next(self) -> int:
        self._seq = self.store.next_seq() if self.store else self._seq + 1
        return self._seq

    def _completed(self, event: VisitEvent) -> Event:
        number = self._next()
        day = local_day(wall(event.at) if event.moment is None else event.moment)
        if self._clips and event.kind == "start":
            self._clips.begin(event.ident, event.at, day)
        picture = self._pictures.pop(event.ident, None)
        if picture is not None and self.store and self._config.visits.snapshot:
            self._keep(self.store, event.ident, picture, day)
        clip = self._clips.name(event.ident) if self._clips else None
        if self._clips and event.kind == "end":
            self._clips.end(event.ident, event.at)
        files = self._files.pop(event.ident, {}) if event.kind == "end" else self._files.get(event.ident, {})
        whole = {**event.content, "seq": number, "device": self._config.device, "camera": self._config.camera,
                 "model": self._model, "snapshot": files.get("snapshot"), "plain": files.get("plain"),
                 "clip": {"path": clip} if clip else None}  # fmt: skip
        return {**{key: whole[key] for key in _ORDER}, **whole}

    def _keep(self, store: Store, ident: str, picture: Pictured, day: str) -> None:
        """Writes a visit's pictures, in the folder of those before; one that cannot be written leaves the last."""
        files = self._files.setdefault(ident, {})
        name, folder = f"{ident}.jpg", files["snapshot"]["path"].split("/")[1] if "snapshot" in files else day
        if written := store.keep_file("snapshots", name, picture.drawn, folder):
            files["snapshot"] = written
        if picture.plain is not None and (written := store.keep_file("plain", name, picture.plain, folder)):
            files["plain"] = {**written, "objects": list(picture.objects)}

    def _tell(self, event: Event) -> None:
        self.events += 1
        owed = self._fan_out.owed(event)
        if self.store:
            self._problems.attempt("store", partial(self.store.add, event, owed))
        else:
            self._outbox.promise(event, owed)
        if event["type"] == "start":
            self.started[event["label"]] = self.started.get(event["label"], 0) + 1
        self._fan_out.deliver(event)

    def _regularly(self, over: bool) -> None:
        if self._clips:
            now = float("-inf") if self._patient else time.monotonic()  # of a file frames alone tell the time
            for ident in self._clips.open if over else self._clips.over(now):  # no frame comes of a lost camera
                self._finish(ident)
        self._fan_out.close() if over else self._fan_out.flush()
        if self.store is None:
            return
        self.store.flush()
        self.store.watch()
        self._recover()
        if over or time.monotonic() - self._counted >= _EVERY:
            self._counted = time.monotonic()
            self.store.count(*self._counts.take())
            self.store.tidy()
        if over:
            self.store.close()
