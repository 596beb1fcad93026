"""What goes when there is no room: pictures and clips first, in the order of their visits; rows by their own quota.

A row is a kilobyte, and no disk was ever filled by rows alone: to win a reserve pictures go, and rows never do. The
order is that in which visits were told, not the clock's: a box without a clock of its own starts in 1970.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from edgekit.camera.config import MB, StoreConfig
from edgekit.camera.store.database import name_files, parsed

ROOM = 4 * MB  # bytes in which the log and a thousand events are written
KINDS = {"snapshots": "snapshot", "plain": "plain", "clips": "clip"}  # folder: key in an event
_BATCH = 20
_MORE = 0.02  # of the reserve that is won at once, so that not every picture needs a look at all of them
# of cameras that were lost, before the oldest visit that is left
_OF_NO_VISIT = (
    "DELETE FROM events WHERE seq < (SELECT min(first) FROM visits) AND seq < (SELECT max(seq) FROM events) "
    "AND id NOT IN (SELECT id FROM visits)"
)
_NEWEST = 2**62


@dataclass
class Removed:
    """How many went; `nameless` are visits that could not be told so, for want of room."""

    pictures: int = 0
    clips: int = 0
    visits: int = 0
    nameless: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.pictures or self.clips or self.visits)


@dataclass(frozen=True)
class Kept:
    """A file of a visit: in which of `KINDS`, its bytes, and the number of the visit's first event."""

    path: Path
    kind: str
    size: int
    order: int

    @property
    def ident(self) -> str:
        return self.path.stem


def free_bytes(folder: Path) -> int:
    """What others than root can still write on the folder's disk. Raises OSError where there is no folder."""
    return shutil.disk_usage(folder).free


def make_room(
    db: sqlite3.Connection, folder: Path, config: StoreConfig, waiting: Collection[str] = (), wanted: int = 0
) -> Removed:
    """Removes until quotas and reserve hold, and `wanted` bytes more are free.

    Pictures go while everything is larger than `quota_mb` or less than `reserve_mb` is free. Where all of them could
    not win the reserve they are not what fills the disk: then they go only as far as rows need room. Rows of ended
    visits go, with what pictures they still have, while the database is larger than `rows_mb`. Nothing goes of visits
    that are going on or `waiting` to be written.
    """
    removed, free, reserve = Removed(), free_bytes(folder), config.reserve_mb * MB
    over = sum(size for _, size in walk(folder)) - config.quota_mb * MB
    short = reserve + wanted - free
    if over > 0 or short > 0:
        kept = _kept(folder, {**orders(db), **dict.fromkeys(waiting)}, 0)
        if free + sum(file.size for file in kept) < reserve:
            short = min(reserve, ROOM) - free
        elif short > 0:
            short += reserve * _MORE
        _remove(db, folder, list(_oldest(kept, max(over, short))), removed)
    _remove_rows(db, folder, config.most_rows_mb * MB, removed)
    return removed


def win_room(folder: Path, known: Mapping[str, int | None]) -> Removed:
    """Removes the oldest pictures until rows have room, where the database cannot be written.

    Args:
        known: as `orders` gives it. Pictures of other visits are taken for the newest: their rows may be in the log.
    """
    removed = Removed()
    gone = list(_oldest(_kept(folder, known, _NEWEST), ROOM - free_bytes(folder)))
    _unlink(folder, gone, removed)
    removed.nameless += [file.ident for file in gone]
    return removed


def orders(db: sqlite3.Connection) -> dict[str, int | None]:
    """By id the number of a visit's first event; None of one that is going on, whose pictures stay."""
    return {
        ident: first if ended else None for ident, first, ended in db.execute("SELECT id, first, ended FROM visits")
    }


def orders_of(path: Path) -> dict[str, int | None]:
    """`orders` of a database that cannot be opened in the usual way, for want of room; without those in its log."""
    try:
        with closing(sqlite3.connect(f"file:{quote(os.fspath(path))}?immutable=1", uri=True)) as db:
            return orders(db)
    except sqlite3.Error:
        return {}


def forget(db: sqlite3.Connection, folder: Path, idents: Collection[str]) -> None:
    """Writes into visits which of their files are not there any more; in the caller's transaction."""
    for ident in idents:
        row = db.execute("SELECT event FROM visits WHERE id = ?", (ident,)).fetchone()
        event = parsed(row[0]) if row else None
        if event is not None:
            gone = [key for key in KINDS.values() if event.get(key) and not (folder / event[key]["path"]).exists()]
            name_files(db, ident, dict.fromkeys(gone))


def walk(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every file below `folder` with its bytes."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            try:
                yield path, path.stat().st_size
            except FileNotFoundError:  # removed meanwhile
                continue


def _kept(folder: Path, known: Mapping[str, int | None], unknown: int) -> list[Kept]:
    """What may go, the oldest first; `unknown` is the place of files that no visit knows."""
    files = [
        Kept(path, kind, size, order)
        for kind in KINDS
        for path, size in walk(folder / kind)
        if (order := known.get(path.stem, unknown)) is not None and not path.name.startswith(".")
    ]
    return sorted(files, key=lambda file: (file.order, file.path.parent.name, file.ident))


def _oldest(kept: Sequence[Kept], wanted: float) -> Iterator[Kept]:
    for file in kept:
        if wanted <= 0:
            return
        wanted -= file.size
        yield file


def _remove(db: sqlite3.Connection, folder: Path, gone: Sequence[Kept], removed: Removed) -> None:
    """Rows first: killed in between, a file is left that no row names, and never a row that names no file."""
    for start in range(0, len(gone), _BATCH):
        batch = gone[start : start + _BATCH]
        try:
            with db:
                for file in batch:
                    name_files(db, file.ident, {KINDS[file.kind]: None})
        except sqlite3.OperationalError:  # not even a row has room
            removed.nameless += [file.ident for file in batch]
        _unlink(folder, batch, removed)


def _unlink(folder: Path, gone: Sequence[Kept], removed: Removed) -> None:
    for file in gone:
        file.path.unlink(missing_ok=True)
        removed.pictures += file.kind != "clips"
        removed.clips += file.kind == "clips"
        _remove_empty(file.path.parent, folder)


def _remove_rows(db: sqlite3.Connection, folder: Path, most: float, removed: Removed) -> None:
    """The oldest ended visits go until the database is no larger than `most` bytes; the highest number stays."""
    began = removed.visits
    while _database_bytes(db) > most:
        rows = db.execute("SELECT id, event FROM visits WHERE ended ORDER BY first, id LIMIT ?", (_BATCH,)).fetchall()
        if not rows:
            break
        with db:
            for ident, _ in rows:
                db.execute("DELETE FROM events WHERE id = ? AND seq < (SELECT max(seq) FROM events)", (ident,))
                db.execute("DELETE FROM visits WHERE id = ?", (ident,))
            db.execute(_OF_NO_VISIT)
        events = [parsed(text) or {} for _, text in rows]
        files = [
            Kept(folder / event[key]["path"], kind, 0, 0)
            for event in events
            for kind, key in KINDS.items()
            if event.get(key)
        ]
        _unlink(folder, [file for file in files if file.path.exists()], removed)
        removed.visits += len(rows)
    if removed.visits > began:
        db.execute("PRAGMA incremental_vacuum").fetchall()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _database_bytes(db: sqlite3.Connection) -> int:
    """Of the pages in use."""
    pages, unused, size = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - unused) * size


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and folder.is_relative_to(top):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
