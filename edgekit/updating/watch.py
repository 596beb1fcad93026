"""Beside a running camera: takes an update that another process installed, and ends its trial one way or the other."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgekit.artifacts.onnx_file import file_sha256
from edgekit.camera.config import CameraConfig
from edgekit.errors import EdgekitError
from edgekit.updating.install import bytes_at
from edgekit.updating.record import CURRENT, Installed, Record, begin, give_back, keep, locked, pause, read_record
from edgekit.updating.trial import KEEP, Judge, Seen

EVERY = 1.0  # seconds
Say = Callable[[str], None]


class Watch:
    """One camera's updates, from before it opens its model until it has stopped.

    Args:
        models: the store's folder for them.
        config: the configuration at work.
        say: takes lines for people.
        clock: monotonic seconds.

    Raises:
        BusyError: another process looks after the same updates, whose trial is none of ours.
        OutputError: the folder cannot be written.
    """

    def __init__(
        self,
        models: Path,
        config: Callable[[], CameraConfig],
        say: Say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models, self._config, self._say, self._clock = models, config, say, clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._held = contextlib.ExitStack()
        self._judge: Judge | None = None
        self._stat: tuple[int, ...] = ()
        self._record = Record(())
        self._held.enter_context(locked(models, "camera", wait=False))
        if why := begin(models, self._of()):
            self._say(f"error: update: the model on trial was given back: {why}")
        self._stat, self._record = self._state(), self._read()
        self._judge = self._judged(None)

    def start(self, seen: Callable[[], Seen], reload: Callable[[], None]) -> None:
        """Looks after trials in a thread of its own.

        Args:
            seen: what the camera says of its model.
            reload: makes it open the model again.
        """
        self._thread = threading.Thread(target=self._run, args=(seen, reload), name="updates", daemon=True)
        self._thread.start()

    def stop(self, *, orderly: bool) -> None:
        """Ends with the camera; in order, a trial goes on when it starts again, else it is over by then."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
        if orderly and self._judge is not None and self._record.current is not None:
            pause(self._models, self._record.current.ident)
        self._held.close()

    def step(self, seen: Callable[[], Seen], reload: Callable[[], None]) -> None:
        """One look at what is installed and how its trial goes. Raises OutputError where the disk is full."""
        if (state := self._state()) != self._stat:
            self._stat = state
            self._changed(seen, reload)
        current = self._record.current
        if self._judge is None or current is None:
            return
        verdict = self._judge.see(seen(), self._clock())
        if verdict is None:
            return
        self._judge = None
        if verdict == KEEP:
            keep(self._models, current.ident)
            self._say(f"update: {current.model} is kept")
        elif give_back(self._models, current.ident, verdict):
            self._say(f"error: update: {current.model} is given back: {verdict}")
            reload()
        self._stat, self._record = self._state(), self._read()

    def _changed(self, seen: Callable[[], Seen], reload: Callable[[], None]) -> None:
        before, record = self._record, self._read()
        self._record = record
        if record.current == before.current and (record.trial is None) == (before.trial is None):
            return
        if record.trial is not None and record.current is not None:
            begin(self._models, self._of())
            self._stat, self._record = self._state(), self._read()
            self._say(f"update: {record.current.model} is on trial")
        self._judge = self._judged(seen())
        reload()

    def _judged(self, standing: Seen | None) -> Judge | None:
        record = self._record
        if record.trial is None or record.current is None:
            return None
        try:
            sha256 = file_sha256(_file(self._models, record.current))
        except OSError:
            return None  # it is passed over
        return Judge(self._config(), sha256, standing, self._clock())

    def _read(self) -> Record:
        record = read_record(self._models)
        return record if record.of == self._of() else Record(())

    def _of(self) -> tuple[str, ...]:
        try:
            return bytes_at(self._config().model.path)
        except EdgekitError:
            return ()

    def _state(self) -> tuple[int, ...]:
        try:
            found = (self._models / CURRENT).stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _run(self, seen: Callable[[], Seen], reload: Callable[[], None]) -> None:
        said = ""
        while not self._stop.wait(EVERY):
            try:
                self.step(seen, reload)
            except Exception as error:  # noqa: BLE001 - no update may end the watch over it
                told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                if told != said:
                    self._say(f"error: updates are not looked after: {told}")
                said = told


def _file(models: Path, installed: Installed) -> Path:
    return models / installed.folder / installed.model
