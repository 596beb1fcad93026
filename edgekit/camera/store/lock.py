"""One process a store: a lock that dies with its process, and how far events may have been numbered.

Two writers on one store would number their events alike, end each other's visits as crashes and delete each other's
running clips. The lock is flock(2) on a file in the folder, so it holds for every path that leads there, and is free
again after a kill -9. Readers take none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from edgekit.errors import BusyError, OutputError

NAME = "store.lock"
_AHEAD = 1000  # numbers that one write to the disk covers
_LARGEST = 2**53  # what every JSON reader takes for a whole number


class Lock:
    """Held from its making to `release`, or to the end of the process.

    Attributes:
        mark: no event of this store ever had a higher number, if its database should not know any more; 0 where
            nothing was noted.

    Raises:
        BusyError: another process holds it.
        OutputError: the file system cannot lock.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._descriptor = -1
        while not self.in_place:  # it may be deleted between its opening and its locking
            self.release()
            self._take()
        self.mark = self._noted()[1]
        self._note()

    @property
    def in_place(self) -> bool:
        """Whether the file that is locked is the one in the folder."""
        if self._descriptor < 0:
            return False
        return same_file(self._path, os.fstat(self._descriptor))

    def cover(self, seq: int) -> None:
        """Notes that events up to `seq` may have been told, before they are."""
        if seq > self.mark:
            self.mark = seq + _AHEAD
            self._note()

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self) -> None:
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = self._noted()[0]
            self.release()
            raise BusyError(
                f"{self._path.parent} is the store of another process that is running.",
                got=f"process {holder} keeps its visits there" if holder else "somebody keeps visits there",
                expected="one process a store",
                fix="stop the other one, or --set store.folder=ANOTHER",
            ) from error
        except OSError as error:
            self.release()
            raise OutputError(
                f"{self._path} cannot be locked.", got=error.strerror or str(error),
                expected="a folder on a file system with locks", fix="--set store.folder=ANOTHER",
            ) from error  # fmt: skip

    def _noted(self) -> tuple[int, int]:
        """The process and the number in the file; 0 for what cannot be read."""
        words = os.pread(self._descriptor, 64, 0).split()
        pid, seq = (int(word) if word.isdigit() else 0 for word in (*words, b"", b"")[:2])
        return pid, seq if seq <= _LARGEST else 0

    def _note(self) -> None:
        text = f"{os.getpid():<10} {self.mark:<20}\n".encode()  # as long each time: it needs no room on a full disk
        with contextlib.suppress(OSError):  # a help after damage; the database's highest number is asked first
            os.pwrite(self._descriptor, text, 0)
            os.fdatasync(self._descriptor)


def same_file(path: Path, opened: os.stat_result) -> bool:
    """Whether `path` still leads to the file that was opened; an unreadable folder is no proof that it doesn't."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)
