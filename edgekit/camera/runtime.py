"""The loop: the newest frame, a look, tracks, visits; everything else happens in other threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edgekit.camera.config import CameraConfig
from edgekit.camera.deliver.listener import Listener
from edgekit.camera.deliver.live_view import LiveView
from edgekit.camera.detect.lookahead import Lookahead, streams_of
from edgekit.camera.detect.motion import Motion
from edgekit.camera.event_writer import EventWriter, FrameResult
from edgekit.camera.events.counts import QuarterCounts
from edgekit.camera.events.visits import Visit
from edgekit.camera.health import Health, notify_systemd
from edgekit.camera.housekeeping import Housekeeping
from edgekit.camera.problems import Say
from edgekit.camera.rate import RateController
from edgekit.camera.rules import Model, Rules, make_rules
from edgekit.camera.source.feed.base import Feed, Opener, Shot
from edgekit.camera.source.feed.make import make_feed
from edgekit.camera.source.grabber import Ended
from edgekit.camera.source.open import open_grabber
from edgekit.camera.summary import Summary, summarize
from edgekit.camera.track.shown import drawn, nothing
from edgekit.camera.track.tracker import Track
from edgekit.errors import EdgekitError, UsageError
from edgekit.vision.results import Detections

_SLICE = 0.2  # seconds, the longest wait without looking whether to stop
_VIDEO_FPS = 10.0  # of a live camera's annotated video


OpenModel = Callable[[CameraConfig], Model]


class Camera:
    """One source, one model, one loop.

    Args:
        config: checked already.
        open_model: called now and when a reload names another model.
        opener: opens sources; another one in tests.
        say: takes lines for people.
        listeners: get every event, each a copy of its own, in the output's thread. What one raises is counted under
            `listener 1`, `listener 2`, ... and costs the others nothing.

    Raises:
        EdgekitError: the model, the store or the source cannot be used. A live source that is not there is no error.
    """

    def __init__(
        self,
        config: CameraConfig,
        open_model: OpenModel,
        *,
        opener: Opener = open_grabber,
        say: Say = print,
        listeners: tuple[Listener, ...] = (),
    ) -> None:
        self.config = config
        self._open_model, self._opener, self._say = open_model, opener, say
        self.health, self.view, self.counts = Health(), LiveView(), QuarterCounts()
        self._stop = threading.Event()
        self._wanted: CameraConfig | None = None
        self._most: dict[str, int] = {}
        self._lookahead = Lookahead()
        self._feed = self._new_feed(config)
        self._model = open_model(config)
        self._last_at = time.monotonic()
        self._chores = Housekeeping(say)
        self._take(make_rules(config, self._model, self._feed.clock))
        self.writer = EventWriter(
            config,
            self._model.info,
            self.counts,
            say,
            patient=not self._feed.live,
            fps=lambda: self._feed.fps or _VIDEO_FPS,
            listeners=listeners,
        )
        self.health.feed, self.health.writer = self._feed, self.writer
        self.health.trained_on = self._model.info.get("trained_on", "")

    def run(self, seconds: float | None = None) -> Summary:
        """Looks until the source ends, `stop` is called, or `seconds` are over."""
        began = time.monotonic()
        self.writer.start()
        self._feed.start()
        notify_systemd("READY=1")
        try:
            while not self._stop.is_set() and (seconds is None or time.monotonic() - began < seconds):
                self.health.beat()
                self._reload_if_asked()
                self._chores.regularly(self._rate.ladder if self._feed.live else None)
                if not self._step():
                    break
        finally:
            self._feed.stop()
            self._lookahead.close()
            events = self._rules.visits.close(self._last_at, "shutdown")
            self.writer.put(FrameResult(None, nothing(), self._last_at, tuple(events)))
            self.writer.stop()
            self.view.close()
            self._model.close()
        return summarize(time.monotonic() - began, self._feed.counters, self.health, self.writer, self._most)

    @property
    def frames(self) -> int:
        """So many of the source's frames are done."""
        return self._feed.counters.processed

    def stop(self) -> None:
        """Ends `run` soon, from any thread or a signal handler."""
        self._stop.set()

    def reload(self, config: CameraConfig) -> None:
        """Takes another configuration before the next frame, from any thread or a signal handler.

        Device and camera names, [store], [web] and [output] stay as they were until a restart, and the log says so.
        A model whose file holds other bytes than those at work is opened anew, under the same name too. A model or
        source that cannot be opened, or whose labels the rules do not fit, leaves all as it was, and the log says why.
        """
        self._wanted = config

    @property
    def visits(self) -> tuple[Visit, ...]:
        """Those that are going on."""
        return self._rules.visits.open

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the model at work."""
        return tuple(self._model.classes)

    def _take(self, rules: Rules) -> None:
        """Makes these the rules from the next frame on."""
        self._rules = rules
        self._lookahead.watch(rules.detector, rules.config)
        self._rate = self.health.rate = RateController(rules.config, time.monotonic())
        self._shape: tuple[int, ...] = ()
        self._inferred_at = float("-inf")
        self._chores.soon()
        self.config = rules.config

    def _step(self) -> bool:
        """One frame, or a short wait for one; False when the source is over."""
        if self._feed.live:
            wait = self._rate.wait(time.monotonic())
            if wait > 0:
                self._stop.wait(min(wait, _SLICE))
                self._tick()
                return True
        try:
            shot = self._feed.next(_SLICE)
        except Ended:
            return False
        if shot is None:
            self._tick()
            return True
        now = shot.captured if self._feed.live else shot.at
        if not self._feed.live and self._rate.wait(now) > 0:
            self._feed.counters.processed -= 1
            self._feed.counters.dropped += 1
            return True
        self._rate.looked(time.monotonic() if self._feed.live else now)
        self._look(shot)
        return True

    def _look(self, shot: Shot) -> None:
        frame, at = shot.frame, shot.at
        self._last_at = at
        if frame.shape != self._shape:
            self._shape = frame.shape
            self.health.size = (frame.shape[1], frame.shape[0])
            self._rules.tracker.reset()
        motion = self._rules.motion.see(frame, self._rules.unwatched) if self._rules.motion else None
        seconds, found = None, None
        if self._worth(motion, at):
            found, seconds = self._found(shot, motion)
            self._inferred_at = at
        tracks = self._rules.tracker.update(found, at) if found is not None else []
        events = self._rules.visits.update(tracks, frame.shape, at)
        if found is not None:
            self._count(tracks, at)
        busy = bool(self._rules.visits.open) or (motion is not None and motion.moved)
        self._rate.saw(frame, busy, at)
        shown = drawn(tracks, found, self._rules.least)
        self.view.show(frame, shown, shot.captured)
        self.writer.put(FrameResult(frame, shown, at, tuple(events), self._rules.visits.pictured, found=found))
        self.health.looked(time.monotonic() - shot.captured, seconds)

    def _worth(self, motion: Motion | None, at: float) -> bool:
        """Whether the model should see this frame: not where the gate is on and nothing of interest moves."""
        if motion is None or not self.config.motion.gate:
            return True
        due = at - self._inferred_at >= self.config.motion.every
        return motion.moved or due or bool(self._rules.tracker.tracks)

    def _found(self, shot: Shot, motion: Motion | None) -> tuple[Detections | None, float | None]:
        """What is in the frame and the seconds that looking took; nothing where the model failed."""
        try:
            detector, glance = self._rules.detector, shot.ready
            if glance is not None and glance.detector is detector:  # it is another one's after a reload
                seen, seconds = glance.answer.result()
            else:
                begun = time.monotonic()
                seen = detector.look(shot.frame, motion)
                seconds = time.monotonic() - begun
            return self._rules.kept(seen, shot.frame.shape), seconds
        except Exception as error:  # one bad frame must not end a season
            if not self._feed.live and isinstance(error, EdgekitError):
                raise
            told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            if self.health.model_problem != told:
                self._say(f"error: the model failed on frame {shot.index}: {told}")
            self.health.failed(told)
            return None, None

    def _new_feed(self, config: CameraConfig) -> Feed:
        feed = make_feed(config.source, self._opener, self._say, ahead=max(2, streams_of(config)))
        feed.prepare = self._lookahead.begin
        return feed

    def _count(self, tracks: list[Track], at: float) -> None:
        counts = dict.fromkeys(self.config.visits.labels or self._model.classes, 0)
        for track in tracks:
            if track.counts and track.label in counts:
                counts[track.label] += 1
        self.counts.see(counts, self._feed.clock.wall(at))
        for label, count in counts.items():
            self._most[label] = max(self._most.get(label, 0), count)

    def _tick(self) -> None:
        """Time goes by without a frame of a live source."""
        if self._feed.live:
            now = self._last_at = time.monotonic()
            events = self._rules.visits.tick(now, self._feed.state() in ("offline", "stalled", "connecting"))
            if events:
                self.writer.put(FrameResult(None, nothing(), now, tuple(events)))

    def _reload_if_asked(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        kept = ("device", "camera", "store", "web", "output", "deliver")
        late = [name for name in kept if getattr(wanted, name) != getattr(self.config, name)]
        wanted = wanted.model_copy(update={name: getattr(self.config, name) for name in kept})
        old_model, old_feed = self._model, self._feed
        try:
            feed = old_feed
            if wanted.source != self.config.source:
                feed = self._new_feed(wanted)
                if feed.live != old_feed.live:
                    raise UsageError("A camera cannot become a file while it runs.", fix="restart")
            other = wanted.model != self.config.model or streams_of(wanted) != streams_of(self.config)
            if other or old_model.replaced():
                self._model = self._open_model(wanted)
            rules = make_rules(wanted, self._model, feed.clock)
        except Exception as error:  # noqa: BLE001 - also what a runtime raises: a wrong file must not end a season
            if self._model is not old_model:
                self._model.close()
                self._model = old_model
            told = error if isinstance(error, EdgekitError) else f"{type(error).__name__}: {error}"
            self._say(f"error: the configuration was not taken, and all goes on as it was: {told}")
            return
        self.writer.put(FrameResult(None, nothing(), self._last_at, tuple(self._rules.visits.close(self._last_at))))
        self._take(rules)
        if self._model is not old_model:
            old_model.close()
            self.writer.put(FrameResult(None, nothing(), self._last_at, model=self._model.info))
            self.health.trained_on = self._model.info.get("trained_on", "")
        if feed is not old_feed:
            old_feed.stop()
            self._feed = self.health.feed = feed
            feed.start()
        told = f"; the model is {_named(self._model)}, was {_named(old_model)}" if self._model is not old_model else ""
        self._say(f"configuration taken{told}" + (f"; after a restart also: {', '.join(late)}" if late else ""))


def _named(model: Model) -> str:
    return f"{model.info['name']} ({model.info['sha256'][:12]})"
