"""All that was said about the pictures of a folder: one SQLite file, of which one process at a time is the writer.

A change is in the file, and on the disk, before it is answered: a process that is killed between two keys loses
nothing that the page has shown as saved. What was said before is kept, so that undo outlives the process too.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import BusyError, OutputError
from edgekit.labels.schema import Labels, read_labels

NAME = ".edgekit-label.sqlite"  # hidden, so no layout takes it for a file of the data set
FORMAT = 1
KEPT = 200  # steps that can be undone
_TABLES = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL,
    step INTEGER NOT NULL, seq INTEGER NOT NULL, done INTEGER NOT NULL, marks INTEGER NOT NULL,
    written INTEGER NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS steps (picture INTEGER NOT NULL, step INTEGER NOT NULL, labels TEXT NOT NULL,
    PRIMARY KEY (picture, step)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS proposals (picture INTEGER PRIMARY KEY, proposer TEXT NOT NULL, boxes TEXT NOT NULL);
"""
_EMPTY = Labels()


class StaleError(Exception):
    """Somebody else has changed the picture since: nothing was stored, and `now` is what is known of it."""

    def __init__(self, now: Known) -> None:
        super().__init__(f"{now.name} is at revision {now.revision}")
        self.now = now


@dataclass(frozen=True)
class Known:
    """A picture as the store has it.

    Attributes:
        id: stays for as long as the store does.
        revision: grows with every change, undo and redo.
        undo, redo: whether there is a step to go back or forth to.
    """

    id: int
    name: str
    revision: int
    labels: Labels
    undo: bool
    redo: bool


@dataclass(frozen=True)
class Brief:
    """A picture in a list: `seq` grows over all pictures with each change."""

    id: int
    name: str
    seq: int
    done: bool
    marks: int


