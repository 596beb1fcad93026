"""The queue of the deliveries: rows in the store, written with their event in one transaction.

The output's thread puts in, each delivery's thread takes out. A delivery sees an event once it is on the disk; while
the disk takes nothing it sees what waits in memory, so that deliveries go on. What it took is deleted by the output's
thread, a second later at most: after a kill in between it is taken once more, with the same `id` and `seq`.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgekit.camera.store.database import Event, read_only
from edgekit.camera.store.pending.rows import (
    Moment,
    Owed,
    all_owed,
    count_owed,
    delete_others,
    delete_owed,
    first_owed,
    insert_owed,
)
from edgekit.screen import count_of

T = TypeVar("T")
_SETTLE = 1.0  # seconds until what was taken is deleted, unless an event is written before
_HELD = 2000  # events in memory where there is no store


@dataclass(frozen=True)
class _Promised:
    event: Event
    names: tuple[str, ...]
    since: Moment


class Outbox:
    """What each delivery still owes, in the order of the numbers.

    Args:
        path: of the store's database; None: there is no store, and all is in memory.
        say: takes lines for people.
    """

    def __init__(self, path: Path | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        self._path, self._say = path, say
        self._lock = threading.Lock()
        self._promised: dict[int, _Promised] = {}  # not on the disk
        self._held: dict[int, _Promised] = {}  # of these, what deliveries may see
        self._done: set[tuple[str, int]] = set()  # and not deleted yet
        self._settling: frozenset[tuple[str, int]] = frozenset()
        self._settled = time.monotonic()
        self._lost: dict[str, int] = {}
        self._only: tuple[str, ...] | None = None
        self._forgotten = 0

    @property
    def durable(self) -> bool:
        """Whether what waits outlives the process."""
        return self._path is not None

    # of the output's thread

    def promise(self, event: Event, names: Iterable[str]) -> None:
        """These deliveries owe an event, which is written next."""
        owed = _Promised(event, tuple(names), Moment.now())
        if not owed.names:
            return
        with self._lock:
            self._promised[event["seq"]] = owed
            if self._path is None:
                self._held[event["seq"]] = owed
        if self._path is None and len(self._promised) > _HELD:
            self.give_up(min(self._promised))

    def write(self, db: sqlite3.Connection, promised: int, written: int) -> None:
        """Writes what is owed of the event `promised`, which got the number `written`; in the event's transaction."""
        with self._lock:
            owed = self._promised.get(promised)
            names = [name for name in owed.names if (name, promised) not in self._done] if owed else []
        if owed is not None and names:
            insert_owed(db, written, names, owed.since)

    @property
    def due(self) -> bool:
        """Whether there is something to delete and it is time to."""
        done = bool(self._done) and time.monotonic() - self._settled >= _SETTLE
        return self._path is not None and (done or self._only is not None)

    def keep_only(self, names: Collection[str]) -> None:
        """What other deliveries owe is forgotten with the next writing, and said: nobody will ever take it."""
        self._only = tuple(names)

    def hurry(self) -> None:
        """What was taken is deleted with the next writing: the store is about to be closed."""
        self._settled = float("-inf")

    def settle(self, db: sqlite3.Connection) -> None:
        """Deletes what was taken, in the caller's transaction; `committed` follows, or this again."""
        with self._lock:
            self._settling = frozenset(self._done)
        if self._settling:
            delete_owed(db, self._settling)
        self._forgotten = delete_others(db, self._only) if self._only is not None else 0

    def committed(self, seqs: Iterable[int]) -> None:
        """The transaction is on the disk, and with it what is owed of these events."""
        with self._lock:
            self._done -= self._settling
            self._settling = frozenset()
            for seq in seqs:
                self._promised.pop(seq, None)
                self._held.pop(seq, None)
        self._settled, self._only = time.monotonic(), None
        if self._forgotten:
            self._say(
                f"{count_of(self._forgotten, 'event')} waited for deliveries that are not configured any more: given up"
            )

    def show_held(self) -> None:
        """The disk takes nothing now: deliveries go on with what waits in memory."""
        with self._lock:
            self._held = dict(self._promised)

    def give_up(self, seq: int) -> None:
        """An event will never be written: who has not taken it yet won't."""
        with self._lock:
            owed = self._promised.pop(seq, None)
            self._held.pop(seq, None)
            for name in owed.names if owed else ():
                if (name, seq) in self._done:
                    self._done.discard((name, seq))
                else:
                    self._lost[name] = self._lost.get(name, 0) + 1

    def lose(self, db: sqlite3.Connection | None) -> None:
        """The database is gone, with what was owed in it; `db` may still be read."""
        try:
            owed = all_owed(db) if db is not None else []
        except sqlite3.Error:
            owed = []
        with self._lock:
            for name, seq in owed:
                if seq not in self._promised and (name, seq) not in self._done:
                    self._lost[name] = self._lost.get(name, 0) + 1
            self._done = {(name, seq) for name, seq in self._done if seq in self._promised}

    # of the deliveries' threads

    def first(self, name: str) -> Owed | None:
        """What a delivery should take next; None where nothing waits, or the database cannot be read now."""
        with self._lock:
            done = {seq for owner, seq in self._done if owner == name}
            held = min(
                (seq for seq, owed in self._held.items() if name in owed.names and seq not in done), default=None
            )
            kept = self._held[held] if held is not None else None
        found = self._read(lambda db: first_owed(db, name, done))
        if kept is not None and (found is None or kept.event["seq"] < found.seq):
            return Owed(kept.event["seq"], kept.event, kept.since)
        return found

    def done(self, name: str, seq: int) -> None:
        """A delivery took an event, or gave it up."""
        with self._lock:
            self._done.add((name, seq))
            owed = self._promised.get(seq)
            if self._path is None and owed and all((other, seq) in self._done for other in owed.names):
                del self._promised[seq], self._held[seq]
                self._done -= {(other, seq) for other in owed.names}

    def waiting(self, name: str) -> int | None:
        """How many events a delivery has not taken yet; None while the database cannot be read."""
        with self._lock:
            held = [seq for seq, owed in self._held.items() if name in owed.names]
            done = {seq for owner, seq in self._done if owner == name}
        kept = 0 if self._path is None else self._read(lambda db: count_owed(db, name))
        if kept is None:
            return None
        return max(0, kept + len(set(held) - done) - len(done - set(held)))

    def lost(self, name: str) -> int:
        """How many events a delivery owed that it never could take."""
        return self._lost.get(name, 0)

    def _read(self, ask: Callable[[sqlite3.Connection], T]) -> T | None:
        """An answer of the database, through a connection of its own each time; None while it cannot be read."""
        if self._path is None:
            return None
        try:
            with closing(read_only(self._path)) as db:
                return ask(db)
        except sqlite3.Error:
            return None
