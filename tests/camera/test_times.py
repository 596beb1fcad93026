"""A file's events are of the file's own time: its frames' stamps, from when it was taken, and never of the future."""

import itertools
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit.camera.config import SourceConfig, parse_config
from edgekit.camera.deliver.video_file import VideoFile
from edgekit.camera.events.visits import Visits
from edgekit.camera.runtime import Camera
from edgekit.camera.source.disk import video as video_module
from edgekit.camera.source.disk.files import begins
from edgekit.camera.source.disk.mpegts import seconds_of
from edgekit.camera.source.disk.stamps import Stamps
from edgekit.camera.source.feed.make import make_feed
from edgekit.camera.source.grabber import Ended
from edgekit.camera.source.open import open_grabber
from edgekit.camera.source.uri import parse_source
from edgekit.camera.summary import Summary
from edgekit.errors import UsageError
from tests.camera.conftest import SpotDetector, config_of, model_of, source_of, spot

CASES = Path(os.environ.get("EDGEKIT_CASES", Path(__file__).parents[3] / "shared" / "cases")) / "video"
START = "2026-06-01T10:00:00+02:00"
BEGAN = datetime(2026, 6, 1, 8, tzinfo=timezone.utc).timestamp()


def write_video(path: Path, frames: int = 20, fps: float = 10, code: str = "MJPG", shade: int | None = None) -> Path:
    """A video with a bright spot, or of one shade."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, (160, 120))
    for _ in range(frames):
        writer.write(spot(60, 60) if shade is None else np.full((120, 160, 3), shade, np.uint8))
    writer.release()
    return path


def seconds(event_time: str) -> float:
    return datetime.fromisoformat(event_time.replace("Z", "+00:00")).timestamp()


def watched(uri: str, *changes: str) -> tuple[list[dict[str, Any]], list[str], Summary]:
    """Events, lines and summary of a file."""
    events: list[dict[str, Any]] = []
    said: list[str] = []
    config = config_of(f"source.uri={uri}", "visits.cooldown=0", "track.hits=1", "visits.threshold=0.1", *changes)
    summary = Camera(config, model_of(SpotDetector()), say=said.append, listeners=(events.append,)).run()
    return events, said, summary


# --- stamps ---


def taken(positions: list[float], fps: float = 30, container: str = "mp4") -> list[float]:
    stamps = Stamps(fps, container)
    return [round(stamps.take(p), 6) for p in positions]


def test_a_variable_rate_is_the_frames_own_time() -> None:
    vfr = [i / 30 for i in range(60)] + [2 + 0.5 * i for i in range(60)]
    assert taken(vfr, fps=3.8) == pytest.approx(vfr, abs=1e-5)
    assert taken(vfr, fps=3.8, container="ts") == pytest.approx(vfr, abs=1e-5)


def test_time_begins_at_zero_wherever_stamps_begin() -> None:
    assert taken([1000.0, 1000.5, 1001.0]) == [0, 0.5, 1]
    assert taken([-0.1, 0.0, 0.1]) == pytest.approx([0, 0.1, 0.2])


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 11.0, -0.5, -3.0, -95443.7, 1e9])
@pytest.mark.parametrize("container", ["ts", "ps", "flv"])
def test_a_jump_of_a_streams_clock_is_one_frame(jump: float, container: str) -> None:
    positions = [i / 25 for i in range(50)] + [jump + i / 25 for i in range(50, 100)]
    assert taken(positions, 25, container) == pytest.approx([i / 25 for i in range(100)], abs=1e-5)


def test_a_gap_is_a_gap() -> None:
    assert taken([0, 0.04, 9.0, 9.04], container="ts") == [0, 0.04, 9, 9.04]
    assert taken([0, 60, 3600, 7200]) == [0, 60, 3600, 7200]  # one picture a minute, or an hour


def test_without_stamps_frames_are_counted_and_time_never_stands() -> None:
    assert taken([0.0] * 5, fps=10) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert taken([float("nan"), float("nan")], fps=10) == pytest.approx([0, 0.1])
    stamps = Stamps(10)
    stamps.take(0)
    stamps.missed()
    assert stamps.take(0) == pytest.approx(0.2)
    uneven = taken([0, 0.08, 0.04, 0.12, 0.12, 0.2], fps=25)  # out of order, and one twice
    assert all(b > a for a, b in itertools.pairwise(uneven))
    assert uneven[-1] == pytest.approx(0.2)


class Capture:
    """A VideoCapture whose frames have the stamps that are given, as no writer here makes them."""

    def __init__(self, positions: list[float], fps: float) -> None:
        self._positions, self._fps, self._next = positions, fps, 0

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, Any]:
        self._next += 1
        return (True, spot(60, 60)) if self._next <= len(self._positions) else (False, None)

    def get(self, key: int) -> float:
        seen = min(self._next, len(self._positions))
        return {cv2.CAP_PROP_FPS: self._fps, cv2.CAP_PROP_FRAME_COUNT: self._positions[-1] * self._fps,
                cv2.CAP_PROP_POS_MSEC: 1000 * self._positions[seen - 1],
                cv2.CAP_PROP_FRAME_WIDTH: 160, cv2.CAP_PROP_FRAME_HEIGHT: 120}[key]  # fmt: skip

    def release(self) -> None:
        return


def faked(monkeypatch: pytest.MonkeyPatch, path: Path, positions: list[float], fps: float, head: bytes) -> Path:
    class Fake:
        CAP_FFMPEG, CAP_PROP_FPS = cv2.CAP_FFMPEG, cv2.CAP_PROP_FPS
        CAP_PROP_FRAME_COUNT, CAP_PROP_POS_MSEC = cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_POS_MSEC
        CAP_PROP_FRAME_WIDTH, CAP_PROP_FRAME_HEIGHT = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT

        @staticmethod
        def VideoCapture(*_: Any) -> Capture:
            return Capture(positions, fps)

    monkeypatch.setattr(video_module, "quiet_cv2", lambda: Fake)
    path.write_bytes(head)
    return path


def test_events_have_the_stamps_of_their_frames(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    vfr = [i / 30 for i in range(60)] + [2 + 0.5 * i for i in range(60)]
    path = faked(monkeypatch, tmp_path / "vfr.mp4", vfr, 120 / 31.5, b"\0\0\0\x18ftypisom")
    (start, *_, end), _, summary = watched(str(path), f"source.start={START}")
    assert summary.processed == 120
    assert seconds(start["start"]) - BEGAN == pytest.approx(1 / 30, abs=0.001)  # believed in the second frame
    assert seconds(end["last_seen"]) - BEGAN == pytest.approx(31.5, abs=0.002)


def test_an_hour_that_the_clock_jumped_is_in_no_event(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jump = [i / 30 for i in range(120)] + [3600 + i / 30 for i in range(120, 240)]
    path = faked(monkeypatch, tmp_path / "jump.ts", jump, 30, (b"\x47" + bytes(187)) * 20)
    events, _, summary = watched(str(path), f"source.start={START}")
    assert (summary.processed, summary.broken) == (240, 0)
    assert {e["id"] for e in events} == {events[0]["id"]}  # one visit, that goes on over the jump
    assert seconds(events[-1]["last_seen"]) - BEGAN == pytest.approx(239 / 30, abs=0.002)


@pytest.mark.skipif(not CASES.is_dir(), reason="no cases here")
@pytest.mark.parametrize(("name", "frames", "last"), [("vfr.mp4", 120, 31.5), ("jump.ts", 240, 239 * 1.001 / 30)])
def test_real_files(name: str, frames: int, last: float) -> None:
    config = source_of(str(CASES / name))
    grabber = open_grabber(parse_source(config), config)
    times = []
    try:
        while True:
            assert grabber.read() is not None
            times.append(grabber.at)
    except Ended:
        grabber.close()
    assert len(times) == frames
    assert times[60] == pytest.approx(2.0, abs=0.003)
    assert times[-1] == pytest.approx(last, abs=0.01)
    assert grabber.begins is not None
    ended = grabber.begins + last
    assert ended == pytest.approx((CASES / name).stat().st_mtime, abs=0.6)


# --- when it began ---


def test_a_start_is_given_and_files_follow_one_another(tmp_path: Path) -> None:
    for name in ("c1.avi", "c2.avi", "c10.avi"):
        write_video(tmp_path / name)
    events, said, _ = watched(str(tmp_path / "*.avi"), f"source.start={START}", "visits.end_after=60")
    assert seconds(events[0]["start"]) - BEGAN == pytest.approx(0.1, abs=0.001)
    assert seconds(events[-1]["last_seen"]) - BEGAN == pytest.approx(5.9, abs=0.002)
    assert "the first frame is of 2026-06-01T08:00:00.000Z, by source.start" in said
    assert events[0]["clock"] == {"synced": None, "boot_id": None, "mono": None}


def test_pictures_and_made_scenes_have_a_start_too(tmp_path: Path) -> None:
    for i in range(1, 13):
        cv2.imwrite(str(tmp_path / f"img{i}.png"), spot(60, 60))
    events, _, _ = watched(str(tmp_path), f"source.start={START}", "visits.end_after=60", "source.fps=2")
    assert seconds(events[0]["start"]) - BEGAN == pytest.approx(0.5, abs=0.001)
    assert seconds(events[-1]["last_seen"]) - BEGAN == pytest.approx(5.5, abs=0.002)
    for changes in ((f"source.start={START}",), ()):
        config = parse_config("", "a test", ["source.uri=synthetic://hive?frames=40&fps=20", *changes])
        feed = make_feed(config.source, say=lambda _: None)
        before = time.time()
        feed.start()
        shot = feed.next(60)
        feed.stop()
        assert shot is not None
        seen = feed.clock.wall(shot.at)
        if changes:
            assert seen == pytest.approx(BEGAN, abs=2)
        else:  # two seconds long, as if it ended when it was opened
            assert before - 2.1 <= seen <= time.time()


def test_without_a_start_a_file_ended_when_it_was_written(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi")
    os.utime(path, (BEGAN, BEGAN))
    events, said, _ = watched(str(path))
    assert seconds(events[0]["start"]) == pytest.approx(BEGAN - 1.9, abs=0.002)
    assert any("by when the files were written" in line for line in said)
    os.utime(path, (2e10, 2e10))  # of a machine whose clock is wrong
    events, _, _ = watched(str(path))
    assert all(seconds(e[key]) <= time.time() for e in events for key in ("start", "last_seen") if e[key])
    os.utime(path, (1, 1))  # as archives without times have
    assert seconds(watched(str(path))[0][0]["start"]) == 0.1


def test_files_of_a_glob_have_their_own_times_or_follow_one_another() -> None:
    assert begins([(10, 100), (10, 500)], 1000) == [90, 490]
    assert begins([(10, 500), (10, 500), (10, 500)], 1000) == [470, 480, 490]  # copied at once
    assert begins([(10, 900), (10, 200)], 1000) == [180, 190]
    assert begins([(10, 5000)], 1000) == [990]
    assert begins([(10, 5)], 1000) == [0]


def test_no_event_is_of_the_future(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 60)
    soon = datetime.fromtimestamp(time.time() - 1, timezone.utc).isoformat()
    events, said, _ = watched(str(path), f"source.start='{soon}'")
    now = time.time()
    times = [seconds(e[key]) for e in events for key in ("start", "last_seen", "end") if e[key]]
    assert max(times) <= now + 0.001
    assert times[0] == pytest.approx(now - 1, abs=30)
    assert sum("source.start is too late" in line for line in said) == 1


def test_a_clock_set_back_in_the_midst_of_a_visit_makes_no_future(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.camera.test_visits import SHAPE, track, visits

    b: Visits = visits()
    b.update([track()], SHAPE, 1000)
    monkeypatch.setattr("edgekit.camera.events.visits.time.time", lambda t=time.time: t() - 3600)
    (end,) = b.close(1100)
    assert end.content["last_seen"] == end.content["start"]


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("2026-06-01T10:00:00", "zone"),
        ("2026-06-01", "zone"),
        ("'10:00'", "zone"),
        ("1780300800", "zone"),
        ("'2026-06-31T10:00:00Z'", "exists"),
        ("'1969-06-01T10:00:00Z'", "1970"),
        ("'yesterday'", "zone"),
        ("true", "zone"),
    ],
)
def test_what_is_no_moment_is_refused(start: str, told: str) -> None:
    with pytest.raises(UsageError, match=r"source\.start") as caught:
        parse_config("", "mine", [f"source.start={start}"])
    assert told in str(caught.value)


@pytest.mark.parametrize("start", ["2026-06-01T10:00:00+02:00", "2026-06-01 08:00:00z", "2026-06-01T08:00:00.0000000Z"])
def test_every_way_of_rfc_3339_is_read(start: str) -> None:
    for written in (start, f"'{start}'"):
        moment = parse_config("", "mine", [f"source.start={written}"]).source.start
        assert moment is not None
        assert moment.timestamp() == BEGAN


def test_a_start_that_fits_no_source_is_refused() -> None:
    moment = datetime.fromtimestamp(BEGAN, timezone.utc)
    with pytest.raises(UsageError, match="does not fit"):
        parse_source(SourceConfig(uri="rtsp://h/x", start=moment))
    with pytest.raises(UsageError, match="does not fit") as caught:
        parse_source(SourceConfig(uri="synthetic://hive?frames=1", start=datetime(2999, 1, 1, tzinfo=timezone.utc)))
    assert "to come" in str(caught.value)


def test_a_file_at_its_own_pace_is_of_now_or_of_its_start(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 3, fps=50)
    for changes, moment in (((), time.time()), ((f"source.start={START}",), BEGAN)):
        events, _, _ = watched(str(path), "source.real_time=true", *changes)
        assert seconds(events[0]["start"]) == pytest.approx(moment, abs=30)


# --- a transport stream's length ---


def ts_packet(pts: int, pid: int = 256, size: int = 188) -> bytes:
    """A packet in which a frame begins, with its stamp."""
    stamp = bytes(
        [0x21 | (pts >> 29 & 0xE), pts >> 22 & 255, 1 | (pts >> 14 & 254), pts >> 7 & 255, 1 | (pts << 1 & 254)]
    )
    head = bytes([0x47, 0x40 | pid >> 8, pid & 255, 0x10]) + b"\0\0\1\xe0\0\0\x80\x80\x05" + stamp
    return b"\0" * (size - 188) + head + b"\xff" * (188 - len(head))


@pytest.mark.parametrize("size", [188, 192])
@pytest.mark.parametrize("jump", [0, 3600 * 90_000, -50 * 90_000, -3 * 90_000])
def test_a_transport_streams_length_without_its_jumps(size: int, jump: int, tmp_path: Path) -> None:
    stamps = [10**8 + 3600 * i + (jump if i >= 50 else 0) for i in range(100)]
    stamps[10], stamps[11] = stamps[11], stamps[10]  # as B-frames are
    (tmp_path / "a.ts").write_bytes(b"".join(ts_packet(p, size=size) + ts_packet(1, 257, size) for p in stamps))
    assert seconds_of(tmp_path / "a.ts", 25, 10) == pytest.approx(4.0)
    (tmp_path / "b.ts").write_bytes((b"\x47" + bytes(187)) * 5)
    assert seconds_of(tmp_path / "b.ts", 25, 10) is None


def test_a_gap_between_files_fills_no_video(tmp_path: Path) -> None:
    sink = VideoFile(tmp_path / "v.avi", lambda: 10)
    for at in (0, 0.1, 3600, 3600.1):
        sink.show(spot(50, 50), at)
    sink.close()
    assert int(cv2.VideoCapture(str(tmp_path / "v.avi")).get(cv2.CAP_PROP_FRAME_COUNT)) == 4


@pytest.mark.parametrize("jump", [3600.0, -3600.0, None])
def test_a_clock_that_is_set_in_a_visit_leaves_its_length_right(
    jump: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour both ways, and from 1970 to now: the last event has both ends by the clock as it is then."""
    from tests.camera.test_visits import SHAPE, track, visits

    real, offset = time.time, [0.0 if jump is not None else -real_since_1970()]
    monkeypatch.setattr("edgekit.camera.clock.time.time", lambda: real() + offset[0])
    b, now = visits(), time.monotonic() - 30
    events = b.update([track()], SHAPE, now)
    offset[0] = jump or 0.0
    for i in range(1, 21):
        events += b.update([track()], SHAPE, now + i)
    events += b.close(now + 21)
    first, end = events[0].content, events[-1].content
    assert (events[0].kind, events[-1].kind) == ("start", "end")
    assert seconds(end["end"]) - seconds(end["start"]) == pytest.approx(20, abs=0.05)
    assert seconds(end["start"]) == pytest.approx(real() + offset[0] - (time.monotonic() - now), abs=0.05)
    assert first["id"] == end["id"]


def real_since_1970() -> float:
    return time.time() - 60
