"""How many came when: the days and the quarters of an hour, for the charts."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from edgekit.camera.events.counts import BUCKET
from edgekit.camera.events.levels import level_of
from edgekit.camera.store.reader import Reader, local_day
from edgekit.camera.web.asked import number

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_DAY = 86400


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
        return JSONResponse(await asyncio.to_thread(self._counted, days))

    def _counted(self, days: int) -> dict[str, Any]:
        now = time.time()
        names = list(dict.fromkeys(local_day(now - _DAY * i) for i in range(days - 1, -1, -1)))
        if self._reader is None:
            return {"days": names, "labels": {}, "watched": {}, "today": {"bucket": BUCKET, "labels": {}}}
        since = now - _DAY * (days + 1)
        by_day = self._reader.days(since, now + _DAY)
        quarters = self._reader.quarters(now - _DAY, now + _DAY)
        watched: dict[str, float] = {}
        for bucket, seconds in self._reader.watched(since, now + _DAY).items():
            day = local_day(bucket)
            watched[day] = watched.get(day, 0.0) + seconds
        labels = {
            label: [{"most": found.get(day, 0), "level": level_of(label, found.get(day, 0))} for day in names]
            for label, found in by_day.items()
        }
        today = {label: {str(k): v for k, v in rows.items()} for label, rows in quarters.items()}
        return {
            "days": names,
            "labels": labels,
            "watched": {day: round(watched.get(day, 0.0)) for day in names},
            "today": {"bucket": BUCKET, "from": int((now - _DAY) // BUCKET + 1) * BUCKET, "labels": today},
        }
