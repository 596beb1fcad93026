"""Everything that is written, in a thread of its own, so that a slow disk delays no frame."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgekit.camera.clips import Clips
from edgekit.camera.clock import wall
from edgekit.camera.config import CameraConfig
from edgekit.camera.counts import CountBook
from edgekit.camera.reader import local_day
from edgekit.camera.sink import VideoSink, print_event
from edgekit.camera.store import Store, crashed
from edgekit.camera.view import encode
from edgekit.camera.visits import News
from edgekit.errors import EdgekitError
from edgekit.vision.decode import Detections
from edgekit.vision.draw import with_boxes
from edgekit.vision.image import Frame

Event = dict[str, Any]

_WAITING = 8  # outcomes
_EVERY = 5.0  # seconds between two writes of counts
_ORDER = ("schema", "id", "seq", "type", "device", "camera")  # first in an event, for people


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a frame.

    Attributes:
        frame: None where it was given up because the disk is slow.
        shown: what is drawn on it.
        pictured: visits that this frame shows best so far.
    """

    frame: Frame | None
    shown: Detections
    at: float
    news: tuple[News, ...] = ()
    pictured: tuple[str, ...] = ()


class Outbox:
    """Completes events and hands them to the store, stdout and who else listens; writes video, pictures and clips.

    Args:
        model: name, sha256, precision, for the events.
        patient: whether `put` waits for a slow disk, as for files; else pictures are given up, and events never.
        listeners: get every event.
    """

    def __init__(
        self,
        config: CameraConfig,
        model: Mapping[str, str],
        counts: CountBook,
        say: Callable[[str], None],
        *,
        patient: bool,
        fps: Callable[[], float],
        listeners: tuple[Callable[[Event], None], ...] = (),
    ) -> None:
        self._config, self._model, self._counts, self._say = config, dict(model), counts, say
        self._listeners = (*listeners, *((print_event,) if config.output.json_lines else ()))
        self.store = Store(config.store.folder, config.store) if config.store.folder else None
        self._video = VideoSink(config.output.video, fps) if config.output.video else None
        self._clips = Clips(config.store.folder, config.visits) if config.visits.clip and config.store.folder else None
        self._patient = patient
        self._queue: deque[Outcome] = deque()
        self._changed = threading.Condition()
        self._done = False
        self._busy_since: float | None = None
        self._seq = self.store.seq if self.store else 0
        self._pictures: dict[str, bytes] = {}
        self._files: dict[str, dict[str, Any]] = {}
        self._counted = time.monotonic()
        self.events = 0
        self.skipped = 0
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="camera-output", daemon=True)

    def start(self) -> None:
        """Ends the visits in which an earlier process died, then takes outcomes."""
        if self.store:
            self.store.sweep()
            for event in self.store.unfinished():
                self._seq += 1
                self._tell(crashed(event, self._seq))
        self._thread.start()

    def set_model(self, model: Mapping[str, str]) -> None:
        """What later events say about the model."""
        self._model = dict(model)

    def put(self, outcome: Outcome) -> None:
        with self._changed:
            if self._patient:
                self._changed.wait_for(lambda: len(self._queue) < _WAITING or self._done)
            elif len(self._queue) >= _WAITING:
                self._give_up()
            self._queue.append(outcome)
            self._changed.notify_all()

    def stop(self, timeout: float = 10) -> bool:
        """Writes what waits and closes everything; whether that was done in time."""
        with self._changed:
            self._done = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def stuck_for(self) -> float:
        """Seconds that the thread has been at one outcome."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def trouble(self) -> str:
        """What cannot be written now, or nothing."""
        return self.problem or (self.store.problem if self.store else "")

    def _give_up(self) -> None:
        """The oldest outcome without news and pictures goes; where all have some, the oldest picture."""
        plain = next((o for o in self._queue if not o.news and not o.pictured), None)
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
                outcome = self._queue.popleft() if self._queue else None
                over = self._done and outcome is None
                self._changed.notify_all()
            self._busy_since = time.monotonic()
            try:
                if outcome is not None:
                    self._write(outcome)
                self._regularly(over)
            except EdgekitError as error:
                self._failed(f"{error.what} {error.got or ''}".strip())
            except Exception as error:  # noqa: BLE001 - frames must go on whatever a disk or codec does
                self._failed(f"output failed: {type(error).__name__}: {error}")
            self._busy_since = None
            if over:
                return

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            self._say(f"error: {problem}")
        self.problem = problem

    def _write(self, outcome: Outcome) -> None:
        frame, at = outcome.frame, outcome.at
        if frame is not None and (self._video or self._clips or outcome.pictured):
            drawn = with_boxes(frame, outcome.shown)
            if self._video:
                self._write_video(drawn, at)
            if self._clips or (outcome.pictured and self.store and self._config.visits.snapshot):
                jpeg = encode(drawn)
                self._pictures.update(dict.fromkeys(outcome.pictured, jpeg))
                if self._clips:
                    for ident in self._clips.see(jpeg, at):
                        self._clips.finish(ident)
        for news in outcome.news:
            self._tell(self._event(news))

    def _write_video(self, drawn: Frame, at: float) -> None:
        assert self._video is not None
        try:
            self._video.write(drawn, at)
        except EdgekitError:
            self._video = None  # said once; the rest goes on
            raise

    def _event(self, news: News) -> Event:
        self._seq += 1
        day = local_day(wall(news.at))
        if self._clips and news.kind == "start":
            self._clips.begin(news.ident, news.at, day)
        picture = self._pictures.pop(news.ident, None)
        if picture is not None and self.store and self._config.visits.snapshot:
            kept = self._files.get(news.ident)
            folder = kept["path"].split("/")[1] if kept else day
            written = self.store.keep_file("snapshots", f"{news.ident}.jpg", picture, folder)
            if written:
                self._files[news.ident] = written
        clip = self._clips.name(news.ident) if self._clips else None
        if self._clips and news.kind == "end":
            self._clips.end(news.ident, news.at)
        snapshot = self._files.pop(news.ident, None) if news.kind == "end" else self._files.get(news.ident)
        whole = {
            **news.content,
            "seq": self._seq,
            "device": self._config.device,
            "camera": self._config.camera,
            "model": self._model,
            "snapshot": snapshot,
            "clip": {"path": clip} if clip else None,
        }
        return {**{key: whole[key] for key in _ORDER}, **whole}

    def _tell(self, event: Event) -> None:
        self.events += 1
        if self.store:
            self.store.add(event)
        for listener in self._listeners:
            listener(event)

    def _regularly(self, over: bool) -> None:
        if over and self._video:
            self._video.close()
        if over and self._clips:
            for ident in self._clips.open:
                self._clips.finish(ident)
        if self.store is None:
            return
        self.store.flush()
        if over or time.monotonic() - self._counted >= _EVERY:
            self._counted = time.monotonic()
            self.store.count(*self._counts.take())
            self.store.tidy()
        if over:
            self.store.close()
