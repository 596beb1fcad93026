"""Files as a source: in people's order, videos and pictures, whole, empty, cut, or something else."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.disk.media import by_number, container_of, find_media, globbed, is_fragmented
from edgekit.camera.source.feed.file import FileFeed
from edgekit.camera.source.feed.make import make_feed
from edgekit.camera.source.grabber import Ended
from edgekit.camera.source.uri import parse_source
from edgekit.errors import DataError, EdgekitError, SourceError, UsageError
from tests.camera.conftest import source_of
from tests.camera.test_times import write_video
from tests.conftest import Cli


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """whole.mp4, .avi and .mkv of 20 frames of one shade."""
    folder = tmp_path_factory.mktemp("made")
    for name, code in (("whole.mp4", "mp4v"), ("whole.avi", "MJPG"), ("whole.mkv", "mp4v")):
        write_video(folder / name, code=code, shade=100)
    return folder


def picture(path: Path, shade: int) -> None:
    assert cv2.imwrite(str(path), np.full((120, 160, 3), shade, np.uint8))


def taken(uri: object, **keys: Any) -> tuple[list[int], FileFeed, list[str]]:
    """The shades of the frames in their order, the feed, and what was said."""
    said: list[str] = []
    feed = make_feed(SourceConfig(uri=str(uri), **keys), say=said.append)
    assert isinstance(feed, FileFeed)
    feed.start()
    shades = []
    try:
        while (shot := feed.next(10)) is not None:
            shades.append(round(float(shot.frame.mean()) / 10) * 10)
    except Ended:
        pass
    finally:
        feed.stop()
    return shades, feed, said


def test_pictures_come_by_their_number(tmp_path: Path) -> None:
    for number in (1, 2, 10, 20, 100):
        picture(tmp_path / f"img{number}.PNG", number)
    assert taken(tmp_path)[0] == taken(tmp_path / "*.PNG")[0] == [0, 0, 10, 20, 100]
    names = [
        "b/1.png",
        "a/10.png",
        "a/9.png",
        "a/x.png",
        "A/8.png",
        "2026-1-10.png",
        "2026-1-9.png",
        "img02",
        "img2",
    ]
    ordered = [str(p) for p in sorted(map(Path, names), key=by_number)]
    assert ordered == ["2026-1-9.png", "2026-1-10.png", "A/8.png", "a/9.png", "a/10.png", "a/x.png", "b/1.png",
                       "img02", "img2"]  # fmt: skip


def test_a_glob_of_videos_is_all_of_them_in_order(made: Path, tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write_video(tmp_path / f"clip {number} 50%.mp4", 5, code="mp4v", shade=number * 10)
    assert parse_source(source_of(str(tmp_path / "*.mp4"))).kind == "video"
    for place in (tmp_path / "*.mp4", tmp_path, f"file://{tmp_path}", tmp_path / "clip*"):
        shades, feed, _ = taken(place)
        assert shades == [10] * 5 + [20] * 5 + [100] * 5, place
        assert (feed.counters.captured, feed.counters.broken, feed.counters.unreadable) == (15, 0, 0)


def test_videos_and_pictures_may_be_mixed(tmp_path: Path) -> None:
    picture(tmp_path / "1.jpg", 50)
    write_video(tmp_path / "2.mp4", 3, code="mp4v", shade=100)
    picture(tmp_path / "3.jpg", 150)
    (tmp_path / "notes.txt").write_text("no frame")
    (tmp_path / "._2.mp4").write_bytes(b"what macOS leaves")
    (tmp_path / "below").mkdir()
    picture(tmp_path / "below" / "1.jpg", 200)
    shades, _, said = taken(tmp_path / "*")
    assert shades == [50, 100, 100, 100, 150, 200]
    assert any("left out, neither picture nor video" in line and "notes.txt" in line for line in said)
    assert taken(tmp_path)[0] == shades


def test_one_empty_file_of_ten_is_named_and_counted(cli: Cli, made: Path, tmp_path: Path) -> None:
    for number in range(1, 11):
        shutil.copy(made / "whole.mp4", tmp_path / f"{number}.mp4")
    (tmp_path / "3.mp4").write_bytes(b"")
    shades, feed, said = taken(tmp_path / "*.mp4")
    assert len(shades) == 180
    assert (feed.counters.unreadable, feed.counters.broken) == (1, 0)
    assert f"left out: {tmp_path / '3.mp4'} cannot be read as a video. an empty file (0 bytes)" in said
    assert "1 of 10 files could not be read" in said
    outcome = cli("camera", "--source", tmp_path / "*.mp4", "--model", "centernet-tiny", "--set", "motion.gate=true")
    assert outcome.code == 0, outcome.text
    assert "files     1 could not be read and were left out" in outcome.out
    assert "3.mp4" in outcome.err


def broken_files(made: Path, folder: Path) -> dict[str, str]:
    """Writes files that are no videos, and gives what has to be said of each."""
    whole = (made / "whole.mp4").read_bytes()
    index = whole.index(b"moov") - 4
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut.mp4").write_bytes(whole[: index - 10])
    (folder / "cut-in-index.mp4").write_bytes(whole[: index + 60])
    (folder / "text.mp4").write_text("this is a letter, and no video\n" * 20)
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).integers(0, 256, 9000, np.uint8).tobytes())
    (folder / "header.avi").write_bytes((made / "whole.avi").read_bytes()[:300])
    return {"empty.mp4": "empty file", "cut.mp4": "moov", "cut-in-index.mp4": "moov", "text.mp4": "text file",
            "noise.mp4": "no kind of video", "header.avi": "begins as avi"}  # fmt: skip


def test_a_file_that_is_no_video_says_why(cli: Cli, made: Path, tmp_path: Path) -> None:
    for name, why in broken_files(made, tmp_path).items():
        with pytest.raises(SourceError, match="cannot be read as a video") as caught:
            taken(tmp_path / name)
        assert why in str(caught.value.got), name
        assert "password" not in str(caught.value)
    outcome = cli("camera", "--source", tmp_path / "cut.mp4", "--model", "centernet-tiny")
    assert (outcome.code, "moov" in outcome.err) == (1, True)
    with pytest.raises(SourceError, match="cannot be read") as caught:
        taken(tmp_path / "*.*")
    assert "none of the other 5" in str(caught.value)


def test_pictures_that_are_empty_or_cut(made: Path, tmp_path: Path) -> None:
    for number in range(1, 4):
        picture(tmp_path / f"{number}.jpg", 10 * number)
    (tmp_path / "2.jpg").write_bytes(b"")
    shades, feed, said = taken(tmp_path)
    assert shades == [10, 30]
    assert (feed.counters.broken, feed.counters.unreadable) == (1, 1)
    assert any("2.jpg" in line and "empty" in line for line in said)
    with pytest.raises(EdgekitError, match=r"2\.jpg cannot be read as a picture"):
        taken(tmp_path / "2.jpg")
    (tmp_path / "1.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:-100])
    (tmp_path / "3.jpg").write_text("text")
    with pytest.raises(EdgekitError, match="cannot be read") as caught:
        taken(tmp_path / "*.jpg")
    assert "none of the other 2" in str(caught.value)


@pytest.mark.parametrize(("name", "code"), [("a.avi", "MJPG"), ("a.mkv", "mp4v")])
def test_a_video_that_is_cut_off_says_where(name: str, code: str, tmp_path: Path) -> None:
    data = noise(tmp_path / name, code)
    (tmp_path / name).write_bytes(data[: len(data) // 3])
    shades, feed, said = taken(tmp_path / name)
    assert 0 < len(shades) < 20
    assert any("it ends after" in line and "cut off" in line for line in said)
    if name == "a.avi":  # which says how many there were
        assert feed.counters.captured + feed.counters.broken == 20


def test_a_broken_frame_among_good_ones_is_counted_and_those_after_the_end_are_not(made: Path) -> None:
    for name in ("whole.mp4", "whole.avi", "whole.mkv"):
        shades, feed, said = taken(made / name)
        assert len(shades) == 20
        assert feed.counters.broken == 0
        assert not any("cut off" in line for line in said)


@pytest.mark.parametrize(
    "name",
    ["a b.mp4", "100%.mp4", "%03d.mp4", "12:30.mp4", "[x].mp4", "a?b.mp4", "it's.MP4", "é 蜂.mp4", "-x.mp4", "a\nb.mp4",
     "http:x.mp4", b"\xff\xfe.mp4".decode(errors="surrogateescape"), "no-suffix", "rtsp.sdp"],
)  # fmt: skip
def test_any_name_is_a_files(name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "[hive] 1").mkdir()
    shutil.copy(made / "whole.mp4", tmp_path / "[hive] 1" / name)
    monkeypatch.chdir(tmp_path / "[hive] 1")
    taken(name)
    process = psutil.Process()
    held = process.num_fds()
    for place in (name, tmp_path / "[hive] 1" / name, tmp_path / "[hive] 1" / f"*{Path(name).suffix}"):
        if Path(name).suffix or "*" not in str(place):
            assert len(taken(place)[0]) == 20, place
    assert process.num_fds() <= held


def test_a_pattern_goes_down_folders_and_means_no_other_files(made: Path, tmp_path: Path) -> None:
    for day in ("9", "10"):
        (tmp_path / day).mkdir()
        shutil.copy(made / "whole.mp4", tmp_path / day / "a.mp4")
    (tmp_path / "a.raw").write_bytes((made / "whole.mp4").read_bytes())
    assert [p.parent.name for p in globbed(str(tmp_path / "**" / "*.mp4"))] == ["9", "10"]
    assert len(taken(tmp_path / "**" / "*.mp4")[0]) == 40
    assert len(taken(tmp_path / "*.raw")[0]) == 20  # asked for by its suffix
    with pytest.raises(DataError, match="no pictures and no videos"):
        find_media(str(tmp_path / "a.r*"))
    with pytest.raises(DataError, match="no pictures and no videos"):
        (tmp_path / "empty").mkdir()
        taken(tmp_path / "empty")
    for place in (tmp_path / "*.webm", tmp_path / "none.mp4", "x" * 5000, "a\0b"):
        with pytest.raises(UsageError):
            parse_source(source_of(str(place)))


def test_a_file_that_goes_away_under_way_is_left_out(made: Path, tmp_path: Path) -> None:
    from edgekit.camera.source.disk.files import FilesGrabber

    for number in (1, 2):
        shutil.copy(made / "whole.mp4", tmp_path / f"{number}.mp4")
    grabber = FilesGrabber(str(tmp_path), SourceConfig())
    (tmp_path / "2.mp4").unlink()
    frames = 0
    with pytest.raises(Ended):
        while grabber.read() is not None:
            frames += 1
    assert (frames, grabber.unreadable) == (20, 1)
    grabber.close()


def test_containers_are_known_by_their_bytes(made: Path, tmp_path: Path) -> None:
    assert [container_of(made / f"whole.{kind}") for kind in ("mp4", "avi", "mkv")] == ["mp4", "avi", "mkv"]
    packet, timed = b"\x47" + bytes(187), bytes(4) + b"\x47" + bytes(187)
    heads = {packet * 9: "ts", timed * 9: "ts", b"\0\0\1\xba" + bytes(99): "ps", b"FLV\1": "flv", b"": "", b"G" * 9: ""}
    for data, kind in heads.items():
        (tmp_path / "x").write_bytes(data)
        assert container_of(tmp_path / "x") == kind


def index_first(data: bytes) -> bytes:
    """An MP4 with its index before its frames, as for the web (`faststart`)."""
    at = data.index(b"moov") - 4
    index, frames = bytearray(data[at:]), data.index(b"mdat") - 4
    table = index.index(b"stco") + 8
    for place in range(table + 4, table + 4 + 4 * int.from_bytes(index[table : table + 4], "big"), 4):
        index[place : place + 4] = (int.from_bytes(index[place : place + 4], "big") + len(index)).to_bytes(4, "big")
    return data[:frames] + bytes(index) + data[frames:at]


def noise(path: Path, code: str) -> bytes:
    """Twenty frames that do not compress, so that half a file holds only some of them."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10, (160, 120))
    rng = np.random.default_rng(0)
    for _ in range(20):
        writer.write(rng.integers(0, 256, (120, 160, 3), np.uint8))
    writer.release()
    return path.read_bytes()


