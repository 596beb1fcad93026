"""Pictures in folders, found by their suffix."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from edgekit.errors import DataError
from edgekit.reading import is_file, is_folder
from edgekit.screen import count_of
from edgekit.vision.clutter import is_clutter

# torchvision.datasets.folder.IMG_EXTENSIONS, so that a folder holds the same pictures here as in training
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
# pictures too, which are not read: of phones, of cameras, and others
UNREAD = frozenset({".heic", ".heif", ".avif", ".jxl", ".jp2", ".gif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd"})


class Scanned(NamedTuple):
    """What lies below a folder, each sorted by path: pictures by their suffix, other files, and what was not looked at:
    hidden files and folders and those that systems make for themselves (`is_clutter`)."""

    pictures: list[Path]
    others: list[Path]
    clutter: list[Path]


def scan(folder: Path) -> Scanned:
    """What lies below `folder`. Links are followed, loops are not."""
    found = Scanned([], [], [])
    for files, clutter in _walk(folder):
        found.clutter.extend(clutter)
        for file in files:
            (found.pictures if file.suffix.lower() in SUFFIXES else found.others).append(file)
    return Scanned(*map(sorted, found))


def holds_pictures(folder: Path) -> bool:
    """Whether `scan` would find a picture; looks no further than the first."""
    return any(file.suffix.lower() in SUFFIXES for files, _ in _walk(folder) for file in files)


def _walk(folder: Path, is_clutter: Callable[[str], bool] = is_clutter) -> Iterator[tuple[list[Path], list[Path]]]:
    """(files, what was not looked at) of each folder at and below `folder`."""
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        clutter = [Path(root, name) for name in (*folders, *names) if is_clutter(name)]
        folders[:] = sorted(name for name in folders if not is_clutter(name))  # of two links always the same one
        yield [Path(root, name) for name in names if not is_clutter(name)], clutter


def convertible(files: Iterable[Path]) -> str | None:
    """What to do about pictures of kinds that are not read, such as a phone's HEIC; None where there are none."""
    kinds = sorted({file.suffix.lower() for file in files} & UNREAD)
    return f"convert the {' and '.join(kinds)} files to JPEG or PNG first" if kinds else None


def find_pictures(path: str | os.PathLike[str]) -> list[Path]:
    """The file `path`, or all pictures below the folder `path`, sorted; found by suffix, in any case.

    Raises:
        DataError: nothing there, or a folder without pictures.
    """
    path = Path(path)
    if is_file(path):
        return [path]
    if not is_folder(path):
        raise DataError(f"{path} is not there.", got="no such file or folder", expected="a picture or a folder of them")
    # who names a folder to predict means all of it; "._x.jpg" is what macOS leaves beside "x.jpg", never a picture
    files = [file for found, _ in _walk(path, lambda name: name.startswith("._")) for file in found]
    pictures = sorted(file for file in files if file.suffix.lower() in SUFFIXES)
    if not pictures:
        raise DataError(
            f"{path} holds no pictures.",
            got=count_of(len(files), "other file"),
            expected="files ending in " + " ".join(sorted(SUFFIXES)),
            fix=convertible(files),
        )
    return pictures
