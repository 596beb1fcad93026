"""A result drawn onto its picture, for people to look at; `Result.draw` (results.py) calls these."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.vision.image import Frame, check_frame

# Apart in hue and of similar lightness on a dark bar (Okabe and Ito 2008, the lighter six), BGR
_ACCENTS = ((0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240), (0, 94, 213), (167, 121, 204))
_BAR = (24, 20, 18)
_TEXT = (255, 255, 255)
_OPACITY = 0.78
_SMALLEST_TEXT = 10  # pixels, the height of a capital; below it letters run together
_SMALLEST_PICTURE = (20, 32)  # height, width: below it no label can be read, and the picture is more use bare


class Label(Protocol):
    """What `with_label` draws; `edgekit.vision.results.Classification` and `edgekit.vision.labels.Label` are two."""

    @property
    def index(self) -> int: ...

    @property
    def label(self) -> str: ...

    @property
    def score(self) -> float: ...


class Boxes(Protocol):
    """What `with_boxes` draws; `edgekit.vision.results.Detections` is one."""

    @property
    def boxes(self) -> NDArray[np.float32]: ...

    @property
    def scores(self) -> NDArray[np.float32]: ...

    @property
    def labels(self) -> NDArray[np.int64]: ...

    @property
    def names(self) -> tuple[str, ...]: ...


def with_boxes(frame: Frame, found: Boxes) -> Frame:
    """A copy of uint8 [h, w, 3] BGR with a frame around each object, one colour a class, its label and score above it.

    Lines and text grow with the picture. A label that would leave the picture at the top stands inside its box.

    Raises:
        PictureError: not such a frame.
    """
    check_frame(frame)
    import cv2

    picture = np.array(frame, order="C", copy=True)
    height, width = picture.shape[:2]
    face = cv2.FONT_HERSHEY_SIMPLEX
    capital = max(_SMALLEST_TEXT, min(height / 45, width / 45))
    scale = capital / cv2.getTextSize("H", face, 1.0, 1)[0][1]
    line = max(1, round(min(height, width) / 240))
    pad = max(2, round(capital * 0.3))
    for box, name, score, label in reversed(  # the best one last, on top
        list(zip(found.boxes.tolist(), found.names, found.scores.tolist(), found.labels.tolist(), strict=True))
    ):
        colour = _ACCENTS[label % len(_ACCENTS)]
        x1, y1, x2, y2 = (round(v) for v in box)
        cv2.rectangle(picture, (x1, y1), (max(x1, x2 - 1), max(y1, y2 - 1)), colour, line)
        text = f"{ascii_only(name)} {100 * score:.0f}"
        (w, _), _ = cv2.getTextSize(text, face, scale, 1)
        high = round(capital) + 2 * pad
        top = y1 - high if y1 >= high else y1
        left = max(0, min(x1, width - w - 2 * pad))
        cv2.rectangle(picture, (left, top), (left + w + 2 * pad, top + high), colour, cv2.FILLED)
        cv2.putText(picture, text, (left + pad, top + high - pad), face, scale, _BAR, 1, cv2.LINE_AA)
    return picture


def with_label(frame: Frame, classification: Label) -> Frame:
    """A copy of uint8 [h, w, 3] BGR with a bar on its upper edge: the label, the score, and the score as a line.

    Text grows with the picture and a label that is too long is cut with "..". Accents are dropped and what is not
    ASCII becomes "?", because OpenCV 4's fonts hold nothing else. Pictures under 32 x 20 come back unmarked.

    Raises:
        PictureError: not such a frame.
    """
    return with_labels(frame, (classification,))


def with_labels(frame: Frame, found: Sequence[Label]) -> Frame:
    """As `with_label`, a bar for each label below the one before, as many as there is room for; none: a copy.

    Raises:
        PictureError: not such a frame.
    """
    check_frame(frame)
    picture = np.array(frame, order="C", copy=True)
    height, width = picture.shape[:2]
    if height < _SMALLEST_PICTURE[0] or width < _SMALLEST_PICTURE[1]:
        return picture
    top = 0
    for one in found:
        high = _bar(picture[top:], one, max(_SMALLEST_TEXT, min(height / 26, width / 20)))
        top += high
        if top + high > height:
            break
    return picture


def _bar(picture: Frame, one: Label, capital: float) -> int:
    """Draws one bar on the upper edge of `picture`, in place; gives its height in pixels. `capital`: of a letter."""
    import cv2

    height, width = picture.shape[:2]
    face = cv2.FONT_HERSHEY_SIMPLEX
    # the text's height is not proportional to its scale in OpenCV 5, but near enough from a scale of 1 on
    scale = capital / cv2.getTextSize("H", face, 1.0, 1)[0][1]
    thickness = max(1, round(capital / 16))
    pad = max(3, round(capital * 0.55))
    line = max(2, round(capital * 0.22))
    bar: int = min(height, round(capital) + 2 * pad + line)

    def text_width(text: str) -> int:
        return int(cv2.getTextSize(text, face, scale, thickness)[0][0])

    score = f"{100 * one.score:.1f} %"
    name = ascii_only(one.label)
    label = _fitted(name, width - 3 * pad - text_width(score), text_width)
    if len(label) < min(len(name), 6):  # too narrow for both: the name says more, and the line shows the score
        label, score = _fitted(name, width - 2 * pad, text_width), ""

    strip = picture[:bar]
    strip[:] = np.rint(strip * (1 - _OPACITY) + np.multiply(_BAR, _OPACITY)).astype(np.uint8)
    filled = round(width * min(max(one.score, 0.0), 1.0))
    strip[bar - line :, :filled] = _ACCENTS[one.index % len(_ACCENTS)]
    base = pad + round(capital)
    for text, x in ((label, pad), (score, width - pad - text_width(score))):
        cv2.putText(picture, text, (x, base), face, scale, _TEXT, thickness, cv2.LINE_AA)
    return bar


def ascii_only(text: str) -> str:
    """`text` in printable ASCII: letters lose their accents, everything else that is not ASCII becomes `?`."""
    plain = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in plain)


def _fitted(text: str, room: int, width_of: Callable[[str], int]) -> str:
    """The longest beginning of `text` that fits with "..", or nothing."""
    if width_of(text) <= room:
        return text
    for end in range(min(len(text), 200), 0, -1):
        cut = text[:end].rstrip() + ".."
        if width_of(cut) <= room:
            return cut
    return ""
