"""One camera's loop: the newest frame, a look, tracks, visits; everything else happens in other threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from edgekit.camera.config import CameraConfig
from edgekit.camera.deliver.live_view import LiveView
from edgekit.camera.detect.lookahead import streams_of
from edgekit.camera.detect.motion import Motion
from edgekit.camera.events.absence import Absence
from edgekit.camera.events.counts import QuarterCounts
from edgekit.camera.events.visits import Reason, Visit, VisitEvent
from edgekit.camera.health import Health
from edgekit.camera.looking.changes import Change, Changes
from edgekit.camera.looking.eye import Eye
from edgekit.camera.looking.held_model import HeldModel
from edgekit.camera.looking.turns import Turns
from edgekit.camera.problems import Say
from edgekit.camera.rate import RateController
from edgekit.camera.rules import Rules, make_rules
from edgekit.camera.source.feed.base import Feed, Opener, Shot
from edgekit.camera.source.feed.make import make_feed
from edgekit.camera.source.grabber import Ended
from edgekit.camera.source.open import open_grabber
from edgekit.camera.thermal import ThermalLadder
from edgekit.camera.track.shown import drawn, nothing
from edgekit.camera.track.tracker import Track
from edgekit.camera.writing.frame_result import FrameResult
from edgekit.errors import UsageError

_SLICE = 0.2  # seconds, the longest wait without looking whether to stop

Put = Callable[[FrameResult], None]


class Lookout:
    """One camera: a source, a model and the rules of its configuration.

    Args:
        config: of this camera alone.
        put: takes what came of each frame; may wait where the source is a file.
        turns: whose turn it is to look with the model that all cameras share.
        opener: opens the source.
        say: takes lines for people.
        counts: of an earlier one, in whose place this one is.

    Attributes:
        feed: its source; `feed.counters.captured` rises with every frame.
        health: `beat` is called each time the loop goes round, `looked` after each look.
        most, seen: the most at once of each label, and how many of each the last look saw.
        error: what ended the loop, where anything was raised.

    Raises:
        UsageError: a source that cannot be one.
    """

    def __init__(
        self,
        config: CameraConfig,
        put: Put,
        turns: Turns,
        opener: Opener = open_grabber,
        say: Say = print,
        counts: QuarterCounts | None = None,
    ) -> None:
        self.config, self.name, self._opener, self._say = config, config.camera, opener, say
        self._tell = put
        self.health, self.view, self.counts = Health(), LiveView(), counts or QuarterCounts()
        self.most: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self._absence = Absence(time.monotonic())
        self.error: BaseException | None = None
        self._eye = Eye(self.name, turns, self.health, say)
        self.feed = self.health.feed = self._new_feed(config)
        self._stop = threading.Event()
        self._changes = Changes()
        self._last_at = time.monotonic()
        self._left = False
        self._thread = threading.Thread(target=self._run, name=f"camera-loop-{config.camera}", daemon=True)

    def begin(self, model: HeldModel, ladder: ThermalLadder) -> None:
        """Makes the rules. Before `start`, once. Raises UsageError as `make_rules`."""
        self._model, self._ladder = model.hold(), ladder
        self._take(make_rules(self.config, model.model, self.feed.clock))
        self.health.trained_on = model.model.info.get("trained_on", "")

    def start(self) -> None:
        self.feed.start()
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the loop goes on: it began, and neither the source nor anything else ended it."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ends the loop soon."""
        self._stop.set()

    def leave(self) -> None:
        """Ends a loop that hangs in its look, for those around it: its visits end, its source is closed.

        Once the look returns the thread ends; what it saw is nobody's.
        """
        self._left = True
        self._stop.set()
        self.feed.stop()
        self._close_visits("camera_offline")

    @property
    def looks_for(self) -> float:
        """Seconds that the look that goes on has taken; waiting for a frame, or for a turn, is none."""
        return self._eye.looks_for if self.running else 0.0

    def join(self, timeout: float | None = None) -> bool:
        """Waits for the loop's end, `timeout` seconds at most; whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def visits(self) -> tuple[Visit, ...]:
        """Those that are going on."""
        return self._rules.visits.open

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the model at work."""
        return tuple(self._model.model.classes)

    @property
    def model_sha256(self) -> str:
        """Of the file that looks."""
        return self._model.model.info.get("sha256", "")

    def change_of(self, config: CameraConfig, model: HeldModel) -> Change:
        """What another configuration and model make of this camera; nothing is changed yet.

        Raises:
            UsageError: rules that do not fit the model, or a file in the place of a camera.
        """
        feed = self.feed
        if config.source != self.config.source:
            feed = self._new_feed(config)
            if feed.live != self.feed.live:
                raise UsageError("A camera cannot become a file while it runs.", fix="restart")
        return Change(make_rules(config, model.model, feed.clock), feed, model)

    def change(self, change: Change) -> None:
        """Takes it before the next frame, from any thread."""
        self._changes.put(change)

    @property
    def changing(self) -> bool:
        """Whether a change waits for the loop, or is being made."""
        return self._changes.pending

    def cool(self, ladder: ThermalLadder) -> None:
        """From now on this ladder limits the rate."""
        self._ladder = self._rate.ladder = ladder

    def _new_feed(self, config: CameraConfig) -> Feed:
        feed = make_feed(config.source, self._opener, self._say, ahead=max(2, streams_of(config)))
        self._eye.prepare(feed)
        return feed

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.health.beat()
                with self._changes.taken() as change:
                    if change is not None:
                        self._make(change)
                if not self._step():
                    break
        except BaseException as error:  # noqa: BLE001 - who waits for the thread raises it again, or goes on without
            self.error = error
        finally:
            self.feed.stop()
            self._eye.close()
            self._close_visits("shutdown")
            self.view.close()
            self._model.release()

    def _take(self, rules: Rules) -> None:
        """Makes these the rules from the next frame on."""
        self._rules = rules
        self._eye.follow(rules)
        self._rate = self.health.rate = RateController(rules.config, time.monotonic(), self._ladder)
        self._shape: tuple[int, ...] = ()
        self._inferred_at = float("-inf")
        self.config = rules.config

    def _step(self) -> bool:
        """One frame, or a short wait for one; False when the source is over."""
        if self.feed.live:
            wait = self._rate.wait(time.monotonic())
            if wait > 0:
                self._stop.wait(min(wait, _SLICE))
                self._tick()
                return True
        try:
            shot = self.feed.next(_SLICE)
        except Ended:
            return False
        if shot is None:
            self._tick()
            return True
        now = shot.captured if self.feed.live else shot.at
        if not self.feed.live and self._rate.wait(now) > 0:
            self.feed.counters.processed -= 1
            self.feed.counters.dropped += 1
            return True
        self._rate.looked(time.monotonic() if self.feed.live else now)
        self._look(shot)
        return True

    def _look(self, shot: Shot) -> None:
        motion = self._rules.motion.see(shot.frame, self._rules.unwatched) if self._rules.motion else None
        seconds, found = None, None
        if self._worth(motion, shot.at):
            shot, found, seconds = self._eye.look(shot, motion, self._rules, self.feed)
            self._inferred_at = shot.at
        if self._left:
            return
        frame, at = shot.frame, shot.at
        self._last_at = at
        if frame.shape != self._shape:
            self._shape = frame.shape
            self.health.size = (frame.shape[1], frame.shape[0])
            self._rules.tracker.reset()
        tracks = self._rules.tracker.update(found, at) if found is not None else []
        events = [*self._rules.visits.update(tracks, frame.shape, at, found), *self._missed(at)]
        if found is not None:
            self._count(tracks, at)
        busy = bool(self._rules.visits.open) or (motion is not None and motion.moved)
        self._rate.saw(frame, busy, at)
        shown = drawn(tracks, found, self._rules.least)
        self.view.show(frame, shown, shot.captured)
        self._put(FrameResult(frame, shown, at, tuple(events), self._rules.visits.pictured, found=found))
        self.health.looked(time.monotonic() - shot.captured, seconds)

    def _worth(self, motion: Motion | None, at: float) -> bool:
        """Whether the model should see this frame: not where it is switched off, or nothing moves before the gate."""
        if not self.health.watching:
            return False
        if motion is None or not self.config.motion.gate:
            return True
        due = at - self._inferred_at >= self.config.motion.every
        return motion.moved or due or bool(self._rules.tracker.tracks)

    def _put(self, result: FrameResult) -> None:
        self._tell(replace(result, camera=self.name))

    def _count(self, tracks: list[Track], at: float) -> None:
        counts = dict.fromkeys(self.config.visits.labels or self.classes, 0)
        for track in tracks:
            if track.counts and track.label in counts:
                counts[track.label] += 1
        self.counts.see(counts, self.feed.clock.wall(at))
        self.seen = counts
        for label, count in counts.items():
            self.most[label] = max(self.most.get(label, 0), count)

    def _tick(self) -> None:
        """Time goes by without a frame of a live source."""
        if self.feed.live:
            now = self._last_at = time.monotonic()
            events = self._rules.visits.tick(now, self.feed.state() in ("offline", "stalled", "connecting"))
            if events := [*events, *self._missed(now)]:
                self._put(FrameResult(None, nothing(), now, tuple(events)))

    def _missed(self, at: float) -> tuple[VisitEvent, ...]:
        """What is to be told of a live camera that gives no picture, or gives some again."""
        if not self.feed.live:
            return ()
        return self._absence.see(self.feed.state(), self.feed.detail, at, self.config.source.lost_after)

    def _close_visits(self, reason: Reason) -> None:
        self._put(FrameResult(None, nothing(), self._last_at, tuple(self._rules.visits.close(self._last_at, reason))))

    def _make(self, change: Change) -> None:
        self._close_visits("shutdown")
        self._take(change.rules)
        old_model, old_feed = self._model, self.feed
        self._model, self.feed = change.model, change.feed
        old_model.release()
        if self._model is not old_model:
            info = self._model.model.info
            self._put(FrameResult(None, nothing(), self._last_at, model=info))
            self.health.trained_on = info.get("trained_on", "")
        if self.feed is not old_feed:
            old_feed.stop()
            self.health.feed = self.feed
            self.feed.start()
