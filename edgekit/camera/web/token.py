"""The token of a camera's page, as its configuration has it."""

from __future__ import annotations

from edgekit.camera.config import WebConfig
from edgekit.camera.source.uri import expand
from edgekit.serving.token_auth import required_token


def check_web(config: WebConfig) -> str | None:
    """The token, or None where the page is this machine's own.

    Raises:
        UsageError: it listens wider and has no token of 16 characters or more.
    """
    fix = '{token} below [web], or host = "127.0.0.1"'
    return required_token(config.host, expand(config.token) if config.token else None, "web.token", fix)
