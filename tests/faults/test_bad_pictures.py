"""Pictures that cannot be read are named, counted and left out; odd ones are read as they are meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data import made_pictures
from tests.faults.room import Room, assert_told


def jpeg(path: Path, seed: int = 8) -> Path:
    Image.fromarray(made_pictures(1, seed=seed).samples[0].read()[::2, ::2, ::-1].copy()).save(path, quality=95)
    return path


@pytest.fixture
def bad_pictures(room: Room) -> Path:
    """Two good pictures among five that cannot be read."""
    folder = room / "pictures"
    folder.mkdir()
    whole = jpeg(folder / "a.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "c.jpg").touch()
    (folder / "d.png").write_text("not a picture")
    (folder / "e.png").write_bytes(whole[:10])
    jpeg(folder / "f.jpg", 9)
    # a header that claims a size of 0 x 0
    png = bytearray(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(8) + b"\x08\x02\x00\x00\x00")
    (folder / "g.png").write_bytes(bytes(png) + bytes(4))
    return folder


def test_predict_reports_bad_pictures_and_goes_on(cli: Any, room: Room, bad_pictures: Path) -> None:
    outcome = cli("predict", room.good, bad_pictures, "--out", room / "out")
    assert outcome.code == 1
    assert "Traceback" not in outcome.text
    assert [line.split("  ")[0] for line in outcome.out.splitlines()] == [
        str(bad_pictures / "a.jpg"),
        str(bad_pictures / "f.jpg"),
    ]
    for name in ("b.jpg", "c.jpg", "d.png", "e.png", "g.png"):
        assert f"{bad_pictures / name} cannot be read as a picture." in outcome.err
    assert "5 of 7 pictures could not be labelled" in outcome.err
    assert sorted(p.name for p in (room / "out").iterdir()) == ["a.jpg", "f.jpg"]


def test_eval_reports_bad_pictures_and_counts_the_others(cli: Any, room: Room, bad_pictures: Path) -> None:
    rows = [f"{p.name},0" for p in sorted(bad_pictures.iterdir())]
    (bad_pictures / "labels.csv").write_text("\n".join(["file,class_index", *rows]))
    outcome = cli("eval", room.good, "--data", bad_pictures, "--format", "json")
    assert outcome.code == 1
    assert '"n": 2' in outcome.out
    for name in ("b.jpg", "c.jpg", "d.png", "e.png", "g.png"):
        assert name in outcome.err


def test_export_does_not_verify_on_pictures_it_cannot_read(cli: Any, room: Room, bad_pictures: Path) -> None:
    outcome = cli("export", room.checkpoint, "--data", bad_pictures, "--out", room / "out")
    assert_told(outcome, 1, "b.jpg", "cannot be read as a picture")
    assert not (room / "out").exists()


def test_only_bad_pictures(cli: Any, room: Room, bad_pictures: Path) -> None:
    for name in ("a.jpg", "b.jpg", "f.jpg"):
        (bad_pictures / name).unlink()
    outcome = cli("export", room.checkpoint, "--data", bad_pictures, "--out", room / "out")
    assert_told(outcome, 1, "None of the pictures can be read")
    assert not (room / "out").exists()


def grey(image: Image.Image) -> Image.Image:
    return image.convert("L")


def rgba(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(40)
    return image


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


@pytest.mark.parametrize("kind", [grey, rgba, sixteen_bits])
def test_other_kinds_of_pictures_are_handled(kind: Any, cli: Any, room: Room) -> None:
    picture = Image.open(room.pictures / "0.png")
    same = picture if kind is rgba else picture.convert("L").convert("RGB")
    kind(picture).save(room / "kind.png")
    same.save(room / "same.png")
    outcome = cli("predict", room.good, room / "kind.png", room / "same.png", "--format", "json")
    assert outcome.code == 0, outcome.text
    assert_same_answers(outcome.out)
    (room / "labels.csv").write_text("file,class_index\nkind.png,0\nsame.png,0\n")
    outcome = cli("eval", room.good, "--data", room / "labels.csv", "--format", "json")
    assert outcome.code == 0, outcome.text
    assert '"n": 2' in outcome.out


def assert_same_answers(lines: str) -> None:
    first, second = ("".join(line.split('"label"', 1)[1]) for line in lines.splitlines())
    assert first == second


def test_a_rotated_photograph_is_turned_upright(cli: Any, room: Room) -> None:
    picture = Image.open(room.pictures / "1.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it
    picture.transpose(Image.Transpose.ROTATE_90).save(room / "phone.png", exif=exif)
    picture.transpose(Image.Transpose.ROTATE_90).save(room / "lying.png")
    outcome = cli("predict", room.good, room / "phone.png", room.pictures / "1.png", "--format", "json")
    assert outcome.code == 0, outcome.text
    assert_same_answers(outcome.out)
    outcome = cli("predict", room.good, room / "lying.png", room.pictures / "1.png", "--format", "json")
    with pytest.raises(AssertionError):
        assert_same_answers(outcome.out)  # so the first comparison could have failed
