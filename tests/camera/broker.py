"""A real mosquitto on loopback, and somebody who listens there."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.camera.conftest import wait_for

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Mosquitto:
    """Started by `start`; `kill` is kill -9.

    Args:
        folder: for its configuration.
        lines: of its configuration, instead of letting everybody in.
    """

    def __init__(self, folder: Path, *lines: str) -> None:
        if MOSQUITTO is None:
            pytest.skip("mosquitto is not installed")
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        body = "\n".join(lines or ("allow_anonymous true",))
        # root gives up its rights, and could not read a test's folder then
        self._config.write_text(f"user root\npersistence false\nlistener {self.port} 127.0.0.1\n{body}\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._listens, 10)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "mosquitto ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class Listener:
    """Subscribes to everything below `filters`, again and again while the broker is away, and keeps what came.

    Attributes:
        got: (topic, payload, retained, moment).
    """

    def __init__(self, port: int, *filters: str, setup: Callable[[Any], None] = lambda _: None) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.got: list[tuple[str, bytes, bool, float]] = []
        self._ready = threading.Event()
        self._filters = filters or ("#",)
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=f"listener-{time.monotonic_ns()}")
        setup(self.client)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe([(name, 1) for name in self._filters])
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = lambda _client, _data, m: self.got.append(
            (m.topic, bytes(m.payload), bool(m.retain), time.monotonic())
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(10)

    def of(self, end: str) -> list[bytes]:
        """Payloads of the topics that end so, in the order in which they came."""
        return [payload for topic, payload, _, _ in list(self.got) if topic.endswith(end)]

    def say(self, topic: str, payload: str | bytes) -> None:
        self.client.publish(topic, payload, qos=1).wait_for_publish(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
