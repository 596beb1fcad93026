"""Events as POST requests to one's own server, signed so that it knows who sent them and when.

The signature is HMAC-SHA256 (RFC 2104) of the timestamp, a full stop and the body, with the shared secret as its key;
a receiver that compares it and refuses timestamps of minutes ago takes neither forged nor replayed events.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from edgekit.camera.deliver.base import Delivery, Event, Setup
from edgekit.camera.deliver.queued.queued import AnsweredError, QueuedDelivery, RefusedError, secrets_of
from edgekit.camera.deliver.queued.rules import QueueKeys
from edgekit.camera.source.uri import expand
from edgekit.errors import UsageError
from edgekit.screen import count_of
from edgekit.version import __version__

_AGAIN = (408, 425, 429)  # of the 4xx those that say: later (RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4)
_CONNECT = 10.0  # seconds


class WebhookKeys(QueueKeys):
    """What is below [deliver.webhook]."""

    url: str = Field(repr=False, description="https:// or http://, `${NAME}` is of the environment")
    secret: str | None = Field(
        default=None, repr=False, description="16 characters or more; signs each request; `${NAME}` as above"
    )
    timeout: float = Field(default=20, gt=0, le=300, description="seconds for a whole request")


class Webhook(QueuedDelivery):
    """Posts each event as JSON. A redirect is not followed: what an address gives away is no reason to tell others."""

    name = "webhook"
    Keys = WebhookKeys

    def __init__(self, setup: Setup, keys: WebhookKeys) -> None:
        super().__init__(setup, keys)
        url = urlsplit(expand(keys.url).strip())
        secret = expand(keys.secret) if keys.secret is not None else ""
        self.secrets = secrets_of(secret, url.password, url.username, url.query, url.path.strip("/"))
        try:
            known = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or 1) > 0
        except ValueError:  # a port that is none
            known = False
        if not known or url.username is not None:
            raise UsageError(
                "deliver.webhook.url is no address that can be posted to.", got="a hidden value",
                expected="http:// or https:// with a host; who may post is told by deliver.webhook.secret",
            )  # fmt: skip
        if keys.secret is not None and len(secret) < 16:
            raise UsageError(
                "deliver.webhook.secret is too short to be one.",
                got=f"{count_of(len(secret), 'character')}",
                expected="16 or more",
            )
        self._url, self._secret, self._timeout = url, secret.encode(), keys.timeout

    @classmethod
    def wanted(cls, setup: Setup, keys: Any) -> Delivery | None:
        return cls(setup, keys) if keys is not None else None

    def send(self, event: Event) -> None:
        """Posts one event. Raises RefusedError for an answer that means never, AnsweredError for any other but 2xx."""
        body = json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        with self._connected() as link:
            link.request("POST", target, body, self._headers(event, body))
            status = link.getresponse().status
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status not in _AGAIN:
            raise RefusedError(f"the server answered {status}")
        raise AnsweredError(f"the server answered {status}" + (", and is not followed" if 300 <= status < 400 else ""))

    def _headers(self, event: Event, body: bytes) -> dict[str, str]:
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"edgekit/{__version__}",
            "X-Edgekit-Id": str(event["id"]),
            "X-Edgekit-Seq": str(event["seq"]),
            "X-Edgekit-Timestamp": stamp,
        }
        if self._secret:
            headers["X-Edgekit-Signature"] = f"sha256={signature(self._secret, stamp, body)}"
        return headers

    @contextmanager
    def _connected(self) -> Iterator[http.client.HTTPConnection]:
        """A connection that ends after `timeout` whatever the server does: a byte a second is no answer either."""
        host, port = self._url.hostname or "", self._url.port
        patience = min(self._timeout, _CONNECT)
        link: http.client.HTTPConnection = (
            http.client.HTTPSConnection(host, port, timeout=patience, context=ssl.create_default_context())
            if self._url.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=patience)
        )
        late = threading.Timer(self._timeout, _cut, (link,))
        late.daemon = True
        late.start()
        try:
            yield link
        finally:
            late.cancel()
            link.close()


def signature(secret: bytes, stamp: str, body: bytes) -> str:
    """What X-Edgekit-Signature holds after `sha256=`, of the X-Edgekit-Timestamp and the body as they were sent."""
    return hmac.new(secret, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def _cut(link: http.client.HTTPConnection) -> None:
    if link.sock is not None:
        try:
            link.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
