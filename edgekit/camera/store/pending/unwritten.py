"""What is not on the disk yet: it waits in memory until one transaction writes all of it."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Collection
from pathlib import Path

from edgekit.camera.store.database import Event, insert_counts, insert_event, name_files
from edgekit.camera.store.pending.outbox import Outbox
from edgekit.camera.store.quota import forget

MOST = 2000  # events that are kept in memory while they cannot be written


class Unwritten:
    """Events with what is owed of them, names of clips, counts, and pictures that are gone.

    Args:
        folder: the store's.
        nameless: visits whose rows still name a picture that is gone; shared with who removes pictures.
        outbox: what deliveries owe.
    """

    def __init__(self, folder: Path, nameless: list[str], outbox: Outbox) -> None:
        self.events: deque[Event] = deque()
        self.clips: dict[str, str] = {}  # finished, and not yet named by their visits
        self.most: dict[tuple[str, str, int], int] = {}  # by camera, label and bucket
        self.watched: dict[tuple[str, int], float] = {}  # by camera and bucket
        self._folder, self._nameless, self._outbox = folder, nameless, outbox

    def __bool__(self) -> bool:
        rows = self.events or self.clips or self.most or self.watched or self._nameless
        return bool(rows) or self._outbox.due

    def add(self, event: Event, owed: Collection[str]) -> bool:
        """Takes an event, which the deliveries `owed` owe to somebody; False where another one had to go for it."""
        self._outbox.promise(event, owed)
        self.events.append(event)
        if len(self.events) <= MOST:
            return True
        self._give_up()
        return False

    def count(self, camera: str, most: list[tuple[str, int, int]], watched: list[tuple[int, float]]) -> None:
        """Adds a camera's counts, as `QuarterCounts.take` gives them."""
        for label, bucket, number in most:
            key = (camera, label, bucket)
            self.most[key] = max(self.most.get(key, 0), number)
        for bucket, seconds in watched:
            self.watched[camera, bucket] = self.watched.get((camera, bucket), 0.0) + seconds

    def write(self, db: sqlite3.Connection) -> int:
        """Writes everything in one transaction, and gives the highest number. Raises sqlite3.Error."""
        highest = 0
        with db:
            for event in self.events:
                clip = event.get("clip")
                there = not clip or (self._folder / clip["path"]).is_file()
                seq = insert_event(db, event if there else {**event, "clip": None})
                self._outbox.write(db, event["seq"], seq)
                highest = max(highest, seq)
            for ident, path in self.clips.items():
                name_files(db, ident, {"clip": {"path": path}})
            insert_counts(db, self.most, self.watched)
            forget(db, self._folder, self._nameless)
            self._outbox.settle(db)
        return highest

    def written(self) -> None:
        """It is on the disk."""
        self._outbox.committed(event["seq"] for event in self.events)
        for part in (self.events, self.clips, self.most, self.watched, self._nameless):
            part.clear()

    def give_up_all(self) -> None:
        """No event will be written any more."""
        while self.events:
            self._outbox.give_up(self.events.popleft()["seq"])

    def _give_up(self) -> None:
        """One event goes, an update first: a later event of its visit says more."""
        index = next((i for i, event in enumerate(self.events) if event["type"] == "update"), 0)
        self._outbox.give_up(self.events[index]["seq"])
        del self.events[index]
