"""Objects are taken out of a picture, or left alone in it."""

import numpy as np
import pytest

from edgekit.benchmark.quality.erase import alone, elsewhere, erased, within
from edgekit.errors import PictureError

BOX = [[40.0, 30.0, 80.0, 60.0]]


def scene() -> np.ndarray:
    """A grey slope with a red object in it, uint8 [120, 200, 3] BGR."""
    frame = np.repeat(np.linspace(60, 160, 200, dtype=np.uint8)[None, :, None], 120, axis=0).repeat(3, axis=2)
    frame[30:60, 40:80] = (0, 0, 255)
    return frame


def test_what_is_erased_looks_as_its_surroundings() -> None:
    frame = scene()
    found = erased(frame, BOX)
    ground = np.linspace(60, 160, 200)[None, :, None]
    assert np.abs(found.astype(float) - ground).max() < 16  # nothing red is left, and the slope goes on
    outside = ~within(frame.shape, BOX)
    assert (found[outside] == frame[outside]).all()
    assert (frame[30:60, 40:80] == (0, 0, 255)).all()  # it is a copy


def test_a_large_picture_keeps_its_pixels_outside() -> None:
    large = scene().repeat(8, axis=0).repeat(8, axis=1)
    boxes = np.array(BOX) * 8
    found = erased(large, boxes)
    outside = ~within(large.shape, boxes)
    assert (found[outside] == large[outside]).all()
    assert found[240:480, 320:640, 2].max() < 180


def test_nothing_to_erase_is_a_copy() -> None:
    frame = scene()
    found = erased(frame, np.zeros((0, 4)))
    assert (found == frame).all()
    assert found is not frame


def test_the_object_alone_stands_in_the_mean_colour() -> None:
    frame = scene()
    found = alone(frame, BOX)
    inside = within(frame.shape, BOX)
    assert (found[inside] == frame[inside]).all()
    assert (found[~inside] == np.rint(frame.reshape(-1, 3).mean(axis=0)).astype(np.uint8)).all()
    assert inside.sum() == 36 * 48  # a tenth more on each side of 30 x 40


def test_a_box_at_the_border_ends_there() -> None:
    assert within((100, 100, 3), [[-5, 90, 10, 120]]).sum() == 12 * 13  # columns 0 to 11, rows 87 to 99
    assert not within((100, 100, 3), [[200, 10, 220, 30]]).any()


def test_elsewhere_touches_no_object() -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        places = elsewhere((120, 200, 3), BOX, [*BOX, [100, 10, 140, 60]], random)
        assert places is not None
        assert (places[:, 2:] - places[:, :2]).round(9).tolist() == [[40.0, 30.0]]
        assert not (within((120, 200, 3), places) & within((120, 200, 3), [*BOX, [100, 10, 140, 60]])).any()


def test_elsewhere_has_no_room() -> None:
    assert elsewhere((120, 200, 3), [[10, 10, 150, 110]], [[10, 10, 150, 110]], np.random.default_rng(0)) is None


def test_a_frame_it_must_be() -> None:
    with pytest.raises(PictureError):
        erased(np.zeros((4, 4)), BOX)  # type: ignore[arg-type]
