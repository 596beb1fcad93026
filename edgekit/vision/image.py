"""Pictures in and out of files, through Pillow.

Pillow and not `cv2.imread`, because cv2.imread returns a truncated JPEG half grey without saying so, and because
Pillow's decoder is what torchvision trains with. Only bitmap formats are opened: Pillow's EPS reader would start
Ghostscript.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from edgekit.errors import DataError, OutputError, PictureError, UsageError

Frame = NDArray[np.uint8]

# torchvision.datasets.folder.IMG_EXTENSIONS, so that a folder holds the same pictures here as in training
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
_FORMATS = ("JPEG", "PNG", "BMP", "PPM", "GIF", "WEBP", "TIFF")
_READABLE = "a JPEG, PNG, WebP, BMP, TIFF, PPM or GIF picture"
_EXPORT_AGAIN = "export it with 8 or 16 bits a channel"
_ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".jpg": ("JPEG", {"quality": 92}),
    ".jpeg": ("JPEG", {"quality": 92}),
    ".png": ("PNG", {"compress_level": 4}),
    ".webp": ("WEBP", {"quality": 90}),
}
# What undoes each EXIF orientation (EXIF 2.32, tag 0x0112); 1 is upright
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's readers raise on broken bytes, found by feeding them cut and flipped files
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_picture(path: str | os.PathLike[str]) -> Frame:
    """The picture in `path` as uint8 [h, w, 3] in BGR order, contiguous and upright.

    Grey is repeated, palettes are looked up, CMYK is converted, alpha is dropped (not composited: torchvision's
    loader calls `convert("RGB")` too), 16-bit grey is shifted to 8 bits, and of several frames the first is taken.
    Unlike torchvision's loader the EXIF orientation is applied.

    Raises:
        PictureError: missing, empty, truncated, not a picture, of unknown range, or over Pillow's limit for
            decompression bombs (twice `PIL.Image.MAX_IMAGE_PIXELS`: 179 million pixels unless changed).
    """
    path = Path(path)
    with _opened(path) as image:
        try:
            image.load()
            rgb = _rgb(image, path)
        except _BROKEN as error:
            raise _unreadable(path, f"broken or cut off: {error}", "copy the file again, or remove it") from error
        except MemoryError as error:
            raise _unreadable(path, f"{image.width} x {image.height} pixels, too many for memory") from error
        turn = _UPRIGHT.get(_orientation(image))
    if turn is not None:
        rgb = rgb.transpose(turn)
    pixels = np.asarray(rgb)
    frame = np.empty_like(pixels)
    for channel in range(3):  # half the time of a reversed, negatively strided copy
        frame[..., channel] = pixels[..., 2 - channel]
    return frame


def picture_problem(path: str | os.PathLike[str]) -> str | None:
    """Why the header of `path` is not a picture's, or None. Decodes nothing, so a cut-off picture passes."""
    try:
        with _opened(Path(path)):
            return None
    except PictureError as error:
        return error.got


def encode_picture(frame: Frame, suffix: str) -> bytes:
    """The bytes of a picture file of uint8 [h, w, 3] BGR: `.jpg`, `.jpeg`, `.png` or `.webp`, in any case.

    Raises:
        UsageError: another suffix.
        PictureError: not such a frame.
        OutputError: the format cannot hold a picture of this size.
    """
    if suffix.lower() not in _ENCODERS:
        raise UsageError(
            "Pictures cannot be written in this format.",
            got=repr(suffix),
            expected="one of " + ", ".join(_ENCODERS),
        )
    check_frame(frame)
    name, options = _ENCODERS[suffix.lower()]
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(frame[..., ::-1])).save(buffer, name, **options)
    except (OSError, ValueError) as error:
        height, width = frame.shape[:2]
        raise OutputError(
            f"The picture cannot be written as {name}.",
            got=f"{width} x {height} pixels ({error})",
            fix="write it as .png",
        ) from error
    return buffer.getvalue()


def check_frame(frame: object) -> None:
    """Raises PictureError unless `frame` is a non-empty uint8 array [h, w, 3]."""
    if not isinstance(frame, np.ndarray):
        got = "None (an unread camera frame?)" if frame is None else type(frame).__name__
    elif frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        got = f"{frame.dtype} {list(frame.shape)}"
    else:
        return
    raise PictureError("This is not a frame.", got=got, expected="uint8 [height, width, 3] in BGR order, not empty")


def scan_pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """(pictures, other files) below `folder` by suffix, each sorted by path. Links are followed, loops are not."""
    pictures: list[Path] = []
    others: list[Path] = []
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()  # of two links to one folder always the same one is followed
        for name in names:
            file = Path(root, name)
            # "._x.jpg" is what macOS leaves beside "x.jpg" on foreign disks: never a picture
            is_picture = file.suffix.lower() in SUFFIXES and not name.startswith("._")
            (pictures if is_picture else others).append(file)
    return sorted(pictures), sorted(others)


def find_pictures(path: str | os.PathLike[str]) -> list[Path]:
    """The file `path`, or all pictures below the folder `path`, sorted; found by suffix, in any case.

    Raises:
        DataError: nothing there, or a folder without pictures.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path} is not there.", got="no such file or folder", expected="a picture or a folder of them")
    pictures, others = scan_pictures(path)
    if not pictures:
        raise DataError(
            f"{path} holds no pictures.",
            got=f"{len(others)} other file(s)",
            expected="files ending in " + " ".join(sorted(SUFFIXES)),
        )
    return pictures


def _opened(path: Path) -> Image.Image:
    """The picture with its header read. Raises PictureError."""
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise _unreadable(path, "an empty file (0 bytes)", "copy the file again, or remove it")
        return Image.open(path, formats=_FORMATS)
    except FileNotFoundError as error:
        raise _unreadable(path, "no such file", "check the path") from error
    except UnidentifiedImageError as error:
        raise _unreadable(path, "bytes that no reader knows", "convert it to JPEG or PNG") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _unreadable(path, str(error), "make the picture smaller") from error
    except _BROKEN as error:
        raise _unreadable(path, str(error)) from error


def _rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F":
        raise _unreadable(path, "floating-point grey, which has no known range", _EXPORT_AGAIN)
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise _unreadable(path, f"32-bit grey from {grey.min()} to {grey.max()}", _EXPORT_AGAIN)
        image = Image.fromarray((grey >> 8).astype(np.uint8))
    image.info.pop("transparency", None)  # dropped like alpha, and convert() would warn about it
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _BROKEN:
        return 1  # cameras write broken EXIF blocks; the pixels are whole, and every viewer shows them so


def _unreadable(path: Path, got: str, fix: str | None = None) -> PictureError:
    return PictureError(f"{path} cannot be read as a picture.", got=got, expected=_READABLE, fix=fix)
