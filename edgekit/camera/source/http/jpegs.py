"""JPEGs out of bytes that come in any pieces, found by their own markers, whatever stands between them."""

from __future__ import annotations

import re

_START = b"\xff\xd8\xff"
# in entropy-coded data FF is followed by 0, by a restart's number or by more FF; all else ends it (ITU-T T.81, B.1.1.2)
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SCAN, _BEGIN, _END, _COMMENT = 0xDA, 0xD8, 0xD9, 0xFE
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a length
_BETWEEN = re.compile(rb"--|content-", re.IGNORECASE)  # what a boundary and a part's headers hold
_FOOT = re.compile(rb"\r?\n--[^\r\n]{0,200}(\r?\n([A-Za-z-]+:[^\n]*\n){0,20}\r?\n?)?$|[\r\n]+$")


class Jpegs:
    """Takes a stream apart by the segments of the pictures themselves (ITU-T T.81, annex B).

    So no boundary, length or blank line has to be right, a thumbnail inside a picture is not taken for one, and a
    picture is there with its last byte. A second picture behind the end marker, as cameras append for previews, is
    skipped where boundaries part the others.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._begun = False
        self._at = 0  # of a picture that began: its next marker
        self._scanning = False
        self._parted = False  # whether the stream has boundaries
        self._marked = True  # whether one stands before the picture that begins

    def __len__(self) -> int:
        """Bytes that are held."""
        return len(self._held)

    @property
    def begun(self) -> bool:
        """Whether a part of a picture is held."""
        return self._begun

    def feed(self, data: bytes) -> None:
        self._held += data

    def next(self) -> tuple[bytes, bool] | None:
        """The next picture and whether it is whole; of a broken one as much as there is, and None if more is needed."""
        while self._begun or self._begin():
            found = self._walk()
            if found is None:
                return None
            end, whole = found
            wanted = self._marked or not self._parted
            data = bytes(self._held[:end])
            del self._held[:end]
            self._begun, self._marked = False, not whole
            if wanted:
                return (data, True) if whole else (_FOOT.sub(b"", data), False)
        return None

    def _begin(self) -> bool:
        """Whether a picture begins in what is held; what stands before it goes."""
        start = self._held.find(_START)
        if _BETWEEN.search(self._held, 0, len(self._held) if start < 0 else start):
            self._parted = self._marked = True
        if start < 0:
            del self._held[:-8]  # where a start or a boundary may be cut in two
            return False
        del self._held[:start]
        self._begun, self._at, self._scanning = True, 2, False
        return True

    def _walk(self) -> tuple[int, bool] | None:
        """Where the picture that began ends, and whether with its end marker; None if that is not here yet."""
        held = self._held
        while True:
            if self._scanning:
                match = _MARKER.search(held, self._at)
                if match is None:
                    self._at = max(self._at, len(held) - 1)
                    return None
                self._at, self._scanning = match.start(), False
            while held[self._at : self._at + 2] == b"\xff\xff":  # filling
                self._at += 1
            if self._at + 2 > len(held):
                return None
            code = held[self._at + 1]
            if held[self._at] != 0xFF or (code < 0xC0 and code not in _ALONE):  # 02 to BF are reserved
                again = held.find(_START, 2)
                return (max(2, len(held) - 2) if again < 0 else again), False
            if code == _END:
                return self._at + 2, True
            if code == _BEGIN:
                return self._at, False
            if code in _ALONE:
                self._at += 2
                continue
            if self._at + 4 > len(held):
                return None
            length = int.from_bytes(held[self._at + 2 : self._at + 4], "big")
            after = self._at + 2 + max(2, length)
            if not (0xE0 <= code <= 0xEF or code == _COMMENT):  # a thumbnail may be there, and in no table
                again = held.find(_START, self._at, after + 2)
                if again >= 0:
                    return again, False
                if after + 2 > len(held):
                    return None
            self._at = after
            self._scanning = code == _SCAN
