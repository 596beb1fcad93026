"""Reading, finding and encoding pictures: every kind, and every way to be broken."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import DataError, OutputError, PictureError, UsageError
from edgekit.vision.find import find_pictures, scan
from edgekit.vision.image import encode_picture, frame_of, picture_problem, read_picture

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_lossless_pictures_come_back_as_bgr(tmp_path: Path, suffix: str) -> None:
    frame = read_picture(saved(tmp_path / f"a{suffix}", Image.fromarray(RGB)))
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous
    assert frame.flags.writeable
    np.testing.assert_array_equal(frame, RGB[..., ::-1])


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "P", "PA", "CMYK"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_modes_are_what_torchvision_loads(tmp_path: Path, mode: str, suffix: str) -> None:
    try:
        path = saved(tmp_path / f"a{suffix}", Image.fromarray(RGB).convert(mode))
    except (OSError, ValueError):
        pytest.skip(f"{suffix} holds no {mode}")
    with Image.open(path) as image:  # torchvision.datasets.folder.pil_loader
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_picture(path), expected[..., ::-1])


def test_alpha_is_dropped_and_not_composited(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "a.png", Image.fromarray(rgba))), RGB[..., ::-1])


@pytest.mark.filterwarnings("error")
def test_transparent_palette_reads_without_a_warning(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(8)
    expected = np.asarray(palette.convert("RGB"))[..., ::-1]
    path = saved(tmp_path / "a.png", palette, transparency=bytes([0, 128, 255]))
    np.testing.assert_array_equal(read_picture(path), expected)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_16_bit_grey_is_shifted_not_clipped(tmp_path: Path, suffix: str) -> None:
    deep = np.array([[0, 255, 256], [32768, 65279, 65535]], dtype=np.uint16)
    path = tmp_path / f"a{suffix}"
    if suffix == ".pgm":  # written by hand: Pillow 10 reads it but cannot write it
        path.write_bytes(b"P5\n3 2\n65535\n" + deep.astype(">u2").tobytes())
    else:
        saved(path, Image.fromarray(deep))
    frame = read_picture(path)
    np.testing.assert_array_equal(frame, np.repeat((deep >> 8)[..., None], 3, axis=2))


@pytest.mark.parametrize("deep", [np.full((2, 2), 70000, np.int32), np.full((2, 2), 0.5, np.float32)])
def test_grey_of_unknown_range_is_refused(tmp_path: Path, deep: np.ndarray) -> None:
    with pytest.raises(PictureError, match="8 or 16 bits"):
        read_picture(saved(tmp_path / "a.tif", Image.fromarray(deep)))


def test_cmyk_of_a_known_colour(tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    blue, green, red = read_picture(saved(tmp_path / "a.jpg", cyan, quality=95))[8, 8]
    assert blue > 240
    assert green > 240
    assert red < 15


# How the upright picture is stored under each orientation: (transposed, flipped up-down, flipped left-right)
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[:, ::-1],
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:32, :48] = (250, 10, 10)  # red above left, green below left, blue above right
    upright[32:, :48] = (10, 250, 10)
    upright[:32, 48:] = (10, 10, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    options = {"lossless": True} if suffix == ".webp" else {}
    frame = read_picture(saved(tmp_path / f"a{suffix}", stored, exif=exif, **options))
    assert frame.shape == upright.shape
    centres = np.s_[16::32, 24::48]  # away from the edges, where JPEG's chroma bleeds
    np.testing.assert_allclose(frame[centres].astype(int), upright[centres][..., ::-1].astype(int), atol=12)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_leaves_the_picture_readable(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(RGB), exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 20)
    assert read_picture(path).shape == RGB.shape


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture\n" * 50)
    (tmp_path / "eps.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")  # Pillow would run gs
    (tmp_path / "dir.jpg").mkdir()
    for name, got in (
        ("none.jpg", "no such file"),
        ("empty.jpg", "0 bytes"),
        ("text.jpg", "no reader knows"),
        ("eps.jpg", "no reader knows"),
        ("dir.jpg", "directory"),
    ):
        with pytest.raises(PictureError, match=name) as caught:
            read_picture(tmp_path / name)
        assert got in (caught.value.got or "")
        assert caught.value.expected
        assert got in (picture_problem(tmp_path / name) or "")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
@pytest.mark.parametrize("kept", [0.5, 0.95])
def test_truncated_pictures_are_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    pixels = RNG.integers(0, 256, (80, 100, 3), dtype=np.uint8)
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(pixels))
    read_picture(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(PictureError):
        read_picture(path)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [13400, 60000])  # Pillow stops at 178,956,970 pixels
def test_decompression_bombs_are_refused(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "bomb.png")
    assert "limit" in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp"])
def test_encoded_pictures_read_back(tmp_path: Path, suffix: str) -> None:
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[:, :30] = (200, 60, 20)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encode_picture(frame, suffix))
    tolerance = 0 if suffix == ".png" else 6
    np.testing.assert_allclose(read_picture(path)[:, 5:25].astype(int), frame[:, 5:25].astype(int), atol=tolerance)


def test_what_cannot_be_encoded() -> None:
    with pytest.raises(UsageError, match=r"\.gif"):
        encode_picture(RGB, ".gif")
    with pytest.raises(PictureError, match="float32"):
        encode_picture(RGB.astype(np.float32), ".png")  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="17000"):
        encode_picture(np.zeros((1, 17000, 3), np.uint8), ".webp")  # WebP ends at 16383


def test_pictures_are_found_by_suffix_in_order(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG")
    for name in ("b/2.JPEG", "b/1.jpg", "a.PNG", "c.txt", "b/._1.jpg", ".hidden/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(buffer.getvalue())
    names = [p.relative_to(tmp_path).as_posix() for p in find_pictures(tmp_path)]
    assert names == [".hidden/x.png", "a.PNG", "b/1.jpg", "b/2.JPEG"]
    pictures, others, clutter = ([p.name for p in found] for found in scan(tmp_path))
    assert (pictures, others, clutter) == (["a.PNG", "1.jpg", "2.JPEG"], ["c.txt"], [".hidden", "._1.jpg"])
    assert find_pictures(tmp_path / "c.txt") == [tmp_path / "c.txt"]


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").touch()
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "set")
    assert [p.name for p in find_pictures(tmp_path / "set")] == ["a.jpg"]


def test_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not there"):
        find_pictures(tmp_path / "none")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="1 other file"):
        find_pictures(tmp_path)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "LA", "RGBA", "P", "CMYK", "I;16"])
def test_an_opened_picture_is_what_its_file_is(tmp_path: Path, mode: str) -> None:
    suffix = ".tif" if mode == "CMYK" else ".png"
    made = (
        Image.fromarray(RGB[..., 0].astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    )
    path = saved(tmp_path / f"a{suffix}", made)
    expected = read_picture(path)
    np.testing.assert_array_equal(frame_of(made), expected)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(frame_of(opened), expected)
        np.testing.assert_array_equal(frame_of(opened), expected)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_opened_picture_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", Image.fromarray(RGB), exif=exif)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(frame_of(opened), read_picture(path))


@pytest.mark.filterwarnings("error")
def test_an_opened_picture_keeps_what_it_is_told(tmp_path: Path) -> None:
    palette = saved(tmp_path / "a.png", Image.fromarray(RGB).quantize(8), transparency=bytes([0, 128, 255]))
    with Image.open(palette) as opened:
        before = dict(opened.info)
        frame_of(opened)
        assert opened.info == before
        assert opened.mode == "P"


def test_an_opened_picture_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "cut.png", Image.fromarray(np.tile(RGB, (20, 20, 1))))
    path.write_bytes(path.read_bytes()[:-100])
    with Image.open(path) as opened, pytest.raises(PictureError, match=r"cut\.png cannot be read.*\n.*cut off"):
        frame_of(opened)
    closed = Image.open(saved(tmp_path / "b.png", Image.fromarray(RGB)))
    closed.close()
    huge = Image.new("1", (20_000, 10_000))
    for wrong, told in ((closed, "broken"), (Image.new("RGB", (0, 3)), "0 x 3"), (huge, "100 million")):
        with pytest.raises(PictureError, match=told):
            frame_of(wrong)
    with pytest.raises(PictureError, match="8 or 16 bits"):
        frame_of(Image.new("F", (3, 3)))
