"""Zip files from outside: their directory is looked through before anything is unpacked.

Layout: PKWARE's APPNOTE 6.3.9, sections 4.3.12 (directory), 4.3.14 to 4.3.16 (its end, also of zip64). The end must be
the last thing in the file: with a comment behind it two readers can find two directories.
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from edgekit.reading.files import regular_size
from edgekit.reading.limits import ENTRIES, SPARE, UNPACKED, RefusedError, over, size
from edgekit.screen import count_of

_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_DIRECTORY = 128 * ENTRIES  # bytes
_HEAD = 10_000  # bytes of an array's header, as numpy has it
_BLOCK = 1 << 20


def zip_sizes(path: Path, most: int | None = None) -> dict[str, int]:
    """The files in a zip with their unpacked sizes; nothing is unpacked.

    Args:
        most: bytes that they may have together; without it four times the file's size and 64 MB.

    Raises:
        OSError: it cannot be read.
        RefusedError: not a zip, more or larger files in it, one name twice, or files that overlap.
    """
    total = regular_size(path)
    _check_directory(path, total)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise RefusedError(f"not a whole zip file: {error}") from error
    limit = UNPACKED * total + SPARE if most is None else most
    if len(entries) > ENTRIES:
        raise over("a zip file", count_of(len(entries), "file"), f"{ENTRIES} files")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limit:
        raise over(f"a zip file of {size(total)}", f"{size(unpacked)} unpacked", size(limit))
    if sum(entry.compress_size for entry in entries) > total:
        raise RefusedError("a zip file whose files overlap")
    found = {entry.filename: entry.file_size for entry in entries}
    if len(found) != len(entries):
        raise RefusedError("a zip file with one name twice")
    return found


def _check_directory(path: Path, total: int) -> None:
    """That the directory's end is the file's, and the directory not larger than its files can need."""
    with path.open("rb") as stream:
        stream.seek(max(0, total - 22 - 20))
        tail = stream.read()
        if len(tail) < 22 or tail[-22:-18] != _END or tail[-2:] != b"\0\0":
            raise RefusedError("not a whole zip file: no directory at its end")
        length = int.from_bytes(tail[-10:-6], "little")
        if tail[:4] == _LOCATOR and len(tail) == 42:
            stream.seek(min(int.from_bytes(tail[8:16], "little"), total))
            record = stream.read(56)
            if record[:4] != _END64 or len(record) < 56:
                raise RefusedError("not a whole zip file: no directory where its end says")
            length = int.from_bytes(record[40:48], "little")
    if length > _DIRECTORY:
        raise over("the directory of a zip file", size(length), size(_DIRECTORY))


@contextlib.contextmanager
def opened_stored(path: Path, most: int) -> Iterator[zipfile.ZipFile]:
    """A zip of plain files that are stored as they are, so that nothing in it grows when it is unpacked.

    Args:
        most: bytes that its files may have together.

    Raises:
        OSError: it cannot be read.
        RefusedError: as `zip_sizes`; a file that is compressed, encrypted, a link or a folder; or, while it is open,
            one that is cut off or has another checksum than the directory says.
    """
    zip_sizes(path, most)
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.is_dir() or kind not in (0, stat.S_IFREG):
                    raise RefusedError(f"{entry.filename[:120]!r} is no plain file")
                if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                    raise RefusedError(f"{entry.filename[:120]!r} is compressed or encrypted")
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise RefusedError(str(error)) from error


def copied(source: IO[bytes], target: IO[bytes], most: int) -> tuple[str, int]:
    """sha256 (hex) and bytes of what was copied, one block over `most` at the furthest."""
    sha, count = hashlib.sha256(), 0
    while count <= most and (block := source.read(_BLOCK)):
        sha.update(block)
        count += len(block)
        target.write(block)
    return sha.hexdigest(), count


def read_npz(path: Path, most: int) -> dict[str, Any]:
    """The arrays of an .npz, without objects.

    Args:
        most: bytes of all arrays together.

    Raises:
        OSError: it cannot be read.
        ValueError: not an .npz, over the limit, or an array of objects or of another size than its header says.
    """
    import numpy as np

    zip_sizes(path, most)
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as stream:
                    shape, _, dtype = _header(stream)
                    stated = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
                    if not 0 <= stated <= entry.file_size:
                        raise RefusedError(f"{entry.filename}: {list(shape)} {dtype} in {size(entry.file_size)}")
                with archive.open(entry) as stream:
                    found[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(
                        stream, allow_pickle=False, max_header_size=_HEAD
                    )
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, LookupError) as error:
        raise RefusedError(f"broken: {error}") from error
    except (TypeError, SyntaxError, OverflowError, MemoryError, struct.error, tokenize.TokenError) as error:
        raise RefusedError(f"an array with a broken header: {error}") from error
    for name, array in found.items():
        if array.dtype.kind == "U" and (np.ascontiguousarray(array).view(np.uint32) > sys.maxunicode).any():
            raise RefusedError(f"{name}: a text with numbers that stand for no character")
    return found


def _header(stream: Any) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, order and dtype of an array, as numpy writes them in front of its numbers."""
    import numpy as np

    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise RefusedError(f"an array of format {version}")
    shape, order, dtype = readers[version](stream, max_header_size=_HEAD)
    return shape, order, dtype
