"""What one process is: cameras, and the model, the output and the chores that they share."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgekit.camera.config import CameraConfig
from edgekit.camera.deliver.listener import Listener
from edgekit.camera.deliver.live_view import LiveView
from edgekit.camera.detect.lookahead import streams_of
from edgekit.camera.event_writer import EventWriter
from edgekit.camera.events.visits import Visit
from edgekit.camera.health import Health, notify_systemd
from edgekit.camera.housekeeping import Housekeeping
from edgekit.camera.looking.held_model import HeldModel
from edgekit.camera.looking.lookout import Lookout
from edgekit.camera.problems import Say
from edgekit.camera.rules import Model
from edgekit.camera.source.feed.base import Opener
from edgekit.camera.source.open import open_grabber
from edgekit.camera.summary import Summary, summarize
from edgekit.camera.thermal import ThermalLadder
from edgekit.errors import EdgekitError

_SLICE = 0.1  # seconds, the longest wait without looking what is wanted
_TAKEN = 5.0  # seconds that a reload waits for the loop to take it
_HANGS = 10.0  # seconds that the end waits for a loop; it is a daemon and blocks no exit after that
_VIDEO_FPS = 10.0  # of a live camera's annotated video
_KEPT = ("device", "camera", "store", "web", "output", "deliver")  # until a restart


OpenModel = Callable[[CameraConfig], Model]


class Camera:
    """One source, one model, and what comes of them.

    The loop is the lookout's, in a thread of its own; the thread that calls `run` takes reloads and does the chores.

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
        self._open_model, self._say = open_model, say
        self._stopping = False
        self._wanted: CameraConfig | None = None
        self._ladder = ThermalLadder(config.thermal)
        self._chores = Housekeeping(say)
        self.lookout = Lookout(config, lambda result: self.writer.put(result), opener, say)
        self._model = HeldModel(open_model(config))
        self.lookout.begin(self._model, self._ladder)
        self.writer = EventWriter(
            config,
            self._model.model.info,
            self.lookout.counts,
            say,
            patient=not self.lookout.feed.live,
            fps=lambda: self.lookout.feed.fps or _VIDEO_FPS,
            listeners=listeners,
        )
        self.health.writer = self.writer

    def run(self, seconds: float | None = None) -> Summary:
        """Looks until the source ends, `stop` is called, or `seconds` are over. Raises what ended the loop."""
        began = time.monotonic()
        self.writer.start()
        self.lookout.start()
        notify_systemd("READY=1")
        try:
            while not self._stopping and (seconds is None or time.monotonic() - began < seconds):
                self._reload_if_asked()
                self._chores.regularly(self._ladder if self.lookout.feed.live else None, self.health.alive()[0])
                left = _SLICE if seconds is None else min(_SLICE, max(0.0, began + seconds - time.monotonic()))
                if self.lookout.join(left):
                    break
        finally:
            self.lookout.stop()
            self.lookout.join(_HANGS)
            self.writer.stop()
            self._model.release()
        if self.lookout.error is not None:
            raise self.lookout.error
        lookout = self.lookout
        return summarize(time.monotonic() - began, lookout.feed.counters, lookout.health, self.writer, lookout.most)

    @property
    def health(self) -> Health:
        return self.lookout.health

    @property
    def view(self) -> LiveView:
        return self.lookout.view

    @property
    def frames(self) -> int:
        """So many of the source's frames are done."""
        return self.lookout.feed.counters.processed

    @property
    def visits(self) -> tuple[Visit, ...]:
        """Those that are going on."""
        return self.lookout.visits

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the model at work."""
        return self.lookout.classes

    def stop(self) -> None:
        """Ends `run` soon, from any thread or a signal handler."""
        self._stopping = True

    def reload(self, config: CameraConfig) -> None:
        """Takes another configuration before the next frame, from any thread or a signal handler.

        Device and camera names, [store], [web] and [output] stay as they were until a restart, and the log says so.
        A model whose file holds other bytes than those at work is opened anew, under the same name too. A model or
        source that cannot be opened, or whose labels the rules do not fit, leaves all as it was, and the log says why.
        """
        self._wanted = config

    def _reload_if_asked(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        late = [name for name in _KEPT if getattr(wanted, name) != getattr(self.config, name)]
        wanted = wanted.model_copy(update={name: getattr(self.config, name) for name in _KEPT})
        old = model = self._model
        try:
            other = wanted.model != self.config.model or streams_of(wanted) != streams_of(self.config)
            if other or old.model.replaced():
                model = HeldModel(self._open_model(wanted))
            change = self.lookout.change_of(wanted, model)
        except Exception as error:  # noqa: BLE001 - also what a runtime raises: a wrong file must not end a season
            if model is not old:
                model.release()
            told = error if isinstance(error, EdgekitError) else f"{type(error).__name__}: {error}"
            self._say(f"error: the configuration was not taken, and all goes on as it was: {told}")
            return
        if wanted.thermal != self.config.thermal:
            self._ladder = ThermalLadder(wanted.thermal)
            self.lookout.cool(self._ladder)
        self.lookout.change(change)
        self.config, self._model = wanted, model
        until = time.monotonic() + _TAKEN
        while self.lookout.changing and time.monotonic() < until and not self.lookout.join(0.01):
            continue
        told = f"; the model is {_named(model.model)}, was {_named(old.model)}" if model is not old else ""
        if model is not old:
            old.release()
        self._chores.soon()
        self._say(f"configuration taken{told}" + (f"; after a restart also: {', '.join(late)}" if late else ""))


def _named(model: Model) -> str:
    return f"{model.info['name']} ({model.info['sha256'][:12]})"
