"""Bytes and texts of files, never more than a limit, and never waiting for a pipe that nobody writes."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

from edgekit.reading.limits import MB, RefusedError, over, size


def is_file(path: Path) -> bool:
    """As `Path.is_file`, but False for a name that no file can have: too long, or with a null byte."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """As `Path.is_dir`, but False for a name that no folder can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """As `Path.exists`, but False for a name that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def regular_size(path: Path, limit: int | None = None) -> int:
    """Bytes of a regular file.

    Raises:
        OSError: it is not there.
        RefusedError: larger than `limit`, or a folder, pipe or device.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise RefusedError("a directory" if stat.S_ISDIR(found.st_mode) else "a pipe or a device, not a file")
    if limit is not None and found.st_size > limit:
        raise over("the file", size(found.st_size), size(limit))
    return found.st_size


def read_bytes(path: Path, limit: int) -> bytes:
    """A whole file of at most `limit` bytes.

    A pipe is read where the shell made it (`<(...)`, /dev/stdin); one that lies among files would be waited for.

    Raises:
        OSError: it cannot be read.
        RefusedError: larger than `limit`, or a pipe.
    """
    mode = path.stat().st_mode
    if stat.S_ISFIFO(mode) and path.parts[:2] not in (("/", "dev"), ("/", "proc")):
        raise RefusedError("a pipe, not a file")
    with path.open("rb") as stream:
        known = os.fstat(stream.fileno()).st_size
        if known > limit:
            raise over("the file", size(known), size(limit))
        if known and stat.S_ISREG(mode):
            return stream.read(known)
        data = bytearray()
        while block := stream.read(MB):  # a device's or a pipe's size is not known before
            data += block
            if len(data) > limit:
                raise over("the file", f"more than {size(limit)}", size(limit))
    return bytes(data)


def read_text(path: Path, limit: int) -> str:
    """A text of at most `limit` bytes, in UTF-8 or in what its byte-order mark says (`in_utf8`).

    Raises:
        OSError: it cannot be read.
        RefusedError: larger, or in another encoding.
    """
    try:
        return in_utf8(read_bytes(path, limit)).decode()
    except UnicodeDecodeError as error:
        byte, told = error.object[error.start], "UTF-16, as its mark says" if "16" in error.encoding else "UTF-8"
        raise RefusedError(f"byte {error.start} is 0x{byte:02x}, which is not {told}: save it as UTF-8") from error


def in_utf8(data: bytes, part: bool = False) -> bytes:
    """A text's bytes in UTF-8 without a byte-order mark; UTF-16, which Windows writes, is told by its mark.

    Args:
        part: of a file, which may end, or be torn, within a character: what is none is left out.

    Raises:
        UnicodeDecodeError: a mark of UTF-16 before what is none; not of a part.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "ignore" if part else "strict").encode()
    return data.removeprefix(codecs.BOM_UTF8)
