"""What changed between opsets, operator by operator: ONNX's changelog (docs/Changelog.md of onnx) as rewrites.

Each takes a node of the version before and makes it, or the nodes that replace it, one of the version that it stands
beside in UPGRADES. What only gained types or optional parts is not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgekit.errors import ArtifactError
from edgekit.graph.builder import fresh
from edgekit.graph.foreign.steps.work import Work, array, drop_attributes, shape_of, title
from edgekit.graph.lint.graph import attribute


class Upgrade:
    """The nodes written so far, and what a rewrite needs to write more.

    Attributes:
        nodes: in their order.
        at: the opset whose change is being made.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.nodes: list[onnx.NodeProto] = []
        self.at = 0
        self._types = work.types()
        self._weights = work.weights()
        self._taken = work.names()

    def shape(self, tensor: str) -> tuple[int, ...] | None:
        return shape_of(self._types.get(tensor))

    def value(self, tensor: str) -> NDArray[Any] | None:
        return array(self._weights.get(tensor))

    def constant(self, node: onnx.NodeProto, role: str, values: Any, kind: Any) -> str:
        """The name of a new weight; empty where there are no values, which is an optional input left out."""
        if values is None:
            return ""
        name = fresh(f"{title(node)}.{role}", self._taken)
        tensor = numpy_helper.from_array(np.asarray(values, kind), name)
        self.work.graph.initializer.append(tensor)
        self._weights[name] = tensor
        return name

    def replace(self, node: onnx.NodeProto, *others: onnx.NodeProto) -> None:
        at = next(i for i, one in enumerate(self.nodes) if one is node)
        self.nodes[at : at + 1] = others

    def between(self, node: onnx.NodeProto, role: str) -> str:
        return fresh(f"{title(node)}.{role}", self._taken)

    def refuse(self, node: onnx.NodeProto, got: str) -> ArtifactError:
        return ArtifactError(
            f"{self.work.where} has an operator that opset {self.at} cannot say.",
            got=f"{node.op_type} {title(node)}: {got}",
            expected="an operator that keeps its meaning",
            fix=f"export it again with opset {self.at} or newer",
        )


def _set(node: onnx.NodeProto, **attributes: Any) -> None:
    drop_attributes(node, *attributes)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())


def _inputs(node: onnx.NodeProto, *names: str) -> None:
    wanted = list(names)
    while wanted and not wanted[-1]:
        wanted.pop()
    node.input[:] = wanted


def _operand(node: onnx.NodeProto, i: int) -> str:
    return str(node.input[i]) if i < len(node.input) else ""


