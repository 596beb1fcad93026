"""An update that comes as one message: checked as any other, one at a time, while the camera goes on."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from edgekit.artifacts.atomic import write_bytes
from edgekit.camera.config import CameraConfig
from edgekit.errors import EdgekitError
from edgekit.updating.install import Taken, install, models_of

INBOX = ".message.update"


class Inbox:
    """Takes packages as bytes, from any thread. What comes of each is said; the same one twice is taken once.

    Args:
        config: the configuration at work.
        say: takes lines for people.
        take: installs a package that lies at a path. Raises EdgekitError where it is refused.
    """

    def __init__(
        self,
        config: Callable[[], CameraConfig],
        say: Callable[[str], None],
        take: Callable[[Path, CameraConfig], Taken] = install,
    ) -> None:
        self._config, self._say, self._take = config, say, take
        self._one = threading.Lock()
        self._last = ""

    def __call__(self, package: bytes) -> threading.Thread | None:
        """Begins to check a package; the thread that does, or None where it is the last one again or not its turn."""
        sha256 = hashlib.sha256(package).hexdigest()
        if sha256 == self._last:  # a retained message comes with each connection
            return None
        if not self._one.acquire(blocking=False):
            self._say("error: update: another one is being checked, and the message was not taken")
            return None
        self._last = sha256
        worker = threading.Thread(target=self._work, args=(package,), name="update-message", daemon=True)
        worker.start()
        return worker

    def _work(self, package: bytes) -> None:
        try:
            config = self._config()
            models = models_of(config)
            if models is None:
                self._say("error: update: there is no store to keep it in")
                return
            models.mkdir(0o700, parents=True, exist_ok=True)
            path = models / INBOX
            try:
                write_bytes(path, package, overwrite=True, mode=0o600)
                del package
                taken = self._take(path, config)
                self._say(f"update: {taken.new.model} came as a message and passed its check: {taken.answer.why}")
            finally:
                path.unlink(missing_ok=True)
        except (EdgekitError, OSError) as error:
            got = f" ({error.got})" if isinstance(error, EdgekitError) and error.got else ""
            self._say(f"error: update: what came as a message was refused: {str(error).splitlines()[0]}{got}")
        finally:
            self._one.release()
