"""The pictures of a store: written whole, given up where the disk has no room for them, and removed for newer ones."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from edgekit.artifacts.atomic import sync_folder, write_bytes
from edgekit.camera.clock import iso, plausible
from edgekit.camera.config import MB, StoreConfig
from edgekit.camera.problems import one_line
from edgekit.camera.store.clips import DayOfClips
from edgekit.camera.store.dropped import StoreProblems
from edgekit.camera.store.permissions import FILE, private_folder
from edgekit.camera.store.quota import ROOM, Removed, free_bytes, make_room, orders, win_room
from edgekit.errors import EdgekitError, OutputError

_PART = "pictures"
_CHECK = 30.0  # seconds between two looks at the quotas
_HOLD = 900.0  # seconds without a removal while the clock is wrong; some boxes never learn the time
_PROBE = bytes(65536)


class Pictures:
    """Snapshots and clips in a folder.

    Args:
        database: the open one, or None.
        waiting: ids of visits whose rows are not written yet.

    Attributes:
        nameless: visits whose rows still name a picture that is gone.
        clips_today: how many bytes of clips may still be written.
    """

    def __init__(
        self,
        folder: Path,
        config: StoreConfig,
        problems: StoreProblems,
        database: Callable[[], sqlite3.Connection | None],
        waiting: Callable[[], Collection[str]],
    ) -> None:
        self._folder, self._config, self._problems = folder, config, problems
        self._database, self._waiting, self._newest = database, waiting, 0.0
        self._began_at, self._check_at, self._clock_known = time.monotonic(), 0.0, False
        self.nameless: list[str] = []
        self.clips_today = DayOfClips(folder, config.clips_mb_a_day * MB, problems.say)

    def begin(self, newest: float) -> None:
        """Takes the time of the newest event kept, wall-clock seconds: while the clock is before it nothing goes."""
        self._newest, self._clock_known = newest, plausible(newest)
        if not self._clock_known:
            self._problems.say(f"the clock says {iso(time.time())}, which cannot be right: nothing is removed until it "
                              f"can, or for {_HOLD / 60:.0f} minutes")  # fmt: skip

    def keep(self, kind: str, name: str, data: bytes, day: str) -> dict[str, Any] | None:
        """Writes a picture atomically and gives its path in the folder, sha256 and size; None when the disk is full."""
        path = self._folder / kind / day / name
        try:
            if not self.room_for(len(data), path.stem):
                raise OutputError(self._no_room)
            if not path.parent.exists():
                private_folder(path.parent, self._folder)
                sync_folder(path.parent.parent)
            write_bytes(path, data, overwrite=True, mode=FILE)
        except (OutputError, OSError) as error:
            self._problems.dropped.pictures_lost += 1
            self._problems.fails(_PART, f"pictures are not kept: {one_line(error)}")
            return None
        return {
            "path": path.relative_to(self._folder).as_posix(),
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
        }

    def clip_lost(self, why: str) -> None:
        """A clip could not be written, or not to its end."""
        self._problems.dropped.clips_lost += 1
        self._problems.fails(_PART, f"a clip was not kept whole: {why}")

    def room_for(self, size: int, visit: str = "") -> bool:
        """Whether so many bytes of pictures leave the reserve free, older ones having made room.

        Args:
            visit: whose pictures they are: others of it, which no row may know yet, stay.
        """
        if not self._has_room(size) and _PART not in self._problems:  # else `probe` tries, every few seconds
            self.tidy(force=True, wanted=size, visit=visit)
        return self._has_room(size)

    def tidy(self, force: bool = False, wanted: int = 0, visit: str = "") -> Removed:
        """Makes room where quotas and reserve don't hold, and for so many bytes more; what went.

        Nothing goes of `visit`. Looks at the disk every 30 s at most. Removes nothing while the clock cannot be right.
        Never raises.
        """
        now, removed, db = time.monotonic(), Removed(), self._database()
        if db is None or (now < self._check_at and not force):
            return removed
        self._check_at = now + _CHECK
        self._clock_known = self._clock_known or plausible(self._newest) or now - self._began_at > _HOLD
        if not self._clock_known:
            return removed
        try:
            removed = make_room(db, self._folder, self._config, {*self._waiting(), visit}, wanted)
            self._problems.works("tidying")
        except (sqlite3.Error, OSError) as error:
            self._problems.fails("tidying", f"the store cannot be tidied: {error}")
        self._count(removed)
        return removed

    def win_room(self, known: Callable[[], dict[str, int | None]] | None = None) -> bool:
        """Whether pictures went to make room for rows, on a disk that is full.

        Args:
            known: as `quota.orders`; of the open database and of rows that wait where it is left out.
        """
        try:
            if free_bytes(self._folder) >= ROOM:
                return False
            removed = win_room(self._folder, (known or self._orders)())
        except OSError:
            return False
        self._count(removed)
        return bool(removed)

    def probe(self) -> None:
        """Whether pictures can be kept, found out before the next one comes."""
        if not self._has_room():
            self.tidy(force=True)
        if not self._has_room():
            self._problems.fails(_PART, f"pictures are not kept: {self._no_room}")
        elif _PART in self._problems:
            path = self._folder / ".probe.tmp"
            try:
                write_bytes(path, _PROBE, overwrite=True, mode=FILE)
                path.unlink()
            except (EdgekitError, OSError):
                return
            self._problems.works(_PART)

    def _orders(self) -> dict[str, int | None]:
        db = self._database()
        try:
            written = orders(db) if db is not None else {}
        except sqlite3.Error:
            written = {}
        return {**written, **dict.fromkeys(self._waiting())}

    @property
    def _no_room(self) -> str:
        return f"less than {self._config.reserve_mb:g} MB are free on the disk"

    def _has_room(self, size: int = 0) -> bool:
        try:
            return free_bytes(self._folder) >= self._config.reserve_mb * MB + size
        except OSError:  # the folder is gone; the store makes it anew
            return True

    def _count(self, removed: Removed) -> None:
        dropped, config = self._problems.dropped, self._config
        self.nameless += removed.nameless
        dropped.pictures_removed += removed.pictures
        dropped.clips_removed += removed.clips
        dropped.visits_removed += removed.visits
        if removed.pictures or removed.clips:
            self._problems.once(f"the oldest pictures and clips go, to make room (quota_mb = {config.quota_mb:g}, "
                               f"reserve_mb = {config.reserve_mb:g})")  # fmt: skip
        if removed.visits:
            self._problems.once(f"the oldest visits go, to make room (rows_mb = {config.most_rows_mb:g})")
