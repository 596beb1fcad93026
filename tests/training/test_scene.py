"""Pictures placed on a canvas: what lies in a box before lies in it afterwards, cut or enlarged, alone or in four."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgekit.spec import PreprocessSpec
from edgekit.training.augment.scene import GREY, SEEN, SMALLEST, Scene, clipped, mosaic, placed
from edgekit.vision.preprocess import geometry, preprocess

RED = torch.tensor([250, 10, 10], dtype=torch.uint8)


def scene(h: int = 90, w: int = 160, box: tuple[int, int, int, int] = (40, 30, 80, 60)) -> Scene:
    """A blue picture with one red rectangle, and its box."""
    image = torch.tensor([10, 10, 250], dtype=torch.uint8).view(3, 1, 1).repeat(1, h, w)
    x1, y1, x2, y2 = box
    image[:, y1:y2, x1:x2] = RED.view(3, 1, 1)
    return Scene(image, torch.tensor([box], dtype=torch.float32), torch.tensor([1]))


def red_box(image: Tensor) -> list[float]:
    """The box of what is more red than blue."""
    ys, xs = torch.nonzero(image[0].int() > image[2].int() + 20, as_tuple=True)
    return [float(xs.min()), float(ys.min()), float(xs.max()) + 1, float(ys.max()) + 1]


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.5, 2.0),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(["letterbox", "stretch"]),
    st.sampled_from([(96, 96), (64, 128), (128, 64)]),
)
def test_the_box_stays_around_its_pixels(zoom: float, y: float, x: float, resize: str, size: tuple[int, int]) -> None:
    made = placed(scene(), size, zoom, (y, x), resize)
    assert made.image.shape == (3, *size)
    assert made.image.dtype == torch.uint8
    if len(made.boxes):
        found = red_box(made.image)
        assert np.abs(np.array(found) - made.boxes[0].numpy()).max() <= 1.6
        assert made.labels.tolist() == [1]
        assert (made.boxes >= 0).all()
        assert (made.boxes[:, 2:] <= torch.tensor([size[1], size[0]])).all()


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
@pytest.mark.parametrize(("h", "w"), [(90, 160), (160, 90), (64, 64)])
def test_zoom_1_in_the_middle_is_what_evaluation_shows(resize: str, h: int, w: int) -> None:
    spec = PreprocessSpec(96, 128, resize, None)
    given = scene(h, w, (20, 30, 50, 60))
    made = placed(given, (96, 128), 1.0, (0.5, 0.5), resize)
    frame = np.ascontiguousarray(given.image.permute(1, 2, 0).numpy()[..., ::-1])
    theirs = geometry(frame.shape, spec).to_net(given.boxes.numpy())
    assert np.abs(made.boxes.numpy() - theirs).max() <= 0.51  # a letterbox has whole borders: half a pixel at most
    wanted = preprocess(frame, spec)[..., ::-1]
    different = np.abs(made.image.permute(1, 2, 0).numpy().astype(int) - wanted).max(-1) > 8
    assert different.mean() < 0.08  # its border may lie one pixel beside


def test_smaller_leaves_grey_and_larger_cuts() -> None:
    small = placed(scene(), (90, 160), 0.5, (0.0, 1.0), "letterbox")
    assert (small.image[:, 45:] == GREY).all()
    assert (small.image[:, :, :80] == GREY).all()
    assert small.boxes[0].tolist() == [100, 15, 120, 30]
    large = placed(scene(), (90, 160), 2.0, (0.0, 0.0), "letterbox")
    assert not (large.image == GREY).all(0).any()
    assert large.boxes[0].tolist() == [80, 60, 160, 90]  # cut at the lower edge: three quarters of its height are left
    gone = placed(scene(), (90, 160), 2.0, (1.0, 1.0), "letterbox")
    assert len(gone.boxes) == len(gone.labels) == 0 or gone.boxes[0, 0] == 0


def test_too_little_of_an_object_is_none() -> None:
    boxes = torch.tensor([[-60.0, 0, 30, 30], [-80.0, 0, 20, 30], [5.0, 5, 5 + SMALLEST / 2, 20], [0, 0, 10, 10]])
    kept = clipped(Scene(torch.zeros(3, 50, 50), boxes, torch.arange(4)), torch.zeros(2), torch.tensor([50.0, 50.0]))
    assert pytest.approx(0.3) == SEEN
    assert kept.labels.tolist() == [0, 3]  # a third, a fifth, too thin, whole
    assert kept.boxes[0].tolist() == [0, 0, 30, 30]


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_a_mosaic_has_all_four_with_their_boxes(resize: str) -> None:
    torch.manual_seed(0)
    asked = []
    for _ in range(20):
        made = mosaic(lambda i: (asked.append(i), scene())[1], (96, 128), [0.5, 0.6, 0.7, 0.8], resize)
        assert made.image.shape == (3, 96, 128)
        for box in made.boxes.round().int().tolist():
            inside = made.image[:, box[1] + 1 : box[3] - 1, box[0] + 1 : box[2] - 1]
            if inside.numel():
                assert (inside[0].int() > inside[2].int()).float().mean() > 0.95
        red = (made.image[0].int() > made.image[2].int() + 20).sum()
        covered = torch.zeros(96, 128, dtype=torch.bool)
        for x1, y1, x2, y2 in made.boxes.round().int().tolist():
            covered[max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1] = True
        hidden = (made.image[0].int() > made.image[2].int() + 20) & ~covered
        assert hidden.sum() <= red  # what was cut too far to be learnt may show without a box
    assert set(asked) == {0, 1, 2, 3}


def test_a_mosaics_zoom_is_that_of_the_whole_canvas() -> None:
    torch.manual_seed(1)
    heights = []
    for _ in range(40):
        made = mosaic(lambda i: scene(), (180, 320), [0.5] * 4, "letterbox")
        whole = [b for b in (made.boxes[:, 3] - made.boxes[:, 1]).tolist() if b > 28]
        heights += whole
    # 30 of 90 rows at half of twice the size
    assert np.median(heights) == pytest.approx(30, abs=1.5)
