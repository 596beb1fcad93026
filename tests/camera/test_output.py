"""Video, clips, the live view and the writer: whole files, right times, nothing half written."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.camera.config import VisitConfig
from edgekit.camera.deliver.live_view import LiveView, encode
from edgekit.camera.deliver.video_file import VideoFile
from edgekit.camera.store.avi import AviWriter, read_avi
from edgekit.camera.store.clips import Clips, DayOfClips
from edgekit.errors import InputError, OutputError, UsageError
from tests.camera.conftest import at, found, spot


def frames_in(path: Path) -> int:
    return int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT))


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_keeps_time_by_repeating(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "sub" / f"v{suffix}"
    sink = VideoFile(path, lambda: 10)
    for seconds in (100, 100.1, 101, 101.1):  # nothing for most of a second
        sink.show(spot(50, 50), seconds)
    assert not path.exists()
    sink.close()
    assert frames_in(path) == 12
    assert list(path.parent.iterdir()) == [path]


def test_odd_and_other_sizes_fit(tmp_path: Path) -> None:
    sink = VideoFile(tmp_path / "v.avi", lambda: 10)
    for i, shape in enumerate(((121, 161), (121, 161), (60, 200), (300, 90))):
        sink.show(np.full((*shape, 3), 200, np.uint8), i / 10)
    sink.close()
    capture = cv2.VideoCapture(str(tmp_path / "v.avi"))
    pictures = [capture.read()[1] for _ in range(4)]
    assert {p.shape for p in pictures} == {(120, 160, 3)}
    assert pictures[0].min() > 150
    assert pictures[2][0].max() < 60 < 150 < pictures[2][60].min()


def test_a_video_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="format"):
        VideoFile(tmp_path / "v.gif", lambda: 10)
    with pytest.raises(OutputError):
        VideoFile(tmp_path, lambda: 10) if tmp_path.suffix else VideoFile(_folder(tmp_path / "v.mp4"), lambda: 10)
    empty = VideoFile(tmp_path / "none.mp4", lambda: 10)
    empty.close()
    assert not (tmp_path / "none.mp4").exists()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_clip_begins_before_its_visit_and_ends_after_it(tmp_path: Path) -> None:
    clips = Clips(tmp_path, VisitConfig(clip=True, pre_roll=2, post_roll=1))
    finished: list[str] = []
    for i in range(100):  # ten seconds, the visit from 5 to 7
        now = i / 10
        finished += clips.see(encode(spot(20 + i, 50)), now)
        if i == 50:
            clips.begin("visit", now, "2026-08-01")
            assert clips.name("visit") == "clips/2026-08-01/visit.avi"
        if i == 70:
            clips.end("visit", now)
        if finished and clips.open:
            assert now == pytest.approx(8.1)
            path = clips.finish("visit")
    assert path is not None
    assert frames_in(path) == pytest.approx((2 + 2 + 1) * 10, abs=2)
    assert clips.open == ()


def test_a_clip_holds_the_very_pictures_and_their_pace(tmp_path: Path) -> None:
    jpegs = [encode(spot(20 + 3 * i, 50)) for i in range(9)]
    writer = AviWriter(tmp_path / "day" / "c.avi")
    for i, jpeg in enumerate(jpegs):
        writer.write(jpeg, 100 + i / 4)
        assert not writer.path.exists()
    writer.close()
    writer.close()
    step, pictures = read_avi(writer.path)
    assert step == pytest.approx(0.25)
    assert list(pictures) == jpegs
    capture = cv2.VideoCapture(str(writer.path))  # FFmpeg reads it too
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(4)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 9
    seen = [capture.read()[1] for _ in range(9)]
    assert all(frame.shape == spot(20, 50).shape for frame in seen)
    assert np.abs(seen[8].astype(int) - cv2.imdecode(np.frombuffer(jpegs[8], np.uint8), 1)).max() <= 40
    assert [p.name for p in writer.path.parent.iterdir()] == ["c.avi"]


def test_no_clip_and_a_foreign_one(tmp_path: Path) -> None:
    AviWriter(tmp_path / "none.avi").close()
    assert not list(tmp_path.iterdir())
    (tmp_path / "foreign.avi").write_bytes(b"RIFF" + bytes(500))
    with pytest.raises(InputError, match="not a clip"):
        read_avi(tmp_path / "foreign.avi")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        AviWriter(tmp_path / "file" / "c.avi").write(encode(spot(20, 50)), 0)


def test_a_fast_camera_gives_ten_pictures_a_second(tmp_path: Path) -> None:
    clips = Clips(tmp_path, VisitConfig(clip=True, pre_roll=0, longest_clip=9))
    for i in range(90):
        clips.see(encode(spot(20, 50)), i / 30)
        if i == 0:
            clips.begin("visit", 0, "2026-08-01")
    path = clips.finish("visit")
    assert path is not None
    assert frames_in(path) == pytest.approx(30, abs=2)


def test_a_clip_has_its_longest(tmp_path: Path) -> None:
    clips = Clips(tmp_path, VisitConfig(clip=True, pre_roll=0, longest_clip=2))
    clips.see(encode(spot(20, 50)), 0)
    clips.begin("visit", 0, "2026-08-01")
    for i in range(1, 100):
        clips.see(encode(spot(20, 50)), i / 10)
    path = clips.finish("visit")
    assert path is not None
    assert frames_in(path) == pytest.approx(20, abs=2)


def test_a_day_has_so_many_bytes_of_clips_and_early_visits_leave_some_to_later_ones(tmp_path: Path) -> None:
    """A card wears out by what is written, so it is bounded however many come; what a process before wrote counts."""
    said: list[str] = []
    jpeg, most, day = bytes(encode(spot(20, 50))).ljust(50_000, b"\0"), 8_000_000, "2026-08-01"

    def lived(today: DayOfClips, first: int, visits: int, day: str) -> list[int]:
        clips = Clips(tmp_path, VisitConfig(clip=True, pre_roll=2, post_roll=0, longest_clip=60), today=today)
        sizes = []
        for number in range(first, first + visits):
            for i in range(200):
                clips.see(jpeg, 1000 * number + i / 10)
                if i == 20:
                    clips.begin(f"{number}", 1000 * number + 2, day)
            path = clips.finish(f"{number}")
            sizes.append(path.stat().st_size if path else 0)
        return sizes

    sizes = lived(DayOfClips(tmp_path, most, said.append), 0, 30, day)
    written = [size for size in sizes if size]
    assert sizes[: len(written)] == sorted(written, reverse=True)
    assert written[0] == pytest.approx(0.1 * most, rel=0.1)
    assert 8 < len(written) < 30
    assert sizes[len(written) :] == [0] * (30 - len(written))
    assert sum(sizes) < most
    early, none = said  # once a day each
    assert early.startswith("clips end early today: 1 MB are written (store.clips_mb_a_day = 8)")
    assert none.startswith("no more clips today: 6 MB")
    assert frames_in(tmp_path / "clips" / day / "0.avi") == 16  # 8 of them of the time before
    assert sum(lived(DayOfClips(tmp_path, most), 30, 3, day)) == 0
    assert lived(DayOfClips(tmp_path, most), 40, 1, "2026-08-02") == [written[0]]


def test_a_picture_is_encoded_once_and_only_for_those_who_look(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr("edgekit.camera.deliver.live_view.encode", lambda f: made.append(1) or encode(f))
    view = LiveView()
    assert view.newest() is None
    view.show(spot(50, 50), found(at(50, 50)))
    assert made == []
    number, jpeg = view.newest() or (0, b"")
    assert view.newest() == (number, jpeg)
    assert made == [1]
    assert view.newest(after=number, timeout=0.01) is None
    view.show(spot(60, 50), found())
    assert (view.newest(after=number) or (0, b""))[0] == number + 1
    view.close()
    assert view.newest() is None
