"""What the page says of a visit, kept in the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.artifacts.marks import remove_mark, write_mark
from edgekit.camera.clock import iso


def said_of(store: Path, event: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Keeps the mark that a request brings, or takes it back where its verdict is null; what is said now.

    Args:
        store: the folder.
        event: the visit's.
        given: `verdict`, and with `other` a `label`.

    Raises:
        UsageError: no such verdict, or no label.
        OutputError: it cannot be kept.
    """
    verdict, label = given.get("verdict"), given.get("label")
    if verdict is None:
        remove_mark(store, event["id"])
        return None
    meant = label if isinstance(label, str) else None
    return write_mark(store, event, str(verdict), meant, iso(time.time())).to_dict()
