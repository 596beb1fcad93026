"""File modes of the store: only its owner may read pictures of a garden and when somebody was there."""

from __future__ import annotations

import os
from pathlib import Path

FILE, FOLDER = 0o600, 0o700


def private_folder(path: Path, top: Path) -> None:
    """Makes `path` and what it needs below and including `top`, for the owner alone; what is there stays as it is."""
    missing = []
    while not path.exists() and path.is_relative_to(top):
        missing.append(path)
        path = path.parent
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        folder.mkdir(FOLDER, exist_ok=True)


def private_file(path: Path) -> None:
    """Makes `path`, empty, for the owner alone, unless it is there. SQLite gives -wal and -shm the mode of their
    database."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE))


def close_to_others(folder: Path) -> list[Path]:
    """Takes from a folder and all in it what others than the owner may do; what could not be changed, and why not is
    the file system's business (vfat, another owner)."""
    kept = []
    for root, folders, names in os.walk(folder):
        for path, mode in ((Path(root), FOLDER), *((Path(root, name), FILE) for name in names)):
            try:
                if not path.is_symlink() and path.stat().st_mode & 0o077:
                    path.chmod(path.stat().st_mode & mode)
                    if path.stat().st_mode & 0o077:
                        kept.append(path)
            except FileNotFoundError:  # removed meanwhile
                continue
            except OSError:
                kept.append(path)
        folders[:] = [name for name in folders if not Path(root, name).is_symlink()]
    return kept
