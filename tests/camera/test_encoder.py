"""Clips as browsers play them: made once, one at a time, by a program that may be missing, old, slow or broken."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.camera.deliver.live_view import encode
from edgekit.camera.store.avi import AviWriter
from edgekit.camera.web import encoder as module
from edgekit.camera.web.encoder import ENCODERS, ClipEncoder
from tests.camera.conftest import spot


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Twelve pictures whose sides are odd, which H.264 cannot have."""
    path = tmp_path / "clips" / "01890000-0000-7000-8000-000000000000.avi"
    writer = AviWriter(path)
    for number in range(12):
        writer.write(encode(spot(20 + 8 * number, 60, height=121, width=161)), number / 10)
    writer.close()
    return path


def program(folder: Path, body: str) -> ClipEncoder:
    """An FFmpeg that is a script."""
    script = folder / "ffmpeg"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o700)
    return ClipEncoder(lambda name: str(script) if name == "ffmpeg" else None)


LISTS = 'case "$*" in *-encoders*) echo " V....D libx264 H.264"; exit;; esac\nfor last; do :; done\n'


@pytest.mark.skipif(not shutil.which("ffmpeg") or not shutil.which("ffprobe"), reason="needs FFmpeg")
def test_a_clip_is_one_that_browsers_play(clip: Path) -> None:
    known = subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True).stdout
    codecs = [codec for codec in ENCODERS if codec in known]
    if not codecs:
        pytest.skip("this FFmpeg has no encoder of H.264 or VP9")
    encoder = ClipEncoder()
    try:
        assert encoder.kind() == ENCODERS[codecs[0]][0]
        made = asyncio.run(encoder.encoded(clip))
        assert made is not None
        probe = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(made)]
        (stream,) = json.loads(subprocess.run(probe, capture_output=True, text=True, check=True).stdout)["streams"]
        assert stream["codec_name"] in ("h264", "vp9")
        assert (stream["pix_fmt"], stream["width"], stream["height"]) == ("yuv420p", 160, 120)
        assert int(stream["nb_read_frames"]) == 12
    finally:
        encoder.close()
    assert not made.exists()


def test_without_a_program_there_is_no_kind() -> None:
    encoder = ClipEncoder(lambda _: None)
    assert encoder.kind() == ""
    assert asyncio.run(encoder.encoded(Path("x.avi"))) is None


@pytest.mark.parametrize("body", ["exit 1", "echo nothing", "sleep 60", "head -c 100 /dev/urandom"])
def test_a_program_that_is_none_is_as_good_as_missing(
    tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ASKING", 0.5)
    assert program(tmp_path, body).kind() == ""


@pytest.mark.parametrize(
    "body", ["exit 1", "true", "exec sleep 60", ': > "${last#file:}"', 'echo x > "${last#file:}"; exit 1']
)
def test_what_cannot_be_made_leaves_nothing(
    tmp_path: Path, clip: Path, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST", 0.5)
    encoder = program(tmp_path, LISTS + body)
    try:
        assert encoder.kind() == "mp4"
        assert asyncio.run(encoder.encoded(clip)) is None
        assert encoder._folder is not None
        assert not list(encoder._folder.iterdir())
    finally:
        encoder.close()


def test_a_clip_is_made_once_and_few_are_kept(tmp_path: Path) -> None:
    encoder = program(tmp_path, f'{LISTS}echo made >> {tmp_path}/log; echo x > "${{last#file:}}"')
    clips = [tmp_path / f"{number}.avi" for number in range(6)]

    async def look() -> None:
        for found in await asyncio.gather(*(encoder.encoded(clips[0]) for _ in range(5))):
            assert found is not None
        for clip in clips:
            assert await encoder.encoded(clip) is not None

    try:
        asyncio.run(look())
        assert len((tmp_path / "log").read_text().splitlines()) == 6
        assert encoder._folder is not None
        assert sorted(path.stem for path in encoder._folder.iterdir()) == ["2", "3", "4", "5"]
    finally:
        encoder.close()
    assert not encoder._folder.exists()
