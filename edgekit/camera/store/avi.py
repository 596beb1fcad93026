"""Motion JPEG in AVI, written from JPEGs that are there already: no codec, no second encoding.

Browsers play no AVI, but they do play its pictures as they play the live one; other players take the file as it is.
What OpenCV's wheels can encode instead: MPEG-4 part 2, which no browser plays, and VP8 and VP9 at 30 and 160 ms a
picture of 640x360. The layout is that of Microsoft's "AVI RIFF File Reference".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from edgekit.artifacts.atomic import sync_folder
from edgekit.camera.store.permissions import private_file, private_folder
from edgekit.errors import InputError, OutputError
from edgekit.reading.limits import CLIP_PICTURE

_KEY = 0x10  # AVIIF_KEYFRAME
_HAS_INDEX = 0x10  # AVIF_HASINDEX
_HEAD = 224  # bytes before the first picture
_LONGEST = 2**30  # bytes; the format's sizes have 32 bits


class AviWriter:
    """Writes JPEGs under a hidden name; the file appears when it is closed. Pictures keep the mean of their times.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # not `atomic`, which ends with a block: a clip is open for as long as its visit
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
        self._file: BinaryIO | None = None
        self._index: list[tuple[int, int]] = []  # where in the list, how many bytes
        self._size = (0, 0)
        self._at = 4  # behind the word "movi"
        self._first = self.last = 0.0

    def write(self, jpeg: bytes, at: float) -> None:
        """Adds a picture of scene time `at`, seconds; beyond 1 GB none."""
        try:
            if self._file is None:
                self._size = Image.open(BytesIO(jpeg)).size
                self._first = at
                private_folder(self.path.parent, self.path.parent.parent)
                private_file(self._temporary)
                self._file = self._temporary.open("wb")
                self._file.write(bytes(_HEAD))
            self.last = at
            if self._at > _LONGEST:
                return
            self._file.write(b"00dc" + struct.pack("<I", len(jpeg)) + jpeg + b"\0" * (len(jpeg) % 2))
        except OSError as error:
            raise OutputError(f"{self.path} could not be written.", got=str(error)) from error
        self._index.append((self._at, len(jpeg)))
        self._at += 8 + len(jpeg) + len(jpeg) % 2

    def close(self) -> None:
        """Finishes the file; nothing appears where no picture was written."""
        if self._file is None:
            return
        try:
            with self._file as file:
                index = b"".join(struct.pack("<4sIII", b"00dc", _KEY, at, size) for at, size in self._index)
                file.write(b"idx1" + struct.pack("<I", len(index)) + index)
                file.seek(0)
                file.write(self._head(len(index)))
                file.flush()
                os.fsync(file.fileno())
            self._temporary.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise OutputError(f"{self.path} could not be written.", got=str(error)) from error
        finally:
            self._file = None

    def give_up(self) -> None:
        """Leaves no file; for one that cannot be written to its end."""
        file, self._file = self._file, None
        with suppress(OSError):  # what it still wanted to write is not wanted any more
            if file is not None:
                file.close()
        with suppress(OSError):  # the disk is gone, and the file with it
            self._temporary.unlink(missing_ok=True)

    def _head(self, index: int) -> bytes:
        count, (width, height) = len(self._index), self._size
        seconds = self.last - self._first
        step = round(1e6 * seconds / (count - 1)) if count > 1 and seconds > 0 else 100_000  # microseconds a picture
        largest = max(size for _, size in self._index)
        main = struct.pack("<14I", step, 0, 0, _HAS_INDEX, count, 0, 1, largest, width, height, 0, 0, 0, 0)
        stream = struct.pack("<4s4s8IiI4H", b"vids", b"MJPG", 0, 0, 0, step, 1_000_000, 0, count, largest, -1, 0,
                             0, 0, width, height)  # fmt: skip
        form = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
        streams = _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", form))
        head = _list(b"hdrl", _chunk(b"avih", main) + streams)
        whole = 4 + len(head) + 8 + self._at + 8 + index
        return b"RIFF" + struct.pack("<I", whole) + b"AVI " + head + b"LIST" + struct.pack("<I", self._at) + b"movi"


def recover(half: Path, path: Path) -> bool:
    """Finishes a clip that a killed process left under its hidden name, with the whole pictures in it, ten a second.

    Whether there was one; where not, nothing was done.
    """
    writer = AviWriter(path)
    writer._temporary = half
    try:
        with half.open("rb") as file:
            file.seek(_HEAD)
            while len(head := file.read(8)) == 8 and head[:4] == b"00dc":
                size = int(struct.unpack("<I", head[4:])[0])
                jpeg = file.read(min(size, CLIP_PICTURE))
                if len(jpeg) < size or (size % 2 and file.read(1) != b"\0"):
                    break
                writer._size = writer._size if writer._index else Image.open(BytesIO(jpeg)).size
                writer._index.append((writer._at, size))
                writer._at += 8 + size + size % 2
        if not writer._index:
            return False
        writer.last = 0.1 * (len(writer._index) - 1)
        writer._file = half.open("r+b")
        writer._file.truncate(_HEAD - 4 + writer._at)
        writer._file.seek(0, os.SEEK_END)
        writer.close()
    except (OSError, OutputError):  # not a picture, or no room
        return False
    return True


def read_avi(path: Path) -> tuple[float, Iterator[bytes]]:
    """Seconds a picture, and the pictures, of a file that `AviWriter` wrote.

    Raises:
        InputError: another kind of file.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if len(head) < _HEAD or head[:4] != b"RIFF" or head[_HEAD - 4 :] != b"movi":
        raise InputError(f"{path} is not a clip of edgekit's.", got=repr(head[:4]), expected="RIFF ... movi")
    step = int(struct.unpack_from("<I", head, 32)[0]) / 1e6
    if not step:
        raise InputError(f"{path} is not a clip of edgekit's.", got="0 s a picture", expected="more than that")
    return step, _pictures(path)


def _pictures(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(_HEAD)
        while (part := _part(file)) is not None:
            yield part
            file.seek(len(part) % 2, os.SEEK_CUR)


def _part(file: BinaryIO) -> bytes | None:
    """The next picture as far as it is there; None behind the last one, and at a size that no picture has."""
    head = file.read(8)
    if len(head) < 8 or head[:4] != b"00dc":
        return None
    length = int(struct.unpack("<I", head[4:])[0])
    return file.read(length) if length <= CLIP_PICTURE else None


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data


def _list(kind: bytes, data: bytes) -> bytes:
    return _chunk(b"LIST", kind + data)
