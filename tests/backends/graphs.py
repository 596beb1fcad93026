"""Small graphs to build: convolutions in fp32, fp16 and int8 with Q/DQ, a ResNet, and a CenterNet that decodes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import torch
from onnx import TensorProto, helper, numpy_helper

from edgekit import nets
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.to_onnx import onnx_from_torch
from edgekit.nets.detector import with_decoding
from edgekit.spec import ModelSpec, PreprocessSpec


def parsed(graph: str, opsets: str = '"": 20') -> onnx.ModelProto:
    return onnx.parser.parse_model(f"<ir_version: 10, opset_import: [{opsets}]> g {graph}")


def convolutions(precision: str, layers: int = 3) -> onnx.ModelProto:
    """Conv and Relu in turn, [N, 8, 16, 16]; `int8` quantizes each convolution's input and its weights per channel."""
    rng = np.random.default_rng(0)
    nodes, stored = [], []
    kind = np.float16 if precision == "fp16" else np.float32
    x = "x"
    for i in range(layers):
        weight = rng.normal(size=(8, 8, 3, 3)).astype(np.float32)
        source, kernel = x, f"w{i}"
        if precision == "int8":
            scale = (np.abs(weight).reshape(8, -1).max(1) / 127).astype(np.float32)
            codes = np.round(weight / scale[:, None, None, None]).astype(np.int8)
            stored += [numpy_helper.from_array(codes, f"w{i}"), numpy_helper.from_array(scale, f"ws{i}")]
            stored += [numpy_helper.from_array(np.zeros(8, np.int8), f"wz{i}")]
            stored += [numpy_helper.from_array(np.float32(0.05), f"s{i}"), numpy_helper.from_array(np.int8(0), f"z{i}")]
            nodes += [
                helper.make_node("QuantizeLinear", [x, f"s{i}", f"z{i}"], [f"q{i}"], name=f"quantize{i}"),
                helper.make_node("DequantizeLinear", [f"q{i}", f"s{i}", f"z{i}"], [f"d{i}"], name=f"dequantize{i}"),
                helper.make_node("DequantizeLinear", [f"w{i}", f"ws{i}", f"wz{i}"], [f"wd{i}"], axis=0, name=f"dw{i}"),
            ]
            source, kernel = f"d{i}", f"wd{i}"
        else:
            stored.append(numpy_helper.from_array(weight.astype(kind), f"w{i}"))
        nodes.append(helper.make_node("Conv", [source, kernel], [f"c{i}"], name=f"conv{i}", pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"], name=f"relu{i}"))
        x = f"r{i}"
    element = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, element, ["N", 8, 16, 16]) for name in ("x", x)]
    graph = helper.make_graph(nodes, "convolutions", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def resnet(spec: ModelSpec) -> onnx.ModelProto:
    """A ResNet-18 with random weights, folded and exported as `edgekit export` does: uint8 in, logits out."""
    torch.manual_seed(0)
    net = nets.build(spec).eval()
    folded, _ = fold_bn(net, torch.zeros(2, 3, spec.preprocess.height, spec.preprocess.width))
    return onnx_from_torch(folded, spec, opset=20, heads=("fc",))


def centernet(head: str) -> onnx.ModelProto:
    """A CenterNet with its decoding, exported as `edgekit export` does: uint8 in, boxes, scores and labels out."""
    arguments = {"neck": "deconv" if head == "offset_size" else "fpn", "head": head, "width": 0.125}
    size = PreprocessSpec(64, 96, "letterbox", None)
    spec = ModelSpec("centernet-resnet18", ("bee", "hornet"), size, arguments, task="detection", max_detections=20)
    torch.manual_seed(0)
    folded, _ = fold_bn(with_decoding(nets.build(spec).eval(), spec), torch.zeros(2, 3, 64, 96))
    return onnx_from_torch(folded, spec, opset=20)
