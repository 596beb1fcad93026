"""A video of each visit, from a little before it to a little after."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, takewhile
from pathlib import Path

from edgekit.camera.config import MB, VisitConfig
from edgekit.camera.store.avi import AviWriter
from edgekit.camera.store.quota import walk
from edgekit.errors import OutputError

_STEP = 0.099  # seconds between two pictures at least
_ROLL = 64_000_000  # bytes of JPEG held for the time before a visit
_SHARE = 0.1  # of what the day has left, that one clip may take: early visits leave some to later ones
_LEAST = 200_000  # bytes; a shorter clip shows nothing


@dataclass
class _Open:
    sink: AviWriter
    start: float
    name: str
    left: float  # bytes that it may take
    until: float = float("inf")
    cut: bool = False


class DayOfClips:
    """How many bytes of clips may still be written today: an SD card wears out by what is written to it.

    Args:
        most: bytes a day.
        say: told once a day that clips end early, and that no more are begun.
    """

    def __init__(self, folder: Path, most: float, say: Callable[[str], None] = lambda _: None) -> None:
        self._folder, self._most, self._say = folder / "clips", most, say
        self._day, self._spent = "", 0.0
        self._told: set[str] = set()

    def share(self, day: str) -> float:
        """Bytes that a clip of that day may take; 0 where it should not be begun."""
        if day != self._day:  # what an earlier process wrote today counts too
            written = sum(size for _, size in walk(self._folder / day))
            self._day, self._spent, self._told = day, float(written), set()
        share = _SHARE * (self._most - self._spent)
        if share >= _LEAST:
            return share
        self._tell("no more clips today", "visits go on, with their pictures")
        return 0.0

    def spend(self, size: int) -> None:
        self._spent += size

    def cut(self) -> None:
        """A clip ends before its visit does, since its share is used up."""
        self._tell("clips end early today", f"each takes {_SHARE:.0%} of what is left")

    def _tell(self, what: str, then: str) -> None:
        if what not in self._told:
            self._told.add(what)
            written = f"{self._spent / MB:.0f} MB are written (store.clips_mb_a_day = {self._most / MB:g})"
            self._say(f"{what}: {written}; {then}")


class Clips:
    """Holds the last seconds as JPEGs and writes open visits' clips as Motion JPEG, ten pictures a second at most.

    A clip that cannot be written is given up, or cut where no room is left, and the others go on. Nothing is raised.

    Args:
        room: whether so many bytes more may be written.
        lost: told why a clip is not kept, or not to its end.
        today: how many bytes may be written today, by all cameras; None: as many as there are.
    """

    def __init__(
        self,
        folder: Path,
        config: VisitConfig,
        room: Callable[[int], bool] = lambda _: True,
        lost: Callable[[str], None] = lambda _: None,
        today: DayOfClips | None = None,
    ) -> None:
        self._folder, self._config, self._room, self._lost = folder, config, room, lost
        self._today = today or DayOfClips(folder, float("inf"))
        self._roll: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._open: dict[str, _Open] = {}

    def see(self, jpeg: bytes, at: float) -> list[str]:
        """Takes the newest annotated picture; the visits whose clip is finished now."""
        if self._roll and 0 <= at - self._roll[-1][0] < _STEP:
            return self.over(at)
        self._roll.append((at, jpeg))
        self._bytes += len(jpeg)
        while self._roll and (at - self._roll[0][0] > self._config.pre_roll or self._bytes > _ROLL):
            self._bytes -= len(self._roll.popleft()[1])
        for ident, clip in list(self._open.items()):
            if at <= clip.until and at - clip.start <= self._config.longest_clip:
                self._write(ident, clip, jpeg, at)
        return self.over(at)

    def begin(self, ident: str, at: float, day: str) -> None:
        """A visit begins; it gets no clip where the day has no room for one."""
        share = self._today.share(day)
        if not share:
            return
        path = self._folder / "clips" / day / f"{ident}.avi"
        clip = _Open(AviWriter(path), at, path.relative_to(self._folder).as_posix(), share)
        self._open[ident] = clip
        for moment, jpeg in self._before(share / 2):
            self._write(ident, clip, jpeg, moment)

    def _before(self, most: float) -> list[tuple[float, bytes]]:
        """The last pictures of the time before a visit, up to so many bytes."""
        sizes = accumulate(len(jpeg) for _, jpeg in reversed(self._roll))
        count = sum(1 for _ in takewhile(lambda size: size <= most, sizes))
        return list(self._roll)[len(self._roll) - count :]

    def end(self, ident: str, at: float) -> None:
        """The visit is over; its clip runs on for the post-roll."""
        if ident in self._open:
            self._open[ident].until = at + self._config.post_roll

    def finish(self, ident: str) -> Path | None:
        """Closes a clip and gives its file, which is on the disk then; None where there is none."""
        clip = self._open.pop(ident, None)
        if clip is None:
            return None
        try:
            clip.sink.close()
        except OutputError as error:
            self._give_up(ident, clip, error)
            return None
        return clip.sink.path if clip.sink.path.exists() else None

    def name(self, ident: str) -> str | None:
        """Path in the folder that a visit's clip will have, while it is written."""
        return self._open[ident].name if ident in self._open else None

    @property
    def open(self) -> tuple[str, ...]:
        return tuple(self._open)

    def _write(self, ident: str, clip: _Open, jpeg: bytes, at: float) -> None:
        if clip.cut or ident not in self._open:
            return
        if len(jpeg) > clip.left:  # as at `longest_clip`, what comes after it is not in it
            clip.cut = True
            self._today.cut()
            return
        if not self._room(len(jpeg)):
            clip.cut = True
            self._lost("the disk has no room for all of it")
            return
        clip.left -= len(jpeg)
        self._today.spend(len(jpeg))
        try:
            clip.sink.write(jpeg, at)
        except OutputError as error:
            self._give_up(ident, clip, error)

    def _give_up(self, ident: str, clip: _Open, error: OutputError) -> None:
        self._open.pop(ident, None)
        clip.sink.give_up()
        self._lost(error.got or error.what)

    def over(self, at: float) -> list[str]:
        """The visits whose clip is finished at `at`."""
        return [ident for ident, clip in self._open.items() if at > clip.until]
