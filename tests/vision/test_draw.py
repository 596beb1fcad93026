"""The label bar: on pictures of every size, with every text."""

import numpy as np
import pytest

from edgekit.errors import PictureError
from edgekit.vision.draw import ascii_only, with_label
from edgekit.vision.results import Classification

pytest.importorskip("cv2")


def answer(label: str = "hornet", score: float = 0.75, index: int = 0) -> Classification:
    return Classification(index, label, score, ((label, score),), np.zeros(1, np.float32))


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (20, 32), (24, 40), (33, 2000), (2000, 33), (600, 800)])
@pytest.mark.parametrize("label", ["hornet", "", "x" * 500, "Frelon à pattes jaunes 胡蜂\n\0"])
def test_any_picture_takes_any_label(size: tuple[int, int], label: str) -> None:
    frame = np.full((*size, 3), 128, np.uint8)
    out = with_label(frame, answer(label))
    assert out.shape == frame.shape
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    assert (frame == 128).all()
    assert not np.shares_memory(out, frame)
    assert (out != frame).any() == (size[0] >= 20 and size[1] >= 32)


@pytest.mark.parametrize("size", [(120, 160), (360, 640), (3000, 4000)])
def test_the_bar_is_readable_and_leaves_the_picture(size: tuple[int, int]) -> None:
    out = with_label(np.full((*size, 3), 128, np.uint8), answer())
    changed = np.flatnonzero((out != 128).any(axis=(1, 2)))
    bar = len(changed)
    assert changed[0] == 0
    assert changed[-1] == bar - 1
    assert max(16, size[0] * 0.05) <= bar <= max(25, size[0] * 0.15)
    lit = (out[:bar].min(axis=2) > 150).sum()  # white text on a dark bar
    assert lit > 0.006 * bar * size[1]
    assert np.median(out[:bar]) < 64


def test_the_line_shows_the_score() -> None:
    plain = np.full((300, 400, 3), 128, np.uint8)
    lengths = []
    for score in (0.0, 0.25, 1.0):
        out = with_label(plain, answer(score=score))
        bottom = np.flatnonzero((out != 128).any(axis=(1, 2)))[-1]
        lengths.append(int((np.ptp(out[bottom].astype(int), axis=1) > 60).sum()))
    assert lengths == [0, 100, 400]


def test_labels_differ_in_the_picture() -> None:
    plain = np.full((120, 160, 3), 128, np.uint8)
    assert (with_label(plain, answer("hornet")) != with_label(plain, answer("honeybee"))).any()


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("hornet", "hornet"),
        ("Bär éöñ", "Bar eon"),
        ("胡蜂", "??"),
        ("a\nb\0", "a?b?"),
        ("½ ﬁn", "1?2 fin"),
        ("🐝", "?"),
    ],
)
def test_text_becomes_ascii(text: str, plain: str) -> None:
    assert ascii_only(text) == plain


def test_a_frame_is_asked_for() -> None:
    with pytest.raises(PictureError):
        with_label(np.zeros((30, 30), np.uint8), answer())
