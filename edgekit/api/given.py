"""A picture as people have it - a path, a Pillow picture, an array - as the frame that edgekit works on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.errors import PictureError, UsageError
from edgekit.reading import is_folder
from edgekit.vision.image import Frame, check_frame, frame_of, read_picture

Picture: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
_EXPECTED = "a path, a PIL image, or uint8 [height, width, 3] in BGR order, not empty"


def frame_from(picture: Picture) -> Frame:
    """The frame of one picture: uint8 [h, w, 3] in BGR order, upright.

    Args:
        picture: a file's path, a Pillow picture (of any mode, turned as its EXIF says), or a frame, which is taken as
            it is: OpenCV's order, as cv2.imread, a cv2.VideoCapture and `edgekit.read_picture` give it.

    Raises:
        PictureError: a file or picture that cannot be read, or an array of another type or shape.
        UsageError: a folder, or what is no picture at all.
    """
    if isinstance(picture, (str, os.PathLike)):
        path = Path(picture)
        if is_folder(path):
            raise UsageError(
                f"{path} is a folder.",
                got="a folder",
                expected="a picture, or a list of pictures",
                fix=f"model(sorted(Path({str(path)!r}).rglob('*.jpg')))",
            )
        return read_picture(path)
    if isinstance(picture, Image.Image):
        return frame_of(picture)
    if isinstance(picture, np.ndarray):
        try:
            check_frame(picture)
        except PictureError as error:
            raise PictureError(error.what, got=error.got, expected=_EXPECTED, fix=_way_out(picture)) from None
        return picture
    raise UsageError("This is not a picture.", got=_named(picture), expected=_EXPECTED, fix=_other(picture))


def _named(thing: object) -> str:
    """Its type, with dtype and shape where it has them, as a tensor does."""
    if thing is None:
        return "None (an unread camera frame?)"
    name = f"{type(thing).__module__.partition('.')[0]}.{type(thing).__name__}"
    shape = getattr(thing, "shape", None)
    return name if shape is None else f"{name} {getattr(thing, 'dtype', '')} {list(shape)}"


def _other(thing: object) -> str | None:
    if hasattr(thing, "detach") and hasattr(thing, "shape"):
        return "give the picture that the tensor was made from: edgekit resizes and normalizes it itself"
    if isinstance(thing, (bytes, bytearray, memoryview)):
        return "PIL.Image.open(io.BytesIO(data))"
    if hasattr(thing, "__next__"):
        return "model.stream(pictures) takes any number of pictures, one after the other"
    return None


def _way_out(array: NDArray[Any]) -> str | None:
    """How this array becomes a frame, where that can be seen."""
    shape = array.shape
    if array.dtype != np.uint8:
        return "give the picture's own bytes, 0 to 255: edgekit scales and normalizes them itself"
    if len(shape) == 4 and shape[3] == 3:
        return "list(array): one frame each"
    if len(shape) == 2:
        return "numpy.repeat(array[..., None], 3, axis=2): grey, three times"
    if len(shape) == 3 and shape[2] == 4:
        return "array[..., :3]: without alpha"
    if len(shape) == 3 and shape[2] == 1:
        return "numpy.repeat(array, 3, axis=2): grey, three times"
    if len(shape) == 3 and shape[0] == 3:
        return "array.transpose(1, 2, 0): channels last"
    return None
