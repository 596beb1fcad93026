"""A segmentation net made by hand: every pixel gets the class whose colour is nearest, on averages of 4 x 4 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import embed
from edgekit.backends import open_session
from edgekit.data import Dataset, Sample
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec, PreprocessSpec

COLOURS = {"sky": (230, 160, 90), "road": (70, 70, 80), "tree": (40, 120, 30), "car": (40, 40, 200)}  # BGR
CLASSES = tuple(COLOURS)
SIZE = (48, 64)  # height, width


def spec_of(size: tuple[int, int] = SIZE, classes: tuple[str, ...] = CLASSES) -> ModelSpec:
    pre = PreprocessSpec(*size, resize="stretch", shorter_side=None, interpolation="nearest", antialias=False)
    return ModelSpec("onnx", classes, pre, task="segmentation")


def painter(
    size: tuple[int, int] = SIZE,
    *,
    order: tuple[str, ...] = CLASSES,
    resize: str = "half_pixel",
    axis: int = 1,
    softmax: bool = True,
    sharpness: float = 0.02,
    weights: NDArray[np.float32] | None = None,
    shuffled: bool = False,
) -> onnx.ModelProto:
    """image uint8 [N, H, W, 3] -> mask int32 [N, H, W], score float32 [N, H, W].

    Args:
        order: which colour each output channel knows; a colour more than there are classes is a net with a void class.
        resize: how the 4 x 4 averages grow again: `half_pixel` is right, `asymmetric` and `align_corners` are not.
        axis: that ArgMax looks along.
        softmax: without it the score is a logit.
        weights: instead of the colours', float32 [C, 3].
        shuffled: every picture of a batch gets its neighbour's answer.
    """
    colours = np.array([COLOURS.get(name, (128, 128, 128)) for name in order], np.float32)
    kernel = (2 * sharpness * colours if weights is None else weights) / 8
    bias = -sharpness * (colours**2).sum(axis=1) / 8
    c, (h, w) = len(order), size
    nodes = [
        helper.make_node("Cast", ["image"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["bytes"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["x"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["small", "kernel", "bias"], ["near"]),
        helper.make_node(
            "Resize", ["near", "", "scales"], ["grown"], mode="linear", coordinate_transformation_mode=resize
        ),
        *([helper.make_node("Gather", ["grown", "turned"], ["logits"], axis=0)] if shuffled else []),
    ]
    logits = "logits" if shuffled else "grown"
    nodes += [
        helper.make_node("Softmax" if softmax else "Identity", [logits], ["p"], **({"axis": 1} if softmax else {})),
        helper.make_node("ReduceMax", ["p", "one"], ["score"], keepdims=0),
        helper.make_node("ArgMax", [logits], ["index"], axis=axis, keepdims=0),
        helper.make_node("Cast", ["index"], ["mask"], to=TensorProto.INT32),
    ]
    stored = {
        "kernel": kernel.reshape(c, 3, 1, 1).astype(np.float32),
        "bias": bias.astype(np.float32),
        "scales": np.array([1, 1, 4, 4], np.float32),
        "one": np.array([1], np.int64),
        "turned": np.array([1, 0], np.int64),
    }
    shape = {1: (h, w), 2: (c, w), 3: (c, h)}[axis]
    graph = helper.make_graph(
        nodes,
        "painter",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", h, w, 3])],
        [
            helper.make_tensor_value_info("mask", TensorProto.INT32, ["N", *shape]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", h, w]),
        ],
        [numpy_helper.from_array(value, name) for name, value in stored.items() if shuffled or name != "turned"],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def sealed(path: Path, model: onnx.ModelProto, spec: ModelSpec | None = None, precision: str = "fp32") -> Path:
    """The net as a file that edgekit takes for one of its own."""
    verified = {"passed": True}
    spec = spec or spec_of()
    embed(model, Metadata(spec, Lineage("0" * 64, "0" * 64), "uint8", precision, "x86-cpu", verification=verified))
    path.write_bytes(model.SerializeToString())
    return path


def opened(model: onnx.ModelProto, spec: ModelSpec | None = None, name: str = "painter") -> Predictor:
    return Predictor(open_session(model.SerializeToString()), spec or spec_of(), name=name)


def scene(seed: int, size: tuple[int, int] = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """A picture, uint8 [h, w, 3] BGR with a little noise, and its mask: sky above a road, trees, cars."""
    rng = np.random.default_rng(seed)
    h, w = size
    mask = np.zeros((h, w), np.int16)
    mask[h // 2 + int(rng.integers(-h // 6, h // 6)) :] = 1
    y, x = np.mgrid[:h, :w]
    for label, count, reach in ((2, 3, h // 5), (3, 2, h // 7)):
        for _ in range(count):
            cy, cx, r = rng.integers(h), rng.integers(w), rng.integers(reach // 2, reach + 1)
            mask[(y - cy) ** 2 + (x - cx) ** 2 <= r**2] = label
    colours = np.array(list(COLOURS.values()), np.int64)[mask]
    return np.clip(colours + rng.integers(-6, 7, (h, w, 3)), 0, 255).astype(np.uint8), mask


def scenes(count: int, size: tuple[int, int] = SIZE) -> Dataset:
    made = [scene(seed, size) for seed in range(count)]
    samples = (Sample(None, frame, None, f"{i}", mask=mask) for i, (frame, mask) in enumerate(made))
    return Dataset(tuple(samples), CLASSES, "made")
