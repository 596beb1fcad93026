"""Each usual layout of Segment Anything is known by its inputs, asked in its own pixels, and its mask put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.base import Arrays, Session
from edgekit.errors import ArtifactError, UsageError
from edgekit.labels.proposals.base import Box, Prompt
from edgekit.labels.proposals.sam.segmenter import SegmentAnything, open_segment_anything
from edgekit.spec import TensorSpec
from edgekit.vision.image import Frame
from tests.labels.proposals.alike import alike_pair

# The encoder's picture is its embedding, so the fake decoder sees what arrived: its mask is what looks like the point.
ENCODERS: dict[str, tuple[Any, ...]] = {
    "sam": ("x", (1, 3, 64, 64), ("image_embeddings",)),
    "inside": ("input_image", ("image_height", "image_width", 3), ("image_embeddings",)),
    "efficient": ("batched_images", ("batch", 3, "height", "width"), ("image_embeddings",)),
    "sam2": ("image", (1, 3, 64, 64), ("high_res_feats_0", "high_res_feats_1", "image_embed")),
    "huggingface": ("pixel_values", ("b", 3, 64, 64), ("image_embeddings", "image_positional_embeddings")),
    "renamed": ("images", (1, 3, 48, 80), ("embeddings",)),
}
_SAM = {"mask_input": (1, 1, 16, 16), "has_mask_input": (1,), "orig_im_size": (2,)}
DECODERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "sam": ({"point_coords": (1, "n", 2), "point_labels": (1, "n"), **_SAM}, "masks", "iou_predictions"),
    "efficient": (
        {"batched_point_coords": (1, 1, "n", 2), "batched_point_labels": (1, 1, "n"), "orig_im_size": (2,)},
        "output_masks", "iou_predictions",
    ),
    "sam2": (
        {"point_coords": ("k", "n", 2), "point_labels": ("k", "n"), "mask_input": ("k", 1, 16, 16),
         "has_mask_input": ("k",)},
        "masks", "iou_predictions",
    ),
    "huggingface": ({"input_points": ("b", 1, "n", 2), "input_labels": ("b", 1, "n")}, "pred_masks", "iou_scores"),
}  # fmt: skip
DECODERS["inside"] = DECODERS["renamed"] = DECODERS["sam"]


class Eye(Session):
    """Gives the picture as it came, as each of its embeddings."""

    backend = "eye"

    def __init__(self, layout: str) -> None:
        name, shape, outputs = ENCODERS[layout]
        self.inputs = (TensorSpec(name, "float32", shape),)
        self.outputs = tuple(TensorSpec(one, "float32", (1, 3, f"h{i}", f"w{i}")) for i, one in enumerate(outputs))
        self.runs = 0

    def _run(self, feeds: Arrays) -> Arrays:
        self.runs += 1
        (image,) = feeds.values()
        seen = image.transpose(2, 0, 1)[None] if image.ndim == 3 else image
        return {spec.name: seen.copy() for spec in self.outputs}


class Alike(Session):
    """Everything that looks like the first positive point or the middle of the box; what it was asked is kept."""

    backend = "alike"

    def __init__(self, layout: str, points: int | str = "n") -> None:
        asked, masks, scores = DECODERS[layout]
        own = tuple(TensorSpec(one, "float32", (1, 3, f"h{i}", f"w{i}")) for i, one in enumerate(ENCODERS[layout][2]))
        if layout == "renamed":
            own = (TensorSpec("image_embeddings", "float32", (1, 3, "h", "w")),)
        fixed = {k: tuple(points if d == "n" else d for d in shape) for k, shape in asked.items()}
        whole = {"orig_im_size": "int64", "input_labels": "int64"} if layout in ("efficient", "huggingface") else {}
        self.inputs = (*own, *(TensorSpec(k, whole.get(k, "float32"), s) for k, s in fixed.items()))
        self.outputs = (TensorSpec(scores, "float32", (1, 3)), TensorSpec(masks, "float32", (1, 3, "H", "W")))
        self.asked: Arrays = {}

    def _run(self, feeds: Arrays) -> Arrays:
        self.asked = feeds
        seen = feeds[next(spec.name for spec in self.inputs if "embed" in spec.name)][0]
        points = next(v for k, v in feeds.items() if k.endswith(("coords", "points"))).reshape(-1, 2)
        labels = next(v for k, v in feeds.items() if "labels" in k).reshape(-1)
        at = points[labels == 1][0] if (labels == 1).any() else points[(labels == 2) | (labels == 3)].mean(axis=0)
        there = seen[:, int(at[1]), int(at[0])]
        gap = np.abs(seen - there[:, None, None]).max(axis=0)
        logits = np.stack([-np.ones_like(gap), 0.05 - gap, np.ones_like(gap)])[None].astype(np.float32)
        return {self.outputs[0].name: np.array([[0.1, 1.2, 0.3]], np.float32), self.outputs[1].name: logits}


def picture(height: int, width: int, box: tuple[int, int, int, int]) -> Frame:
    frame = np.full((height, width, 3), 30, np.uint8)
    frame[box[1] : box[3], box[0] : box[2]] = (250, 40, 180)
    return frame


def close(box: Box | None, wanted: tuple[int, ...], pixels: float) -> bool:
    return box is not None and bool(np.abs(np.subtract(box, wanted)).max() <= pixels)


@pytest.mark.parametrize("layout", sorted(ENCODERS))
@pytest.mark.parametrize(("height", "width"), [(120, 200), (200, 120), (300, 300)])
@pytest.mark.parametrize("by", ["click", "box"])
def test_the_thing_under_a_click_or_in_a_box_comes_back_in_its_place(
    layout: str, height: int, width: int, by: str
) -> None:
    wanted = (40, 60, 100, 90)
    eye, alike = Eye(layout), Alike(layout)
    asked = SegmentAnything(eye, alike)
    prompt = Prompt(((70.0, 80.0),), (True,)) if by == "click" else Prompt(box=(38.0, 58.0, 102.0, 92.0))
    for _ in range(2):
        found = asked.segment("a", lambda: picture(height, width, wanted), prompt)
    assert eye.runs == 1
    assert found.mask.shape == (height, width)
    assert found.score == 1.0, "a predicted IoU above 1 is cut"
    assert close(found.box, wanted, 8), found.box


@pytest.mark.parametrize(
    ("layout", "low", "high"),
    [("sam", -2.1, 2.7), ("inside", 0, 255), ("efficient", 0, 1), ("sam2", -2.1, 2.7)],
)
def test_an_encoder_gets_its_numbers(layout: str, low: float, high: float) -> None:
    alike = Alike(layout)
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[20:, :, 2] = 255
    SegmentAnything(Eye(layout), alike).segment("a", lambda: frame, Prompt(((5.0, 5.0),), (True,)))
    seen = next(v for k, v in alike.asked.items() if k.startswith("image_embed"))
    assert seen.min() == pytest.approx(low, abs=0.05)
    assert seen.max() == pytest.approx(high if layout not in ("sam", "sam2") else (255 - 123.675) / 58.395, abs=0.05)
    assert seen[0, 0].max() == seen.max(), "red comes first"


def test_what_is_told_goes_before_what_is_found() -> None:
    assert "0 to 255, normalized inside" in SegmentAnything(Eye("sam"), Alike("sam"), "inside").notes[0]


def test_points_beside_it_and_boxes_have_their_labels_and_fixed_counts_are_filled() -> None:
    alike = Alike("sam", 6)
    asked = SegmentAnything(Eye("sam"), alike)
    prompt = Prompt(((10.0, 10.0), (50.0, 50.0)), (True, False), (0.0, 0.0, 64.0, 32.0))
    asked.segment("a", lambda: picture(128, 128, (0, 0, 64, 32)), prompt)
    np.testing.assert_array_equal(alike.asked["point_labels"], [[1, 0, 2, 3, -1, -1]])
    np.testing.assert_allclose(alike.asked["point_coords"][0, :4], [[5, 5], [25, 25], [0, 0], [32, 16]])
    with pytest.raises(UsageError, match="more points"):
        asked.segment("a", lambda: picture(128, 128, (0, 0, 64, 32)), Prompt(((1.0, 1.0),) * 7, (True,) * 7))


def test_four_masks_are_one_for_several_points_and_three_for_a_click() -> None:
    class Four(Alike):
        def _run(self, feeds: Arrays) -> Arrays:
            masks = np.full((1, 4, 64, 64), -1, np.float32)
            for i in range(4):
                masks[0, i, : 8 * (i + 1)] = 1
            return {self.outputs[0].name: np.array([[0.9, 0.1, 0.3, 0.2]], np.float32), self.outputs[1].name: masks}

    four = Four("sam")
    four.outputs = (TensorSpec("iou_predictions", "float32", (1, 4)), TensorSpec("masks", "float32", (1, 4, "H", "W")))
    asked = SegmentAnything(Eye("sam"), four)
    black = np.zeros((64, 64, 3), np.uint8)
    click = asked.segment("a", lambda: black, Prompt(((1.0, 1.0),), (True,)))
    box = asked.segment("a", lambda: black, Prompt(box=(0.0, 0.0, 9.0, 9.0)))
    assert (click.box, box.box) == ((0, 0, 64, 24), (0, 0, 64, 8))


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        (Alike("sam"), Alike("sam"), "no encoder"),
        (Eye("sam"), Eye("sam"), "no decoder"),
        (Eye("sam"), Alike("sam2"), "does not give"),
        (Alike("sam"), Eye("sam"), "encoder comes first"),
    ],
)
def test_what_is_no_such_pair_is_refused(encoder: Session, decoder: Session, message: str) -> None:
    with pytest.raises(ArtifactError) as refused:
        SegmentAnything(encoder, decoder)
    assert message in str(refused.value)


def test_two_files_are_opened_and_asked(tmp_path: Path) -> None:
    encoder, decoder = alike_pair(tmp_path)
    said: list[str] = []
    asked = open_segment_anything(encoder, decoder, threads=1, say=said.append)
    for prompt in (Prompt(((90.0, 70.0),), (True,)), Prompt(box=(70.0, 50.0, 130.0, 110.0))):
        found = asked.segment("a", lambda: picture(160, 256, (80, 60, 120, 100)), prompt)
        assert close(found.box, (80, 60, 120, 100), 2)
        assert found.score == pytest.approx(0.5)
    asked.close()
    assert [line.partition(":")[0] for line in said] == ["encoder", "decoder"]
    (tmp_path / "text.onnx").write_text("no")
    with pytest.raises(ArtifactError):
        open_segment_anything(encoder, tmp_path / "text.onnx")
