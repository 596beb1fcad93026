"""What one process is: cameras, and the model, the output and the chores that they share."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgekit.camera.config import CameraConfig
from edgekit.camera.deliver.base import no_update
from edgekit.camera.deliver.listener import Listener
from edgekit.camera.detect.lookahead import streams_of
from edgekit.camera.event_writer import EventWriter
from edgekit.camera.events.counts import QuarterCounts
from edgekit.camera.health import notify_systemd
from edgekit.camera.housekeeping import Housekeeping
from edgekit.camera.looking.held_model import HeldModel
from edgekit.camera.looking.lookout import Lookout
from edgekit.camera.looking.now import all_well, now_of
from edgekit.camera.looking.plan import plan
from edgekit.camera.looking.turns import Turns
from edgekit.camera.problems import Say, one_line
from edgekit.camera.rules import Model
from edgekit.camera.source.feed.base import Opener
from edgekit.camera.source.open import open_grabber
from edgekit.camera.summary import Summary, summarize, together
from edgekit.camera.thermal import ThermalLadder
from edgekit.camera.track.kept_zones import with_drawn
from edgekit.camera.watch.part import Part
from edgekit.camera.watch.parts import cameras_of, outputs_of
from edgekit.camera.watch.watcher import Watcher
from edgekit.camera.writing.recorder import Recorded
from edgekit.errors import EdgekitError

_SLICE = 0.1  # seconds, the longest wait without looking what is wanted
_HANGS = 10.0  # seconds that the end waits for the loops; they are daemons and block no exit after that
_AGAIN = 5.0  # seconds until a camera whose loop ended, against all expectation, begins anew
_VIDEO_FPS = 10.0  # of a live camera's annotated video
_KEPT = ("device", "camera", "store", "web", "output", "deliver")  # until a restart


OpenModel = Callable[[CameraConfig], Model]


class Camera:
    """A camera, or several before one model, and what comes of them.

    Each has a loop in a thread of its own (`Lookout`), and they look in turns; the thread that calls `run` takes
    reloads and does the chores.

    Args:
        config: checked already.
        open_model: called now and when a reload names another model.
        opener: opens sources; another one in tests.
        say: takes lines for people.
        listeners: get every event, each a copy of its own, in the output's thread. What one raises is counted under
            `listener 1`, `listener 2`, ... and costs the others nothing.
        update: takes a signed model that came as a message.

    Attributes:
        lookouts: by name, in the order of the configuration.

    Raises:
        EdgekitError: the model, the store or a source cannot be used. A live source that is not there is no error.
    """

    def __init__(
        self,
        config: CameraConfig,
        open_model: OpenModel,
        *,
        opener: Opener = open_grabber,
        say: Say = print,
        listeners: tuple[Listener, ...] = (),
        update: Callable[[bytes], object] = no_update,
    ) -> None:
        self.config = config
        self._open_model, self._opener, self._say = open_model, opener, say
        self._stopping = False
        self._wanted: CameraConfig | None = None
        self._ended: dict[str, float] = {}
        self._off: set[str] = set()
        self._ladder = ThermalLadder(config.thermal)
        self._chores = Housekeeping(say)
        self.watcher, self._more = Watcher(say), list[Part]()
        self.turns = Turns(streams_of(config) if config.cameras else None)
        self.lookouts = {one.camera: self._lookout(one) for one in self._each(config)}
        self._model = HeldModel(open_model(config))
        for lookout in self.lookouts.values():
            lookout.begin(self._model, self._ladder)
        info = self._model.model.info
        self.writer = EventWriter(
            config,
            [Recorded(one.config, info, one.counts, not one.feed.live) for one in self.lookouts.values()],
            say,
            fps=lambda: self.lookout.feed.fps or _VIDEO_FPS,
            listeners=listeners,
            cameras=lambda: [now_of(one) for one in self.lookouts.values()],
            switch=self.switch,
            update=update,
        )
        for lookout in self.lookouts.values():
            lookout.health.writer = self.writer

    def run(self, seconds: float | None = None) -> Summary:
        """Looks until all sources end, `stop` is called, or `seconds` are over.

        Raises:
            EdgekitError: of what ended the loops, where none of them came to a good end.
        """
        began = time.monotonic()
        self.writer.start()
        for lookout in self.lookouts.values():
            lookout.start()
        self._watch()
        notify_systemd("READY=1")
        try:
            while not self._stopping and (seconds is None or time.monotonic() - began < seconds):
                self._reload_if_asked()
                live = any(lookout.feed.live for lookout in self.lookouts.values())
                if live:
                    self.watcher.look()
                self._chores.regularly(self._ladder if live else None, self.alive()[0])
                self.watcher.raise_if_ended()
                left = _SLICE if seconds is None else min(_SLICE, max(0.0, began + seconds - time.monotonic()))
                if self._over(left):
                    break
        finally:
            for lookout in self.lookouts.values():
                lookout.stop()
            until = time.monotonic() + _HANGS
            for lookout in self.lookouts.values():
                lookout.join(max(0.0, until - time.monotonic()))
            self.writer.stop()
            self._model.release()
        self._raise()
        lasted = time.monotonic() - began
        return together(
            {
                name: summarize(lasted, one.feed.counters, one.health, self.writer, one.most)
                for name, one in self.lookouts.items()
            }
        )

    @property
    def lookout(self) -> Lookout:
        """The camera; where there are several the first."""
        return next(iter(self.lookouts.values()))

    @property
    def frames(self) -> int:
        """So many of the sources' frames are done."""
        return sum(lookout.feed.counters.processed for lookout in self.lookouts.values())

    def alive(self) -> tuple[bool, str]:
        """Whether the process does anything at all, and why not; as `Health.alive` of the first camera that doesn't."""
        parts = [(part["name"], False, part["why"]) for part in self.watcher.status() if part["state"] == "failed"]
        return all_well([*((name, *one.health.alive()) for name, one in self.lookouts.items()), *parts])

    def ready(self) -> tuple[bool, str]:
        """Whether an insect that comes now before any of the cameras would be seen and told of, and why not."""
        return all_well([(name, *one.health.ready()) for name, one in self.lookouts.items()])

    @property
    def model_sha256(self) -> str:
        """Of the file that looks; of several cameras the first one's, which all take in turn."""
        return self.lookout.model_sha256

    def stop(self) -> None:
        """Ends `run` soon, from any thread or a signal handler."""
        self._stopping = True

    def switch(self, name: str, on: bool) -> None:
        """Makes a camera, by its name, watch or not, from any thread. After a restart all watch."""
        if name in self.lookouts and self.lookouts[name].health.watching != on:
            (self._off.discard if on else self._off.add)(name)
            self.lookouts[name].health.watching = on
            self._say(f"{name}: watching is switched {'on' if on else 'off'}")

    def _over(self, timeout: float) -> bool:
        """Waits a little; whether all loops have ended. What ended one is said where others go on."""
        going = [lookout for lookout in self.lookouts.values() if lookout.running]
        if going:
            going[0].join(timeout)
        if not any(lookout.running for lookout in going):
            return True
        for name, lookout in list(self.lookouts.items()):
            if lookout.error is not None and name not in self._ended:
                self._ended[name] = time.monotonic()
                self._say(f"error: {name} ended, the others go on: {_line(lookout.error)}")
            if lookout.error is not None and lookout.feed.live and time.monotonic() - self._ended[name] > _AGAIN:
                self.replace(name)
        return False

    def replace(self, name: str) -> None:
        """Puts a new loop with a new source in the place of one that ended or hangs; its visits end, the rest goes on.

        Where the old one's thread cannot be ended it is left behind. Called from the thread of `run`.
        """
        old = self.lookouts[name]
        old.leave()
        new = self._lookout(old.config, old.counts)
        new.begin(self._model, self._ladder)
        new.health.writer = self.writer
        self.lookouts[name] = new
        self._ended.pop(name, None)
        new.start()
        self._watch()

    def renew_model(self, name: str) -> None:
        """Opens the model anew for all cameras, and leaves the loop of camera `name` where that hangs in its look.

        Raises whatever opening it raises. Called from the thread of `run`.
        """
        old, model = self._model, HeldModel(self._open_model(self.config))
        self._model = model
        for other, lookout in list(self.lookouts.items()):
            if other == name and not lookout.health.failing_for:
                self.replace(name)
            else:
                lookout.change(lookout.change_of(lookout.config, model))
        old.release()  # a look that hangs holds it until it returns

    def watch(self, part: Part) -> None:
        """Watches one more part, as the page."""
        self._more.append(part)
        self._watch()

    def _watch(self) -> None:
        cameras = cameras_of(self.lookouts, self.renew_model) if len(self.lookouts) else []
        self.watcher.set([*cameras, *outputs_of(self.writer), *self._more])

    def _raise(self) -> None:
        errors = [lookout.error for lookout in self.lookouts.values()]
        if all(errors) and errors[0] is not None:
            raise errors[0]

    def reload(self, config: CameraConfig) -> None:
        """Takes another configuration before the next frame, from any thread or a signal handler.

        Device and camera names, [store], [web] and [output] stay as they were until a restart, and the log says so.
        A model whose file holds other bytes than those at work is opened anew, under the same name too. A camera of
        which nothing changes goes on as if nothing had been. A model or source that cannot be opened, or whose labels
        the rules do not fit, leaves all as it was, and the log says why.
        """
        self._wanted = config

    def _each(self, config: CameraConfig) -> list[CameraConfig]:
        """Each camera's configuration, with the zones that were drawn on the page where there are some."""
        return [with_drawn(one, self._say) for one in config.each()]

    def _lookout(self, config: CameraConfig, counts: QuarterCounts | None = None) -> Lookout:
        say = self._say if not self.config.cameras else lambda line: self._say(f"{config.camera}: {line}")
        made = Lookout(config, lambda result: self.writer.put(result), self.turns, self._opener, say, counts)
        made.health.watching = config.camera not in self._off
        return made

    def _reload_if_asked(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        late = [name for name in _KEPT if getattr(wanted, name) != getattr(self.config, name)]
        wanted = wanted.model_copy(update={name: getattr(self.config, name) for name in _KEPT})
        each = {one.camera: one for one in self._each(wanted)}
        if each.keys() != self.lookouts.keys():
            late.append("the names of the cameras")
        old = self._model
        try:
            planned = plan(self.lookouts, old, self.config, wanted, each, self._open_model)
        except Exception as error:  # noqa: BLE001 - also what a runtime raises: a wrong file must not end a season
            told = str(error) if isinstance(error, EdgekitError) else _line(error)
            self._say(f"error: the configuration was not taken, and all goes on as it was: {told}")
            return
        if wanted.thermal != self.config.thermal:
            self._ladder = ThermalLadder(wanted.thermal)
            for lookout in self.lookouts.values():
                lookout.cool(self._ladder)
        self.config, self._model = wanted, planned.model
        planned.carry_out()
        told = ""
        if planned.model is not old:
            told = f"; the model is {planned.model.model.named}, was {old.model.named}"
            old.release()
        self._chores.soon()
        self._say(f"configuration taken{told}" + (f"; after a restart also: {', '.join(late)}" if late else ""))


def _line(error: BaseException) -> str:
    return one_line(error) if isinstance(error, EdgekitError) else f"{type(error).__name__}: {error}"
