"""Small nets as other people's exporters write them: opset 11, batch 1 written into reshapes, BatchNorm left in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 64


def constant(name: str, values: object, kind: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=kind), name)


def saved(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: list[TensorProto],
    outputs: dict[str, list[int]],
    *,
    opset: int = 11,
    props: dict[str, str] | None = None,
) -> Path:
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    graph = helper.make_graph(nodes, "theirs", [image], made, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)
    helper.set_model_props(model, props or {})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def detector(path: Path, classes: int = 2, props: dict[str, str] | None = None, seed: int = 0) -> Path:
    """YOLOv8's outputs: [1, 4 + classes, 84], cx cy w h in pixels and a score a class, of strides 8, 16 and 32."""
    rng = np.random.default_rng(seed)
    nodes, weights, parts = [], [], []
    channels = 4 + classes
    for stride in (8, 16, 32):
        cells = (SIDE // stride) ** 2
        weights += [
            constant(f"w{stride}", rng.normal(size=(channels, 3, stride, stride)) * 2 / stride),
            *(constant(f"{k}{stride}", v) for k, v in (
                ("scale", rng.uniform(0.5, 1.5, channels)), ("shift", rng.normal(size=channels)),
                ("mean", rng.normal(size=channels) / 4), ("var", rng.uniform(0.2, 2, channels)),
            )),
            constant(f"shape{stride}", [1, channels, cells], np.int64),
        ]  # fmt: skip
        nodes += [
            helper.make_node("Conv", ["images", f"w{stride}"], [f"c{stride}"], f"conv{stride}", strides=[stride] * 2),
            helper.make_node(
                "BatchNormalization", [f"{k}{stride}" for k in ("c", "scale", "shift", "mean", "var")],
                [f"n{stride}"], f"norm{stride}", epsilon=1e-3,
            ),
            helper.make_node("Reshape", [f"n{stride}", f"shape{stride}"], [f"r{stride}"], f"flat{stride}"),
        ]  # fmt: skip
        parts.append(f"r{stride}")
    sizes = np.concatenate([np.full(4, SIDE), np.ones(classes)]).reshape(1, -1, 1)
    weights.append(constant("sizes", sizes))
    nodes += [
        helper.make_node("Concat", parts, ["all"], "concat", axis=2),
        helper.make_node("Sigmoid", ["all"], ["shares"], "sigmoid"),
        helper.make_node("Mul", ["shares", "sizes"], ["output0"], "scale"),
    ]
    return saved(path, nodes, weights, {"output0": [1, channels, 84]}, props=props)


def classifier(path: Path, classes: int = 5, softmax: bool = False, seed: int = 0) -> Path:
    """A convolution with BatchNorm, a mean over places, a linear layer, and, if asked for, a softmax."""
    rng = np.random.default_rng(seed)
    weights = [
        constant("w", rng.normal(size=(8, 3, 8, 8)) / 4),
        *(constant(k, v) for k, v in (
            ("scale", rng.uniform(0.5, 1.5, 8)), ("shift", rng.normal(size=8)),
            ("mean", rng.normal(size=8) / 4), ("var", rng.uniform(0.2, 2, 8)),
        )),
        constant("head", rng.normal(size=(8, classes))),
    ]  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["c"], "conv", strides=[4, 4], pads=[2, 2, 2, 2]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"], "norm"),
        helper.make_node("Relu", ["n"], ["a"], "act"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat", axis=1),
        helper.make_node("MatMul", ["f", "head"], ["y"], "fc"),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["y"], ["prob"], "softmax", axis=1))
    return saved(path, nodes, weights, {"prob" if softmax else "y": [1, classes]})
