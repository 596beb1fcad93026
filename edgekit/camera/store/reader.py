"""What the page asks of a store, from any thread."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from edgekit.camera.store.database import parsed, read_only


class Reader:
    """Reads a store's folder, through a connection of its own each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def visits(self, before: str = "", limit: int = 50, label: str = "") -> list[dict[str, Any]]:
        """The visits told last, those told before visit `before` where it is given. Unreadable rows are left out."""
        with closing(self._db()) as db:
            rows = db.execute(
                "SELECT event FROM visits WHERE (?1 = '' OR first < (SELECT first FROM visits WHERE id = ?1)) "
                "AND (?2 = '' OR label = ?2) ORDER BY first DESC LIMIT ?3",
                (before, label, limit),
            ).fetchall()
        return [event for row in rows if (event := parsed(row[0]))]

    def visit(self, ident: str) -> dict[str, Any] | None:
        with closing(self._db()) as db:
            row = db.execute("SELECT event FROM visits WHERE id = ?", (ident,)).fetchone()
        return parsed(row[0]) if row else None

    def quarters(self, since: float, until: float) -> dict[str, dict[int, int]]:
        """The most at once of each label by the start of the quarter of an hour."""
        with closing(self._db()) as db:
            rows = db.execute("SELECT label, bucket, most FROM counts WHERE bucket >= ? AND bucket < ?", (since, until))
            found: dict[str, dict[int, int]] = {}
            for label, bucket, most in rows:
                found.setdefault(label, {})[bucket] = most
        return found

    def watched(self, since: float, until: float) -> dict[int, float]:
        """Seconds that were looked at, by the start of the quarter of an hour."""
        with closing(self._db()) as db:
            return dict(
                db.execute("SELECT bucket, seconds FROM watched WHERE bucket >= ? AND bucket < ?", (since, until))
            )

    def days(self, since: float, until: float) -> dict[str, dict[str, int]]:
        """The most at once of each label by local date."""
        found: dict[str, dict[str, int]] = {}
        for label, quarters in self.quarters(since, until).items():
            days = found.setdefault(label, {})
            for bucket, most in quarters.items():
                day = local_day(bucket)
                days[day] = max(days.get(day, 0), most)
        return found

    def _db(self) -> sqlite3.Connection:
        return read_only(self.folder / "visits.db")


def local_day(seconds: float) -> str:
    """The date where the hive stands, YYYY-MM-DD."""
    return datetime.fromtimestamp(seconds).astimezone().date().isoformat()
