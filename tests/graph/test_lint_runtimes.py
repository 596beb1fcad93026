"""What real runtimes do with the graphs that the lint finds fault with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto

from edgekit.graph.lint import lint
from tests.graph.lint_cases import CASES, F32, INF, floor_division, index_cast, model, named, pair, quantized, typed

# What real runtimes do with the graphs of the table. TensorRT-RTX parses and builds ahead of time without a GPU.
PARSED, REFUSED, NOT_BUILT, BUILT = "parsed", "refused", "not built", "built"


def tensorrt_network(net: onnx.ModelProto) -> tuple[Any, Any, Any]:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels for x86-64 only")
    builder = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR))
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.INTERNAL_ERROR))
    ok = parser.parse(net.SerializeToString())
    return trt, builder, network if ok else None


def tensorrt_says(net: onnx.ModelProto) -> str:
    trt, builder, network = tensorrt_network(net)
    if network is None:
        return REFUSED
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    return BUILT if builder.build_serialized_network(network, config) is not None else NOT_BUILT


def onnxruntime_says(net: onnx.ModelProto) -> str:
    try:
        session(net)
    except Exception as error:
        if "ONNXRuntimeError" not in str(error):  # onnxruntime's exceptions share no public base
            raise
        return REFUSED
    return BUILT


def session(net: onnx.ModelProto, save: Callable[[Any], None] = lambda options: None) -> Any:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    save(options)
    return ort.InferenceSession(net.SerializeToString(), options, providers=["CPUExecutionProvider"])


# rule -> what TensorRT-RTX 1.7 and onnxruntime 1.32 do with each bad graph of CASES. BUILT is the silent failure.
TENSORRT = {
    "external-data": [REFUSED], "unknown-domain": [BUILT, REFUSED], "microsoft-domain": [BUILT, REFUSED],
    "duplicate-names": [REFUSED, BUILT], "unnamed-output": [REFUSED, BUILT, BUILT, NOT_BUILT],
    "int64-io": [BUILT, BUILT], "uint8-before-cast": [REFUSED, REFUSED], "uint8-inside": [REFUSED],
    "dynamic-spatial": [NOT_BUILT], "double-precision": [BUILT, BUILT], "non-tensor-type": [REFUSED, REFUSED],
    "unsupported-type": [REFUSED, REFUSED, REFUSED], "control-flow": [BUILT],
    "batchnorm-after-conv": [BUILT, BUILT], "batchnorm-left": [BUILT], "topk-limit": [NOT_BUILT],
    "topk-dynamic-k": [NOT_BUILT], "random-ops": [BUILT, REFUSED], "training-mode": [REFUSED, REFUSED],
    "nonfinite-weights": [BUILT, BUILT, BUILT], "fp16-index-arithmetic": [BUILT, BUILT, BUILT, BUILT, BUILT],
    "float-floor-division": [NOT_BUILT], "int32-dequantize": [REFUSED], "nonzero-zero-point": [REFUSED, REFUSED],
    "uint8-zero-point-zero": [BUILT, BUILT, REFUSED], "qdq-between-conv-and-relu": [BUILT],
    "int8-conv-transpose": [BUILT], "int8-conv-transpose-axis": [BUILT, BUILT, BUILT], "fp16-scale-opset": [BUILT],
}  # fmt: skip
ONNXRUNTIME_REFUSES = {"external-data", "unknown-domain", "shape-inference", "duplicate-names", "fp16-scale-opset"}


@pytest.mark.parametrize("rule", TENSORRT)
def test_tensorrt_does_what_the_rule_says(rule: str) -> None:
    assert [tensorrt_says(case.bad) for case in CASES[rule]] == TENSORRT[rule]


@pytest.mark.parametrize("rule", [r for r in TENSORRT if REFUSED in TENSORRT[r] or r == "topk-limit"])
def test_tensorrt_takes_the_nearest_right_graph(rule: str) -> None:
    for case in CASES[rule]:
        if not any(f.severity == "error" for f in lint(case.good, runtimes=["tensorrt"])):
            assert tensorrt_says(case.good) == BUILT


@pytest.mark.parametrize("rule", CASES)
def test_onnxruntime_refuses_what_the_rule_says(rule: str) -> None:
    for case in CASES[rule]:
        no_node = rule == "unnamed-output" and case.where == "n" and len(case.bad.graph.output) == 1
        assert (onnxruntime_says(case.bad) == REFUSED) == (rule in ONNXRUNTIME_REFUSES or no_node)


def test_tensorrt_bindings_change_type_and_name_in_silence() -> None:
    trt, _, doubles = tensorrt_network(typed("double"))
    assert doubles.get_input(0).dtype == trt.DataType.FLOAT
    _, _, longs = tensorrt_network(typed("int64"))
    assert longs.get_input(0).dtype == trt.DataType.INT64
    _, _, same = tensorrt_network(named("(float[1,3] x) { y = Relu(x) }"))
    assert same.get_input(0).name == "__x"


@pytest.mark.parametrize("zero", [np.uint8(0), None])
def test_tensorrt_halves_the_range_of_uint8(zero: Any) -> None:
    trt, _, network = tensorrt_network(pair(zero))
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    assert [la.get_output(0).dtype for la in layers if la.type == trt.LayerType.QUANTIZE] == [trt.DataType.INT8]
    x = np.array([[0, 12.8, 25.5]], F32)  # uint8 with scale 0.1 reaches 25.5, int8 12.7
    np.testing.assert_allclose(session(pair(zero)).run(None, {"x": x})[0], -x, atol=1e-5)


def test_dynamic_k_builds_with_a_profile_above_the_limit() -> None:
    net = model("(float[1,9000] x, int64[1] k) => (float[1,K] y) { y, i = TopK(x, k) }")
    trt, builder, network = tensorrt_network(net)
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    profile = builder.create_optimization_profile()
    profile.set_shape_input("k", [1], [5], [5000])
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network, config) is not None


def test_onnxruntime_has_int8_conv_and_no_int8_conv_transpose(tmp_path: Any) -> None:
    ops = {}
    for op in ("Conv", "ConvTranspose"):
        path = tmp_path / f"{op}.onnx"
        session(quantized(op, zero=np.uint8(0)), lambda o, p=path: setattr(o, "optimized_model_filepath", str(p)))
        ops[op] = [node.op_type for node in onnx.load(path).graph.node]
    assert "QLinearConv" in ops["Conv"]
    assert "ConvTranspose" in ops["ConvTranspose"]


def test_index_and_floor_arithmetic_go_wrong_in_onnxruntime() -> None:
    x = np.zeros((1, 70000), F32)
    x[0, [3001, 65535, 69999]] = 3, 2, 1
    with np.errstate(all="ignore"):
        half = session(index_cast(TensorProto.FLOAT16)).run(None, {"x": x})[0]
    assert half.tolist() == [[3000, INF, INF]]
    full = session(index_cast(TensorProto.FLOAT)).run(None, {"x": x})[0]
    assert full.tolist() == [[3001, 65535, 69999]]
    big = np.arange(2**24, 2**24 + 100, dtype=np.int32)
    assert (session(floor_division()).run(None, {"x": big})[0] != big // 3).any()
    right = CASES["float-floor-division"][0].good
    np.testing.assert_array_equal(session(right).run(None, {"x": big})[0], big // 3)
