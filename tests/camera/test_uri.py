"""Every kind of source is known by its name, and no password leaves it."""

from pathlib import Path

import pytest

from edgekit.camera.source.uri import Source, expand, parse_source
from edgekit.errors import UsageError
from edgekit.vision.image import encode_picture
from tests.camera.conftest import numbered, source_of


@pytest.mark.parametrize(
    ("uri", "kind", "live"),
    [
        ("0", "device", True),
        ("/dev/video2", "device", True),
        ("csi://0", "csi", True),
        ("rtsp://h/s", "rtsp", True),
        ("rtsps://h/s", "rtsp", True),
        ("http://h:81/s", "http", True),
        ("synthetic://hive?seed=1&fps=20", "synthetic", True),
        ("synthetic://hive?frames=10", "synthetic", False),
        ("synthetic://hive?frames=10&live=1", "synthetic", True),
    ],
)
def test_kinds(uri: str, kind: str, live: bool) -> None:
    source = parse_source(source_of(uri))
    assert (source.kind, source.live) == (kind, live)


def test_files_folders_and_globs(tmp_path: Path) -> None:
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(encode_picture(numbered(i), ".png"))
    (tmp_path / "a.mp4").touch()
    assert parse_source(source_of(str(tmp_path))).kind == "pictures"
    assert parse_source(source_of(str(tmp_path / "0.png"))).kind == "pictures"
    assert parse_source(source_of(str(tmp_path / "*.png"))).kind == "pictures"
    assert parse_source(source_of(f"file://{tmp_path}/a.mp4")).kind == "video"


@pytest.mark.parametrize(
    "uri",
    ["", "absent.mp4", "ftp://h/s", "synthetic://moon", "synthetic://hive?sed=1", "synthetic://hive?seed=x", "rtsp://",
     "rtsp://h/a b", "http://h:99999/", 'rtsp://h/"!fakesink', "csi://x", "*.nothing"],
)  # fmt: skip
def test_what_is_no_source_is_refused(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(source_of(uri))
    assert caught.value.expected


def test_user_and_password_stay_inside() -> None:
    source = parse_source(source_of("rtsp://us%40er:p%3Ass@cam.local:8554/live?channel=1&pwd=secret"))
    assert source.shown == "rtsp://cam.local:8554/live"
    assert source.secret_url == "rtsp://us%40er:p%3Ass@cam.local:8554/live?channel=1&pwd=secret"
    assert source.host == ("cam.local", 8554)
    assert "p%3Ass" not in source.place


def test_usual_ports() -> None:
    assert parse_source(source_of("rtsp://h/s")).host == ("h", 554)
    assert parse_source(source_of("http://[::1]/s")).host == ("::1", 80)
    assert Source("device", "0").host is None


def test_names_of_the_environment_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_PASSWORD", "s3cret")
    assert expand("rtsp://u:${HIVE_PASSWORD}@h/") == "rtsp://u:s3cret@h/"
    with pytest.raises(UsageError, match="HIVE_NOTHING"):
        expand("${HIVE_NOTHING}")
