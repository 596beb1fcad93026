"""What a kill -9 left: half files, whole clips that no row names, and visits that never ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path

from edgekit.camera.store.avi import recover
from edgekit.camera.store.database import Event, parsed
from edgekit.camera.store.quota import KINDS, walk


def put_right(db: sqlite3.Connection, folder: Path, running: Collection[str]) -> tuple[int, dict[str, str]]:
    """Half a clip becomes a shorter one, other half files go.

    Args:
        running: visits whose clip this process writes.

    Returns:
        How many half files there were, and by visit the clips, paths in the folder, that its row does not name.
    """
    found = [path for kind in KINDS for path, _ in walk(folder / kind)]
    halves = [path for path in found if path.name.startswith(".") and path.name.split(".")[1] not in running]
    for path in halves:
        whole = path.with_name(path.name.split(".")[1] + path.suffix)
        if path.suffix != ".avi" or whole.exists() or not recover(path, whole):
            path.unlink(missing_ok=True)
    nameless = {}
    for path, _ in walk(folder / "clips"):
        row = db.execute("SELECT event FROM visits WHERE id = ?", (path.stem,)).fetchone()
        event = parsed(row[0]) if row else None
        if event and not event.get("clip"):
            nameless[path.stem] = path.relative_to(folder).as_posix()
    return len(halves), nameless


def crashed(event: Event, seq: int) -> Event:
    """The end of a visit in which the process died: when it was last heard of."""
    return {**event, "seq": seq, "type": "end", "end": event["last_seen"], "end_reason": "crash", "count": 0}
