"""BatchNormalization becomes part of the layer before it, or of the one behind it, in float64 arithmetic.

At inference it is x * s + t for each channel, with s = scale / sqrt(var + epsilon) and t = bias - mean * s (Ioffe and
Szegedy 2015, algorithm 2). A layer before it takes s and t into its weights and bias. A convolution behind it can take
them only where it pads with nothing: zeros around t would be another border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekit.graph.builder import fresh
from edgekit.graph.foreign.run import difference, run
from edgekit.graph.foreign.steps.work import FoldedNorm, Work, array, drop_attributes, title
from edgekit.graph.lint.graph import attribute
from edgekit.graph.passes.expose import with_outputs
from edgekit.screen import count_of, some

Float64 = NDArray[np.float64]
BEFORE = ("Conv", "ConvTranspose", "Gemm", "MatMul")
BEHIND = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class _Folding:
    """`layer` does the work of `norm` now, and `tensor` is where both can be compared."""

    norm: str
    layer: str
    tensor: str


def norms(work: Work) -> None:
    """Folds every BatchNormalization that can be folded exactly, and measures each; in place.

    Those that stay are recorded with the reason.
    """
    found = [node for node in work.graph.node if node.op_type == "BatchNormalization"]
    if not found:
        return
    before = onnx.ModelProto()
    before.CopyFrom(work.model)
    done: list[_Folding] = []
    for name in [node.output[0] for node in found]:
        node = work.producers()[name]
        outcome = _fold(work, node)
        if isinstance(outcome, _Folding):
            done.append(outcome)
        else:
            work.folded.append(FoldedNorm(title(node), "", float("nan"), float("nan"), outcome))
    if done:
        _drop_unread(work)
        work.folded += _measured(work, before, done)
        work.tell(f"{len(done)} BatchNormalizations were folded into their layers")
    if len(done) < len(found):
        left = [norm for norm in work.folded if not norm.into]
        names = some([f"{norm.name} ({norm.reason})" for norm in left], 3)
        work.tell(f"{len(left)} BatchNormalizations stay: {names}")


def _fold(work: Work, node: onnx.NodeProto) -> _Folding | str:
    """Folds one, or says why not."""
    affine = _affine(work, node)
    if isinstance(affine, str):
        return affine
    scale, shift = affine
    before = _into_before(work, node, scale, shift)
    if isinstance(before, _Folding):
        return before
    behind = _into_behind(work, node, scale, shift)
    return behind if isinstance(behind, _Folding) else f"{before}; {behind}"


def _affine(work: Work, node: onnx.NodeProto) -> tuple[Float64, Float64] | str:
    """s and t of each channel."""
    weights = work.weights()
    values = [array(weights.get(name)) for name in node.input[1:5]]
    if len(values) != 4 or any(value is None for value in values):
        return "its numbers are no constants"
    scale, bias, mean, var = (np.asarray(value, np.float64) for value in values)
    spread = var + float(attribute(node, "epsilon", np.float32(1e-5)))
    if not scale.shape == bias.shape == mean.shape == var.shape or scale.ndim != 1:
        return "its numbers are not one for each channel"
    if not np.all(spread > 0):
        return "a variance below zero"
    factor = scale / np.sqrt(spread)
    return factor, bias - mean * factor


def _into_before(work: Work, node: onnx.NodeProto, scale: Float64, shift: Float64) -> _Folding | str:
    source = node.input[0]
    layer = work.producers().get(source)
    if layer is None or layer.op_type not in BEFORE:
        return f"{'nothing' if layer is None else layer.op_type} before it has weights"
    if len(work.readers().get(source, [])) != 1 or source in work.outputs():
        return f"{title(layer)} before it is read by others too"
    if layer.op_type == "MatMul" and len(work.types()[source].tensor_type.shape.dim) != 2:
        return f"{title(layer)} before it gives more than rows"
    got = _weights(work, layer)
    if isinstance(got, str):
        return got
    weight, bias = got
    axis = _out_axis(layer, weight)
    groups = int(attribute(layer, "group", 1))
    channels = weight.shape[axis] * (groups if layer.op_type == "ConvTranspose" else 1)
    if channels != len(scale):
        return f"{title(layer)} before it gives {count_of(channels, 'channel')} and it takes {len(scale)}"
    if layer.op_type == "ConvTranspose" and groups > 1:  # [in, out / groups, ..]: the group is part of `in`
        parts = scale.reshape(groups, 1, weight.shape[1], *[1] * (weight.ndim - 2))
        scaled = (weight.reshape(groups, -1, *weight.shape[1:]) * parts).reshape(weight.shape)
    else:
        scaled = weight * scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    beta = float(attribute(layer, "beta", 1.0))
    old_bias = np.zeros(channels) if bias is None else np.broadcast_to(bias.reshape(-1), (channels,)) * beta
    if not _set(work, layer, scaled, old_bias * scale + shift):
        return "float32 does not hold the folded numbers"
    return _takes_over(work, layer, node)


def _into_behind(work: Work, node: onnx.NodeProto, scale: Float64, shift: Float64) -> _Folding | str:
    target = node.output[0]
    readers = work.readers().get(target, [])
    if len(readers) != 1 or target in work.outputs():
        return "several read it"
    layer = readers[0]
    if layer.op_type not in BEHIND or layer.input[0] != target or target in layer.input[1:]:
        return f"{layer.op_type} behind it has no weights"
    if layer.op_type == "Conv" and np.any(shift != 0) and not _unpadded(layer):
        return f"{title(layer)} behind it pads"
    got = _weights(work, layer)
    if isinstance(got, str):
        return got
    weight, bias = got
    groups = int(attribute(layer, "group", 1))
    alpha, beta = float(attribute(layer, "alpha", 1.0)), float(attribute(layer, "beta", 1.0))
    if layer.op_type == "Conv":  # [out, in / groups, ..]
        if weight.shape[1] * groups != len(scale):
            return "another number of channels"
        each = weight.shape[0] // groups
        parts = np.repeat(scale.reshape(groups, -1), each, axis=0).reshape(*weight.shape[:2], *[1] * (weight.ndim - 2))
        added = np.repeat(shift.reshape(groups, -1), each, axis=0).reshape(parts.shape)
        scaled, more = weight * parts, (weight * added).sum(axis=tuple(range(1, weight.ndim)))
    else:
        turned = weight.T if layer.op_type == "Gemm" and attribute(layer, "transB", 0) else weight  # [in, out]
        if attribute(layer, "transA", 0) or turned.ndim != 2 or len(turned) != len(scale):
            return "another number of channels"
        folded = turned * scale[:, None]
        scaled, more = (folded.T if turned is not weight else folded), alpha * (shift @ turned)
    old = np.zeros(len(more)) if bias is None else np.broadcast_to(bias.reshape(-1), more.shape) * beta
    if layer.op_type == "MatMul" and len(work.types()[layer.input[0]].tensor_type.shape.dim) != 2:
        return "a MatMul of more than two dimensions behind it has no bias"
    if not _set(work, layer, scaled, old + more):
        return "float32 does not hold the folded numbers"
    name = title(node)
    layer.input[0] = node.input[0]
    tensor, into = layer.output[0], title(layer)
    work.graph.node.remove(node)
    return _Folding(name, into, tensor)


def _unpadded(layer: onnx.NodeProto) -> bool:
    auto = attribute(layer, "auto_pad", b"NOTSET")
    return auto == b"VALID" or (auto == b"NOTSET" and not any(attribute(layer, "pads", [])))


def _weights(work: Work, layer: onnx.NodeProto) -> tuple[Float64, Float64 | None] | str:
    """Weight and bias in float64."""
    weights = work.weights()
    weight = array(weights.get(layer.input[1]))
    if weight is None or weight.dtype != np.float32:
        return f"the weights of {title(layer)} are no constants"
    if len(layer.input) < 3 or not layer.input[2]:
        bias = None
    else:
        bias = array(weights.get(layer.input[2]))
        if bias is None or (bias.size != 1 and bias.size != bias.shape[-1]):
            return f"the bias of {title(layer)} is not one for each channel"
    if layer.op_type == "MatMul" and weight.ndim != 2:
        return f"{title(layer)} multiplies more than rows"
    return weight.astype(np.float64), None if bias is None else bias.astype(np.float64)


def _out_axis(layer: onnx.NodeProto, weight: Float64) -> int:
    if layer.op_type == "Conv":
        return 0
    if layer.op_type == "Gemm" and attribute(layer, "transB", 0):
        return 0
    return 1 if layer.op_type != "MatMul" else weight.ndim - 1


def _set(work: Work, layer: onnx.NodeProto, weight: Float64, bias: Float64) -> bool:
    """Gives a layer weights of its own, rounded once; False where float32 cannot hold them."""
    with np.errstate(over="ignore"):
        numbers = [np.ascontiguousarray(value.astype(np.float32)) for value in (weight, bias)]
    if not all(np.isfinite(value).all() for value in numbers):
        return False
    taken = work.names()
    names = [fresh(f"{title(layer)}.{role}", taken) for role in ("weight", "bias")]
    for name, value in zip(names, numbers, strict=True):
        work.graph.initializer.append(numpy_helper.from_array(value, name))
    layer.input[:] = [layer.input[0], *names]
    if layer.op_type == "MatMul":  # of rows; a Gemm is one with a bias
        layer.op_type = "Gemm"
    elif layer.op_type == "Gemm":
        drop_attributes(layer, "beta")
    return True


def _takes_over(work: Work, layer: onnx.NodeProto, node: onnx.NodeProto) -> _Folding:
    name, into = title(node), title(layer)
    layer.output[0] = node.output[0]
    work.graph.node.remove(node)
    return _Folding(name, into, layer.output[0])


def _drop_unread(work: Work) -> None:
    read = {name for node in work.graph.node for name in node.input}
    for tensor in [t for t in work.graph.initializer if t.name not in read]:
        work.graph.initializer.remove(tensor)


def _measured(work: Work, before: onnx.ModelProto, done: list[_Folding]) -> list[FoldedNorm]:
    """What comes out behind each, before and after, on a random picture."""
    feed = {work.image: random_picture(work.model)}
    names = list(dict.fromkeys(folding.tensor for folding in done))
    seen = [run(with_outputs(model, names), feed, names) for model in (before, work.model)]
    found = []
    for folding in done:
        d, scale = difference(seen[1][folding.tensor], seen[0][folding.tensor])
        found.append(FoldedNorm(folding.norm, folding.layer, d, scale))
    return found


def random_picture(model: onnx.ModelProto, batch: int = 1, seed: int = 0) -> NDArray[Any]:
    """Numbers for the one input: as many rows as `batch`, around 0 as most nets are fed, or 0..255 for bytes."""
    kind = model.graph.input[0].type.tensor_type
    shape = (batch, *(int(d.dim_value) for d in kind.shape.dim[1:]))
    rng = np.random.default_rng(seed)
    if kind.elem_type == onnx.TensorProto.UINT8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.normal(size=shape).astype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
