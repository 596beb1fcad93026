"""Rules about single operators and weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edgekit.graph.lint.graph import Array, Graph, attribute, operand, title
from edgekit.graph.lint.rule import Hit

TOPK_MAX = 3840  # TensorRT: "K exceeds the maximum value allowed (3840)"
RANDOM = (
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
)  # fmt: skip


def batchnorm_after_conv(graph: Graph) -> Iterator[Hit]:
    """Every runtime takes it, but it was left out of the folding proof, and is rounded and quantized on its own."""
    for node in graph.of_type("BatchNormalization"):
        layer = _foldable(graph, node)
        if layer is not None:
            yield Hit(
                title(node),
                f"BatchNormalization {title(node)} follows {layer.op_type} {title(layer)}",
                "fold it before the export (edgekit.graph.fold_bn)",
            )


def batchnorm_left(graph: Graph) -> Iterator[Hit]:
    """Every runtime takes it; it costs a pass over memory where it is not fused, and does not quantize."""
    for node in graph.of_type("BatchNormalization"):
        if _foldable(graph, node) is None:
            yield Hit(
                title(node),
                f"BatchNormalization {title(node)} follows no layer that it could be folded into",
                "put it directly after a convolution that nothing else reads",
            )


def _foldable(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    source = operand(node, 0)
    layer = graph.producer(source, "Conv", "ConvTranspose", "Gemm")
    if layer is None or len(graph.consumers(source)) != 1 or graph.is_output(source):
        return None
    return layer if graph.is_constant(operand(layer, 1)) else None


def topk_limit(graph: Graph) -> Iterator[Hit]:
    """TensorRT (RTX 1.7 too) parses a TopK with K > 3840 and fails when it builds, on the board."""
    for node in graph.of_type("TopK"):
        k = graph.constant(operand(node, 1))
        if k is not None and k.max(initial=0) > TOPK_MAX:
            yield Hit(title(node), f"TopK {title(node)} has K = {k.max()}", f"keep at most {TOPK_MAX}")


def topk_dynamic_k(graph: Graph) -> Iterator[Hit]:
    """TensorRT-RTX 1.7 builds a K from an input only with a profile of values, then even one above its limit.

    The outputs get a dynamic dimension, which no head of edgekit has.
    """
    for node in graph.of_type("TopK"):
        if operand(node, 1) and not graph.is_constant(operand(node, 1)):
            yield Hit(
                title(node),
                f"K of TopK {title(node)} is {operand(node, 1)}, not a constant",
                "give torch.topk a Python integer",
            )


def random_ops(graph: Graph) -> Iterator[Hit]:
    """Two runs differ, so nothing can be proven equal; TensorRT-RTX 1.7 takes most and refuses Bernoulli."""
    for node in graph.of_type(*RANDOM):
        yield Hit(title(node), f"{node.op_type} {title(node)} draws random numbers", "export with net.eval()")


def training_mode(graph: Graph) -> Iterator[Hit]:
    """Dropout then drops and BatchNorm uses the batch's statistics; TensorRT-RTX 1.7 refuses both."""
    for node in graph.of_type("BatchNormalization", "Dropout"):
        if node.op_type == "Dropout":
            flag = graph.constant(operand(node, 2))
            trains = bool(operand(node, 2)) and (flag is None or bool(flag.any()))
        else:
            trains = bool(attribute(node, "training_mode", 0))
        if trains:
            yield Hit(title(node), f"{node.op_type} {title(node)} is in training mode", "export with net.eval()")


def nonfinite_weights(graph: Graph) -> Iterator[Hit]:
    """onnxruntime 1.32 and TensorRT-RTX 1.7 take NaN and infinity in silence.

    Infinity also appears when weights are cast to float16.
    """
    for name, value in graph.constants():
        number = _as_float(value)
        if number is None or np.isfinite(number).all():
            continue
        nans, infinities = int(np.isnan(number).sum()), int(np.isinf(number).sum())
        # A Clip without a limit and a Pad before a max-pool are written with infinities on purpose.
        readers = graph.consumers(name)
        if nans or not readers or any(node.op_type not in ("Clip", "Pad") for node in readers):
            yield Hit(
                name,
                f"{name} has {nans} NaN and {infinities} infinite of {number.size} values",
                "find the step that made them: training, folding, or a cast to float16",
            )


def _as_float(value: Array) -> Array | None:
    if value.dtype.kind == "f":
        return value
    # bfloat16 and the 8-bit floats are ml_dtypes' own types: not numpy's kind "f", and numpy cannot test them.
    return value.astype(np.float32) if value.dtype.name.startswith(("bfloat", "float")) else None
