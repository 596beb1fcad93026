"""Preprocessing is torchvision's, pixel by pixel; boxes find their way back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgekit.errors import PictureError
from edgekit.spec import PreprocessSpec
from edgekit.vision.preprocess import MAX_RESIZED_PIXELS, geometry, normalise, preprocess

CROP = PreprocessSpec()
BOX = PreprocessSpec(height=96, width=128, resize="letterbox", shorter_side=None)
STRETCH = PreprocessSpec(height=70, width=50, resize="stretch", shorter_side=None)
SIDES = st.integers(1, 400)


def noise(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def of_torchvision(frame: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    transforms = pytest.importorskip("torchvision.transforms")
    how = getattr(transforms.InterpolationMode, spec.interpolation.upper())
    if spec.resize == "crop":
        steps = [
            transforms.Resize(spec.shorter_side, how),
            transforms.CenterCrop((spec.height, spec.width)),
        ]
    else:
        steps = [transforms.Resize((spec.height, spec.width), how)]
    picture = Image.fromarray(np.ascontiguousarray(frame[..., ::-1]))
    return np.asarray(transforms.Compose(steps)(picture))[..., ::-1]


@settings(max_examples=60, deadline=None)
@given(
    h=SIDES,
    w=SIDES,
    height=st.integers(1, 120),
    width=st.integers(1, 120),
    more=st.integers(0, 40),
    how=st.sampled_from(["bilinear", "bicubic"]),
)
def test_crop_equals_torchvision_bit_for_bit(h: int, w: int, height: int, width: int, more: int, how: str) -> None:
    spec = PreprocessSpec(height, width, "crop", max(height, width) + more, how)  # type: ignore[arg-type]
    frame = noise(h, w)
    np.testing.assert_array_equal(preprocess(frame, spec), of_torchvision(frame, spec))


@settings(max_examples=40, deadline=None)
@given(h=SIDES, w=SIDES, how=st.sampled_from(["bilinear", "bicubic"]))
def test_stretch_equals_torchvision_bit_for_bit(h: int, w: int, how: str) -> None:
    spec = replace(STRETCH, interpolation=how)
    frame = noise(h, w)
    np.testing.assert_array_equal(preprocess(frame, spec), of_torchvision(frame, spec))


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (256, 256), (257, 256), (720, 1280), (31, 977), (224, 224)])
def test_the_default_on_usual_sizes(size: tuple[int, int]) -> None:
    frame = noise(*size)
    np.testing.assert_array_equal(preprocess(frame, CROP), of_torchvision(frame, CROP))


@settings(max_examples=30, deadline=None)
@given(color=st.sampled_from(["rgb", "bgr"]), n=st.integers(0, 3), seed=st.integers(0, 99))
def test_normalise_equals_torchvision(color: str, n: int, seed: int) -> None:
    torch = pytest.importorskip("torch")
    transforms = pytest.importorskip("torchvision.transforms")
    rng = np.random.default_rng(seed)
    spec = replace(CROP, color=color, mean=tuple(rng.random(3)), std=tuple(rng.random(3) + 0.1))
    batch = rng.integers(0, 256, (n, 17, 13, 3), dtype=np.uint8)
    got = normalise(batch, spec)
    assert got.dtype == np.float32
    assert got.shape == (n, 3, 17, 13)
    assert got.flags.c_contiguous
    if n:
        step = transforms.Compose([transforms.ToTensor(), transforms.Normalize(spec.mean, spec.std)])
        order = batch[..., ::-1] if color == "rgb" else batch
        expected = torch.stack([step(np.ascontiguousarray(f)) for f in order]).numpy()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_normalise_by_hand() -> None:
    spec = replace(CROP, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    batch = np.array([[[[255, 0, 51]]]], dtype=np.uint8)  # blue 1, green 0, red 0.2
    np.testing.assert_allclose(normalise(batch, spec).ravel(), [(0.2 - 0.5) / 0.5, -1.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(normalise(batch, replace(spec, color="bgr")).ravel(), [1.0, -1.0, 0.2], atol=1e-6)


@pytest.mark.parametrize(("method", "name"), [("bilinear", "INTER_LINEAR"), ("bicubic", "INTER_CUBIC")])
def test_without_antialias_it_is_opencv(method: str, name: str) -> None:
    cv2 = pytest.importorskip("cv2")
    frame = noise(333, 251)
    spec = replace(STRETCH, interpolation=method, antialias=False)
    np.testing.assert_array_equal(
        preprocess(frame, spec), cv2.resize(frame, (50, 70), interpolation=getattr(cv2, name))
    )
    assert (preprocess(frame, spec) != preprocess(frame, replace(spec, antialias=True))).any()


def test_area_averages_and_nearest_takes_the_centre() -> None:
    pytest.importorskip("cv2")
    frame = noise(210, 150)
    area = preprocess(frame, replace(STRETCH, interpolation="area"))
    means = frame.reshape(70, 3, 50, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(area, means, atol=0.51)
    nearest = preprocess(frame, replace(STRETCH, interpolation="nearest", antialias=False))
    np.testing.assert_array_equal(nearest, frame[1::3, 1::3])


@pytest.mark.parametrize(("h", "w"), [(70, 50), (120, 80), (160, 130), (280, 400), (71, 999), (40, 30), (300, 60)])
def test_pyramid_halves_by_means_and_ends_bilinear(h: int, w: int) -> None:
    cv2 = pytest.importorskip("cv2")
    frame = noise(h, w)
    level = frame
    while level.shape[0] >= 140 or level.shape[1] >= 100:
        tall, wide = (n >= 2 * end for n, end in zip(level.shape, (70, 50), strict=False))
        size = (level.shape[1] // 2 if wide else level.shape[1], level.shape[0] // 2 if tall else level.shape[0])
        if not level.shape[0] % 2 and not level.shape[1] % 2 and tall and wide:
            means = level.reshape(size[1], 2, size[0], 2, 3).mean(axis=(1, 3))
            halved = cv2.resize(level, size, interpolation=cv2.INTER_AREA)
            np.testing.assert_allclose(halved, means, atol=0.51)
        level = cv2.resize(level, size, interpolation=cv2.INTER_AREA)
    wanted = cv2.resize(level, (50, 70), interpolation=cv2.INTER_LINEAR)
    spec = replace(STRETCH, interpolation="pyramid")
    np.testing.assert_array_equal(preprocess(frame, spec), wanted)
    assert spec.describe().count("antialiased") == 0


def test_pyramid_does_not_alias() -> None:
    """Stripes finer than the result's pixels become their mean, as with the others that antialias."""
    pytest.importorskip("cv2")
    stripes = np.zeros((280, 200, 3), np.uint8)
    stripes[:, ::2] = 255
    out = preprocess(stripes, replace(STRETCH, interpolation="pyramid"))
    assert abs(int(out.min()) - 128) <= 1 >= abs(int(out.max()) - 128)