class Store:
    """Opens the file at `path`, or makes it. Its methods may be called from any thread.

    Raises:
        BusyError: another process has it open.
        OutputError: it cannot be written, is no such file, or a later edgekit's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, timeout=0, check_same_thread=False, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise BusyError(
                    f"{path.parent} is being labelled by another process.",
                    got=str(error),
                    expected="one `edgekit label` a folder",
                    fix="use its page, in as many browsers as you like, or end it",
                ) from error
            raise OutputError(
                f"{path} cannot be opened.", got=str(error), fix="--out DIR names another folder"
            ) from error
        except sqlite3.DatabaseError as error:
            raise OutputError(
                f"{path} is damaged.",
                got=str(error),
                fix="remove it: the label files that were written stay as they are",
            ) from error

    def _open(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # the lock ends with the process, however that ends
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("BEGIN EXCLUSIVE")
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, FORMAT):
            raise OutputError(
                f"{self.path} is of another edgekit.", got=f"format {version}", expected=f"format {FORMAT}",
                fix="upgrade edgekit, or --out DIR with a new folder",
            )  # fmt: skip
        for statement in _TABLES.split(";"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {FORMAT}")
        self._db.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _change(self, soon: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction, on the disk when the block ends. Raises OutputError where it cannot be: then it never was.

        Args:
            soon: on the disk with the next one: what a power cut may take back, since it is found out again.
        """
        with self._lock:
            try:
                self._db.execute(f"PRAGMA synchronous = {'NORMAL' if soon else 'FULL'}")
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._back()
                raise OutputError(
                    f"{self.path} could not be written.", got=str(error), fix="free some space on its disk"
                ) from error
            except BaseException:
                self._back()
                raise

    def _back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def about(self, key: str) -> str | None:
        """What was kept under a key by `tell`."""
        with self._lock:
            row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def tell(self, key: str, value: str) -> None:
        with self._change() as db:
            db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the labels."""
        return tuple(json.loads(self.about("classes") or "[]"))

    @classes.setter
    def classes(self, names: Sequence[str]) -> None:
        self.tell("classes", json.dumps(list(names), ensure_ascii=False))

    def enter(self, names: Iterable[str], known: dict[str, Labels]) -> None:
        """Pictures that are new, with what is known of them before anybody looked; those that are there stay."""
        with self._change() as db:
            for name in names:
                labels = known.get(name, _EMPTY)
                db.execute(
                    "INSERT OR IGNORE INTO pictures (name, revision, step, seq, done, marks, written, content) "
                    "VALUES (?, 0, 0, 0, ?, ?, -1, '')",
                    (name, labels.done, len(labels.marks)),
                )
                if db.execute("SELECT changes()").fetchone()[0]:
                    ident = db.execute("SELECT last_insert_rowid()").fetchone()[0]
                    db.execute("INSERT INTO steps VALUES (?, 0, ?)", (ident, labels.text()))

    def briefs(self, after: int = -1) -> list[Brief]:
        """All pictures, or those changed after number `after`, in the order in which they were entered."""
        rows = self._all("SELECT id, name, seq, done, marks FROM pictures WHERE seq > ? ORDER BY id", after)
        return [Brief(i, name, seq, bool(done), marks) for i, name, seq, done, marks in rows]

    @property
    def seq(self) -> int:
        """The number of the last change."""
        return int(self._all("SELECT coalesce(max(seq), 0) FROM pictures")[0][0])

    def get(self, ident: int) -> Known | None:
        """A picture, or None where there is none of this number."""
        with self._lock:
            row = self._db.execute("SELECT name, revision, step FROM pictures WHERE id = ?", (ident,)).fetchone()
            return None if row is None else self._known(ident, *row)

    def _known(self, ident: int, name: str, revision: int, step: int) -> Known:
        query = "SELECT step, labels FROM steps WHERE picture = ?"
        steps = dict(self._db.execute(query, (ident,)).fetchall())
        labels = read_labels(json.loads(steps[step]))
        return Known(ident, name, revision, labels, step > min(steps), step + 1 in steps)

    def edit(self, ident: int, revision: int, labels: Labels) -> Known:
        """Stores `labels` as the next step. Raises StaleError where the picture is not at `revision` any more."""
        with self._change() as db:
            known, step = self._at(ident, revision)
            if labels == known.labels:
                return known
            db.execute("DELETE FROM steps WHERE picture = ? AND (step > ? OR step <= ?)", (ident, step, step - KEPT))
            db.execute("INSERT INTO steps VALUES (?, ?, ?)", (ident, step + 1, labels.text()))
            return self._moved(ident, step + 1, labels)

    def undo(self, ident: int, revision: int) -> Known:
        """Back to the step before; the picture as it is where there is none. Raises StaleError as `edit`."""
        return self._walk(ident, revision, -1)

    def redo(self, ident: int, revision: int) -> Known:
        """Forth again. Raises StaleError as `edit`."""
        return self._walk(ident, revision, 1)

    def _walk(self, ident: int, revision: int, way: int) -> Known:
        with self._change():
            known, step = self._at(ident, revision)
            if not (known.undo if way < 0 else known.redo):
                return known
            return self._moved(ident, step + way, None)

    def _at(self, ident: int, revision: int) -> tuple[Known, int]:
        row = self._db.execute("SELECT name, revision, step FROM pictures WHERE id = ?", (ident,)).fetchone()
        known = self._known(ident, *row)
        if known.revision != revision:
            raise StaleError(known)
        return known, int(row[2])

    def _moved(self, ident: int, step: int, labels: Labels | None) -> Known:
        db = self._db
        row = db.execute("SELECT name, revision FROM pictures WHERE id = ?", (ident,)).fetchone()
        known = self._known(ident, row[0], row[1] + 1, step)
        now = known.labels if labels is None else labels
        db.execute(
            "UPDATE pictures SET revision = ?, step = ?, seq = ?, done = ?, marks = ? WHERE id = ?",
            (known.revision, step, self.seq + 1, now.done, len(now.marks), ident),
        )
        return known

    def unwritten(self) -> list[int]:
        """Pictures whose label file is older than what is known of them."""
        return [
            row[0] for row in self._all("SELECT id FROM pictures WHERE written < revision AND (done OR written >= 0)")
        ]

    def wrote(self, ident: int, revision: int, content: str) -> None:
        """Notes that the files have a picture as of `revision`, and the sha256 of its label file, "" for none."""
        with self._change(soon=True) as db:
            db.execute("UPDATE pictures SET written = ?, content = ? WHERE id = ?", (revision, content, ident))

    def contents(self) -> dict[int, str]:
        """What `wrote` noted of the pictures that have a label file."""
        return dict(self._all("SELECT id, content FROM pictures WHERE content != ''"))

    def propose(self, ident: int, proposer: str, boxes: str) -> None:
        """Keeps what a proposer said about a picture, as text."""
        with self._change(soon=True) as db:
            db.execute("INSERT OR REPLACE INTO proposals VALUES (?, ?, ?)", (ident, proposer, boxes))

    def proposed(self, ident: int, proposer: str) -> str | None:
        """What this proposer said before, or None."""
        rows = self._all("SELECT boxes FROM proposals WHERE picture = ? AND proposer = ?", ident, proposer)
        return rows[0][0] if rows else None

    def compared(self, proposer: str) -> Iterator[tuple[Labels, str]]:
        """Of every picture that is done and that this proposer saw: what a person said, and what it said."""
        query = (
            "SELECT p.id, q.boxes FROM pictures p JOIN proposals q ON q.picture = p.id "
            "WHERE p.done AND q.proposer = ? ORDER BY p.id"
        )
        for ident, boxes in self._all(query, proposer):
            known = self.get(ident)
            if known is not None:
                yield known.labels, boxes

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()
