"""Visits and counts on disk: SQLite in WAL mode and pictures beside it, within quotas, and whole after a kill -9.

One process and one thread writes. The page reads through connections of its own, which WAL allows at the same time. A
full disk, a damaged database and a deleted folder stop nothing: events wait in memory until they are written, and what
had to be given up is counted in `dropped`.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.artifact import make_folder, sync_folder, write_bytes
from edgekit.camera.avi import recover
from edgekit.camera.clock import iso, plausible, seconds_of
from edgekit.camera.config import MB, StoreConfig
from edgekit.camera.database import Event, insert_counts, insert_event, name_files, parsed
from edgekit.camera.held import Held
from edgekit.camera.private import FILE, close_to_others, private_folder
from edgekit.camera.room import ROOM, Removed, forget, free_bytes, make_room, orders, orders_of, walk, win_room
from edgekit.errors import EdgekitError, OutputError

_WAITING = 2000  # events that are kept in memory while they cannot be written
_RETRY = 5.0  # seconds
_CHECK = 30.0  # seconds between two looks at the quotas
_LOOK = 1.0  # seconds between two looks whether everything is where it was
_HOLD = 900.0  # seconds without a removal while the clock is wrong; some boxes never learn the time
_PROBE = bytes(65536)


@dataclass
class Dropped:
    """What was given up since the start: never kept, or removed to make room for newer ones."""

    events_lost: int = 0
    pictures_lost: int = 0
    clips_lost: int = 0
    pictures_removed: int = 0
    clips_removed: int = 0
    visits_removed: int = 0


class Store:
    """A folder with `visits.db`, `snapshots/` and `clips/`. For one thread; see `reader` for the others.

    Args:
        say: takes lines for people.

    Attributes:
        seq: number of the last event, whatever the clock says.

    Raises:
        BusyError: another process keeps its visits there.
        OutputError: the folder cannot be written, or holds a later edgekit's database.
    """

    def __init__(self, folder: Path, config: StoreConfig, say: Callable[[str], None] = lambda _: None) -> None:
        make_folder(folder)
        self.open_to_others = close_to_others(folder)  # an earlier edgekit's was
        self.folder, self._config, self._say = folder.resolve(), config, say
        self.dropped = Dropped()
        self._waiting: deque[Event] = deque()
        self._clips: dict[str, str] = {}  # finished, and not yet named by their visits
        self._mine: set[str] = set()  # visits that are going on
        self._gone: list[str] = []  # visits whose pictures went while nothing could be written
        self._most: dict[tuple[str, int], int] = {}
        self._watched: dict[int, float] = {}
        self._problems: dict[str, str] = {}
        self._said: set[str] = set()
        self._retry_at = self._check_at = self._look_at = self._probe_at = 0.0
        self._began_at, self._begun, self._newest, self._clock_known = time.monotonic(), False, 0.0, False
        self._held = Held(self.folder, say)
        lock = self._held.lock
        self.seq = lock.mark or (int(time.time() * 1000) if self._held.path.exists() else 0)
        try:
            db = self._opened()
        except EdgekitError:
            lock.release()
            raise
        self._begun = True
        if db is not None:
            row = db.execute("SELECT seq, event FROM events ORDER BY seq DESC LIMIT 1").fetchone()
            seq, text = row or (0, "")
            self.seq = max(seq, lock.mark if self._held.anew else 0)
            self._newest = seconds_of((parsed(text) or {}).get("last_seen"))
        if not plausible(self._newest):
            self._say(f"the clock says {iso(time.time())}, which cannot be right: nothing is removed until it can, or "
                      f"for {_HOLD / 60:.0f} minutes")  # fmt: skip

    @property
    def problem(self) -> str:
        """What cannot be kept now, or nothing."""
        return next(iter(list(self._problems.values())), "")

    @property
    def waiting(self) -> int:
        """Events in memory that are not on the disk yet."""
        return len(self._waiting)

    @property
    def readable(self) -> bool:
        """Whether the database is open."""
        return self._held.db is not None

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def unfinished(self) -> list[Event]:
        """The last events of visits that never ended: an earlier process died in them."""
        if self._held.db is None:
            return []
        rows = self._held.db.execute("SELECT event FROM visits WHERE NOT ended ORDER BY first")
        return [event for row in rows if (event := parsed(row[0])) and event["id"] not in self._mine]

    def add(self, event: Event) -> None:
        """Keeps an event and its visit's latest state. Never raises: what cannot be kept is told in `problem`.

        A row names a clip only once the clip is whole: see `name_clip`.
        """
        self.seq = max(self.seq, event["seq"])
        self._held.lock.cover(self.seq)
        self._mine.add(event["id"])
        if event["type"] == "end":
            self._mine.discard(event["id"])
        self._waiting.append(event)
        if len(self._waiting) > _WAITING:
            self._give_up()
        self.flush()

    def name_clip(self, ident: str, path: str) -> None:
        """A visit's clip is on the disk, whole, at `path` in the folder."""
        self._clips[ident] = path
        self.flush()

    def clip_lost(self, why: str) -> None:
        """A clip could not be written, or not to its end."""
        self.dropped.clips_lost += 1
        self._fails("pictures", f"a clip was not kept whole: {why}")

    def count(self, most: list[tuple[str, int, int]], watched: list[tuple[int, float]]) -> None:
        """Keeps counts, as `CountBook.take` gives them. Never raises."""
        for label, bucket, number in most:
            self._most[label, bucket] = max(self._most.get((label, bucket), 0), number)
        for bucket, seconds in watched:
            self._watched[bucket] = self._watched.get(bucket, 0.0) + seconds
        self.flush()

    def room_for(self, size: int) -> bool:
        """Whether so many bytes of pictures leave the reserve free, older ones having made room."""
        if not self._has_room(size) and "pictures" not in self._problems:  # else `watch` tries, every few seconds
            self.tidy(force=True, wanted=size)
        return self._has_room(size)

    def keep_file(self, kind: str, name: str, data: bytes, day: str) -> dict[str, Any] | None:
        """Writes a picture atomically and gives its path in the folder, sha256 and size; None when the disk is full."""
        path = self.folder / kind / day / name
        try:
            if not self.room_for(len(data)):
                raise OutputError(self._no_room)
            if not path.parent.exists():
                private_folder(path.parent, self.folder)
                sync_folder(path.parent.parent)
            write_bytes(path, data, overwrite=True, mode=FILE)
        except (OutputError, OSError) as error:
            self.dropped.pictures_lost += 1
            self._fails("pictures", f"pictures are not kept: {_told(error)}")
            return None
        return {
            "path": path.relative_to(self.folder).as_posix(),
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
        }

    def flush(self) -> None:
        """Writes what waits; while that fails not more often than every few seconds. Never raises."""
        if not (self._waiting or self._clips or self._most or self._watched or self._gone):
            return
        if time.monotonic() < self._retry_at:
            return
        for _ in range(3):  # the folder can be deleted while it is written to, and pictures can make room
            db = self._opened()
            if db is None:
                return
            if not self._written(db):
                if self._retry_at:
                    return
            elif not self._held.in_place:
                self._begin_anew(len(self._waiting))
            else:
                for part in (self._waiting, self._clips, self._most, self._watched, self._gone):
                    part.clear()
                self._works("rows")
                return

    def watch(self) -> None:
        """Looks whether all is where it was and whether there is room again; every second at most. Never raises."""
        now, held = time.monotonic(), self._held
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        if held.db is not None and not held.in_place:
            self._begin_anew(0)
        elif held.db is not None and not held.whole:
            held.close()
        elif held.db is not None and (found := held.take_damage()):
            self._replace(found)
        if held.db is None and now >= self._retry_at:
            self._opened()
        if now >= self._probe_at:
            self._probe_at = now + _RETRY
            self._probe()

    def tidy(self, force: bool = False, wanted: int = 0) -> Removed:
        """Makes room where quotas and reserve don't hold, and for so many bytes more; what went.

        Looks at the disk every 30 s at most. Removes nothing while the clock cannot be right. Never raises.
        """
        now, removed = time.monotonic(), Removed()
        db = self._held.db
        if db is None or (now < self._check_at and not force):
            return removed
        self._check_at = now + _CHECK
        if not self._clock_known:
            self._clock_known = plausible(self._newest) or now - self._began_at > _HOLD
            if not self._clock_known:
                return removed
        try:
            removed = make_room(db, self.folder, self._config, {event["id"] for event in self._waiting}, wanted)
            self._works("tidying")
        except (sqlite3.Error, OSError) as error:
            self._fails("tidying", f"the store cannot be tidied: {error}")
        self._removed(removed)
        return removed

    def sweep(self, running: Collection[str] = ()) -> int:
        """Puts right what a kill -9 left: half a clip becomes a shorter one, other half files go; how many of both.

        Args:
            running: visits whose clip this process writes.
        """
        db = self._held.db
        if db is None:
            return 0
        found = [path for kind in ("snapshots", "clips") for path, _ in walk(self.folder / kind)]
        halves = [path for path in found if path.name.startswith(".") and path.name.split(".")[1] not in running]
        for path in halves:
            whole = path.with_name(path.name.split(".")[1] + path.suffix)
            if path.suffix != ".avi" or whole.exists() or not recover(path, whole):
                path.unlink(missing_ok=True)
        for path, _ in walk(self.folder / "clips"):
            row = db.execute("SELECT event FROM visits WHERE id = ?", (path.stem,)).fetchone()
            event = parsed(row[0]) if row else None
            if event and not event.get("clip"):
                self._clips[path.stem] = path.relative_to(self.folder).as_posix()
        self.flush()
        return len(halves)

    def used(self) -> int:
        """Bytes of everything in the folder."""
        return sum(size for _, size in walk(self.folder))

    def close(self) -> None:
        """Writes what waits and lets another process have the store. What cannot be written is lost, and counted."""
        self._retry_at = 0.0
        self.flush()
        if self._waiting:
            self.dropped.events_lost += len(self._waiting)
            self._say(f"error: {len(self._waiting)} events could not be kept: {self.problem}")
            self._waiting.clear()
        self._held.close()
        self._held.lock.release()

    def _fails(self, part: str, text: str) -> None:
        """A part cannot be kept now; said when that begins."""
        if part not in self._problems:
            self._say(f"error: {text}")
        self._problems[part] = text

    def _works(self, part: str) -> None:
        if self._problems.pop(part, ""):
            lost = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in vars(self.dropped).items() if n)
            self._say(f"{part} can be kept again" + (f"; so far {lost}" if lost else ""))

    def _once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def _removed(self, removed: Removed) -> None:
        self._gone += removed.nameless
        self.dropped.pictures_removed += removed.pictures
        self.dropped.clips_removed += removed.clips
        self.dropped.visits_removed += removed.visits
        config = self._config
        if removed.pictures or removed.clips:
            self._once(f"the oldest pictures and clips go, to make room (quota_mb = {config.quota_mb:g}, "
                       f"reserve_mb = {config.reserve_mb:g})")  # fmt: skip
        if removed.visits:
            self._once(f"the oldest visits go, to make room (rows_mb = {config.most_rows_mb:g})")

    def _give_up(self) -> None:
        """An update goes first: a later event of its visit says more."""
        del self._waiting[next((i for i, event in enumerate(self._waiting) if event["type"] == "update"), 0)]
        self.dropped.events_lost += 1
        self._once(f"error: more than {_WAITING} events wait to be written: the oldest are lost")

    @property
    def _no_room(self) -> str:
        return f"less than {self._config.reserve_mb:g} MB are free on the disk"

    def _has_room(self, size: int = 0) -> bool:
        try:
            return free_bytes(self.folder) >= self._config.reserve_mb * MB + size
        except OSError:  # the folder is gone; `watch` makes it anew
            return True

    def _probe(self) -> None:
        """Whether pictures can be kept, found out before the next one comes."""
        if not self._has_room():
            self.tidy(force=True)
        if not self._has_room():
            self._fails("pictures", f"pictures are not kept: {self._no_room}")
        elif "pictures" in self._problems:
            probe = self.folder / ".probe.tmp"
            try:
                write_bytes(probe, _PROBE, overwrite=True)
                probe.unlink()
            except (EdgekitError, OSError):
                return
            self._works("pictures")

    def _opened(self) -> sqlite3.Connection | None:
        """The database; None while it cannot be opened. On a disk too full for that the oldest pictures make room."""
        if self._held.db is not None:
            return self._held.db
        try:
            try:
                db = self._held.open(self.seq)
            except sqlite3.OperationalError:
                if not self._won_room(orders_of(self._held.path)):
                    raise
                db = self._held.open(self.seq)
        except (sqlite3.Error, EdgekitError, OSError) as error:
            if not self._begun and isinstance(error, EdgekitError):
                raise
            self._later(f"the database cannot be opened: {_told(error)}")
            return None
        self._retry_at = 0.0
        if not self._waiting:
            self._works("rows")
        return db

    def _later(self, problem: str) -> None:
        self._fails("rows", problem)
        self._retry_at = time.monotonic() + _RETRY

    def _written(self, db: sqlite3.Connection) -> bool:
        """Writes all that waits in one transaction; where that fails `_retry_at` says when it is worth trying again."""
        try:
            with db:
                for event in self._waiting:
                    clip = event.get("clip")
                    there = not clip or (self.folder / clip["path"]).is_file()
                    self.seq = max(self.seq, insert_event(db, event if there else {**event, "clip": None}))
                for ident, path in self._clips.items():
                    name_files(db, ident, {"clip": {"path": path}})
                insert_counts(db, self._most, self._watched)
                forget(db, self.folder, self._gone)
        except sqlite3.Error as error:  # full, read-only, damaged, or the disk is gone
            self._refused(error)
            return False
        return True

    def _refused(self, error: sqlite3.Error) -> None:
        """What could not be written is tried again: at once where something was done about it, or later."""
        self._retry_at = 0.0
        if not self._held.in_place:
            self._begin_anew(0)
        elif type(error) is sqlite3.DatabaseError:  # malformed, or no database any more
            self._replace(str(error))
        elif not self._won_room(self._orders()):
            self._later(f"the database cannot be written: {error}")
            if "full" not in str(error):  # an I/O error sticks to a connection
                self._held.close()

    def _orders(self) -> dict[str, int | None]:
        try:
            known = orders(self._held.db) if self._held.db is not None else {}
        except sqlite3.Error:
            known = {}
        return {**known, **dict.fromkeys(event["id"] for event in self._waiting)}

    def _won_room(self, known: dict[str, int | None]) -> bool:
        """Whether pictures went to make room for rows on a full disk."""
        try:
            if free_bytes(self.folder) >= ROOM:
                return False
            removed = win_room(self.folder, known)
        except OSError:
            return False
        self._removed(removed)
        return bool(removed)

    def _begin_anew(self, unwritten: int) -> None:
        """The folder or its database was deleted or replaced under way: events go on in what is there now.

        Args:
            unwritten: events that are in the deleted one and will be in the new one too.
        """
        events, visits, pictured = self._held.content()
        self.dropped.events_lost += events - unwritten
        if not (self.folder / "snapshots").exists():
            self.dropped.pictures_lost += pictured
        self._say(f"error: {self._held.path} was deleted or replaced: {events - unwritten} events of {visits} visits "
                  "are lost, and a new one is begun")  # fmt: skip
        self._held.close()
        self._held.anew = True
        self._opened()

    def _replace(self, found: str) -> None:
        """The database turned out to be damaged while it was open."""
        try:
            self._held.replace(found)
        except (sqlite3.Error, EdgekitError, OSError) as error:
            self._later(f"the database cannot be opened: {error}")


def _told(error: Exception) -> str:
    return f"{error.what} {error.got or ''}".strip() if isinstance(error, EdgekitError) else str(error)


def crashed(event: Event, seq: int) -> Event:
    """The end of a visit in which the process died: when it was last heard of."""
    return {**event, "seq": seq, "type": "end", "end": event["last_seen"], "end_reason": "crash", "count": 0}