@settings(max_examples=60, deadline=None)
@given(h=SIDES, w=SIDES)
def test_letterbox_shows_all_centred_and_padded(h: int, w: int) -> None:
    spec = replace(BOX, pad=7)
    out = preprocess(np.full((h, w, 3), 200, np.uint8), spec)
    assert out.shape == (96, 128, 3)
    assert out.flags.c_contiguous
    filled = out[..., 0] == 200
    rows, columns = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert filled[inside].all()
    assert (np.delete(out.reshape(-1, 3), np.flatnonzero(filled), axis=0) == 7).all()
    assert abs(rows[0] - (95 - rows[-1])) <= 1
    assert abs(columns[0] - (127 - columns[-1])) <= 1
    ratio = min(96 / h, 128 / w)
    assert abs(len(rows) - max(1, h * ratio)) <= 0.5
    assert abs(len(columns) - max(1, w * ratio)) <= 0.5
    # the geometry says where the picture lies, to the pixel
    corners = geometry((h, w), spec).to_net([0, 0, w, h])
    np.testing.assert_allclose(corners, [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], atol=1e-9)


@pytest.mark.parametrize("spec", [CROP, BOX, STRETCH], ids=["crop", "letterbox", "stretch"])
@settings(max_examples=40, deadline=None)
@given(h=SIDES, w=SIDES, seed=st.integers(0, 99))
def test_geometry_is_undone_by_its_inverse(spec: PreprocessSpec, h: int, w: int, seed: int) -> None:
    place = geometry((h, w, 3), spec)
    boxes = np.random.default_rng(seed).random((5, 4)) * [w, h, w, h]
    np.testing.assert_allclose(place.to_frame(place.to_net(boxes)), boxes, atol=1e-8)
    np.testing.assert_allclose(place.to_net(place.to_frame(boxes)), boxes, atol=1e-8)
    np.testing.assert_allclose(place.to_net(boxes)[:, :2], place.to_net(boxes[:, :2]))


