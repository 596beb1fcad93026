"""Pictures in and out of files, through Pillow.

Pillow and not `cv2.imread`, because cv2.imread returns a truncated JPEG half grey without saying so, and because
Pillow's decoder is what torchvision trains with. Only bitmap formats are opened: Pillow's EPS reader would start
Ghostscript.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from edgekit.errors import OutputError, PictureError, UsageError
from edgekit.reading.limits import PASSES, PIXELS, PIXELS_A_BYTE, SMALL_PICTURE, size

Frame = NDArray[np.uint8]
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # the limit here is not Pillow's

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
BROKEN = (
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
_BAND = 256  # rows copied at once


def read_picture(path: str | os.PathLike[str]) -> Frame:
    """The picture in `path` as uint8 [h, w, 3] in BGR order, contiguous and upright.

    Grey is repeated, palettes are looked up, CMYK is converted, alpha is dropped (not composited: torchvision's
    loader calls `convert("RGB")` too), 16-bit grey is shifted to 8 bits, and of several frames the first is taken.
    Unlike torchvision's loader the EXIF orientation is applied.

    Raises:
        PictureError: missing, empty, truncated, not a picture, of unknown range, or over a limit (docs/limits.md):
            100 million pixels by its header.
    """
    path = Path(path)
    with open_picture(path) as image:
        return _frame(image, path, path)


def frame_of(image: Image.Image) -> Frame:
    """A picture that Pillow has opened or made, as `read_picture` would give it; `image` stays as it is.

    Raises:
        PictureError: cut off, of unknown range, no pixels, or more than docs/limits.md allows.
    """
    name = getattr(image, "filename", "") or f"This Pillow picture of mode {image.mode}"
    if not 0 < image.width * image.height <= PIXELS:
        got = f"{image.width} x {image.height} pixels, edgekit's limit is {PIXELS // 10**6} million"
        raise _unreadable(name, got)
    info = dict(image.info)
    try:
        return _frame(image, name)
    finally:
        image.info |= info  # what it was made to forget


def _frame(image: Image.Image, name: object, file: Path | None = None) -> Frame:
    try:
        if file is not None:
            check_passes(image, file)
        image.load()
        rgb = _rgb(image, name)
    except BROKEN as error:
        raise _unreadable(name, f"broken or cut off: {error}", "copy the file again, or remove it") from error
    except MemoryError as error:
        raise _unreadable(name, f"{image.width} x {image.height} pixels, too many for memory") from error
    turn = _UPRIGHT.get(_orientation(image))
    if turn is not None:
        rgb = rgb.transpose(turn)
    frame = np.empty((rgb.height, rgb.width, 3), np.uint8)
    for top in range(0, rgb.height, _BAND):  # not all at once: Pillow's own copy takes four bytes a pixel
        pixels = np.asarray(rgb.crop((0, top, rgb.width, min(top + _BAND, rgb.height))))
        for channel in range(3):  # half the time of a reversed, negatively strided copy
            frame[top : top + _BAND, :, channel] = pixels[..., 2 - channel]
    return frame


def within_limits(data: bytes) -> bool:
    """Whether bytes, as cameras send them, are a JPEG by their header and within the limits of pixels and passes."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return image.width * image.height <= PIXELS and data.count(b"\xff\xda") <= PASSES
    except BROKEN:
        return False


def picture_problem(path: str | os.PathLike[str]) -> str | None:
    """Why the header of `path` is not a picture's, or None. Decodes nothing, so a cut-off picture passes."""
    try:
        with open_picture(Path(path)):
            return None
    except PictureError as error:
        return error.got


def check_suffix(suffix: str) -> None:
    """Raises UsageError unless `encode_picture` writes such files."""
    if suffix.lower() not in _ENCODERS:
        raise UsageError(
            "Pictures cannot be written in this format.",
            got=repr(suffix),
            expected="one of " + ", ".join(_ENCODERS),
        )


def encode_picture(frame: Frame, suffix: str) -> bytes:
    """The bytes of a picture file of uint8 [h, w, 3] BGR: `.jpg`, `.jpeg`, `.png` or `.webp`, in any case.

    Raises:
        UsageError: another suffix.
        PictureError: not such a frame.
        OutputError: the format cannot hold a picture of this size.
    """
    check_suffix(suffix)
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


def open_picture(path: Path) -> Image.Image:
    """The picture with its header read, and nothing decoded.

    Raises:
        PictureError: as `read_picture`, as far as the header tells.
    """
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode) and found.st_size == 0:
            raise _unreadable(path, "an empty file (0 bytes)", "copy the file again, or remove it")
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise _unreadable(path, "a pipe or a device, not a file")
        image = Image.open(path, formats=_FORMATS)
    except FileNotFoundError as error:
        raise _unreadable(path, "no such file", "check the path") from error
    except UnidentifiedImageError as error:
        raise _unreadable(path, "bytes that no reader knows", "convert it to JPEG or PNG") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _unreadable(path, str(error), "make the picture smaller") from error
    except BROKEN as error:
        raise _unreadable(path, str(error)) from error
    pixels = image.width * image.height
    told = f"{image.width} x {image.height} pixels in {size(found.st_size)}"
    if pixels > PIXELS:
        image.close()
        raise _unreadable(
            path, f"{told}, over edgekit's limit of {PIXELS // 10**6} million", "make the picture smaller"
        )
    if pixels > SMALL_PICTURE and pixels > PIXELS_A_BYTE * found.st_size:
        image.close()
        raise _unreadable(path, f"{told}: over edgekit's limit of {PIXELS_A_BYTE} pixels a byte", "copy the file again")
    return image


def check_passes(image: Image.Image, path: Path) -> None:
    """Raises PictureError for a JPEG that paints its picture over and over: 20 KB of passes took 16 s.

    A pass begins with the marker FFDA, which compressed data cannot contain (ITU-T T.81, B.1.1.5).
    """
    if image.format in ("JPEG", "MPO") and (passes := path.read_bytes().count(b"\xff\xda")) > PASSES:
        raise _unreadable(path, f"{passes} passes, over edgekit's limit of {PASSES}", "save the picture again")


def _rgb(image: Image.Image, path: object) -> Image.Image:
    if image.mode == "F":
        raise _unreadable(path, "floating-point grey, which has no known range", _EXPORT_AGAIN)
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise _unreadable(path, f"32-bit grey from {grey.min()} to {grey.max()}", _EXPORT_AGAIN)
        image = Image.fromarray((grey >> 8).astype(np.uint8))
    image.info.pop("transparency", None)  # dropped like alpha, and convert() would warn about it
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except BROKEN:
        return 1  # cameras write broken EXIF blocks; the pixels are whole, and every viewer shows them so


def _unreadable(path: object, got: str, fix: str | None = None) -> PictureError:
    return PictureError(f"{path} cannot be read as a picture.", got=got, expected=_READABLE, fix=fix)
