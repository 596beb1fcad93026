"""`visits.db`: its tables, how it is opened, and how rows are written."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edgekit.camera.store.permissions import private_file
from edgekit.errors import OutputError
from edgekit.reading import load_json

Event = dict[str, Any]

NAME = "visits.db"
FORMAT = 3
OF_A_CAMERA = ("lost", "back")  # types of events that belong to no visit
_FORMATS = 1000  # a higher number is no later edgekit's but damage
_PAGES = 256  # in the write-ahead log, 1 MB, until they are taken over: a log needs room that a full disk hasn't
# a key's columns come first: where they don't, SQLite 3.40's integrity_check finds damage that isn't there
_TABLES = """
CREATE TABLE IF NOT EXISTS visits (id TEXT PRIMARY KEY, label TEXT NOT NULL, start TEXT NOT NULL,
    ended INTEGER NOT NULL, event TEXT NOT NULL, first INTEGER NOT NULL, camera TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, event TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counts (camera TEXT NOT NULL, label TEXT NOT NULL, bucket INTEGER NOT NULL,
    most INTEGER NOT NULL, PRIMARY KEY (camera, label, bucket)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS watched (camera TEXT NOT NULL, bucket INTEGER NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (camera, bucket)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_of ON events (id);
CREATE INDEX IF NOT EXISTS visits_in_order ON visits (first);
CREATE TABLE IF NOT EXISTS outbox (delivery TEXT NOT NULL, seq INTEGER NOT NULL, wall REAL NOT NULL, boot TEXT,
    mono REAL NOT NULL, PRIMARY KEY (delivery, seq)) WITHOUT ROWID;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """The database at `path`, made where there is none.

    Raises:
        sqlite3.OperationalError: it cannot be opened or written now: worth trying again.
        sqlite3.DatabaseError: it is damaged, or no database.
        OutputError: a later edgekit wrote it.
    """
    try:
        private_file(path)
    except OSError as error:  # full, or not to be written now
        raise sqlite3.OperationalError(str(error)) from error
    db = sqlite3.connect(path, timeout=5, check_same_thread=False)
    try:
        db.text_factory = _decoded
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # boxes at hives lose their power
        db.execute(f"PRAGMA wal_autocheckpoint = {_PAGES}")
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if not 0 <= version < _FORMATS:
            raise sqlite3.DatabaseError(f"format {version} never was")
        if version > FORMAT:
            raise OutputError(
                f"{path} is of another edgekit.", got=f"format {version}", expected=f"format {FORMAT}",
                fix="upgrade edgekit, or give store.folder another name",
            )  # fmt: skip
        columns = [row[1] for row in db.execute("PRAGMA table_info(visits)")]
        if columns and "first" not in columns:
            _from_first_format(db)
        if columns and "camera" not in columns:
            _of_one_camera(db)
        # without a number of its own: an earlier edgekit takes no notice of the outbox
        owing = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchone()
        if version < FORMAT or not columns or not owing:
            db.executescript(_TABLES)
            db.execute(f"PRAGMA user_version = {FORMAT}")
        db.execute("SELECT count(*) FROM (SELECT first FROM visits LIMIT 1)").fetchone()
    except BaseException:
        with suppress(sqlite3.Error):  # the error that led here is the one to tell
            db.close()
        raise
    return db


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that never writes; sqlite3.Error comes with its first statement."""
    db = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=2)
    db.text_factory = _decoded
    return db


def insert_event(db: sqlite3.Connection, event: Event) -> int:
    """Writes an event and its visit's latest state; the event's number.

    An event never takes another's place: should both have the same number, the later one gets the next free one.
    """
    text, seq = _text(event), int(event["seq"])
    row = db.execute("SELECT event FROM events WHERE seq = ?", (seq,)).fetchone()
    if row and row[0] == text:
        return seq
    if row:
        seq = int(db.execute("SELECT max(seq) FROM events").fetchone()[0]) + 1
        text = _text({**event, "seq": seq})
    db.execute("INSERT INTO events VALUES (?, ?, ?)", (seq, event["id"], text))
    if event["type"] in OF_A_CAMERA:
        return seq
    db.execute(
        "INSERT INTO visits (id, label, start, ended, event, first, camera) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, event = excluded.event",
        (event["id"], event["label"], event["start"], int(event["type"] == "end"), text, seq, event.get("camera", "")),
    )
    return seq


def insert_counts(
    db: sqlite3.Connection, most: Mapping[tuple[str, str, int], int], watched: Mapping[tuple[str, int], float]
) -> None:
    """Writes the most at once by camera, label and bucket, and seconds watched more by camera and bucket."""
    db.executemany(
        "INSERT INTO counts (camera, label, bucket, most) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (camera, label, bucket) DO UPDATE SET most = max(most, excluded.most)",
        [(*key, number) for key, number in most.items()],
    )
    db.executemany(
        "INSERT INTO watched (camera, bucket, seconds) VALUES (?, ?, ?) "
        "ON CONFLICT (camera, bucket) DO UPDATE SET seconds = seconds + excluded.seconds",
        [(*key, seconds) for key, seconds in watched.items()],
    )


def name_files(db: sqlite3.Connection, ident: str, files: Mapping[str, Any]) -> None:
    """Writes into a visit, and its end, what its `snapshot`, `plain` or `clip` is now; None for one that is gone."""
    row = db.execute("SELECT event FROM visits WHERE id = ?", (ident,)).fetchone()
    event = parsed(row[0]) if row else None
    if event is None:
        return
    text = _text({**event, **files})
    db.execute("UPDATE visits SET event = ? WHERE id = ?", (text, ident))
    if event["type"] == "end":
        db.execute("UPDATE events SET event = ? WHERE seq = ? AND id = ?", (text, event["seq"], ident))


def parsed(text: object) -> Event | None:
    """An event from a row's text; None where it is none, as after damage that no check can see."""
    try:
        event = load_json(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if not isinstance(event, dict) or not all(isinstance(event.get(key), str) for key in ("id", "type")):
        return None
    files = [event[key] for key in ("snapshot", "plain", "clip") if event.get(key) is not None]
    return event if all(isinstance(f, dict) and isinstance(f.get("path"), str) for f in files) else None


def _from_first_format(db: sqlite3.Connection) -> None:
    """Format 1 had no order of its own but that of the ids, which is the clock's."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("ALTER TABLE visits ADD COLUMN first INTEGER NOT NULL DEFAULT 0")
        db.execute("UPDATE visits SET first = coalesce((SELECT min(seq) FROM events e WHERE e.id = visits.id), 0)")


def _of_one_camera(db: sqlite3.Connection) -> None:
    """Before format 3 a store was one camera's, whose name its events say."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("ALTER TABLE visits ADD COLUMN camera TEXT NOT NULL DEFAULT ''")
        for ident, text in db.execute("SELECT id, event FROM visits").fetchall():
            name = (parsed(text) or {}).get("camera")
            if isinstance(name, str):
                db.execute("UPDATE visits SET camera = ? WHERE id = ?", (name, ident))
        newest = db.execute("SELECT camera FROM visits ORDER BY first DESC LIMIT 1").fetchone()
        there = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = {"counts": "label, bucket, most", "watched": "bucket, seconds"}
        for table in columns.keys() & there:
            db.execute(f"ALTER TABLE {table} RENAME TO {table}_of_one")
        for statement in filter(str.strip, _TABLES.split(";")):
            db.execute(statement)
        for table in columns.keys() & there:
            rows = f"SELECT {columns[table]}, ? FROM {table}_of_one"  # noqa: S608 - names from above
            db.execute(f"INSERT INTO {table} ({columns[table]}, camera) {rows}", newest or ("",))
            db.execute(f"DROP TABLE {table}_of_one")


def _quoted(path: Path) -> str:
    return quote(os.fspath(path))


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _text(event: Event) -> str:
    text = json.dumps(event, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(event)  # half a surrogate pair cannot be stored
