"""Files that are whole or not there: written under a hidden name, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from edgekit.errors import OutputError


def reason(error: OSError) -> str:
    """What the operating system said, for a message."""
    return error.strerror or str(error)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises OutputError when `path` exists and may not be replaced."""
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already.", fix="--force replaces it, --out DIR writes elsewhere")


def make_folder(path: Path) -> None:
    """Creates a folder for output and proves that it can be written to.

    Raises:
        OutputError: with the reason.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".edgekit-{os.getpid()}-{secrets.token_hex(4)}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written to.",
            got=reason(error),
            expected="a folder that may be written",
            fix="--out DIR names another one",
        ) from error


@contextlib.contextmanager
def output_folder(path: Path) -> Iterator[None]:
    """`make_folder`, undone where the block fails and has written nothing. Raises as `make_folder`."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_folder(path)
    try:
        yield
    except BaseException:  # Ctrl-C too
        for folder in made:
            with contextlib.suppress(OSError):  # not empty: something else was written there
                folder.rmdir()
        raise


@contextlib.contextmanager
def atomic(path: Path, *, overwrite: bool = False, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """A binary stream whose content appears under `path` whole, or not at all.

    It is written beside `path` under a hidden temporary name, flushed to the disk and renamed when the block ends; an
    error or Ctrl-C removes it. A killed process can leave the hidden file, which the next write to `path` removes.

    Args:
        mode: who may read and write it, from its first byte on and less what the umask forbids.

    Raises:
        OutputError: `path` exists and `overwrite` is False, the folder cannot be written, or the disk is full.
    """
    refuse_existing(path, overwrite)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename not in (None, str(temporary), str(path)):
            raise  # something else that the block was reading
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise OutputError(
            f"{path} could not be written{': the disk is full' if full else ''}.",
            got=reason(error),
            fix="free some space, or --out DIR on another disk" if full else "--out DIR names another folder",
        ) from error
    finally:
        with contextlib.suppress(OSError):  # renamed, or never made; an earlier error is the one to raise
            temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Makes new names in a folder outlive a power cut, where file system and rights allow it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes, *, overwrite: bool = False, mode: int = 0o666) -> None:
    """`data` under `path`, atomically; arguments and errors are `atomic`'s."""
    with atomic(path, overwrite=overwrite, mode=mode) as stream:
        stream.write(data)


def write_json(path: Path, content: Any, *, mode: int = 0o666) -> None:
    """Plain data as JSON in place of what was there; errors are `atomic`'s."""
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode(), overwrite=True, mode=mode)


def _remove_leftovers(path: Path) -> None:
    for old in path.parent.glob(f".{glob.escape(path.name)}.*-*.tmp"):
        pid = old.name.rsplit(".", 2)[-2].split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            old.unlink(missing_ok=True)