def test_an_mp4_that_is_cut_behind_its_index_gives_what_is_there(tmp_path: Path) -> None:
    data = index_first(noise(tmp_path / "whole.mp4", "mp4v"))
    (tmp_path / "web.mp4").write_bytes(data)
    shades, feed, said = taken(tmp_path / "web.mp4")
    assert (len(shades), feed.counters.broken, len(said)) == (20, 0, 1)
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    shades, feed, said = taken(tmp_path / "cut.mp4")
    assert 0 < len(shades) < 15
    assert len(shades) + feed.counters.broken == 20
    assert any(f"it ends after {len(shades)} of 20 frames" in line for line in said)


def test_an_mp4_in_pieces_has_no_index_to_be_cut_off(tmp_path: Path) -> None:
    def box(kind: bytes, size: int = 8, data: bytes = b"") -> bytes:
        return size.to_bytes(4, "big") + kind + data

    (tmp_path / "a.mp4").write_bytes(box(b"ftyp") + box(b"moov") + box(b"moof") + box(b"mdat", 99))
    (tmp_path / "b.mp4").write_bytes(box(b"ftyp") + box(b"mdat", 1, (16).to_bytes(8, "big")) + box(b"moov", 0))
    assert [is_fragmented(tmp_path / f"{name}.mp4") for name in "ab"] == [True, False]
