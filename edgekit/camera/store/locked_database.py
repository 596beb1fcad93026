"""The folder of a store in the hands of the one who writes: its lock and its open database.

Both can be deleted, replaced or damaged while they are held; then they are made anew, and what was lost is known.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgekit.artifacts.marks import DATABASE
from edgekit.camera.config import MB
from edgekit.camera.store.database import open_database
from edgekit.camera.store.lock import Lock, same_file
from edgekit.camera.store.permissions import private_folder
from edgekit.camera.store.repair import damage, damage_of, salvage, set_aside
from edgekit.screen import count_of

_QUICKLY = 32 * MB  # of a database, that are checked before anything else; larger ones meanwhile


class LockedDatabase:
    """Locked from its making on; `open` opens the database.

    Attributes:
        db: None while it cannot be opened.
        anew: whether `db` began after events that it doesn't have.

    Raises:
        BusyError, OutputError: as `Lock`.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self._say = folder, say
        self.path, self._log = folder / DATABASE, folder / f"{DATABASE}-wal"
        self.db: sqlite3.Connection | None = None
        self.anew = False
        self.lock = Lock(folder)
        self._told = self.lock.mark  # whether an earlier process had events here
        self._opened: os.stat_result | None = None
        self._logs = False  # whether the file system can have a write-ahead log
        self._found = ""  # what the check of a large database found, in a thread of its own

    def open(self, seq: int) -> sqlite3.Connection:
        """The database, checked. Where it is damaged it is set aside, and a new one has what could be read of it.

        Args:
            seq: the highest number told, for a lock that has to be taken again.

        Raises:
            sqlite3.OperationalError, OSError: not now: worth trying again.
            BusyError, OutputError: another process took the folder, or a later edgekit wrote the database.
        """
        if self.db is not None:
            return self.db
        if not self.lock.in_place:
            self.lock.release()
            private_folder(self.folder, self.folder)
            self.lock = Lock(self.folder)
            self.lock.cover(seq)
        size = self.path.stat().st_size if self.path.exists() else 0
        if not size and self._told and not self.anew:
            self.anew = True
            what = "is empty" if self.path.exists() else "is not there any more"
            self._say(f"error: {self.path} {what}: the visits in it are gone, and a new one is begun")
        try:
            if self.path.is_dir():
                raise sqlite3.DatabaseError("it is a folder")
            self.db = open_database(self.path)
            found = damage(self.db, quick=False) if size <= _QUICKLY else ""
        except sqlite3.OperationalError:
            self.close()
            raise
        except sqlite3.DatabaseError as error:
            found = str(error)
        if found:
            self.replace(found)
        self._opened, self._logs = self.path.stat(), self._log.exists()
        if size > _QUICKLY and not found:
            name, opened = "camera-store-check", self._opened
            threading.Thread(target=self._check_meanwhile, args=(opened,), name=name, daemon=True).start()
        assert self.db is not None
        return self.db

    @property
    def in_place(self) -> bool:
        """Whether the open database is the one in the folder."""
        return self._opened is None or same_file(self.path, self._opened)

    @property
    def whole(self) -> bool:
        """Whether lock and log are in place too; `close` takes a deleted log over into the database."""
        return self.in_place and self.lock.in_place and (self._log.exists() or not self._logs or self.db is None)

    def take_damage(self) -> str:
        """What the check of a large database found, once."""
        found, self._found = self._found, ""
        return found

    def replace(self, found: str) -> None:
        """Sets a damaged database aside and opens a new one with what can be read of it. Raises as `open`."""
        self.close()
        broken = set_aside(self.path)
        self.anew = True
        self._say(f"error: {self.path} is damaged ({found}): it is set aside as {broken.name}, and a new one is begun")
        self.db = open_database(self.path)
        self._opened = self.path.stat()
        try:
            visits, events = salvage(broken, self.db, self.lock.mark)
            self._say(
                f"{count_of(visits, 'visit')} and {events} events of {broken.name} could be read and are in the new one"
            )
        except sqlite3.Error as error:
            self._say(f"error: nothing of {broken.name} could be taken over: {error}")

    def last(self) -> tuple[int, str]:
        """Number and text of the last event. A large database may turn out to be damaged only here.

        Raises:
            sqlite3.Error, EdgekitError, OSError: it can neither be read nor made anew.
        """
        question = "SELECT seq, event FROM events ORDER BY seq DESC LIMIT 1"
        try:
            row = self.db.execute(question).fetchone() if self.db is not None else None
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self.replace(str(error))
            row = self.db.execute(question).fetchone() if self.db is not None else None
        return row or (0, "")

    def content(self) -> tuple[int, int, int]:
        """Events, visits, and visits with a picture in the open database, also where it was deleted."""
        pictured = "coalesce(sum(event LIKE '%\"snapshot\": {%'), 0)"
        query = f"SELECT (SELECT count(*) FROM events), count(*), {pictured} FROM visits"  # noqa: S608 - as above
        try:
            row = self.db.execute(query).fetchone() if self.db is not None else (0, 0, 0)
        except sqlite3.Error:
            return 0, 0, 0
        return int(row[0]), int(row[1]), int(row[2])

    def leave(self) -> None:
        """Leaves a connection that hangs to the thread that hangs in it, which closes it; another one is opened."""
        self.db = self._opened = None

    def close(self) -> None:
        """Closes the database; the lock stays."""
        if self.db is not None:
            with suppress(sqlite3.Error):  # what was written is in the log, which the next opening reads
                self.db.close()
        self.db = self._opened = None

    def _check_meanwhile(self, opened: os.stat_result) -> None:
        with suppress(sqlite3.Error):  # not to be read now; writing says the rest
            found = damage_of(self.path)
            if self._opened is opened:  # it is still this one that is open
                self._found = found
