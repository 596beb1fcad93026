"""A damaged `visits.db`: found out, set aside under another name, and what can be read of it taken over.

A damaged file is never an error: at a hive there is nobody to move it away.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from edgekit.camera.store.database import parsed, read_only

_RANGE = 1024
_TRIES = 50_000  # so much damage that nothing is left can make as many ranges as events
_COPIED = {  # table: what is taken over of it, in both directions until the damage
    "events": "INSERT OR IGNORE INTO events (seq, id, event) VALUES (:seq, :id, :event)",
    "visits": "INSERT OR IGNORE INTO visits (id, label, start, ended, event, first, camera) VALUES "
              "(:id, :label, :start, :ended, :event, "
              "coalesce(nullif(:first, 0), (SELECT min(seq) FROM events WHERE id = :id), 0), :camera)",
    "counts": "INSERT OR IGNORE INTO counts (label, bucket, most, camera) VALUES (:label, :bucket, :most, :camera)",
    "watched": "INSERT OR IGNORE INTO watched (bucket, seconds, camera) VALUES (:bucket, :seconds, :camera)",
    "outbox": "INSERT OR IGNORE INTO outbox (delivery, seq, wall, boot, mono) VALUES "
              "(:delivery, :seq, :wall, :boot, :mono)",
}  # fmt: skip


def damage(db: sqlite3.Connection, quick: bool) -> str:
    """What SQLite's own check finds wrong, or nothing. Without `quick` indexes are compared with their tables too."""
    try:
        found = str(db.execute(f"PRAGMA {'quick' if quick else 'integrity'}_check(1)").fetchone()[0])
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        found = str(error)
    return "" if found == "ok" else " ".join(found.split())


def damage_of(path: Path) -> str:
    """As `damage`, quickly, through a connection of its own that only reads."""
    with closing(read_only(path)) as db:
        return damage(db, quick=True)


def set_aside(path: Path) -> Path:
    """Gives a damaged database and its log another name, with the date in it, and returns it."""
    stamp = time.strftime("%Y-%m-%dT%H%M%S")
    names = (path.with_name(f"{path.stem}-broken-{stamp}{f'-{n}' if n else ''}{path.suffix}") for n in range(10**6))
    target = next(name for name in names if not name.exists())
    path.replace(target)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(target.with_name(target.name + suffix))
    return target


def salvage(broken: Path, db: sqlite3.Connection, highest: int) -> tuple[int, int]:
    """Copies what can be read of a damaged database into `db`; how many visits and events that were.

    Raises sqlite3.DatabaseError where not even its tables can be told.

    Events are looked for by their numbers, around the damage; other tables are read from both ends until there. Rows
    that are no event any more are left out; a visit whose own row is lost is what its last event says.

    Args:
        highest: number that an event may have, should the database not know any more.
    """
    with closing(read_only(broken)) as old:
        old.row_factory = sqlite3.Row
        old.execute("PRAGMA writable_schema = ON")  # else a file that is too short is not read at all
        old.execute("SELECT count(*) FROM sqlite_master").fetchone()  # raises where nothing is left
        for table, statement in _COPIED.items():
            with db:
                for row in _by_number(old, highest) if table == "events" else _from_both_ends(old, table):
                    with suppress(sqlite3.IntegrityError, sqlite3.ProgrammingError):  # a column's value is damaged
                        db.execute(statement, {"first": 0, "camera": _camera(row), **row})
    with db:
        for (text,) in db.execute(
            "SELECT event FROM events WHERE id NOT IN (SELECT id FROM visits) ORDER BY seq DESC"
        ).fetchall():
            event = parsed(text) or {}
            values = {"first": 0, "text": text, "camera": event.get("camera", ""),
                      **{key: event.get(key) for key in ("id", "label", "start", "type")}}  # fmt: skip
            with suppress(sqlite3.IntegrityError):
                db.execute(_COPIED["visits"].replace(":ended", ":type = 'end'").replace(":event", ":text"), values)
    visits, events = db.execute("SELECT (SELECT count(*) FROM visits), (SELECT count(*) FROM events)").fetchone()
    return int(visits), int(events)


def _camera(row: dict[str, Any]) -> str:
    """Of a visit's row that an earlier edgekit wrote, whose event alone says it."""
    return str((parsed(row.get("event")) or {}).get("camera", ""))


def _by_number(old: sqlite3.Connection, highest: int) -> Iterator[dict[str, Any]]:
    """The events in ranges of numbers; one that cannot be read is halved."""
    low, high = _end(old, "ASC") or 1, max(_end(old, "DESC"), highest)
    ranges = [(start, start + _RANGE - 1) for start in range(max(low, high - _TRIES * _RANGE), high + 1, _RANGE)]
    tries = 0
    while ranges and (tries := tries + 1) < _TRIES:
        low, high = ranges.pop()
        try:
            rows = old.execute("SELECT seq, id, event FROM events WHERE seq BETWEEN ? AND ?", (low, high)).fetchall()
        except sqlite3.DatabaseError:
            middle = (low + high) // 2
            ranges += [(middle + 1, high), (low, middle)] if low < high else []
            continue
        yield from (dict(row) for row in rows if parsed(row["event"]))


def _end(old: sqlite3.Connection, order: str) -> int:
    try:
        row = old.execute(f"SELECT seq FROM events ORDER BY seq {order} LIMIT 1").fetchone()  # noqa: S608 - as above
    except sqlite3.DatabaseError:
        row = None
    return int(row[0]) if row else 0


def _from_both_ends(old: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    for order in ("ASC", "DESC"):
        try:
            for row in old.execute(f"SELECT * FROM {table} ORDER BY 1 {order}"):  # noqa: S608 - names from above
                values = dict(row)
                if "event" not in values or parsed(values["event"]):
                    yield values
            return
        except sqlite3.DatabaseError:
            continue
