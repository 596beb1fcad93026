"""Zips with a manifest that says what every other file in them is: bench packs, and updates of a camera's model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol
from zipfile import ZipFile

from edgekit.artifacts.atomic import atomic, reason
from edgekit.errors import ArtifactError
from edgekit.reading import RefusedError
from edgekit.reading.archive import copied, opened_stored


class Described(Protocol):
    """What a manifest says of a file: its sha256 (hex) and its size."""

    @property
    def sha256(self) -> str: ...

    @property
    def bytes(self) -> int: ...


@contextlib.contextmanager
def opened(path: Path, most: int, broken: Callable[[Path, str], ArtifactError]) -> Iterator[ZipFile]:
    """As `opened_stored`; what makes the zip unfit is raised as `broken(path, why)`."""
    try:
        with opened_stored(path, most) as archive:
            yield archive
    except RefusedError as error:
        raise broken(path, str(error)) from error
    except OSError as error:
        raise broken(path, reason(error)) from error


def unpack(
    archive: ZipFile,
    name: str,
    wanted: Described,
    target: Path,
    *,
    other: str,
    fix: str,
    overwrite: bool = False,
    mode: int = 0o666,
) -> None:
    """Writes a file of the zip as `target`, which gets its name only where it is what the manifest says.

    Args:
        other: the error's first sentence where it is not.
        fix: as in the error.
        overwrite, mode: as in `atomic`.

    Raises:
        ArtifactError: it is another file, or cut off.
        OutputError: as `atomic`.
    """
    with archive.open(name) as source, atomic(target, overwrite=overwrite, mode=mode) as stream:
        found = copied(source, stream, wanted.bytes)
        if found != (wanted.sha256, wanted.bytes):
            raise ArtifactError(
                other,
                got=f"sha256 {found[0][:12]}, {found[1]} bytes",
                expected=f"sha256 {wanted.sha256[:12]}, {wanted.bytes} bytes",
                fix=fix,
            )
