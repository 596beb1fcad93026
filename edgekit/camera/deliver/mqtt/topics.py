"""Names of topics, and of things in Home Assistant: stable, and of letters that both take."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Topics:
    """The topics of one device.

    Args:
        root: what all of them begin with.
        device: its name.
    """

    root: str
    device: str

    @property
    def base(self) -> str:
        return f"{self.root}/{slug(self.device)}"

    @property
    def availability(self) -> str:
        """`online`, or `offline` where the broker heard nothing for a while; retained."""
        return f"{self.base}/availability"

    @property
    def update(self) -> str:
        """A signed model for all cameras, where that is allowed; heard."""
        return f"{self.base}/update"

    @property
    def commands(self) -> str:
        """What is heard: a filter."""
        return f"{self.base}/+/+/set"

    def of(self, camera: str, what: str) -> str:
        """A topic of one camera: status, counts, level, enabled (each retained), events, snapshot."""
        return f"{self.base}/{slug(camera)}/{what}"


def slug(name: str) -> str:
    """A name in small letters, digits and hyphens; where that loses something, with six digits that tell it apart."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain == name:
        return plain
    told = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:6]
    return f"{plain}-{told}" if plain else told
