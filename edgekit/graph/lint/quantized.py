"""Rules about QuantizeLinear and DequantizeLinear: what each runtime makes of a Q/DQ graph."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from edgekit.graph.lint.graph import Graph, attribute, operand, title, type_name
from edgekit.graph.lint.rule import Hit

Q, DQ = "QuantizeLinear", "DequantizeLinear"


def int32_dequantize(graph: Graph) -> Iterator[Hit]:
    """onnxruntime's quantizer writes biases as int32; TensorRT-RTX 1.7 refuses to dequantize them."""
    for node in graph.of_type(DQ):
        if graph.dtype(node.input[0]) == TensorProto.INT32:
            yield Hit(
                title(node),
                f"DequantizeLinear {title(node)} reads int32 {node.input[0]}",
                "keep the bias in float (onnxruntime's quantizer: QuantizeBias=False)",
            )


def nonzero_zero_point(graph: Graph) -> Iterator[Hit]:
    """TensorRT quantizes symmetrically: RTX 1.7 refuses another zero point than 0, outside of a DLA."""
    for node in graph.of_type(Q, DQ):
        zero = graph.constant(operand(node, 2))
        if zero is not None and zero.any():
            yield Hit(
                title(node),
                f"{node.op_type} {title(node)} has zero point {zero.reshape(-1)[zero.reshape(-1) != 0][0]}",
                "quantize with the scheme int8-trt",
            )


def uint8_zero_point_zero(graph: Graph) -> Iterator[Hit]:
    """TensorRT-RTX 1.7 makes int8 of uint8 activations with zero point 0, cutting off all above 127 in silence.

    A pair without a zero point is uint8 by ONNX's definition and int8 to TensorRT. uint8 weights are refused.
    """
    for node in graph.of_type(Q, DQ):
        stored = node.output[0] if node.op_type == Q else node.input[0]
        # A DequantizeLinear behind a QuantizeLinear is the same pair: report it once.
        second = node.op_type == DQ and not graph.is_constant(stored)
        zero = graph.constant(operand(node, 2))
        is_zero = not operand(node, 2) or (zero is not None and not zero.any())
        if graph.dtype(stored) == TensorProto.UINT8 and is_zero and not second:
            how = "0" if operand(node, 2) else "left out, which means uint8"
            yield Hit(
                title(node),
                f"{node.op_type} {title(node)} is uint8 with zero point {how}",
                "quantize to int8 with an int8 zero point of 0 (scheme int8-trt)",
            )


def qdq_between_conv_and_relu(graph: Graph) -> Iterator[Hit]:
    """TensorRT builds it, but cannot fuse the activation into the int8 layer, and half the range goes unused."""
    for node in graph.of_type("Relu", "Clip"):
        dequantize = graph.producer(operand(node, 0), DQ)
        quantize = graph.producer(operand(dequantize, 0), Q) if dequantize is not None else None
        if quantize is None:
            continue
        layer = graph.producer(operand(quantize, 0), "Conv", "ConvTranspose", "Gemm")
        if layer is not None:
            yield Hit(
                title(quantize),
                f"{title(quantize)} stands between {layer.op_type} {title(layer)} and {node.op_type} {title(node)}",
                "quantize the input of the next layer, after the activation",
            )


def int8_conv_transpose(graph: Graph) -> Iterator[Hit]:
    """onnxruntime 1.32 has no int8 kernel for it: it computes in float between two conversions."""
    for node in graph.of_type("ConvTranspose"):
        if any(graph.producer(name, DQ) is not None for name in node.input[:2]):
            yield Hit(title(node), f"ConvTranspose {title(node)} is quantized", "leave it in float16 or float32")


def int8_conv_transpose_axis(graph: Graph) -> Iterator[Hit]:
    """TensorRT builds any axis and gives wrong results for all but 0 (NVIDIA/TensorRT issues 1694 and 2380).

    Its int8 deconvolution takes one scale, or one per input channel; the output channel is axis 1.
    """
    for node in graph.of_type("ConvTranspose"):
        dequantize = graph.producer(operand(node, 1), DQ)
        if dequantize is None:
            continue
        scales, weight = graph.shape(operand(dequantize, 1)), graph.shape(operand(node, 1))
        axis = attribute(dequantize, "axis", 1)
        axis += len(weight) if axis < 0 and weight is not None else 0
        if scales not in (None, (), (1,)) and axis != 0:
            yield Hit(
                title(node),
                f"the weight of ConvTranspose {title(node)} is quantized along axis {axis}",
                "one scale for the whole weight, or leave it in float16",
            )


def fp16_scale_opset(graph: Graph) -> Iterator[Hit]:
    """Until opset 18 ONNX has float32 scales only; onnxruntime 1.32 refuses the file, TensorRT-RTX 1.7 takes it."""
    for node in graph.of_type(Q, DQ):
        kind = graph.dtype(operand(node, 1))
        if kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16) and graph.opset is not None and graph.opset < 19:
            yield Hit(
                title(node),
                f"{node.op_type} {title(node)} has a {type_name(kind)} scale at opset {graph.opset}",
                "export with opset 19 or newer",
            )


def per_tensor_weights(graph: Graph) -> Iterator[Hit]:
    """All runtimes take one scale for a whole weight, in which small channels vanish; each scheme has one a channel."""
    for node in graph.of_type("Conv", "Gemm", "MatMul"):
        dequantize = graph.producer(operand(node, 1), DQ)
        if dequantize is None or not graph.is_constant(operand(dequantize, 0)):
            continue
        scales, weight = graph.shape(operand(dequantize, 1)), graph.shape(operand(dequantize, 0))
        first = node.op_type == "Conv" or (node.op_type == "Gemm" and attribute(node, "transB", 0))
        channels = None if not weight else weight[0 if first else -1]
        if scales in ((), (1,)) and channels not in (None, 1):
            yield Hit(
                title(node),
                f"the {channels} channels of the weight of {node.op_type} {title(node)} have one scale",
                "quantize weights per channel",
            )


def s8s8_on_x86(graph: Graph) -> Iterator[Hit]:
    """onnxruntime 1.32 on x86: signed activations take 15 ms, float32 12, unsigned ones 4 (ResNet-18, 2 threads)."""
    nodes = [n for n in graph.of_type(Q) if not graph.is_constant(operand(n, 0))]
    yield from _counted(
        graph, nodes, "activations", TensorProto.INT8, "quantize activations to uint8, with a zero point"
    )


def u8u8_on_x86(graph: Graph) -> Iterator[Hit]:
    """onnxruntime 1.32 on x86: unsigned weights take 13 ms, float32 12, signed ones 4 (ResNet-18, 2 threads)."""
    nodes = [n for n in graph.of_type(DQ) if graph.is_constant(operand(n, 0))]
    yield from _counted(graph, nodes, "weights", TensorProto.UINT8, "quantize weights to int8, per channel")


def _counted(graph: Graph, nodes: list[onnx.NodeProto], what: str, dtype: int, fix: str) -> Iterator[Hit]:
    """One hit for all: a wrong scheme is one mistake, however many layers there are."""
    found = [n for n in nodes if graph.dtype(n.output[0] if n.op_type == Q else n.input[0]) == dtype]
    if found:
        first = title(found[0])
        yield Hit(first, f"{len(found)} of {len(nodes)} {what} are {type_name(dtype)}, the first at {first}", fix)
