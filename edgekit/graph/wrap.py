"""Puts a picture's preprocessing in front of an ONNX graph that someone else made: uint8 [N, H, W, 3] BGR comes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekit.errors import ArtifactError
from edgekit.graph.builder import Builder
from edgekit.graph.lint.graph import Graph, attribute
from edgekit.vision.spec import PreprocessSpec, TensorSpec

INPUT = "image"
INNER = "input/normalized"  # what the graph called `image` before
Layout = Literal["nchw", "nhwc"]


def picture_of(inputs: Sequence[TensorSpec]) -> TensorSpec:
    """The only input of a graph. Raises ArtifactError where it has several, or none."""
    if len(inputs) != 1:
        raise ArtifactError(
            "The graph has not exactly one input.",
            got="\n".join(map(str, inputs)) or "none",
            expected="one, a colour picture",
            fix="export it with the other inputs as constants of the module",
        )
    return inputs[0]


def layout_of(image: TensorSpec) -> Layout:
    """How a graph's input holds its pictures: [N, 3, H, W] or [N, H, W, 3].

    Raises:
        ArtifactError: it is neither of them, or holds no numbers that a picture can be turned into.
    """
    shape = image.shape
    if len(shape) == 4 and image.dtype in ("float32", "float16", "float64", "uint8"):
        if shape[1] == 3:
            return "nchw"
        if shape[3] == 3:
            return "nhwc"
    grey = len(shape) == 4 and 1 in (shape[1], shape[3])
    raise ArtifactError(
        "The graph's input is no colour picture.",
        got=str(image) + (", of one channel" if grey else ""),
        expected="float or uint8 [N, 3, H, W] or [N, H, W, 3]",
        fix="export it with three channels" if grey else "export the part of the net that takes the picture",
    )


def wrap_input(model: onnx.ModelProto, spec: PreprocessSpec, input_kind: str = "uint8") -> tuple[str, ...]:
    """Gives `model`, in place, an input `image` that takes pictures as they were resized.

    Channel order and 1 / (255 std) go into the first convolution where it alone reads the picture, which is exact: both
    commute with its zero padding. The mean does not, so it stays one subtraction.

    Args:
        model: of one input, `image`, of a fixed height and width, float32 or uint8, in either layout.
        spec: from a picture to the numbers that this input takes.
        input_kind: `uint8` takes [N, H, W, 3] BGR with the preprocessing in the graph; `float` takes float32
            [N, 3, H, W], normalized.

    Returns:
        What was done, a line each.

    Raises:
        ArtifactError: the input is not such a one, or `spec` asks for numbers that it cannot hold.
    """
    (value,) = model.graph.input
    image = _spec_of(value)
    layout, height, width = layout_of(image), spec.height, spec.width
    size = image.shape[2:] if layout == "nchw" else image.shape[1:3]
    if size != (height, width):
        raise ArtifactError("The graph takes pictures of another size.", got=str(size), expected=f"{(height, width)}")
    batch = image.shape[0]
    raw = not any(spec.mean) and np.allclose(np.asarray(spec.std) * 255, 1, rtol=1e-9, atol=0)
    if image.dtype == "uint8" and not raw:
        raise ArtifactError(
            "The graph takes whole numbers, so nothing can be subtracted or divided before it.",
            got=f"{image}; mean {spec.mean}, std {spec.std}",
            expected="mean 0 and std 1/255: 0 to 255 as they are",
            fix="--preprocess raw",
        )
    if input_kind == "float":
        return _take_floats(model, layout, batch, height, width)
    done = []
    mean, scale, order = _constants(spec)
    if image.dtype != "uint8" and layout == "nchw" and _into_first_convolution(model, scale, order):
        done.append("channel order and scale are in the first convolution")
        scale, order = np.ones(3), [0, 1, 2]
    _rename_input(model)
    b = Builder(model, "input")
    x = b.cast(INPUT, np.float32)
    if mean.any():
        # one number where all channels have it, else a row of pixels: three at a time are subtracted slowly
        row = mean[:1] if len(set(mean.tolist())) == 1 else np.tile(mean, (width, 1))
        x = b.add("Sub", x, b.constant(row.reshape(1, 1, -1, row.shape[-1])))
    if layout == "nchw":
        x = b.add("Transpose", x, perm=[0, 3, 1, 2])
    channels = (1, 3, 1, 1) if layout == "nchw" else (1, 1, 1, 3)
    if not np.allclose(scale, 1, rtol=1e-9, atol=0):
        shape = (1, 1, 1, 1) if len(set(scale.tolist())) == 1 else channels
        x = b.add("Mul", x, b.constant(scale[: np.prod(shape)].reshape(shape)))
    if order != [0, 1, 2]:
        axis = 1 if layout == "nchw" else 3
        x = b.add("Gather", x, b.constant(order, np.int32), axis=axis)
    kind = np.uint8 if image.dtype == "uint8" else np.float32
    b.add("Cast", x, name=INNER, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
    b.finish(front=True)
    _set_input(model, TensorProto.UINT8, [batch, height, width, 3])
    _drop_last_cast(model)
    return tuple(done)


def _constants(spec: PreprocessSpec) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
    """mean and scale in BGR order, of 0..255, and where the net's channels are in BGR: (x - mean) * scale, gathered."""
    order = [2, 1, 0] if spec.color == "rgb" else [0, 1, 2]
    mean = np.asarray(spec.mean, dtype=np.float64)[order] * 255
    return mean, 1 / (np.asarray(spec.std, dtype=np.float64)[order] * 255), order


