"""A mask network sees the crop around a box, and its mask comes back to its place in the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgekit
from edgekit.backends.base import Arrays, Session
from edgekit.errors import ArtifactError, UsageError
from edgekit.labels.proposals.base import Prompt
from edgekit.labels.proposals.mask_net import MaskNet, open_mask_net
from edgekit.spec import TensorSpec
from edgekit.vision.image import Frame


class Red(Session):
    """What is red, as logits or shares."""

    backend = "red"

    def __init__(self, logits: bool = True, shape: tuple[int | str, ...] = ("N", 3, 64, 64)) -> None:
        self.inputs = (TensorSpec("input", "float32", shape),)
        self.outputs = tuple(TensorSpec(f"d{i}", "float32", ("N", 1, "h", "w")) for i in range(2))
        self.logits = logits

    def _run(self, feeds: Arrays) -> Arrays:
        (image,) = feeds.values()
        self.seen = image
        red = image[:, :1] > 1.5
        return {"d0": np.where(red, 4, -4).astype(np.float32) if self.logits else red * np.float32(0.9), "d1": image}


def picture() -> Frame:
    frame = np.full((120, 200, 3), 20, np.uint8)
    frame[40:70, 60:90] = frame[90:120, 0:30] = (10, 10, 250)
    return frame


@pytest.mark.parametrize("session", [Red(), Red(False), Red(shape=("N", 3, "h", "w"))])
def test_a_loose_box_becomes_the_thing_in_it(session: Red) -> None:
    asked = MaskNet(session)
    found = asked.segment("a", picture, Prompt(box=(50.0, 30.0, 100.0, 85.0)))
    assert found.box is not None
    assert np.abs(np.subtract(found.box, (60, 40, 90, 70))).max() <= 2
    assert found.mask.shape == (120, 200)
    assert not found.mask[90:].any(), "what lies outside the box and its margin is not looked at"
    assert found.score > 0.85


def test_nothing_in_the_box_is_an_empty_mask() -> None:
    found = MaskNet(Red()).segment("a", picture, Prompt(box=(120.0, 5.0, 150.0, 30.0)))
    assert (found.box, found.score) == (None, 0.0)


def test_its_numbers_are_normalized_as_told() -> None:
    red = Red()
    MaskNet(red, (0.5, 0.5, 0.5), (1, 1, 1)).segment("a", picture, Prompt(box=(62.0, 42.0, 80.0, 60.0)))
    assert red.seen[0, 0].max() == pytest.approx(250 / 255 - 0.5, abs=1e-5)


def test_it_is_asked_by_a_box_in_the_picture() -> None:
    with pytest.raises(UsageError, match="asked by a box"):
        MaskNet(Red()).segment("a", picture, Prompt(((5.0, 5.0),), (True,)))
    with pytest.raises(UsageError, match="outside"):
        MaskNet(Red()).segment("a", picture, Prompt(box=(300.0, 300.0, 400.0, 400.0)))


@pytest.mark.parametrize(("shape", "classes"), [((1, 64, 64, 3), 1), ((1, 3, 64, 64), 21)])
def test_another_layout_is_refused(shape: tuple[int, ...], classes: int) -> None:
    session = Red(shape=shape)
    session.outputs = (TensorSpec("out", "float32", (1, classes, 64, 64)),)
    with pytest.raises(ArtifactError, match="no mask network"):
        MaskNet(session)


def test_a_file_is_opened_and_asked_on_the_page(tmp_path: Path) -> None:
    red = numpy_helper.from_array(np.array([4, 0, 0], np.float32).reshape(1, 3, 1, 1), "w")
    bias = numpy_helper.from_array(np.array([-6], np.float32), "b")
    node = helper.make_node("Conv", ["image", "w", "b"], ["mask"])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ("n", 3, 64, 64))
    mask = helper.make_tensor_value_info("mask", TensorProto.FLOAT, ("n", 1, 64, 64))
    graph = helper.make_graph([node], "red", [image], [mask], [red, bias])
    file = tmp_path / "red.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    net = open_mask_net(file)
    assert not net.clicks
    found = net.segment("a", picture, Prompt(box=(50.0, 30.0, 100.0, 85.0)))
    assert found.box is not None
    assert np.abs(np.subtract(found.box, (60, 40, 90, 70))).max() <= 2
    net.close()
    with pytest.raises(UsageError, match="One network"):
        edgekit.label(tmp_path, mask=file, sam=(file, file))
