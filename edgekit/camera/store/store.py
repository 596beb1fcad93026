"""Visits and counts on disk: SQLite in WAL mode and pictures beside it, within quotas, and whole after a kill -9.

One process and one thread writes. The page reads through connections of its own, which WAL allows at the same time. A
full disk, a damaged database and a deleted folder stop nothing: events wait in memory until they are written, and what
had to be given up is counted in `dropped`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection
from pathlib import Path

from edgekit.artifacts.atomic import make_folder
from edgekit.camera.clock import seconds_of
from edgekit.camera.config import StoreConfig
from edgekit.camera.problems import one_line
from edgekit.camera.store.database import OF_A_CAMERA, Event, parsed
from edgekit.camera.store.dropped import StoreProblems
from edgekit.camera.store.leftovers import put_right
from edgekit.camera.store.locked_database import LockedDatabase
from edgekit.camera.store.pending.outbox import Outbox
from edgekit.camera.store.pending.unwritten import MOST, Unwritten
from edgekit.camera.store.permissions import close_to_others
from edgekit.camera.store.pictures import Pictures
from edgekit.camera.store.quota import Removed, orders_of
from edgekit.errors import EdgekitError

_RETRY = 5.0  # seconds
_LOOK = 1.0  # seconds between two looks whether everything is where it was


class Store:
    """A folder with `visits.db`, `snapshots/` and `clips/`. For one thread; see `reader` for the others.

    Args:
        say: takes lines for people.
        outbox: of the same folder's database: what deliveries owe of an event is written with it.

    Attributes:
        seq: number of the last event, whatever the clock says.

    Raises:
        BusyError: another process keeps its visits there.
        OutputError: the folder cannot be written, or holds a later edgekit's database.
    """

    def __init__(
        self,
        folder: Path,
        config: StoreConfig,
        say: Callable[[str], None] = lambda _: None,
        outbox: Outbox | None = None,
    ) -> None:
        make_folder(folder)
        self.open_to_others = close_to_others(folder)  # an earlier edgekit's was
        self.folder, self._say = folder.resolve(), say
        self._outbox = outbox or Outbox()
        self._problems = StoreProblems(say)
        self.dropped = self._problems.dropped
        self._mine: set[str] = set()  # visits that are going on
        self._retry_at = self._look_at = self._probe_at = 0.0
        self._left = 0  # how often another thread took over
        self._locked = LockedDatabase(self.folder, say)
        self.pictures = Pictures(
            self.folder,
            config,
            self._problems,
            lambda: self._locked.db,
            lambda: {event["id"] for event in self._unwritten.events},
        )
        self._unwritten = Unwritten(self.folder, self.pictures.nameless, self._outbox)
        self.keep_file, self.room_for = self.pictures.keep, self.pictures.room_for
        lock, seq, text = self._locked.lock, 0, ""
        self.seq = lock.mark or (int(time.time() * 1000) if self._locked.path.exists() else 0)
        self._begun = False
        try:
            db = self._opened()
        except EdgekitError:
            lock.release()
            raise
        self._begun = True
        if db is not None:
            seq, text = self._locked.last()
            self.seq = max(seq, lock.mark if self._locked.anew else 0)
        self.pictures.begin(seconds_of((parsed(text) or {}).get("last_seen")))

    @property
    def problem(self) -> str:
        """What cannot be kept now, or nothing."""
        return self._problems.problem

    @property
    def waiting(self) -> int:
        """Events in memory that are not on the disk yet."""
        return len(self._unwritten.events)

    @property
    def readable(self) -> bool:
        """Whether the database is open."""
        return self._locked.db is not None

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def unfinished(self) -> list[Event]:
        """The last events of visits that never ended: an earlier process died in them."""
        if self._locked.db is None:
            return []
        rows = self._locked.db.execute("SELECT event FROM visits WHERE NOT ended ORDER BY first")
        return [event for row in rows if (event := parsed(row[0])) and event["id"] not in self._mine]

    def add(self, event: Event, owed: Collection[str] = ()) -> None:
        """Keeps an event and its visit's latest state. Never raises: what cannot be kept is told in `problem`.

        A row names a clip only once the clip is whole: see `name_clip`.

        Args:
            owed: names of the deliveries that owe it to somebody.
        """
        self.seq = max(self.seq, event["seq"])
        self._locked.lock.cover(self.seq)
        over = event["type"] in ("end", *OF_A_CAMERA)
        (self._mine.discard if over else self._mine.add)(event["id"])
        if not self._unwritten.add(event, owed):
            self.dropped.events_lost += 1
            self._problems.once(f"error: more than {MOST} events wait to be written: the oldest are lost")
        self.flush()

    def name_clip(self, ident: str, path: str) -> None:
        """A visit's clip is on the disk, whole, at `path` in the folder."""
        self._unwritten.clips[ident] = path
        self.flush()

    def count(self, camera: str, most: list[tuple[str, int, int]], watched: list[tuple[int, float]]) -> None:
        """Keeps a camera's counts, as `QuarterCounts.take` gives them. Never raises."""
        self._unwritten.count(camera, most, watched)
        self.flush()

    def flush(self) -> None:
        """Writes what waits; while that fails not more often than every few seconds. Never raises."""
        if self._unwritten:
            self._write()
        if self._unwritten.events:
            self._outbox.show_held()

    def _write(self) -> None:
        if time.monotonic() < self._retry_at:
            return
        left = self._left
        for _ in range(3):  # the folder can be deleted while it is written to, and pictures can make room
            db = self._opened()
            if db is None:
                return
            written = self._written(db)
            if self._left != left:  # it hung, and what it wrote is written once more by who took over
                db.close()
                return
            if not written:
                if self._retry_at:
                    return
            elif not self._locked.in_place:
                self._begin_anew(len(self._unwritten.events))
            else:
                self._unwritten.written()
                self._problems.works("rows")
                return

    def leave(self) -> None:
        """Another thread takes over from one that hangs in here. What that one was writing waits once more."""
        self._left += 1
        self._locked.leave()
        self._problems.fails("rows", "a write to the database hangs")
        self._retry_at = time.monotonic() + _RETRY

    def watch(self) -> None:
        """Looks whether all is where it was and whether there is room again; every second at most. Never raises."""
        now, locked = time.monotonic(), self._locked
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        if locked.db is not None and not locked.in_place:
            self._begin_anew(0)
        elif locked.db is not None and not locked.whole:
            locked.close()
        elif locked.db is not None and (found := locked.take_damage()):
            self._replace(found)
        if locked.db is None and now >= self._retry_at:
            self._opened()
        if now >= self._probe_at:
            self._probe_at = now + _RETRY
            self.pictures.probe()

    def tidy(self, force: bool = False) -> Removed:
        """Makes room, as `Pictures.tidy`."""
        return self.pictures.tidy(force)

    def sweep(self, running: Collection[str] = ()) -> int:
        """Puts right what a kill -9 left: half a clip becomes a shorter one, other half files go; how many of both.

        Args:
            running: visits whose clip this process writes.
        """
        db = self._locked.db
        if db is None:
            return 0
        halves, finished = put_right(db, self.folder, running)
        self._unwritten.clips.update(finished)
        self.flush()
        return halves

    def close(self) -> None:
        """Writes what waits and lets another process have the store. What cannot be written is lost, and counted."""
        self._retry_at = 0.0
        self._outbox.hurry()
        self.flush()
        if lost := len(self._unwritten.events):
            self.dropped.events_lost += lost
            self._say(f"error: {lost} events could not be kept: {self.problem}")
            self._unwritten.give_up_all()
        self._locked.close()
        self._locked.lock.release()

    def _opened(self) -> sqlite3.Connection | None:
        """The database; None while it cannot be opened. On a disk too full for that the oldest pictures make room."""
        if self._locked.db is not None:
            return self._locked.db
        try:
            try:
                db = self._locked.open(self.seq)
            except sqlite3.OperationalError:
                if not self.pictures.win_room(lambda: orders_of(self._locked.path)):
                    raise
                db = self._locked.open(self.seq)
        except (sqlite3.Error, EdgekitError, OSError) as error:
            if not self._begun and isinstance(error, EdgekitError):
                raise
            self._later(f"the database cannot be opened: {one_line(error)}")
            return None
        self._retry_at = 0.0
        if not self._unwritten.events:
            self._problems.works("rows")
        return db

    def _later(self, problem: str) -> None:
        self._problems.fails("rows", problem)
        self._retry_at = time.monotonic() + _RETRY

    def _written(self, db: sqlite3.Connection) -> bool:
        """Writes all that waits in one transaction; where that fails `_retry_at` says when it is worth trying again."""
        try:
            highest = self._unwritten.write(db)
            self.seq = max(self.seq, highest)  # as it is by now: another thread may have taken over meanwhile
        except sqlite3.Error as error:  # full, read-only, damaged, or the disk is gone
            if self._locked.db is db:
                self._refused(error)
            return False
        return True

    def _refused(self, error: sqlite3.Error) -> None:
        """What could not be written is tried again: at once where something was done about it, or later."""
        self._retry_at = 0.0
        if not self._locked.in_place:
            self._begin_anew(0)
        elif type(error) is sqlite3.DatabaseError:  # malformed, or no database any more
            self._replace(str(error))
        elif not self.pictures.win_room():
            self._later(f"the database cannot be written: {error}")
            if "full" not in str(error):  # an I/O error sticks to a connection
                self._locked.close()

    def _begin_anew(self, unwritten: int) -> None:
        """The folder or its database was deleted or replaced under way: events go on in what is there now.

        Args:
            unwritten: events that are in the deleted one and will be in the new one too.
        """
        events, visits, pictured = self._locked.content()
        self.dropped.events_lost += events - unwritten
        self._outbox.lose(self._locked.db)
        if not (self.folder / "snapshots").exists():
            self.dropped.pictures_lost += pictured
        self._say(f"error: {self._locked.path} was deleted or replaced: {events - unwritten} events of {visits} visits "
                  "are lost, and a new one is begun")  # fmt: skip
        self._locked.close()
        self._locked.anew = True
        self._opened()

    def _replace(self, found: str) -> None:
        """The database turned out to be damaged while it was open."""
        try:
            self._locked.replace(found)
        except (sqlite3.Error, EdgekitError, OSError) as error:
            self._later(f"the database cannot be opened: {error}")
