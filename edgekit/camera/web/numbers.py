"""How many came when: today, the days, the season and the quarters of an hour, for the charts and as CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from typing import TYPE_CHECKING, Any

from edgekit.artifacts.marks import read_marks
from edgekit.camera.events.counts import BUCKET
from edgekit.camera.events.levels import level_of
from edgekit.camera.store.reader import Reader
from edgekit.camera.web.asked import named, number

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

_DAY = 86400
_PAGE = 500  # visits that are read at a time
_DAYS = ("day", "label", "most_at_once", "level", "watched_hours")
_VISITS = ("id", "label", "start", "last_seen", "end_reason", "most_at_once", "best_score", "zones", "verdict", "meant",
           "camera")  # fmt: skip


class NumberAnswers:
    """Answers about counts.

    Args:
        reader: of the store; None where nothing is kept.
    """

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader

    async def counts(self, request: Request) -> Response:
        """Per label the most at once and the level on each of the last `days` days, and a day of quarters."""
        from starlette.responses import JSONResponse

        days = min(366, number(request, "days", 14))
        return JSONResponse(await asyncio.to_thread(_counted, self._reader, days, named(request)))

    async def today(self, request: Request) -> Response:
        """Per label the most at once today and its level, how many visits began, and when the first and last did."""
        from starlette.responses import JSONResponse

        return JSONResponse(await asyncio.to_thread(_today, self._reader, named(request)))

    async def season(self, request: Request) -> Response:
        """Per label the most at once on each day of a `year`, this one by default, from the first that was watched."""
        from starlette.responses import JSONResponse

        return JSONResponse(await asyncio.to_thread(_season, self._reader, _year(request), named(request)))

    async def days_csv(self, request: Request) -> Response:
        """The season as a table."""
        year = _year(request)
        season = await asyncio.to_thread(_season, self._reader, year, named(request))
        rows = (
            (day, label, most, level_of(label, most) or "", round(season["watched"][i] / 3600, 2))
            for i, day in enumerate(season["days"])
            for label, found in season["labels"].items()
            for most in (found[i],)
        )
        return _table(f"days-{year}.csv", _once(_lines([_DAYS, *rows])))

    async def visits_csv(self, request: Request) -> Response:
        """All visits as a table, the newest first."""
        return _table("visits.csv", self._all_visits(named(request)))

    async def _all_visits(self, camera: str) -> AsyncIterator[bytes]:
        yield _lines([_VISITS])
        if self._reader is None:
            return
        said = {mark.visit: mark for mark in await asyncio.to_thread(read_marks, self._reader.folder)}
        before = ""
        while True:
            visits = await asyncio.to_thread(self._reader.visits, before, _PAGE, "", camera)
            if not visits:
                return
            yield _lines(_row(visit, said.get(visit["id"])) for visit in visits)
            before = visits[-1]["id"]


def _counted(reader: Reader | None, days: int, camera: str = "") -> dict[str, Any]:
    now = time.time()
    names = _names(datetime.fromtimestamp(now).date() - timedelta(days - 1), days)
    if reader is None:
        return {"days": names, "labels": {}, "watched": {}, "today": {"bucket": BUCKET, "labels": {}}}
    since, until = _midnight(date.fromisoformat(names[0])), now + _DAY
    watched = reader.watched_days(since, until, camera)
    labels = {
        label: [{"most": found.get(day, 0), "level": level_of(label, found.get(day, 0))} for day in names]
        for label, found in reader.days(since, until, camera).items()
    }
    quarters = reader.quarters(now - _DAY, until, camera)
    today = {label: {str(k): v for k, v in rows.items()} for label, rows in quarters.items()}
    return {
        "days": names,
        "labels": labels,
        "watched": {day: round(watched.get(day, 0.0)) for day in names},
        "today": {"bucket": BUCKET, "from": int((now - _DAY) // BUCKET + 1) * BUCKET, "labels": today},
    }


def _today(reader: Reader | None, camera: str = "") -> dict[str, Any]:
    day = datetime.now().date()
    if reader is None:
        return {"day": day.isoformat(), "watched": 0, "labels": {}}
    since = _midnight(day)
    until = since + 2 * _DAY
    most = {label: max(found.values(), default=0) for label, found in reader.days(since, until, camera).items()}
    came = reader.came(since, camera)
    nobody = {"visits": 0, "first": None, "last": None}
    return {
        "day": day.isoformat(),
        "watched": round(sum(reader.watched_days(since, until, camera).values())),
        "labels": {
            label: {
                "most": most.get(label, 0),
                "level": level_of(label, most.get(label, 0)),
                **(asdict(came[label]) if label in came else nobody),
            }
            for label in sorted({*most, *came})
        },
    }


def _season(reader: Reader | None, year: int, camera: str = "") -> dict[str, Any]:
    since, until = _midnight(date(year, 1, 1)), _midnight(date(year + 1, 1, 1))
    counted = reader.days(since, until, camera) if reader else {}
    watched = reader.watched_days(since, until, camera) if reader else {}
    known = sorted({*watched, *(day for found in counted.values() for day in found)})
    if not known:
        return {"year": year, "days": [], "labels": {}, "watched": []}
    first, last = date.fromisoformat(known[0]), date.fromisoformat(known[-1])
    names = _names(first, (last - first).days + 1)
    return {
        "year": year,
        "days": names,
        "labels": {label: [found.get(day, 0) for day in names] for label, found in counted.items()},
        "watched": [round(watched.get(day, 0)) for day in names],
    }


def _names(first: date, days: int) -> list[str]:
    return [(first + timedelta(i)).isoformat() for i in range(days)]


def _midnight(day: date) -> float:
    """When a day begins where the hive stands, also where the clocks were changed on it."""
    return datetime.combine(day, clock_time.min).timestamp()


def _year(request: Request) -> int:
    year = number(request, "year", datetime.now().year)
    return min(9998, max(1970, year))


def _row(visit: dict[str, Any], mark: Any) -> tuple[Any, ...]:
    zones = " ".join(str(name) for name in visit.get("zones") or ())
    said = (mark.verdict, mark.meant or "") if mark else ("", "")
    keys = ("id", "label", "start", "last_seen", "end_reason", "count_max", "top_score")
    return (*("" if visit.get(key) is None else visit[key] for key in keys), zones, *said, visit.get("camera", ""))


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Lines of CSV (RFC 4180). A text that a spreadsheet would take for a formula begins with an apostrophe."""
    stream = io.StringIO()
    csv.writer(stream).writerows([_harmless(value) for value in row] for row in rows)
    return stream.getvalue().encode("utf-8", "replace")


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _table(name: str, lines: AsyncIterator[bytes]) -> Response:
    from starlette.responses import StreamingResponse

    return StreamingResponse(
        lines, media_type="text/csv", headers={"content-disposition": f'attachment; filename="{name}"'}
    )
