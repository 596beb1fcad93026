"""Clips as browsers play them, by an FFmpeg that is installed beside edgekit, one at a time, when somebody looks.

None is shipped: H.264 has patents, x264 is under the GPL, and OpenCV's wheels hold neither. A program that its owner
installed and that runs on its own touches no licence of this one. Without it, and where it fails, the page plays a
clip's pictures as they were kept.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# what FFmpeg calls an encoder: the file's suffix, and how much is asked of a small board
ENCODERS = {
    "libx264": ("mp4", ("-preset", "veryfast", "-crf", "25", "-movflags", "+faststart")),
    "libopenh264": ("mp4", ("-b:v", "1500k", "-movflags", "+faststart")),
    "libvpx-vp9": ("webm", ("-deadline", "realtime", "-cpu-used", "8", "-crf", "36", "-b:v", "0")),
}
TYPES = {"mp4": "video/mp4", "webm": "video/webm"}
_KEPT = 4  # files
_LARGEST = "64M"
_LONGEST = 120.0  # seconds; a minute of 640x360 takes a few
_ASKING = 10.0


class ClipEncoder:
    """Makes clips into H.264, or VP9 where there is no encoder of that, in a folder for temporary files.

    Args:
        which: finds a program on the PATH; another one in tests.
    """

    def __init__(self, which: Callable[[str], str | None] = shutil.which) -> None:
        self._which = which
        self._codec: str | None = None  # not asked for yet
        self._program: list[str] = []
        self._folder: Path | None = None
        self._made: OrderedDict[str, Path] = OrderedDict()
        self._running: subprocess.Popen[bytes] | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    def kind(self) -> str:
        """The suffix of the files it makes: mp4, webm, or nothing where no encoder is there. The first call takes a
        while."""
        if self._codec is None:
            self._codec = self._look()
        return ENCODERS[self._codec][0] if self._codec else ""

    async def encoded(self, clip: Path) -> Path | None:
        """A clip of the store as a file of that suffix; None where it could not be made."""
        async with self._lock:
            if clip.stem not in self._made:
                made = await asyncio.to_thread(self._encode, clip)
                if made is None:
                    return None
                self._made[clip.stem] = made
                while len(self._made) > _KEPT:
                    self._made.popitem(last=False)[1].unlink(missing_ok=True)
            self._made.move_to_end(clip.stem)
            return self._made[clip.stem]

    def close(self) -> None:
        """Ends what runs, and removes all files."""
        self._closed = True
        if self._running is not None:
            self._running.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _look(self) -> str:
        program, nice = self._which("ffmpeg"), self._which("nice")
        if program is None:
            return ""
        self._program = [nice, "-n", "10", program] if nice else [program]
        ask = [program, "-hide_banner", "-encoders"]
        try:
            told = subprocess.run(ask, capture_output=True, timeout=_ASKING, check=True)  # noqa: S603 - from the PATH
        except (OSError, subprocess.SubprocessError):
            return ""
        known = {
            words[1] for line in told.stdout.decode(errors="replace").splitlines() if len(words := line.split()) > 1
        }
        return next((codec for codec in ENCODERS if codec in known), "")

    def _encode(self, clip: Path) -> Path | None:
        suffix = self.kind()
        if not suffix or self._closed:
            return None
        out: Path | None = None
        try:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="edgekit-clips-"))
            out = self._folder / f"{clip.stem}.{suffix}"
            self._running = subprocess.Popen(  # noqa: S603 - no shell, and no word of a request but a visit's id
                [*self._program, *_arguments(clip, str(self._codec), out)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            if self._running.wait(_LONGEST) == 0 and out.stat().st_size:
                return out
        except (OSError, subprocess.SubprocessError):  # no room, no program, too slow: its pictures play all the same
            pass
        finally:
            if self._running is not None and self._running.poll() is None:
                self._running.kill()
                self._running.wait()
            self._running = None
        if out is not None:
            with suppress(OSError):
                out.unlink(missing_ok=True)
        return None


def _arguments(clip: Path, codec: str, out: Path) -> list[str]:
    """FFmpeg reads one file of the camera's own, of the one kind it is, and nothing that this names."""
    even = "scale=trunc(iw/2)*2:trunc(ih/2)*2,format=yuv420p"  # browsers play no other
    return [
        "-nostdin", "-hide_banner", "-loglevel", "error", "-protocol_whitelist", "file", "-f", "avi", "-threads", "1",
        "-i", f"file:{clip}", "-an", "-sn", "-vf", even, "-c:v", codec, *ENCODERS[codec][1], "-threads", "1",
        "-fs", _LARGEST, "-y", f"file:{out}",
    ]  # fmt: skip
