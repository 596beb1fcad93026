"""One connection to a broker, from its beginning to its end; a new one is made for each try.

Nothing of an old connection is kept: what waits is in the store, and not a second time in the library.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PATIENCE = 10.0  # seconds for a connection, and for the broker's word that it has a message
_LOOK = 0.5  # seconds between two looks whether the connection is still there
_ALIVE = 30  # seconds; half as long again without a word and the broker says `offline`
_HEARD = 100  # messages that wait


@dataclass(frozen=True)
class Broker:
    """Where it is and how it is reached.

    Attributes:
        ca: a certificate that signs the broker's; None: those of the system.
        cert, key: of a client that shows a certificate.
    """

    host: str
    port: int
    client: str
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class Link:
    """Connected from its making on.

    Args:
        broker: where to.
        will: topic of which the broker says `offline`, retained, once nothing is heard from here.
        wake: called from another thread when something was heard.
        whole: topic whose messages are kept whole; of others the first 100 bytes say all that is asked.

    Attributes:
        down: why the connection is over, or nothing.
        heard: messages that came: topic and payload.

    Raises:
        OSError: nobody is there, the broker does not answer, or it refuses user and password.
    """

    def __init__(self, broker: Broker, will: str, wake: Callable[[], None], whole: str = "") -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.down = ""
        self.heard: deque[tuple[str, bytes]] = deque(maxlen=_HEARD)
        self._wake, self._answered, self._refused = wake, threading.Event(), ""
        self._whole = whole
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=broker.client, reconnect_on_failure=False)
        self._client.connect_timeout = _PATIENCE
        if broker.user:
            self._client.username_pw_set(broker.user, broker.password)
        if broker.tls:
            context = ssl.create_default_context(cafile=broker.ca)
            if broker.cert is not None:
                context.load_cert_chain(broker.cert, broker.key)
            self._client.tls_set_context(context)
        self._client.will_set(will, "offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        try:
            self._client.connect(broker.host, broker.port, keepalive=_ALIVE)
        except BaseException:
            self.close()
            raise
        self._client.loop_start()
        answered = self._answered.wait(_PATIENCE)
        if not answered or self._refused or self.down:
            self.close()
            raise ConnectionError(self._refused or self.down or "the broker does not answer")

    def listen(self, *filters: str) -> None:
        """Asks for what is published there."""
        for name in filters:
            self._client.subscribe(name, qos=1)

    def publish(self, topic: str, payload: bytes | str, retain: bool = False) -> None:
        """Hands a message over (QoS 1) and returns once the broker has it.

        Raises:
            OSError: it did not say so in time, or the connection is over.
        """
        if self.down:
            raise ConnectionError(self.down)
        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        until = time.monotonic() + _PATIENCE
        try:
            while not (sent.is_published() or self.down) and time.monotonic() < until:
                sent.wait_for_publish(_LOOK)
        except (RuntimeError, ValueError) as error:
            raise ConnectionError(self.down or str(error)) from error
        if not sent.is_published():
            raise TimeoutError(self.down or f"the broker did not take a message within {_PATIENCE:g} s")

    def close(self, politely: bool = False) -> None:
        """Ends it; without a good-bye the broker publishes the will."""
        link: Any = self._client.socket()
        with contextlib.suppress(Exception):
            if politely or link is None:
                self._client.disconnect()
            else:
                link.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(Exception):
            self._client.loop_stop()
        # nothing leads back here any more: the library closes its descriptors when its object goes
        self._client.on_connect = self._client.on_disconnect = self._client.on_message = None

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._refused = f"the broker refuses the connection: {code}"
        self._answered.set()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self.down = f"the connection to the broker ended: {code}"
        self._answered.set()
        self._wake()

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        most = None if message.topic == self._whole else _HEARD
        self.heard.append((message.topic, bytes(message.payload[:most])))
        self._wake()
