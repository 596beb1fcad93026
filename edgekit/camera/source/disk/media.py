"""Which files a source on disk means, in which order, and why one of them is no video."""

from __future__ import annotations

import glob as globs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import DataError, SourceError
from edgekit.screen import count_of
from edgekit.vision.find import SUFFIXES, scan

# what cameras and people's programs write; a file that is named itself may have any suffix
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".m2v", ".vob",
     ".wmv", ".asf", ".flv", ".3gp", ".3g2", ".ogv", ".ogg", ".mxf", ".dav", ".h264", ".264", ".h265", ".265",
     ".hevc", ".mjpeg", ".mjpg", ".gif"}
)  # fmt: skip
_NUMBER = re.compile(r"(\d+)")
_WILD = re.compile(r"[*?\[]")
_BOXES = 200_000  # looked at; a day in pieces of a second has 172,800
_HEAD = 4096  # bytes that tell what a file is
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{16,}")


@dataclass(frozen=True)
class Media:
    """The files of a source.

    Attributes:
        paths: pictures and videos in their order.
        left_out: matches of a glob that are neither.
    """

    paths: tuple[Path, ...]
    left_out: tuple[Path, ...] = ()


def is_video(path: Path) -> bool:
    """Whether a file is a video by its name; one without a known suffix is none."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def by_number(path: Path) -> tuple[Any, ...]:
    """Sorts as people number: img2 before img10, and a folder's files together; what is equal then, by its name."""
    steps = [
        tuple((0, int(word), "") if word.isdigit() and word.isascii() else (1, 0, word.casefold())
              for word in _NUMBER.split(part) if word)
        for part in path.parts
    ]  # fmt: skip
    return (steps, str(path))


def globbed(pattern: str) -> list[Path]:
    """The paths that a shell's pattern names, by number. Folders that are there as they are written are no pattern."""
    parts = Path(pattern).parts
    literal = 0
    while literal < len(parts) - 1 and Path(*parts[: literal + 1]).exists():
        literal += 1
    start = str(Path(*parts[:literal])) if literal else ""
    whole = str(Path(globs.escape(start), *parts[literal:]))
    found = globs.glob(whole, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    return sorted((Path(name) for name in found), key=by_number)


def find_media(place: str) -> Media:
    """The pictures and videos of a file, a folder (with those below it) or a glob.

    Of a glob, a file with an unknown suffix counts only where the pattern itself ends with that suffix.

    Raises:
        DataError: there are none.
    """
    path = Path(place)
    if path.is_file():
        return Media((path,))
    matches = [path] if path.is_dir() else globbed(place)
    found: list[Path] = []
    left_out: list[Path] = []
    asked = path.suffix if not _WILD.search(path.suffix) else ""
    for match in matches:
        if match.is_dir():
            below = scan(match)
            found += sorted((*below.pictures, *filter(is_video, below.others)), key=by_number)
        elif is_picture(match) or is_video(match) or (asked and match.suffix == asked):
            found.append(match)
        else:
            left_out.append(match)
    if not found:
        raise DataError(
            f"{place} holds no pictures and no videos.",
            got=count_of(len(left_out), "other file") if left_out else "none of them",
            expected="files ending in " + " ".join(sorted(SUFFIXES | VIDEO_SUFFIXES)),
        )
    return Media(tuple(dict.fromkeys(found)), tuple(left_out))


def container_of(path: Path) -> str:
    """What a video file is by its first bytes: mp4, avi, mkv, ts, ps, flv, or nothing that is known here."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "mkv"
    if head[:3] == b"FLV":
        return "flv"
    if head[:4] == b"\0\0\1\xba":
        return "ps"
    for size, offset in ((188, 0), (192, 4)):  # ISO/IEC 13818-1; 192 with a time code before each packet, as .m2ts has
        syncs = head[offset::size]
        if len(syncs) > 1 and set(syncs) == {0x47}:
            return "ts"
    return ""


def not_a_video(path: Path) -> SourceError:
    """Why OpenCV reads no frame of this file, as far as its bytes tell."""
    again = "copy it again, or leave it out"
    try:
        size = path.stat().st_size
        kind = container_of(path)
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        return _unreadable(path, str(error.strerror or error), "check its permissions")
    if not size:
        return _unreadable(path, "an empty file (0 bytes)", again)
    if kind == "mp4" and (cut := _cut_mp4(path)):
        return _unreadable(
            path, cut, "copy it again; a recording that lost its power is repaired by untrunc and the like"
        )
    if kind:
        return _unreadable(
            path, f"a file that begins as {kind} does, and in it no frame that this OpenCV decodes", again
        )
    if _TEXT.fullmatch(head):
        return _unreadable(path, "a text file", again)
    return _unreadable(path, "bytes of no kind of video that is known", again)


def _unreadable(path: Path, got: str, fix: str) -> SourceError:
    return SourceError(f"{path} cannot be read as a video.", got=got, expected="a whole video file", fix=fix)


def is_fragmented(path: Path) -> bool:
    """Whether an MP4 is written in pieces (`moof`), so that no index says how many frames it holds."""
    return any(kind == b"moof" for kind, _ in _boxes(path))


def _cut_mp4(path: Path) -> str:
    """Whether the index (`moov`) of an MP4 is missing or cut off, and which; else nothing."""
    for kind, whole in _boxes(path):
        if kind == b"moov":
            return "" if whole else "an MP4 whose index (moov) is cut off"
    return "an MP4 that was cut off: its index (moov), which comes last, is missing"


def _boxes(path: Path) -> Iterator[tuple[bytes, bool]]:
    """The boxes of an MP4's top level (ISO/IEC 14496-12, 4.2): the kind, and whether it is there to its end."""
    size, at, count = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            count += 1
            if count > _BOXES:
                raise _unreadable(path, f"an MP4 of more than {_BOXES} boxes", "copy it again, or leave it out")
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            at += max(length or size - at, 8)
            yield head[4:8], at <= size
