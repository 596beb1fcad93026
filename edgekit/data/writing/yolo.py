"""YOLO: a data.yaml, images/<split>/x.jpg and labels/<split>/x.txt (docs.ultralytics.com/datasets/detect).

Rows are `class cx cy w h` in parts of the upright picture's width and height.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from edgekit.data.writing.picture import Layout, Placed, areas_lost, outlines_lost
from edgekit.errors import DataError
from edgekit.screen import count_of, some

# One part in 10^12 of a picture of 100,000 pixels is 10^-7 of a pixel; the six that most tools write are 0.05 of one
_DIGITS = 12


def yolo_rows(boxes: ArrayLike, labels: ArrayLike, width: int, height: int) -> str:
    """The text of one picture's label file, a row for each box, in their order; "" for none.

    Args:
        boxes: float [M, 4], x1 y1 x2 y2 in pixels of the upright picture, of positive area.
        labels: int [M], class indices.
        width: of the upright picture, in pixels.
        height: the same.

    Read again, the corners are those given to 1e-6 pixels, and float32 ones from 1 pixel on to the last bit.

    Raises:
        DataError: arrays of other shapes, a box that is not finite or has no area, a class below 0, or no size.
    """
    index = np.asarray(labels, dtype=np.int64).reshape(-1)
    xyxy = np.asarray(boxes, dtype=np.float64)
    xyxy = xyxy.reshape(-1, 4) if xyxy.size == 0 else xyxy
    if xyxy.ndim != 2 or xyxy.shape != (len(index), 4) or width < 1 or height < 1:
        raise DataError(
            "These are no boxes of a picture.",
            got=f"boxes {list(xyxy.shape)}, labels {list(index.shape)}, a picture of {width} x {height}",
            expected="[M, 4], [M] and a size",
        )
    if not (np.isfinite(xyxy).all() and (xyxy[:, 2:] > xyxy[:, :2]).all() and (index >= 0).all()):
        raise DataError(
            "A box cannot be written.", got=f"{xyxy.tolist()[:5]}", expected="finite x1 < x2, y1 < y2, a class >= 0"
        )
    centres = (xyxy[:, :2] + xyxy[:, 2:]) / 2 / (width, height)
    sizes = (xyxy[:, 2:] - xyxy[:, :2]) / (width, height)
    parts = np.concatenate([centres, sizes], axis=1)
    rows = zip(index.tolist(), parts.tolist(), strict=True)
    return "".join(f"{label} {' '.join(map(_part, numbers))}\n" for label, numbers in rows)


def _part(number: float) -> str:
    """Without an exponent, which not every reader takes, and without zeros at the end."""
    text = f"{number:.{_DIGITS}f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def _texts(pictures: Sequence[Placed], classes: Sequence[str]) -> dict[Path, str]:
    splits = dict.fromkeys(one.split for one in pictures)
    lines = [f"{split}: images/{split}\n" for split in splits]
    lines += [f"nc: {len(classes)}\n", "names:\n", *(f"  {i}: {_quoted(name)}\n" for i, name in enumerate(classes))]
    found = {Path("data.yaml"): "".join(lines)}
    for one in pictures:
        rows = yolo_rows(one.boxes(), one.labels(), one.width, one.height)
        found[Path("labels", one.split, one.file).with_suffix(".txt")] = rows
    return found


def _quoted(name: str) -> str:
    """A YAML text in double quotes, whose escapes are JSON's but for what YAML does not print (YAML 1.2, 5.1)."""
    text = json.dumps(name, ensure_ascii=False)
    return "".join(
        c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in text
    )


def _lost(pictures: Sequence[Placed], classes: Sequence[str]) -> tuple[str, ...]:
    aside = [one.file for one in pictures for _ in one.aside()]
    notes = areas_lost(pictures, "YOLO") + outlines_lost(pictures, "YOLO")
    if aside:
        notes += (
            f"{count_of(len(aside), 'box')} set aside (crowds or difficult objects), not held by YOLO and left out, in "
            f"{some(sorted(set(aside)))}: what they show now counts as background",
        )
    return notes


YOLO = Layout("yolo", lambda split: Path("images", split), _texts, _lost, ("train", "val", "test"))
