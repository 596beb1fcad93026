"""A pair of ONNX files in the Segment Anything layout, without weights: its mask is what looks like the place asked.

The embedding is the picture. A click's colour is that of its pixel; of a box it is that of the box's middle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

SIDE = 128  # pixels of the encoder's input, each way
_HEAD = '<ir_version: 10, opset_import: ["" : 20]>'
_PICTURE = f"float[1,3,{SIDE},{SIDE}]"


def alike_pair(folder: Path) -> tuple[Path, Path]:
    """encoder.onnx and decoder.onnx, written there."""
    encoder = onnx.parser.parse_model(
        f"{_HEAD} g ({_PICTURE} image) => ({_PICTURE} image_embeddings) {{ image_embeddings = Identity(image) }}"
    )
    decoder = onnx.parser.parse_model(
        f"{_HEAD} g ({_PICTURE} image_embeddings, float[1,N,2] point_coords, float[1,N] point_labels)"
        f" => (float[1,1,{SIDE},{SIDE}] masks, float[1,1] iou_predictions)"
        "{ on = GreaterOrEqual(point_labels, one) told = Cast<to = 1>(on) column = Unsqueeze(told, last)"
        " held = Mul(point_coords, column) sum = ReduceSum<keepdims = 1>(held, points)"
        " count = ReduceSum<keepdims = 1>(column, points) place = Div(sum, count)"
        " gap = Sub(pixels, place) square = Mul(gap, gap) far = ReduceSum<keepdims = 0>(square, last)"
        " closer = Neg(far) weight = Softmax(closer)"
        " flat = Reshape(image_embeddings, rows) seen = Mul(flat, weight) colour = ReduceSum<keepdims = 1>(seen, last)"
        " other = Sub(flat, colour) size = Abs(other) most = ReduceMax<keepdims = 0>(size, channels)"
        " alike = Sub(near, most) masks = Reshape(alike, shape)"
        " mean = ReduceMean<keepdims = 1>(weight) none = Sub(mean, mean) iou_predictions = Add(none, half) }"
    )
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for name, value in {
        "pixels": np.stack([x, y], -1).reshape(1, -1, 2).astype(np.float32),
        "one": np.array(1, np.float32),
        "near": np.array(0.3, np.float32),
        "half": np.array([[0.5]], np.float32),
        "last": np.array([2]),
        "points": np.array([1]),
        "channels": np.array([1]),
        "rows": np.array([1, 3, SIDE * SIDE]),
        "shape": np.array([1, 1, SIDE, SIDE]),
    }.items():
        decoder.graph.initializer.append(numpy_helper.from_array(value, name))
    paths = folder / "encoder.onnx", folder / "decoder.onnx"
    for model, path in zip((encoder, decoder), paths, strict=True):
        onnx.save(model, path)
    return paths