def upsample(edit: Upgrade, node: onnx.NodeProto) -> None:
    """Upsample is Resize with asymmetric coordinates, rounded down where it takes the nearest."""
    scales = attribute(node, "scales")
    name = edit.constant(node, "scales", scales, np.float32) if scales is not None else _operand(node, 1)
    mode = attribute(node, "mode", b"nearest")
    node.op_type = "Resize"
    drop_attributes(node, "scales")
    _inputs(node, node.input[0], "", name)
    _set(node, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def resize_asymmetric(edit: Upgrade, node: onnx.NodeProto) -> None:
    """Resize of opset 10 is asymmetric; onnxruntime takes the next place to the right where it makes smaller."""
    if attribute(node, "coordinate_transformation_mode") is not None:
        return  # it was Upsample
    scales = edit.value(_operand(node, 1))
    nearest = attribute(node, "mode", b"nearest") == b"nearest"
    smaller = scales is None or bool(np.any(scales < 1))
    if nearest and smaller and (scales is None or np.any(scales > 1)):
        raise edit.refuse(node, "nearest places along sides of which one grows and one shrinks")
    _inputs(node, node.input[0], "", _operand(node, 1))
    rounding = "ceil" if smaller else "floor"
    _set(node, coordinate_transformation_mode="asymmetric", nearest_mode=rounding)


def resize_optional(edit: Upgrade, node: onnx.NodeProto) -> None:
    """Before 13 what was not meant had to be there, and empty."""
    if attribute(node, "coordinate_transformation_mode", b"") == b"tf_half_pixel_for_nn":
        raise edit.refuse(node, "coordinates tf_half_pixel_for_nn")
    crop = attribute(node, "coordinate_transformation_mode", b"") == b"tf_crop_and_resize"
    names = [_operand(node, i) for i in range(4)]
    for i in (1, 2, 3):
        value = edit.value(names[i])
        if (value is not None and not value.size) or (i == 1 and not crop):
            names[i] = ""
    if names[3]:
        names[2] = ""
    _inputs(node, *names)


def clip(edit: Upgrade, node: onnx.NodeProto) -> None:
    """The limits became inputs."""
    low, high = attribute(node, "min"), attribute(node, "max")
    drop_attributes(node, "min", "max")
    _inputs(
        node, node.input[0], edit.constant(node, "min", low, np.float32), edit.constant(node, "max", high, np.float32)
    )


def pad(edit: Upgrade, node: onnx.NodeProto) -> None:
    """Sizes and value became inputs."""
    pads, value = attribute(node, "pads"), attribute(node, "value", 0.0)
    drop_attributes(node, "pads", "value")
    _inputs(
        node,
        node.input[0],
        edit.constant(node, "pads", pads, np.int64),
        edit.constant(node, "value", value, np.float32),
    )


def slice_(edit: Upgrade, node: onnx.NodeProto) -> None:
    """Starts, ends and axes became inputs."""
    names = [edit.constant(node, role, attribute(node, role), np.int64) for role in ("starts", "ends", "axes")]
    drop_attributes(node, "starts", "ends", "axes")
    _inputs(node, node.input[0], *names)


def topk(edit: Upgrade, node: onnx.NodeProto) -> None:
    """K became an input."""
    k = attribute(node, "k")
    drop_attributes(node, "k")
    _inputs(node, node.input[0], edit.constant(node, "k", [k], np.int64))


def axes_input(edit: Upgrade, node: onnx.NodeProto) -> None:
    """Axes became an input; an empty list and none both mean all."""
    axes = attribute(node, "axes") or None
    if len(node.input) > 1:
        return
    drop_attributes(node, "axes")
    _inputs(node, node.input[0], edit.constant(node, "axes", axes, np.int64))


def split(edit: Upgrade, node: onnx.NodeProto) -> None:
    """The sizes of the parts became an input."""
    sizes = attribute(node, "split")
    drop_attributes(node, "split")
    _inputs(node, node.input[0], edit.constant(node, "split", sizes, np.int64))


def split_count(edit: Upgrade, node: onnx.NodeProto) -> None:
    """How many equal parts must be said since 18, by their sizes as TensorRT knows them for longer."""
    if _operand(node, 1):
        return
    shape = edit.shape(node.input[0])
    parts = len(node.output)
    axis = attribute(node, "axis", 0)
    if shape is None or shape[axis] % parts:
        raise edit.refuse(node, f"{parts} parts of unknown size")
    _inputs(node, node.input[0], edit.constant(node, "split", [shape[axis] // parts] * parts, np.int64))


def softmax(edit: Upgrade, node: onnx.NodeProto) -> None:
    """Before 13 it ran over the axis and all behind it at once, as over one row."""
    shape = edit.shape(node.input[0])
    if shape is None:
        raise edit.refuse(node, "a tensor of unknown shape")
    axis = attribute(node, "axis", 1)
    axis += len(shape) if axis < 0 else 0
    long = [i for i in range(axis, len(shape)) if shape[i] != 1]
    if len(long) <= 1:
        _set(node, axis=long[0] if long else axis)
        return
    flat, done = edit.between(node, "flat"), edit.between(node, "rows")
    back = edit.constant(node, "shape", shape, np.int64)
    edit.replace(
        node,
        helper.make_node("Flatten", [node.input[0]], [flat], name=edit.between(node, "flatten"), axis=axis),
        helper.make_node(node.op_type, [flat], [done], name=node.name, axis=1),
        helper.make_node("Reshape", [done, back], [node.output[0]], name=edit.between(node, "reshape")),
    )


def batch_norm(edit: Upgrade, node: onnx.NodeProto) -> None:
    """At inference it gives one output, and one mean for each channel."""
    if len([name for name in node.output if name]) > 1:
        raise edit.refuse(node, "in training mode")
    if attribute(node, "spatial", 1) == 0:
        raise edit.refuse(node, "one mean for each place (spatial = 0)")
    drop_attributes(node, "spatial")
    del node.output[1:]


def scatter(edit: Upgrade, node: onnx.NodeProto) -> None:
    node.op_type = "ScatterElements"


def roi_align(edit: Upgrade, node: onnx.NodeProto) -> None:
    _set(node, coordinate_transformation_mode="output_half_pixel")


def grid_sample(edit: Upgrade, node: onnx.NodeProto) -> None:
    mode = attribute(node, "mode", b"bilinear").decode()
    _set(node, mode={"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode))


def dft(edit: Upgrade, node: onnx.NodeProto) -> None:
    """The axis became an input, whose default is another one."""
    axis = attribute(node, "axis", 1)
    drop_attributes(node, "axis")
    _inputs(node, node.input[0], _operand(node, 1), edit.constant(node, "axis", axis, np.int64))


Rewrite = Callable[[Upgrade, onnx.NodeProto], None]
_REDUCE = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
           "ReduceLogSumExp", "ReduceSumSquare")  # fmt: skip
# in the order of the opsets: (opset that changed it, (operator, rewrite))
UPGRADES: tuple[tuple[int, tuple[str, Rewrite]], ...] = (
    (9, ("BatchNormalization", batch_norm)),
    (10, ("Slice", slice_)),
    (10, ("TopK", topk)),
    (10, ("Upsample", upsample)),
    (11, ("Clip", clip)),
    (11, ("Pad", pad)),
    (11, ("Resize", resize_asymmetric)),
    (11, ("Scatter", scatter)),
    (13, ("Resize", resize_optional)),
    *((13, (name, axes_input)) for name in ("ReduceSum", "Squeeze", "Unsqueeze")),
    *((13, (name, softmax)) for name in ("Softmax", "LogSoftmax", "Hardmax")),
    (13, ("Split", split)),
    (14, ("BatchNormalization", batch_norm)),
    (16, ("RoiAlign", roi_align)),
    *((18, (name, axes_input)) for name in _REDUCE),
    (18, ("Split", split_count)),
    (20, ("DFT", dft)),
    (20, ("GridSample", grid_sample)),
)
