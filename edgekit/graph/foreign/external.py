"""Weights that lie in files beside an ONNX: which files may be opened, and what may be read of them.

The file names what is read, and whoever wrote it may have written `../../.ssh/id_rsa` (CVE-2024-27318, CVE-2025-51480).
So a place is a plain relative path below the ONNX's own folder; each part of it is opened on its own and without
following links; and what was opened is asked what it is before a byte is read.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import onnx
from onnx import TensorProto

from edgekit.reading.limits import DIGITS, ONNX, SPARE, RefusedError, over, size

_SCHEME = re.compile(r"[A-Za-z][\w+.-]*:")  # of a URL, or a drive
_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})


def merge(tensors: Iterable[TensorProto], path: Path) -> str:
    """Reads outside weights into their tensors, in place.

    Args:
        tensors: all of a model; those whose numbers are inside stay as they are.
        path: the ONNX that names them.

    Returns:
        sha256 (hex) of all files that were named, in the order of their names; empty where none was.

    Raises:
        RefusedError: a place that is not a regular file within the ONNX's folder, or a range that is not in it.
        OSError: it cannot be read.
    """
    wanted: dict[str, list[TensorProto]] = {}
    for tensor in tensors:
        if is_outside(tensor):
            wanted.setdefault(_entries(tensor)["location"], []).append(tensor)
    sha = hashlib.sha256()
    total = room = 0
    for place in sorted(wanted):
        with _opened(place, path) as (descriptor, there):
            room += there
            for tensor in wanted[place]:
                offset, length = _range(tensor, place, there)
                total += length
                if total > min(ONNX, room + SPARE):  # many tensors of one range are more memory than file
                    raise over("weights outside the file", f"more than {size(total)}", size(min(ONNX, room + SPARE)))
                tensor.raw_data = _read(descriptor, offset, length)
                del tensor.external_data[:]
                tensor.data_location = TensorProto.DEFAULT
            sha.update(_sha256(descriptor))
    return sha.hexdigest() if wanted else ""


def is_outside(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data)


def _entries(tensor: TensorProto) -> dict[str, str]:
    name = tensor.name[:80] or "a constant"
    found = {entry.key: entry.value for entry in tensor.external_data}
    if len(found) != len(tensor.external_data) or not found.get("location"):
        raise RefusedError(f"{name} is stored elsewhere without one place")
    if unknown := sorted(set(found) - _KEYS):
        raise RefusedError(f"{name} is stored with {unknown[0][:40]!r}, which is not known")
    return found


def _parts(place: str) -> tuple[str, ...]:
    """The folders and the name of a place below the ONNX's folder. Raises RefusedError for any other place."""
    shown = repr(place[:200])
    if place.startswith(("/", "~")) or "\\" in place or "\0" in place or _SCHEME.match(place):
        raise RefusedError(f"weights in {shown}, which is not below the file's own folder")
    parts = PurePosixPath(place).parts
    if not parts or ".." in parts or len(place) > 1024 or len(parts) > 8:
        raise RefusedError(f"weights in {shown}, which is not below the file's own folder")
    return parts


@contextmanager
def _opened(place: str, path: Path) -> Iterator[tuple[int, int]]:
    """A descriptor of the file at `place` and its size in bytes."""
    *folders, name = _parts(place)
    shown = repr(place[:200])
    inside = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    open_ = [os.open(path.parent, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))]
    try:
        try:
            for folder in folders:
                open_.append(os.open(folder, os.O_RDONLY | inside | getattr(os, "O_DIRECTORY", 0), dir_fd=open_[-1]))
            found = os.stat(name, dir_fd=open_[-1], follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):  # asked before it is opened: a pipe would wait, a tape would rewind
                raise RefusedError(f"weights in {shown}, which is {_kind(found.st_mode)}")
            open_.append(os.open(name, os.O_RDONLY | inside | getattr(os, "O_NONBLOCK", 0), dir_fd=open_[-1]))
        except FileNotFoundError as error:
            raise RefusedError(f"weights in {shown}, which is not beside the file") from error
        except OSError as error:
            raise RefusedError(f"weights in {shown}, which is a link or cannot be opened: {error.strerror}") from error
        found = os.fstat(open_[-1])
        if not stat.S_ISREG(found.st_mode):
            raise RefusedError(f"weights in {shown}, which is {_kind(found.st_mode)}")
        if found.st_nlink > 1 and found.st_uid != path.stat().st_uid:  # a name here for somebody else's file
            raise RefusedError(f"weights in {shown}, which is a hard link to a file of another owner")
        if found.st_size > ONNX:
            raise over(f"weights in {shown}", size(found.st_size), size(ONNX))
        yield open_[-1], found.st_size
    finally:
        for descriptor in reversed(open_):
            os.close(descriptor)


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link"
    return "a directory" if stat.S_ISDIR(mode) else "a pipe or a device, not a file"


def _range(tensor: TensorProto, place: str, there: int) -> tuple[int, int]:
    """Offset and length in bytes, both inside the file and as the tensor's shape has it."""
    entries = _entries(tensor)
    name = f"{tensor.name[:80] or 'a constant'} in {place[:200]!r}"
    try:
        item = int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(f"{name} is of a type that is not read from outside: {tensor.data_type}") from error
    if any(n < 0 for n in tensor.dims):
        raise RefusedError(f"{name} is {list(tensor.dims)[:9]}")
    stated = math.prod(tensor.dims) * item
    offset = _whole(entries.get("offset", "0"), name)
    length = _whole(entries["length"], name) if "length" in entries else stated
    if length != stated and not (item == 1 and length <= stated):  # types of less than a byte are packed
        raise RefusedError(f"{name} has {size(length)} for {list(tensor.dims)[:9]}, which takes {size(stated)}")
    if offset + length > there:
        raise RefusedError(f"{name} is at {offset} to {offset + length}, and the file has {there} bytes")
    return offset, length


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        raise RefusedError(f"{name} is at {text[:40]!r}, which is no place in a file")
    return int(text)


def _read(descriptor: int, offset: int, length: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    data = bytearray()
    while len(data) < length:
        block = os.read(descriptor, min(length - len(data), 1 << 24))
        if not block:
            raise RefusedError("weights outside the file that became shorter while they were read")
        data += block
    return bytes(data)


def _sha256(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    sha = hashlib.sha256()
    while block := os.read(descriptor, 1 << 20):
        sha.update(block)
    return sha.digest()
