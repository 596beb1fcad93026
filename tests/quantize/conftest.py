"""Small nets written by hand, in which every rule of placement has a place, and pictures to calibrate them on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from edgekit.data import made_pictures
from edgekit.data.sample import Dataset
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.calibration import Calibration
from edgekit.spec import PreprocessSpec

SMALL = PreprocessSpec(32, 32, resize="stretch", shorter_side=None)

# stem, pool, a block with an identity skip, a block with a convolution as shortcut, head
RESIDUAL = (
    "g (float[N,3,32,32] image) => (float[N,5] logits) {"
    " stem = Conv<pads=[1,1,1,1]>(image, w_stem, b_stem) stem_relu = Relu(stem)"
    " pool = MaxPool<kernel_shape=[2,2], strides=[2,2]>(stem_relu)"
    " a1 = Conv<pads=[1,1,1,1]>(pool, w_a1, b_a1) a1_relu = Relu(a1)"
    " a2 = Conv<pads=[1,1,1,1]>(a1_relu, w_a2, b_a2)"
    " a_add = Add(a2, pool) a_out = Relu(a_add)"
    " short = Conv<strides=[2,2]>(a_out, w_short, b_short)"
    " b1 = Conv<pads=[1,1,1,1], strides=[2,2]>(a_out, w_b1, b_b1) b1_relu = Relu(b1)"
    " b2 = Conv<pads=[1,1,1,1]>(b1_relu, w_b2, b_b2)"
    " b_add = Add(short, b2) b_out = Relu(b_add)"
    " mean = ReduceMean<keepdims=0>(b_out, axes)"
    " logits = Gemm<transB=1>(mean, w_fc, b_fc) }"
)
RESIDUAL_WEIGHTS = {
    "stem": (8, 3, 3, 3),
    "a1": (8, 8, 3, 3),
    "a2": (8, 8, 3, 3),
    "short": (16, 8, 1, 1),
    "b1": (16, 8, 3, 3),
    "b2": (16, 16, 3, 3),
    "fc": (5, 16),
}

# a detector: transposed convolution, nearest enlargement and a lateral, two heads, and a decoding behind them
DETECTOR = (
    "g (float[N,3,32,32] image) => (float[N,4] scores, int32[N,4] index, float[N,2,16,16] size) {"
    " c1 = Conv<pads=[1,1,1,1], strides=[2,2]>(image, w_c1, b_c1) c1_relu = Relu(c1)"
    " c2 = Conv<pads=[1,1,1,1], strides=[2,2]>(c1_relu, w_c2, b_c2) c2_relu = Relu(c2)"
    " up = ConvTranspose<kernel_shape=[2,2], strides=[2,2]>(c2_relu, w_up) up_relu = Relu(up)"
    ' big = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">'
    "(c2_relu, , factors)"
    " lateral = Conv(c1_relu, w_lateral, b_lateral)"
    " merged = Add(big, lateral)"
    " smooth = Conv<pads=[1,1,1,1]>(merged, w_smooth, b_smooth) smooth_relu = Relu(smooth)"
    " both = Add(smooth_relu, up_relu)"
    " heat_1 = Conv<pads=[1,1,1,1]>(both, w_h1, b_h1) heat_relu = Relu(heat_1)"
    " heatmap = Conv(heat_relu, w_h2, b_h2)"
    " size = Conv(smooth_relu, w_size, b_size)"
    " highest = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(heatmap)"
    " is_peak = Equal(heatmap, highest) peaks = Where(is_peak, heatmap, low)"
    " flat = Flatten(peaks) values, places = TopK(flat, k) scores = Sigmoid(values)"
    " index = Cast<to=6>(places) }"
)
DETECTOR_WEIGHTS = {
    "c1": (8, 3, 3, 3),
    "c2": (8, 8, 3, 3),
    "lateral": (8, 8, 1, 1),
    "smooth": (8, 8, 3, 3),
    "h1": (8, 8, 3, 3),
    "h2": (2, 8, 1, 1),
    "size": (2, 8, 1, 1),
}


def net(text: str, weights: dict[str, tuple[int, ...]], **others: np.ndarray) -> onnx.ModelProto:
    rng = np.random.default_rng(7)
    graph = onnx.parser.parse_graph(text)
    for name, shape in weights.items():
        fan = float(np.sqrt(2 / np.prod(shape[1:])))
        arrays = {f"w_{name}": rng.normal(size=shape) * fan, f"b_{name}": rng.normal(size=shape[0]) * 0.2}
        for key, array in arrays.items():
            graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), key))
    for key, array in others.items():
        graph.initializer.append(numpy_helper.from_array(array, key))
    for node in graph.node:
        node.name = node.output[0]
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


@pytest.fixture(scope="session")
def residual() -> onnx.ModelProto:
    return net(RESIDUAL, RESIDUAL_WEIGHTS, axes=np.array([2, 3]))


@pytest.fixture(scope="session")
def detector() -> onnx.ModelProto:
    rng = np.random.default_rng(8)
    return net(
        DETECTOR,
        DETECTOR_WEIGHTS,
        w_up=(rng.normal(size=(8, 8, 2, 2)) * 0.4).astype(np.float32),
        factors=np.array([1, 1, 2, 2], np.float32),
        low=np.array(-1e4, np.float32),
        k=np.array([4]),
    )


@pytest.fixture(scope="session")
def photos() -> Dataset:
    """Stands for pictures from files; made in code, and calibration only refuses the layout that says so."""
    return replace(made_pictures(36, seed=11), layout="pictures")


@pytest.fixture(scope="session")
def calibrated(photos: Dataset) -> Callable[[onnx.ModelProto], Calibration]:
    """Calibrations on the 36 pictures, each graph once."""
    known: dict[int, Calibration] = {}

    def call(model: onnx.ModelProto) -> Calibration:
        if id(model) not in known:
            known[id(model)] = calibrate(model, photos, SMALL)
        return known[id(model)]

    return call
