"""Everything that is written, in a thread of its own, so that a slow disk delays no frame.

Each part fails for itself: a clip that cannot be written costs no event, and a delivery that raises costs neither a row
nor what the other deliveries are told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from edgekit.camera.config import CameraConfig
from edgekit.camera.deliver import make_deliveries
from edgekit.camera.deliver.base import CameraNow, Event, Setup, no_update, nowhere
from edgekit.camera.deliver.fan_out import FanOut
from edgekit.camera.deliver.listener import Listener
from edgekit.camera.deliver.queued.queued import QueuedDelivery
from edgekit.camera.problems import Problems
from edgekit.camera.store.database import NAME
from edgekit.camera.store.leftovers import crashed
from edgekit.camera.store.pending.outbox import Outbox
from edgekit.camera.store.store import Store
from edgekit.camera.writing.frame_result import FrameResult
from edgekit.camera.writing.recorder import Recorded, Recorder
from edgekit.vision.draw import with_boxes

_WAITING = 8  # results, of all cameras together
_LEAST = 4  # of one
_EVERY = 5.0  # seconds between two writes of counts that rose, and two looks whether there is room
_SELDOM = 180.0  # seconds between two writes of how long was watched: a write costs an SD card 32 kB


class EventWriter:
    """Completes the events of all cameras and hands them to the store and the deliveries; writes pictures and clips.

    Args:
        config: of the process: store, deliveries.
        recorded: the cameras whose results will come.
        fps: of the annotated frames, a second, once they come.
        listeners: get every event, each a copy.
        cameras, switch, update: as `Setup` has them.

    Attributes:
        started: visits that began, by label.

    Raises:
        EdgekitError: the store or a delivery cannot be used as it is configured.
    """

    def __init__(
        self,
        config: CameraConfig,
        recorded: Sequence[Recorded],
        say: Callable[[str], None],
        *,
        fps: Callable[[], float],
        listeners: tuple[Listener, ...] = (),
        cameras: Callable[[], Sequence[CameraNow]] = tuple,
        switch: Callable[[str, bool], None] = nowhere,
        update: Callable[[bytes], object] = no_update,
    ) -> None:
        self._say = say
        folder = config.store.folder
        outbox = self._outbox = Outbox(folder / NAME if folder else None, say)
        patient = all(camera.patient for camera in recorded)
        setup = Setup(config, patient, fps, outbox, say, cameras, switch, update)
        self._fan_out = FanOut(make_deliveries(setup, listeners), say)
        outbox.keep_only(self._fan_out.names)
        self.store = Store(folder, config.store, say, outbox) if folder else None
        self._recorders = {camera.config.camera: Recorder(camera, self.store) for camera in recorded}
        self._most = max(_LEAST, _WAITING // len(recorded)) if len(recorded) > 1 else _WAITING
        self._queue: deque[FrameResult] = deque()
        self._changed = threading.Condition()
        self._done = False
        self._busy_since: float | None = None
        self._at: tuple[FrameResult | None, Event | None] = (None, None)  # what is left of a result, what is being told
        self._seq = 0
        self._recovered = self.store is None
        self._counted = self._looked = time.monotonic()
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

    def renew(self) -> None:
        """Gives the queue to a new thread; one that hangs does nothing more once it comes back.

        The event at which it hung is told to the deliveries, and waits in the store. A picture or clip that it was
        writing is not waited for.
        """
        with self._changed:
            result, told = self._at
            self._at = (None, None)
            if result is not None:
                self._queue.appendleft(result)
            self._busy_since = None
            self._thread = threading.Thread(target=self._run, args=(told,), name="camera-output", daemon=True)
        if self.store:
            self.store.leave()
        self._thread.start()

    @property
    def dead(self) -> bool:
        """Whether its thread ended though nobody asked it to."""
        return self._thread.ident is not None and not self._thread.is_alive() and not self._done

    def put(self, result: FrameResult) -> None:
        """Takes what came of a frame. A slow disk costs its camera pictures, or time, and the others nothing."""
        recorder = self._of(result)
        with self._changed:
            if recorder.patient:
                self._changed.wait_for(lambda: self._waiting(result) < self._most or self._done)
            elif self._waiting(result) >= self._most:
                self._give_up(result.camera)
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
    def queued(self) -> list[QueuedDelivery]:
        """The deliveries with threads of their own."""
        return self._fan_out.queued

    @property
    def problem(self) -> str:
        """What cannot be written now, or nothing."""
        return (self.store.problem if self.store else "") or self._problems.problem or self._fan_out.problem

    @property
    def undelivered(self) -> str:
        """Why somebody cannot be told now, or nothing."""
        return self._fan_out.problem

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

    def _of(self, result: FrameResult) -> Recorder:
        return self._recorders[result.camera] if result.camera else next(iter(self._recorders.values()))

    def _waiting(self, result: FrameResult) -> int:
        """Results of the same camera in the queue."""
        return sum(other.camera == result.camera for other in self._queue)

    def _give_up(self, camera: str) -> None:
        """The camera's oldest result without events and pictures goes; where all have some, the oldest picture."""
        mine = [(i, o) for i, o in enumerate(self._queue) if o.camera == camera]
        plain = next((o for _, o in mine if not o.events and not o.pictured and not o.model), None)
        self.skipped += 1
        if plain is not None:
            self._queue.remove(plain)
            return
        index = next((i for i, o in mine if o.frame is not None), None)
        if index is not None:
            self._queue[index] = replace(self._queue[index], frame=None)

    def _run(self, told: Event | None = None) -> None:
        me = threading.current_thread()
        if told is not None:  # by a thread that hung
            self._fan_out.deliver(told)
        while self._thread is me:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue) or self._done, 1.0)
                result = self._queue.popleft() if self._queue else None
                over = self._done and result is None
                self._changed.notify_all()
            self._busy_since = time.monotonic()
            if result is not None:
                self._problems.attempt("events", partial(self._write, result))
            if self._thread is me:
                self._problems.attempt("output", partial(self._regularly, over))
            if self._thread is not me:
                return
            self._busy_since = None
            if over:
                return

    def _write(self, result: FrameResult) -> None:
        recorder = self._of(result)
        recorder.model = dict(result.model or recorder.model)
        if result.frame is not None and (self._fan_out.takes_frames or recorder.wants(result)):
            self._problems.attempt("pictures", partial(self._picture, recorder, result))
        me = threading.current_thread()
        for i, event in enumerate(result.events):
            if self._thread is not me:
                return
            self._at = (replace(result, frame=None, events=result.events[i:]), None)
            whole = recorder.completed(event, self._next())
            if self._thread is not me:
                return
            self._at = (replace(result, frame=None, events=result.events[i + 1 :]), whole)
            self._tell(whole)
        if self._thread is me:
            self._at = (None, None)

    def _picture(self, recorder: Recorder, result: FrameResult) -> None:
        assert result.frame is not None
        drawn = with_boxes(result.frame, result.shown)
        if recorder.wants(result):
            recorder.see(result, drawn)
        self._fan_out.show(drawn, result.at)

    def _recover(self) -> None:
        """Once the store can be read: ends the visits in which an earlier process died."""
        if self._recovered or self.store is None or not self.store.readable:
            return
        self._recovered = True
        self.store.sweep([ident for recorder in self._recorders.values() for ident in recorder.running])
        for event in self.store.unfinished():
            self._tell(crashed(event, self._next()))

    def _next(self) -> int:
        self._seq = self.store.next_seq() if self.store else self._seq + 1
        return self._seq

    def _tell(self, event: Event) -> None:
        self.events += 1
        owed = self._fan_out.owed(event)
        if self.store:
            self._problems.attempt("store", partial(self.store.add, event, owed))
        else:
            self._outbox.promise(event, owed)
        if self._thread is not threading.current_thread() and self._thread.is_alive():
            return  # it hung, and who took over told the deliveries
        if event["type"] == "start":
            self.started[event["label"]] = self.started.get(event["label"], 0) + 1
        self._fan_out.deliver(event)

    def _regularly(self, over: bool) -> None:
        for recorder in self._recorders.values():
            recorder.finish(over)
        self._fan_out.close() if over else self._fan_out.flush()
        store = self.store
        if store is not None:
            store.flush()
            store.watch()
            self._recover()
        if over or time.monotonic() - self._looked >= _EVERY:
            self._looked = time.monotonic()
            risen = any(recorder.counts.risen for recorder in self._recorders.values())
            if over or risen or self._looked - self._counted >= _SELDOM:
                self._counted = self._looked
                for name, recorder in self._recorders.items():
                    taken = recorder.counts.take()  # without a store too: what nobody takes grows
                    if store is not None:
                        store.count(name, *taken)
            if store is not None:
                store.tidy()
        if over and store is not None:
            store.close()
