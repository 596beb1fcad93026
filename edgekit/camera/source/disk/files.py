"""Pictures and videos on disk as one source: in their order, one after the other, each at its own time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.disk.media import find_media, is_picture
from edgekit.camera.source.disk.video import VideoGrabber
from edgekit.camera.source.grabber import Ended, Grabber
from edgekit.camera.source.uri import Source
from edgekit.errors import PictureError, SourceError
from edgekit.screen import count_of, shown
from edgekit.vision.image import Frame, read_picture

_PICTURES_FPS = 5.0
_LOOKED_THROUGH = 1 << 30  # bytes of transport streams whose length is taken from their stamps
_NAMED = 5  # files that are named one by one


@dataclass(frozen=True)
class Run:
    """Files that follow one another without a gap: a video, or pictures.

    Attributes:
        seconds: how long they take.
        modified: when the last was written, in seconds since 1970.
        fps: frames a second.
    """

    paths: tuple[Path, ...]
    pictures: bool
    seconds: float
    modified: float
    fps: float


def begins(runs: Sequence[tuple[float, float]], now: float) -> list[float]:
    """When runs of (seconds, modified) began, in seconds since 1970, where nobody says.

    A recording is last written when it ends, so each ends when its file was modified, or where the next one begins,
    whichever is earlier, and none later than now. So copies that were all written at once still follow one another.
    """
    times: list[float] = []
    end = now
    for seconds, modified in reversed(runs):
        end = min(end, modified) - seconds
        times.append(max(0.0, end))
    return times[::-1]


class FilesGrabber(Grabber):
    """A file, a folder or a glob.

    What cannot be read is left out, named in `notes` and counted in `unreadable`; where nothing can be read that is
    an error.

    Raises:
        DataError: there are no pictures and no videos.
        SourceError: none of them can be read.
    """

    def __init__(self, place: str, config: SourceConfig) -> None:
        self.notes = self._notes = deque[str]()
        self._config = config
        media = find_media(place)
        self._problems: list[SourceError | PictureError] = []
        self._files = len(media.paths)
        if media.left_out:
            names = ", ".join(shown(path) for path in media.left_out[:_NAMED])
            more = f" and {len(media.left_out) - _NAMED} more" if len(media.left_out) > _NAMED else ""
            self._notes.append(f"left out, neither picture nor video: {names}{more}")
        self._runs = list(self._looked_through(media.paths))
        if not self._runs:
            raise self._nothing()
        self.fps = max(run.fps for run in self._runs)
        start = config.start.timestamp() if config.start else None
        if start is not None:
            self._begins, self.origin = None, "source.start"
            self.begins = start
        else:
            self._begins = begins([(run.seconds, run.modified) for run in self._runs], time.time())
            self.begins, self.origin = self._begins[0], "file"
        self._frames = self._all()
        self._open: VideoGrabber | None = None
        self._given = False

    def read(self) -> Frame | None:
        for frame, at in self._frames:
            self.at = at
            self._given = self._given or frame is not None
            return frame
        if not self._given:
            raise self._nothing()
        if self.unreadable:
            self._notes.append(f"{self.unreadable} of {self._files} files could not be read")
        raise Ended

    def close(self) -> None:
        self._frames = iter(())
        if self._open is not None:
            self._open.close()

    def _looked_through(self, paths: Sequence[Path]) -> Iterator[Run]:
        """The runs, of which every video was opened once."""
        fps = self._config.fps or _PICTURES_FPS
        held: list[Path] = []
        looks = _LOOKED_THROUGH
        for path in paths:
            if is_picture(path):
                held.append(path)
                continue
            if held:
                yield _pictures(held, fps)
                held = []
            try:
                video = VideoGrabber(path, self._config.fps)
            except SourceError as error:
                self._leave_out(error)
                continue
            video.close()
            assert video.fps is not None
            found = path.stat()
            looks -= found.st_size  # through stamps, which takes a second or more for a gigabyte
            exact = self._config.start is None and looks >= 0
            yield Run((path,), False, video.length() if exact else video.seconds, found.st_mtime, video.fps)
        if held:
            yield _pictures(held, fps)

    def _all(self) -> Iterator[tuple[Frame | None, float]]:
        """Every frame and its seconds since the first one, None for one that is broken."""
        after = 0.0  # when the next run may begin: no run begins before the one ahead of it is over
        for index, run in enumerate(self._runs):
            first = after
            if self._begins is not None:
                first = max(after, self._begins[index] - self._begins[0])
            at = first
            for frame, seconds in self._read_pictures(run) if run.pictures else self._read_video(run):
                at = max(at, first + seconds)
                yield frame, at
            after = at + 1 / run.fps

    def _read_pictures(self, run: Run) -> Iterator[tuple[Frame | None, float]]:
        for index, path in enumerate(run.paths):
            frame = None
            try:
                frame = read_picture(path)
            except PictureError as error:
                self._leave_out(error)
            yield frame, index / run.fps

    def _read_video(self, run: Run) -> Iterator[tuple[Frame | None, float]]:
        path = run.paths[0]
        try:
            self._open = video = VideoGrabber(path, self._config.fps)
        except SourceError as error:  # it went away since it was looked at
            self._leave_out(error)
            return
        try:
            while True:
                frame = video.read()
                yield frame, video.at or 0.0
        except Ended:
            if video.cut:
                self._notes.append(f"{shown(path)}: {video.cut}")
        finally:
            video.close()

    def _leave_out(self, error: SourceError | PictureError) -> None:
        self._problems.append(error)
        self.unreadable += 1
        if self._files > 1 and self.unreadable <= _NAMED:
            self._notes.append(f"left out: {error.what} {error.got or ''}".rstrip())

    def _nothing(self) -> SourceError | PictureError:
        """Why there was not one frame."""
        if not self._problems:
            return SourceError("The source holds no frame.", got=f"{count_of(self._files, 'file')}, none with a frame")
        first = self._problems[0]
        if self._files > 1:
            first.got = f"{first.got}; and none of the other {count_of(self._files - 1, 'file')} can be read either"
        return first


def _pictures(paths: Sequence[Path], fps: float) -> Run:
    modified = max((path.stat().st_mtime for path in paths if path.exists()), default=time.time())
    return Run(tuple(paths), True, len(paths) / fps, modified, fps)


def open_files(source: Source, config: SourceConfig) -> FilesGrabber:
    """A file, folder or glob. Raises as `FilesGrabber`."""
    return FilesGrabber(source.place, config)
