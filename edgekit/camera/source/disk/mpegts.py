"""How long a transport stream takes: FFmpeg says the last stamp less the first, whatever the clock did between."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_BACK = 1.0  # seconds by which stamps go back in the order of the file, where frames refer to later ones
_TICKS = 90_000  # a second (ISO/IEC 13818-1, 2.4.3.7)


def seconds_of(path: Path, fps: float, longest: float) -> float | None:
    """Seconds of the video in a transport stream, with one frame's time for each jump of its clock.

    Args:
        path: packets of 188 bytes, or of 192 with a time code first.
        fps: frames a second, for what a jump hides.
        longest: seconds between two frames; more is a jump.

    Returns:
        None where there are no stamps.
    """
    if path.stat().st_size < 188:
        return None
    data = np.memmap(path, np.uint8, "r")
    size, first = (192, 4) if data[0] != 0x47 else (188, 0)
    packets = data[: len(data) // size * size].reshape(-1, size)[:, first : first + 188]
    begins = np.flatnonzero((packets[:, 0] == 0x47) & (packets[:, 1] & 0x40 > 0))  # a frame begins in these
    stream, stamps = None, []
    for index in begins.tolist():
        packet = packets[index].tobytes()
        at = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
        head = packet[at : at + 14]
        if len(head) < 14 or head[:3] != b"\0\0\1" or head[3] & 0xF0 != 0xE0 or not head[7] & 0x80:
            continue
        pid = packet[1] << 8 & 0x1F00 | packet[2]
        stream = pid if stream is None else stream
        if pid == stream:
            high, middle, low = head[9] >> 1 & 7, head[10] << 7 | head[11] >> 1, head[12] << 7 | head[13] >> 1
            stamps.append(high << 30 | middle << 15 | low)
    if not stamps:
        return None
    steps = np.diff(np.array(stamps, np.float64)) / _TICKS
    return float(np.where((steps > longest) | (steps < -_BACK), 1 / fps, steps).sum()) + 1 / fps
