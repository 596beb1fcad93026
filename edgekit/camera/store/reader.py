"""What the page asks of a store, from any thread."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edgekit.artifacts.marks import DATABASE
from edgekit.camera.clock import iso
from edgekit.camera.store.database import parsed, read_only

_DAYS = (
    "SELECT label, date(bucket, 'unixepoch', 'localtime') AS day, max(most) FROM counts "
    "WHERE bucket >= ?1 AND bucket < ?2 AND (?3 = '' OR camera = ?3) GROUP BY label, day"
)
_WATCHED = (
    "SELECT date(bucket, 'unixepoch', 'localtime') AS day, sum(longest) FROM (SELECT bucket, max(seconds) AS longest "
    "FROM watched WHERE bucket >= ?1 AND bucket < ?2 AND (?3 = '' OR camera = ?3) GROUP BY bucket) GROUP BY day"
)


@dataclass(frozen=True)
class Came:
    """So many visits, and when the first and the last of them began, RFC 3339."""

    visits: int
    first: str
    last: str


class Reader:
    """Reads a store's folder, through a connection of its own each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def visits(self, before: str = "", limit: int = 50, label: str = "", camera: str = "") -> list[dict[str, Any]]:
        """The visits told last, those told before visit `before` where it is given. Unreadable rows are left out."""
        with closing(self._db()) as db:
            rows = db.execute(
                "SELECT event FROM visits WHERE (?1 = '' OR first < (SELECT first FROM visits WHERE id = ?1)) "
                "AND (?2 = '' OR label = ?2) AND (?4 = '' OR camera = ?4) ORDER BY first DESC LIMIT ?3",
                (before, label, limit, camera),
            ).fetchall()
        return [event for row in rows if (event := parsed(row[0]))]

    def events(self, after: int, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """Events with numbers above `after`, in their order; the last number that was looked at, and they."""
        with closing(self._db()) as db:
            rows = db.execute("SELECT seq, event FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
            found = rows.fetchall()
        return found[-1][0] if found else after, [event for _, text in found if (event := parsed(text))]

    def visit(self, ident: str) -> dict[str, Any] | None:
        with closing(self._db()) as db:
            row = db.execute("SELECT event FROM visits WHERE id = ?", (ident,)).fetchone()
        return parsed(row[0]) if row else None

    def quarters(self, since: float, until: float, camera: str = "") -> dict[str, dict[int, int]]:
        """The most at once of each label by the start of the quarter of an hour: before `camera`, or before any."""
        with closing(self._db()) as db:
            rows = db.execute(
                "SELECT label, bucket, max(most) FROM counts WHERE bucket >= ?1 AND bucket < ?2 "
                "AND (?3 = '' OR camera = ?3) GROUP BY label, bucket",
                (since, until, camera),
            )
            found: dict[str, dict[int, int]] = {}
            for label, bucket, most in rows:
                found.setdefault(label, {})[bucket] = most
        return found

    def watched(self, since: float, until: float, camera: str = "") -> dict[int, float]:
        """Seconds that `camera` looked, or the one that looked longest, by the start of the quarter of an hour."""
        with closing(self._db()) as db:
            return dict(
                db.execute(
                    "SELECT bucket, max(seconds) FROM watched WHERE bucket >= ?1 AND bucket < ?2 "
                    "AND (?3 = '' OR camera = ?3) GROUP BY bucket",
                    (since, until, camera),
                )
            )

    def days(self, since: float, until: float, camera: str = "") -> dict[str, dict[str, int]]:
        """The most at once of each label by local date: before `camera`, or before any."""
        found: dict[str, dict[str, int]] = {}
        with closing(self._db()) as db:
            for label, day, most in db.execute(_DAYS, (since, until, camera)):
                found.setdefault(label, {})[day] = most
        return found

    def watched_days(self, since: float, until: float, camera: str = "") -> dict[str, float]:
        """Seconds that `camera` looked, or in each quarter of an hour the one that looked longest, by local date."""
        with closing(self._db()) as db:
            return dict(db.execute(_WATCHED, (since, until, camera)))

    def came(self, since: float, camera: str = "") -> dict[str, Came]:
        """Of each label the visits before `camera`, or before any, that began since wall-clock seconds `since`."""
        least = f"{max(0, int(since * 1000)):012x}"  # an id begins with its time
        with closing(self._db()) as db:
            return {
                label: Came(visits, first, last)
                for label, visits, first, last in db.execute(
                    "SELECT label, count(*), min(start), max(start) FROM visits WHERE id >= ?1 AND start >= ?2 "
                    "AND (?3 = '' OR camera = ?3) GROUP BY label",
                    (f"{least[:8]}-{least[8:]}", iso(since), camera),
                )
            }

    def _db(self) -> sqlite3.Connection:
        return read_only(self.folder / DATABASE)


def local_day(seconds: float) -> str:
    """The date where the hive stands, YYYY-MM-DD."""
    return datetime.fromtimestamp(seconds).astimezone().date().isoformat()
