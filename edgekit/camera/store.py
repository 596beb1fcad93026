"""Visits and counts on disk: SQLite in WAL mode and pictures beside it, within a quota, and whole after a kill -9.

One thread writes. The page reads through connections of its own, which WAL allows at the same time. A full disk stops
nothing: events wait in memory, the oldest are given up when there are too many, and the state says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.artifact import make_folder, write_bytes
from edgekit.camera.config import MB, StoreConfig
from edgekit.errors import OutputError

FORMAT = 1
_WAITING = 2000  # events that are kept in memory while the disk is full
_RETRY = 5.0  # seconds
_CHECK = 30.0  # seconds between two looks at the space
_ROOM = 4 * MB  # bytes that a database needs to be opened and written to
_BATCH = 20  # visits that are removed at a time
_TABLES = """
CREATE TABLE IF NOT EXISTS visits (id TEXT PRIMARY KEY, label TEXT NOT NULL, start TEXT NOT NULL,
    ended INTEGER NOT NULL, event TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, event TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counts (label TEXT NOT NULL, bucket INTEGER NOT NULL, most INTEGER NOT NULL,
    PRIMARY KEY (label, bucket)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS watched (bucket INTEGER PRIMARY KEY, seconds REAL NOT NULL);
CREATE INDEX IF NOT EXISTS events_of ON events (id);
"""


class Store:
    """A folder with `visits.db`, `snapshots/` and `clips/`. For one thread; see `reader` for the others.

    Raises:
        OutputError: the folder cannot be written, or holds another format's database.
    """

    def __init__(self, folder: Path, config: StoreConfig) -> None:
        self.folder, self._config = folder, config
        make_folder(folder)
        self._waiting: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._retry_at = self._check_at = 0.0
        self.problem = ""
        self.lost = 0
        self.seq = int(time.time() * 1000)  # where the database cannot be asked: above all that came before
        self._db: sqlite3.Connection | None = None
        if self._reopened():
            self.seq = int(self._open_db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])

    def unfinished(self) -> list[dict[str, Any]]:
        """The last events of visits that never ended: an earlier process died in them."""
        if self._db is None:
            return []
        return [json.loads(row[0]) for row in self._db.execute("SELECT event FROM visits WHERE NOT ended ORDER BY id")]

    def add(self, event: dict[str, Any]) -> None:
        """Keeps an event and its visit's latest state. Never raises: a full disk is told in `problem`."""
        text = json.dumps(event, ensure_ascii=False)
        ended = int(event["type"] == "end")
        self._do("INSERT OR REPLACE INTO events VALUES (?, ?, ?)", (event["seq"], event["id"], text))
        self._do(
            "INSERT INTO visits VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET ended = ?4, event = ?5",
            (event["id"], event["label"], event["start"], ended, text),
        )
        self.flush()

    def count(self, most: list[tuple[str, int, int]], watched: list[tuple[int, float]]) -> None:
        """Keeps counts, as `CountBook.take` gives them. Never raises."""
        for row in most:
            self._do(
                "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT (label, bucket) DO UPDATE SET most = max(most, ?3)",
                row,
            )
        for pair in watched:
            self._do(
                "INSERT INTO watched VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE SET seconds = seconds + ?2", pair
            )
        self.flush()

    def keep_file(self, kind: str, name: str, data: bytes, day: str) -> dict[str, Any] | None:
        """Writes a picture atomically and gives its path in the folder, sha256 and size; None when the disk is full."""
        path = self.folder / kind / day / name
        if self._free() < self._config.reserve_mb * MB + len(data):
            self.tidy(force=True)
            if self._free() < self._config.reserve_mb * MB + len(data):
                self.problem = f"less than {self._config.reserve_mb:g} MB are free on the disk"
                return None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, data, overwrite=True)
        except (OutputError, OSError) as error:
            self.problem = str(getattr(error, "what", error))
            return None
        return {
            "path": path.relative_to(self.folder).as_posix(),
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
        }

    def flush(self) -> None:
        """Writes what waits; while the disk is full not more often than every few seconds."""
        if not self._waiting or (self.problem and time.monotonic() < self._retry_at):
            return
        if not self._reopened():
            return
        db = self._open_db
        try:
            with db:
                for statement, values in self._waiting:
                    db.execute(statement, values)
        except sqlite3.Error as error:  # full, read-only, or the disk is gone
            self.problem = f"the database cannot be written: {error}"
            self._retry_at = time.monotonic() + _RETRY
            if "malformed" in str(error) or "not a database" in str(error):
                self._start_again()
            return
        self._waiting.clear()
        self.problem = ""

    def tidy(self, force: bool = False) -> int:
        """Removes the oldest visits until quota and reserve hold; how many. Looks at the disk every 30 s at most."""
        if not force and time.monotonic() < self._check_at:
            return 0
        self._check_at = time.monotonic() + _CHECK
        if self._db is None:
            return 0
        removed = 0
        try:
            while (gone := self._remove_oldest(self.used())) > 0:
                removed += gone
        except (sqlite3.Error, OSError) as error:
            self.problem = f"the store cannot be tidied: {error}"
        return removed

    def sweep(self) -> int:
        """Removes files that no visit knows, as a kill -9 leaves them; how many."""
        if self._db is None:
            return 0
        known = {row[0] for row in self._db.execute("SELECT id FROM visits")}
        strays = [
            path for kind in ("snapshots", "clips") for path, _ in _files(self.folder / kind) if path.stem not in known
        ]
        for path in strays:
            path.unlink(missing_ok=True)
        return len(strays)

    def used(self) -> int:
        """Bytes of everything in the folder."""
        return sum(size for _, size in _files(self.folder))

    def close(self) -> None:
        self._retry_at = 0.0
        self.flush()
        if self._db is not None:
            self._db.close()

    @property
    def _open_db(self) -> sqlite3.Connection:
        assert self._db is not None
        return self._db

    def _reopened(self) -> bool:
        """Opens the database unless it is open; on a disk too full for that the oldest pictures make room."""
        if self._db is not None:
            return True
        try:
            try:
                self._db = self._opened()
            except sqlite3.OperationalError:
                self._make_room()
                self._db = self._opened()
        except sqlite3.OperationalError as error:
            self.problem = f"the database cannot be opened: {error}"
            self._retry_at = time.monotonic() + _RETRY
            return False
        self.problem = ""
        return True

    def _make_room(self) -> None:
        """Removes the oldest pictures and clips, by their names, without asking the database which they are."""
        files = (path for kind in ("snapshots", "clips") for path, _ in _files(self.folder / kind))
        for path in sorted(files, key=lambda p: p.stem):
            if self._free() >= max(_ROOM, self._config.reserve_mb * MB):
                return
            path.unlink(missing_ok=True)

    def _opened(self) -> sqlite3.Connection:
        path = self.folder / "visits.db"
        try:
            db = sqlite3.connect(path, timeout=5, check_same_thread=False)
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # boxes at hives lose their power
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version not in (0, FORMAT):
                raise OutputError(
                    f"{path} is of another edgekit.", got=f"format {version}", expected=f"format {FORMAT}",
                    fix="upgrade edgekit, or give store.folder another name",
                )  # fmt: skip
            db.executescript(_TABLES)
            db.execute(f"PRAGMA user_version = {FORMAT}")
            db.execute("SELECT count(*) FROM visits").fetchone()
        except sqlite3.OperationalError:  # full, or not to be written now: worth trying again
            raise
        except sqlite3.DatabaseError as error:
            raise OutputError(
                f"{path} cannot be used.", got=str(error), expected="edgekit's own database, or none",
                fix=f"move it away: mv {path} {path}.broken",
            ) from error  # fmt: skip
        return db

    def _start_again(self) -> None:
        """A database that broke under way is put aside, and a new one begun; its pictures stay."""
        self._open_db.close()
        self._db = None
        stamp = int(time.time())
        for suffix in ("", "-wal", "-shm"):
            path = self.folder / f"visits.db{suffix}"
            if path.exists():
                path.rename(path.with_name(f"broken-{stamp}.db{suffix}"))

    def _do(self, statement: str, values: tuple[Any, ...]) -> None:
        self._waiting.append((statement, values))
        while len(self._waiting) > _WAITING:
            self._waiting.popleft()
            self.lost += 1

    def _remove_oldest(self, used: int) -> int:
        """Removes up to a batch of ended visits, the oldest first (ids sort by time), while too much is used."""
        db = self._open_db
        rows = db.execute("SELECT id, event FROM visits WHERE ended ORDER BY id LIMIT ?", (_BATCH,)).fetchall()
        removed = 0
        for ident, text in rows:
            if used <= self._config.quota_mb * MB and self._free() >= self._config.reserve_mb * MB:
                break
            event = json.loads(text)
            for name in ("snapshot", "clip"):
                if event.get(name):
                    path = self.folder / event[name]["path"]
                    used -= path.stat().st_size if path.exists() else 0
                    path.unlink(missing_ok=True)
                    _remove_empty(path.parent, self.folder)
            with db:
                db.execute("DELETE FROM events WHERE id = ?", (ident,))
                db.execute("DELETE FROM visits WHERE id = ?", (ident,))
            removed += 1
        if removed:
            db.execute("PRAGMA incremental_vacuum").fetchall()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return removed

    def _free(self) -> int:
        return shutil.disk_usage(self.folder).free


def crashed(event: dict[str, Any], seq: int) -> dict[str, Any]:
    """The end of a visit in which the process died: when it was last heard of."""
    return {**event, "seq": seq, "type": "end", "end": event["last_seen"], "end_reason": "crash", "count": 0}


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            try:
                yield path, path.stat().st_size
            except FileNotFoundError:  # removed meanwhile
                continue


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and folder.is_relative_to(top):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
