"""How the camera is doing, judged by the clock, so that it is right while another thread hangs."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from functools import lru_cache
from typing import Any

from edgekit.camera.event_writer import EventWriter
from edgekit.camera.rate import RateController
from edgekit.camera.source.feed.base import Feed
from edgekit.metrics.percentiles import percentile_if_enough

_AGES = 2000
_HUNG = 30.0  # seconds without a heartbeat
_QUIET = 10.0  # seconds without a look, where the rate asks for more
_FAILURES = 3  # of the model, in a row


class Health:
    """Counters, and whether the camera is alive and ready. The runtime calls `beat`, `looked` and `failed`."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.feed: Feed | None = None
        self.rate: RateController | None = None
        self.writer: EventWriter | None = None
        self.inferred = 0
        self.gated = 0
        self.model_errors = 0
        self.model_problem = ""
        self.watching = True  # a switch can turn that off
        self.trained_on = ""  # of the model, as in its metadata
        self.size = (0, 0)
        self.inference: deque[float] = deque(maxlen=_AGES)
        self.ages: deque[float] = deque(maxlen=_AGES)
        self._looks: deque[float] = deque(maxlen=200)
        self._in_a_row = 0
        self._failing_since: float | None = None
        self._beat = time.monotonic()

    def beat(self) -> None:
        """The runtime's loop goes round."""
        self._beat = time.monotonic()

    def looked(self, age: float, seconds: float | None) -> None:
        """A frame was processed `age` seconds after its capture; `seconds` of inference, or None without."""
        self._looks.append(time.monotonic())
        self.ages.append(age)
        if seconds is None:
            self.gated += 1
            return
        self.inferred += 1
        self.inference.append(seconds)
        self._in_a_row, self.model_problem, self._failing_since = 0, "", None

    def failed(self, problem: str) -> None:
        """The model raised on a frame."""
        self.model_errors += 1
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        self._in_a_row += 1
        self.model_problem = problem

    @property
    def failing_for(self) -> float:
        """Seconds for which every look raised; 0 where the last one did not, or only one or two did."""
        since = self._failing_since
        return 0.0 if since is None or self._in_a_row < _FAILURES else time.monotonic() - since

    @property
    def fps(self) -> float:
        """Frames looked at a second, over the last ten seconds."""
        now = time.monotonic()
        return sum(now - at <= 10 for at in list(self._looks)) / min(10.0, max(1.0, now - self.started))

    def alive(self) -> tuple[bool, str]:
        """Whether the process does anything at all; where not, starting it again is right."""
        quiet = time.monotonic() - self._beat
        if quiet > _HUNG:
            return False, f"the loop has not gone round for {quiet:.0f} s"
        stuck = self.writer.stuck_for if self.writer else 0.0
        if stuck > 2 * _HUNG:
            return False, f"the output has been at one frame for {stuck:.0f} s"
        return True, ""

    def ready(self) -> tuple[bool, str]:
        """Whether a hornet that comes now would be seen and told of."""
        alive, why = self.alive()
        if not alive:
            return False, why
        if self.feed is None or self.rate is None:
            return False, "starting"
        if not self.watching:
            return False, "watching is switched off"
        state = self.feed.state()
        if state != "online":  # in a black picture nobody sees an insect
            return False, f"camera {state}" + (f": {self.feed.detail}" if self.feed.detail else "")
        if self._in_a_row >= _FAILURES:
            return False, f"the model fails: {self.model_problem}"
        if self.rate.mode == "paused":
            return False, f"paused at {self.rate.ladder.celsius:.0f} degrees Celsius"
        last = self._looks[-1] if self._looks else None
        fps = self.rate.fps
        patience = max(_QUIET, 3 / fps if 0 < fps < float("inf") else 0.0)
        if last is None or time.monotonic() - last > patience:
            return False, "no frame has been looked at" + ("" if last is None else f" for {patience:.0f} s")
        if self.writer is not None and self.writer.problem:
            return False, self.writer.problem
        return True, ""

    def status(self) -> dict[str, Any]:
        """All of it as plain data, for the page and for tests."""
        ready, why = self.ready()
        feed, rate, writer = self.feed, self.rate, self.writer
        return {
            "ready": ready,
            "why": why,
            "uptime": round(time.monotonic() - self.started, 1),
            "source": {
                "name": feed.source.shown if feed else "",
                "state": feed.state() if feed else "connecting",
                "detail": feed.detail if feed else "",
                "width": self.size[0],
                "height": self.size[1],
                **(vars(feed.counters) if feed else {}),
            },
            "rate": {
                "mode": rate.mode if rate else "normal",
                "fps": round(self.fps, 2),
                "celsius": rate.ladder.celsius if rate else None,
            },
            "model": {
                "inferred": self.inferred,
                "gated": self.gated,
                "errors": self.model_errors,
                "trained_on": self.trained_on,
                "ms_p50": _ms(self.inference, 50),
                "ms_p99": _ms(self.inference, 99),
            },
            "age": {"ms_p50": _ms(self.ages, 50), "ms_p99": _ms(self.ages, 99)},
            "output": {
                "events": writer.events if writer else 0,
                "pictures_given_up": writer.skipped if writer else 0,
                **(writer.dropped if writer else {"events_lost": 0}),
                "trouble": writer.problem if writer else "",
                "undelivered": writer.undelivered if writer else "",
                "deliveries": writer.deliveries if writer else [],
            },
        }


def _ms(values: deque[float], percent: float) -> float | None:
    held = list(values)
    found = percentile_if_enough(held, percent) if held else None
    return None if found is None else round(1000 * found, 1)


def notify_systemd(message: str) -> None:
    """Tells systemd READY=1 or WATCHDOG=1 where it listens (sd_notify(3)); does nothing elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        _link().sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
    except OSError:  # systemd went away; it will notice by itself
        return


@lru_cache(maxsize=1)
def _link() -> socket.socket:
    """Held, so that a process without descriptors can still say that it lives."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
