"""The rows of the outbox: which delivery still owes which event to somebody, and since when."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from edgekit.camera.clock import boot_id, plausible
from edgekit.camera.store.database import Event, parsed


@dataclass(frozen=True)
class Moment:
    """When something was, by both clocks: seconds since 1970, and monotonic seconds of one boot."""

    wall: float
    boot: str | None
    mono: float

    @classmethod
    def now(cls) -> Moment:
        return cls(time.time(), boot_id(), time.monotonic())

    @property
    def age(self) -> float:
        """Seconds since then. Of another boot by the wall clock, and 0 while one of both times cannot be right."""
        if self.boot is not None and self.boot == boot_id():
            return max(0.0, time.monotonic() - self.mono)
        return max(0.0, time.time() - self.wall) if plausible(0) and self.wall > 0 else 0.0


@dataclass(frozen=True)
class Owed:
    """An event that a delivery has not taken yet; None where its row went to make room."""

    seq: int
    event: Event | None
    since: Moment


def insert_owed(db: sqlite3.Connection, seq: int, names: Iterable[str], since: Moment) -> None:
    """Notes for each delivery that it owes the event; in the transaction that writes the event."""
    wall = since.wall if plausible(0) else 0.0
    db.executemany(
        "INSERT OR IGNORE INTO outbox (delivery, seq, wall, boot, mono) VALUES (?, ?, ?, ?, ?)",
        [(name, seq, wall, since.boot, since.mono) for name in names],
    )


def delete_owed(db: sqlite3.Connection, done: Iterable[tuple[str, int]]) -> None:
    """Forgets what was taken: pairs of delivery and number."""
    db.executemany("DELETE FROM outbox WHERE delivery = ? AND seq = ?", list(done))


def delete_others(db: sqlite3.Connection, names: Collection[str]) -> int:
    """Forgets what deliveries owe that are not configured any more; how many events that were."""
    places = ", ".join("?" * len(names))
    return db.execute(f"DELETE FROM outbox WHERE delivery NOT IN ({places})", list(names)).rowcount  # noqa: S608 - marks


def first_owed(db: sqlite3.Connection, name: str, done: Collection[int]) -> Owed | None:
    """The event with the lowest number that a delivery owes, but for those of `done`."""
    rows = db.execute(
        "SELECT o.seq, e.event, o.wall, o.boot, o.mono FROM outbox o LEFT JOIN events e ON e.seq = o.seq "
        "WHERE o.delivery = ? ORDER BY o.seq LIMIT ?",
        (name, len(done) + 1),
    )
    for seq, text, wall, boot, mono in rows:
        if seq not in done:
            return Owed(seq, parsed(text), Moment(wall, boot, mono))
    return None


def count_owed(db: sqlite3.Connection, name: str) -> int:
    """How many events a delivery owes."""
    return int(db.execute("SELECT count(*) FROM outbox WHERE delivery = ?", (name,)).fetchone()[0])


def all_owed(db: sqlite3.Connection) -> list[tuple[str, int]]:
    """Everything that is owed: pairs of delivery and number."""
    return [(str(name), int(seq)) for name, seq in db.execute("SELECT delivery, seq FROM outbox")]
