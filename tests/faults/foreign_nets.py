"""Small nets as others export them, made of ONNX nodes alone: opset 11, a batch of 1, BatchNormalization unfused.

The trunk has what graphs get wrong on the way to a newer opset or another layout: a Softmax without an axis, which was
over all but the batch until opset 12, and a Resize by half pixels. Weights are random; box sizes are such that many
boxes overlap, some of them larger than the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgekit.backends.onnxruntime_ import run_once
from edgekit.pipeline.adopting.own_pictures import prepared
from edgekit.pipeline.adopting.styles import of_style

SIDE, CLASSES = 64, 3
STRIDES = (8, 16, 32)


def frames(count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Pictures of 90 x 70 and 70 x 90: coloured noise that is a few pixels wide."""
    rng = np.random.default_rng(seed)
    sides = [(14, 18), (18, 14)]
    small = [rng.integers(0, 256, (*sides[i % 2], 3), dtype=np.uint8) for i in range(count)]
    return [frame.repeat(5, axis=0).repeat(5, axis=1) for frame in small]


class Net:
    """Nodes one after the other; each method gives the name of what it computes."""

    def __init__(self, seed: int, style: str) -> None:
        self.rng = np.random.default_rng(seed)
        spec = of_style(style, "detection", (SIDE, SIDE))
        self.pictures = np.stack([prepared(frame, spec) for frame in frames(4, seed=9)])
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def const(self, values: NDArray[np.float32] | NDArray[np.int64]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def normal(self, *shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return np.asarray(self.rng.normal(0, scale, shape), np.float32)

    def conv(self, x: str, c_in: int, c_out: int, side: int = 3, stride: int = 1) -> str:
        """What comes out varies little, so that an eps of the norm behind it counts."""
        scale = (0.002 if x == "images" and self.pictures.max() > 2 else 0.1) / np.sqrt(c_in * side * side)
        weight = self.const(self.normal(c_out, c_in, side, side, scale=float(scale)))
        pads = [side // 2] * 4
        return self.op(
            "Conv", x, weight, self.const(self.normal(c_out, scale=0.1)), kernel_shape=[side] * 2,
            strides=[stride] * 2, pads=pads,
        )  # fmt: skip

    def norm(self, x: str, channels: int, eps: float = 1e-3) -> str:
        """With the statistics of `x` on the pictures, as training leaves them: what comes out is about 0 +- 1."""
        values = self._run(x)
        mean, variance = (self.const(v.astype(np.float32)) for v in (values.mean((0, 2, 3)), values.var((0, 2, 3))))
        gain, shift = self.const(np.ones(channels, np.float32)), self.const(np.zeros(channels, np.float32))
        return self.op("BatchNormalization", x, gain, shift, mean, variance, epsilon=eps)

    def _run(self, name: str) -> NDArray[np.float32]:
        given = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["N", 3, SIDE, SIDE])
        told = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "part", [given], [told], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
        return np.asarray(run_once(model.SerializeToString(), {"images": self.pictures})[name])

    def block(self, x: str, c_in: int, c_out: int) -> str:
        """Halves the sides."""
        return self.op("Relu", self.norm(self.conv(x, c_in, c_out, stride=2), c_out))

    def trunk(self) -> tuple[str, str, str]:
        """Features of 16 channels at strides 8, 16 and 32."""
        eight = self.block(self.block(self.block("images", 3, 8), 8, 16), 16, 16)
        sixteen = self.block(eight, 16, 16)
        last = self.block(sixteen, 16, 16)
        share = self.op("Softmax", self.op("GlobalAveragePool", sixteen))
        sixteen = self.op("Mul", sixteen, self.op("Mul", share, self.const(np.asarray([16.0], np.float32))))
        scales = self.const(np.asarray([1, 1, 2, 2], np.float32))
        larger = self.op(
            "Resize", sixteen, self.const(np.zeros(0, np.float32)), scales, mode="linear",
            coordinate_transformation_mode="half_pixel",
        )  # fmt: skip
        return self.op("Add", eight, larger), sixteen, last

    def head(self, x: str, channels: int) -> str:
        return self.norm(self.conv(x, 16, channels, 1), channels)

    def model(self, outputs: dict[str, Sequence[int]], out: Path) -> Path:
        given = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, SIDE, SIDE])
        told = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, list(s)) for n, s in outputs.items()]
        graph = helper.make_graph(self.nodes, "net", [given], told, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, out)
        return out


def yolox_like(out: Path) -> Path:
    """[1, 84, 5 + 3] as YOLOX gives it, of BGR pictures from 0 to 255."""
    net, columns = Net(3, "yolox"), 5 + CLASSES
    levels = [net.op("Reshape", net.head(x, columns), net.const(np.array([0, columns, -1]))) for x in net.trunk()]
    rows = net.op("Transpose", net.op("Concat", *levels, axis=2), perm=[0, 2, 1])
    # sizes are two cells, and eleven of stride 32
    shift = np.tile(np.asarray([0.5, 0.5, 0.8, 0.8, 0.5, *[0.0] * CLASSES], np.float32), (84, 1))
    shift[80:, 2:4] = 2.4
    gain = net.const(np.asarray([0.5, 0.5, 0.4, 0.4, 1.5, *[2.0] * CLASSES], np.float32))
    rows = net.op("Add", net.op("Mul", rows, gain), net.const(shift))
    box = net.op("Slice", rows, *(net.const(np.array([v])) for v in (0, 4, 2)))
    sure = net.op("Sigmoid", net.op("Slice", rows, *(net.const(np.array([v])) for v in (4, columns, 2))))
    net.nodes.append(helper.make_node("Concat", [box, sure], ["output"], axis=2, name="put"))
    return net.model({"output": (1, 84, columns)}, out)


def yolov5_like(out: Path) -> Path:
    """Three outputs [1, 3 (5 + 3), H, W] as YOLOv5's convolutions give them, of RGB pictures from 0 to 1."""
    net, channels = Net(5, "ultralytics"), 3 * (5 + CLASSES)
    sides: dict[str, Sequence[int]] = {}
    for stride, x in zip(STRIDES, net.trunk(), strict=True):
        name = f"level{stride}"
        net.nodes.append(helper.make_node("Identity", [net.head(x, channels)], [name], name=f"put{stride}"))
        sides[name] = (1, channels, SIDE // stride, SIDE // stride)
    return net.model(sides, out)