@pytest.mark.parametrize("spec", [CROP, BOX, STRETCH], ids=["crop", "letterbox", "stretch"])
@pytest.mark.parametrize("size", [(300, 500), (500, 300)])
def test_geometry_finds_a_mark(spec: PreprocessSpec, size: tuple[int, int]) -> None:
    frame = np.zeros((*size, 3), np.uint8)
    frame[180:200, 150:180] = 255
    found = np.argwhere(preprocess(frame, spec)[..., 0] > 127)
    centre = (found.min(axis=0) + found.max(axis=0) + 1)[::-1] / 2
    np.testing.assert_allclose(geometry(frame.shape, spec).to_net([165, 190]), centre, atol=1)


def test_points_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="pairs"):
        geometry((9, 9), BOX).to_net([1, 2, 3])


def test_the_frame_is_neither_kept_nor_changed() -> None:
    frame = noise(224, 224)
    before = frame.copy()
    for spec in (replace(CROP, shorter_side=224), replace(STRETCH, height=224, width=224)):
        out = preprocess(frame, spec)
        assert not np.shares_memory(out, frame)
        assert out.flags.c_contiguous
        out[:] = 0
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("antialias", [True, False])
def test_strided_frames_give_the_same_pixels(antialias: bool) -> None:
    wide = noise(120, 300)[:, ::-2]
    spec = replace(STRETCH, antialias=antialias)
    np.testing.assert_array_equal(preprocess(wide, spec), preprocess(np.ascontiguousarray(wide), spec))


@pytest.mark.parametrize(
    ("frame", "got"),
    [
        (None, "None"),
        ([[1]], "list"),
        (np.zeros((4, 4), np.uint8), r"uint8 \[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"\[4, 4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\[0, 4, 3\]"),
    ],
)
def test_what_is_not_a_frame(frame: object, got: str) -> None:
    with pytest.raises(PictureError, match=got) as caught:
        preprocess(frame, CROP)  # type: ignore[arg-type]
    assert "uint8 [height, width, 3]" in str(caught.value)


def test_what_is_not_a_batch() -> None:
    with pytest.raises(PictureError, match=r"uint8 \[4, 4, 3\]"):
        normalise(np.zeros((4, 4, 3), np.uint8), CROP)


def test_a_thread_of_pixels_is_refused_before_memory_is() -> None:
    thin = np.zeros((1, MAX_RESIZED_PIXELS // 256 // 256 + 1, 3), np.uint8)
    with pytest.raises(PictureError, match="too thin"):
        preprocess(thin, CROP)
    assert preprocess(thin, STRETCH).shape == (70, 50, 3)


def test_an_empty_shape_has_no_geometry() -> None:
    with pytest.raises(PictureError):
        geometry((0, 10), CROP)


@pytest.mark.parametrize(("h", "w", "sides"), [(333, 500, (85, 128)), (500, 333, (96, 63)), (96, 128, (96, 128))])
def test_a_letterbox_in_the_corner_has_its_sides_cut_and_nothing_before_it(
    h: int, w: int, sides: tuple[int, int]
) -> None:
    spec = replace(BOX, align="corner")
    frame = np.full((h, w, 3), 200, np.uint8)
    made = preprocess(frame, spec)
    assert (made[: sides[0], : sides[1]] == 200).all()
    assert (made[sides[0] :] == spec.pad).all()
    assert (made[:, sides[1] :] == spec.pad).all()
    place = geometry(frame.shape, spec)
    assert (place.offset_x, place.offset_y) == (0, 0)
    assert place.to_net([w, h]).tolist() == [sides[1], sides[0]]