def _into_first_convolution(model: onnx.ModelProto, scale: NDArray[np.float64], order: list[int]) -> bool:
    """Multiplies the weights of the convolution that alone reads `image`, if there is one; `scale` is in BGR order."""
    graph = Graph(model)
    readers = graph.consumers(INPUT)
    if len(readers) != 1 or graph.is_output(INPUT) or readers[0].op_type != "Conv":
        return False
    conv = readers[0]
    weight = graph.constant(conv.input[1])
    plain = weight is not None and weight.ndim == 4 and weight.shape[1] == 3 and attribute(conv, "group", 1) == 1
    if not plain or weight is None or (np.allclose(scale, 1, rtol=1e-9, atol=0) and order == [0, 1, 2]):
        return False
    # channel c of the net is channel order[c] of BGR, and order is its own inverse
    scaled = weight.astype(np.float64)[:, order] * scale.reshape(1, 3, 1, 1)
    name = f"{conv.input[1]}/of_pictures"
    model.graph.initializer.append(numpy_helper.from_array(scaled.astype(np.float32), name))
    inner = next(node for node in model.graph.node if node.output[0] == conv.output[0])
    old = inner.input[1]
    inner.input[1] = name
    if not any(old in node.input for node in model.graph.node):
        kept = [tensor for tensor in model.graph.initializer if tensor.name != old]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
    return True


def _take_floats(model: onnx.ModelProto, layout: Layout, batch: int | str, height: int, width: int) -> tuple[str, ...]:
    _rename_input(model)
    b = Builder(model, "input")
    value = next(v for v in model.graph.input)
    kind = value.type.tensor_type.elem_type
    x = INPUT if kind == TensorProto.FLOAT else b.add("Cast", INPUT, to=kind)
    b.add("Transpose" if layout == "nhwc" else "Identity", x, name=INNER, **_permutation(layout))
    b.finish(front=True)
    _set_input(model, TensorProto.FLOAT, [batch, 3, height, width])
    return ()


def _permutation(layout: Layout) -> dict[str, list[int]]:
    return {"perm": [0, 2, 3, 1]} if layout == "nhwc" else {}


def _rename_input(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == INPUT:
                node.input[i] = INNER
    for output in model.graph.output:
        if output.name == INPUT:
            raise ArtifactError("The graph gives its own input back.", got=INPUT, expected="outputs that are computed")


def _set_input(model: onnx.ModelProto, kind: int, shape: list[int | str]) -> None:
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(INPUT, kind, shape))
    kept = [value for value in model.graph.value_info if value.name not in (INPUT, INNER)]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def _drop_last_cast(model: onnx.ModelProto) -> None:
    """Takes the cast from float32 to float32 away that only gave the last tensor its name."""
    front = [node for node in model.graph.node if node.name.startswith("input/")]
    last = front[-1]
    maker = next((node for node in front if last.input[0] in node.output), None)
    if attribute(last, "to", 0) != TensorProto.FLOAT or maker is None:
        return
    maker.output[0] = INNER
    model.graph.node.remove(last)


def _spec_of(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "N" for d in tensor.shape.dim)
    return TensorSpec(value.name, np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name, shape)
