"""Events to a program of one's own: it is started for each, with the event as one JSON object on its standard input."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from pydantic import Field

from edgekit.camera.deliver.base import Delivery, Event, Setup
from edgekit.camera.deliver.queued.queued import AnsweredError, QueuedDelivery
from edgekit.camera.deliver.queued.rules import QueueKeys
from edgekit.errors import UsageError

_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "XDG_RUNTIME_DIR")  # the rest may hold passwords
_ERRORS = 2000  # bytes of what it complains about


class CommandKeys(QueueKeys):
    """What is below [deliver.command]."""

    run: tuple[str, ...] = Field(min_length=1, repr=False, description="the program and its arguments, without a shell")
    timeout: float = Field(default=30, gt=0, le=600, description="seconds until it is killed")


class Command(QueuedDelivery):
    """Starts the program for each event. The event arrived if it ends with 0; else it is tried again."""

    name = "command"
    Keys = CommandKeys

    def __init__(self, setup: Setup, keys: CommandKeys) -> None:
        super().__init__(setup, keys)
        if not Path(keys.run[0]).is_absolute():
            raise UsageError(
                "deliver.command.run begins with no program that can be found everywhere.", got="a hidden value",
                expected='a whole path, as ["/usr/local/bin/tell", "keeper"]',
            )  # fmt: skip
        self._run_words, self._timeout = list(keys.run), keys.timeout
        self.secrets = tuple(word for word in keys.run[1:] if len(word) > 7)

    @classmethod
    def wanted(cls, setup: Setup, keys: Any) -> Delivery | None:
        return cls(setup, keys) if keys is not None else None

    def send(self, event: Event) -> None:
        """Runs it once. Raises AnsweredError where it fails or takes too long, OSError where it cannot be started."""
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        with subprocess.Popen(  # noqa: S603 - the keeper's own program, and no shell
            self._run_words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment, start_new_session=True,
        ) as child:  # fmt: skip
            try:
                _, errors = child.communicate(json.dumps(event).encode(), self._timeout)
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)  # what it started holds its pipes open
                if isinstance(error, subprocess.TimeoutExpired):
                    raise AnsweredError(f"the program was killed after {self._timeout:g} s") from None
                raise
        if child.returncode:
            said = errors[-_ERRORS:].decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise AnsweredError(f"the program ended with {child.returncode}" + (f": {said}" if said else ""))
