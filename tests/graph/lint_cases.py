"""Of each rule of the lint a bad graph and the nearest good one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

ALL_RUNTIMES = {"onnxruntime", "openvino", "tensorrt"}
F32, F16 = np.float32, np.float16
TENTH, ZERO = F32(0.1), np.int8(0)


def model(text: str, *, opset: int = 20, domains: tuple[str, ...] = (), **constants: Any) -> onnx.ModelProto:
    """A model from ONNX's own text form, `(inputs) => (outputs) { nodes }`, with numpy arrays as initializers."""
    imports = ", ".join([f'"" : {opset}', *(f'"{domain}" : 1' for domain in domains)])
    made = onnx.parser.parse_model(f"<ir_version: 10, opset_import: [{imports}]> g {text}")
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    return made


class Case(NamedTuple):
    bad: onnx.ModelProto
    good: onnx.ModelProto
    where: str = "n"  # the node or tensor that the finding must name
    options: dict[str, Any] = {}  # noqa: RUF012  # NamedTuple, never changed


X = "(float[1,3,4,4] x)"
W = np.ones((3, 3, 1, 1), F32)
ONES = np.ones(3, F32)


def external() -> onnx.ModelProto:
    made = model(f"{X} => (float[1,3,4,4] y) {{ y = Add(x, n) }}", n=np.ones((3, 1, 1), F32))
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="n.bin")
    return made


def foreign(domain: str, op: str) -> onnx.ModelProto:
    return model(f"(float[1,3] x) => (float[1,3] y) {{ [n] y = {domain}.{op}(x) }}", domains=(domain,))


def add(value: Any) -> onnx.ModelProto:
    return model("(float[1,3] x) => (float[1,3] y) { y = Add(x, n) }", n=np.asarray(value, F32))


def constant_node(value: float) -> onnx.ModelProto:
    made = named("(float[1,3] y) { n = Constant<value_float: float = 0.0>() y = Add(x, n) }")
    made.graph.node[0].attribute[0].f = value
    return made


def typed(kind: str) -> onnx.ModelProto:
    return model(f"({kind}[1,3] n) => (float[1,3] y) {{ y = Cast<to: int = 1>(n) }}")


def topk(k: int, of: int = 5000) -> onnx.ModelProto:
    return model(f"(float[1,{of}] x) => (float[1,{k}] y) {{ [n] y, i = TopK(x, k) }}", k=np.array([k]))


def batchnorm(first: str) -> onnx.ModelProto:
    nodes = f"{first} [n] y = BatchNormalization(c, a, b, m, v)"
    return model(f"{X} => (float[1,3,4,4] y) {{ {nodes} }}", w=W, a=ONES, b=ONES, m=ONES, v=ONES)


def training(op: str, flag: int) -> onnx.ModelProto:
    if op == "Dropout":
        node = "[n] y = Dropout(x, r, t)"
        return model(f"{X} => (float[1,3,4,4] y) {{ {node} }}", r=F32(0.5), t=np.bool_(flag))
    node = f"[n] y{', p, q' if flag else ''} = BatchNormalization<training_mode: int = {flag}>(x, a, b, m, v)"
    return model(f"{X} => (float[1,3,4,4] y) {{ {node} }}", a=ONES, b=ONES, m=ONES, v=ONES)


def index_cast(to: int, cells: int = 70000, before: str = "j = Identity(i)") -> onnx.ModelProto:
    """Peaks' positions, as after a TopK on a heatmap, cast to float."""
    nodes = f"v, i = TopK(x, k) {before} [n] f = Cast<to: int = {to}>(j) y = Cast<to: int = 1>(f)"
    text = f"(float[1,{cells}] x) => (float[1,3] y) {{ {nodes} }}"
    return model(text, k=np.array([3]), width=np.array(512))


def gather(kind: int) -> onnx.ModelProto:
    nodes = f"h = Cast<to: int = {kind}>(p) f = Floor(h) i = Cast<to: int = 7>(f) [n] y = Gather<axis: int = 1>(x, i)"
    return model(f"(float[1,9] x, float[4] p) => (float[1,4] y) {{ {nodes} }}")


def floor_division() -> onnx.ModelProto:
    nodes = "f = Cast<to: int = 1>(x) d = Div(f, c) [n] q = Floor(d) y = Cast<to: int = 6>(q)"
    return model(f"(int32[N] x) => (int32[N] y) {{ {nodes} }}", c=F32(3))


def bias(dtype: Any) -> onnx.ModelProto:
    nodes = "[n] f = DequantizeLinear(b, s) y = Conv(x, w, f)"
    return model(f"{X} => (float[1,3,4,4] y) {{ {nodes} }}", w=W, b=ONES.astype(dtype), s=F32(0.1))


def pair(zero: Any = None, *, scale: Any = TENTH, kind: str = "float", opset: int = 20) -> onnx.ModelProto:
    z = "" if zero is None else ", z"
    nodes = f"[n] q = QuantizeLinear(x, s{z}) [m] d = DequantizeLinear(q, s{z}) y = Neg(d)"
    constants = {} if zero is None else {"z": zero}
    return model(f"({kind}[1,3] x) => ({kind}[1,3] y) {{ {nodes} }}", opset=opset, s=scale, **constants)


def weight(dtype: Any) -> onnx.ModelProto:
    nodes = "[n] d = DequantizeLinear(w, s, z) y = Conv(x, d)"
    return model(f"{X} => (float[1,3,4,4] y) {{ {nodes} }}", w=W.astype(dtype), s=F32(0.1), z=dtype(0))


def quantized(op: str, axis: int | None = None, zero: Any = ZERO) -> onnx.ModelProto:
    """A layer between Q/DQ pairs; with an axis, its weight has a scale for each of 3 input or 2 output channels."""
    w = np.full((3, 2, 1, 1) if op == "ConvTranspose" else (2, 3, 1, 1), 20, np.int8)
    scales = F32(0.1) if axis is None else np.full(w.shape[axis], 0.1, F32)
    along = "" if axis is None else f"<axis: int = {axis}>"
    nodes = f"""q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) f = DequantizeLinear{along}(w, sw)
        [n] c = {op}(d, f) p = QuantizeLinear(c, s, z) y = DequantizeLinear(p, s, z)"""
    return model(f"{X} => (float[1,2,4,4] y) {{ {nodes} }}", w=w, s=F32(0.1), sw=scales, z=zero)


def product(axis: int | None = None) -> onnx.ModelProto:
    """A product with a constant matrix behind Q/DQ pairs; with an axis, a scale for each of its 4 rows or 2 columns."""
    w = np.full((4, 2), 20, np.int8)
    scales = F32(0.1) if axis is None else np.full(w.shape[axis], 0.1, F32)
    along = "" if axis is None else f"<axis: int = {axis}>"
    nodes = f"""q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) f = DequantizeLinear{along}(w, sw)
        [n] y = MatMul(d, f)"""
    return model(f"{X} => (float[1,3,4,2] y) {{ {nodes} }}", w=w, s=F32(0.1), sw=scales, z=ZERO)


def relu(*order: str) -> onnx.ModelProto:
    steps = {
        "conv": "{1} = Conv({0}, w)",
        "pair": "[n] q = QuantizeLinear({0}, s, z) {1} = DequantizeLinear(q, s, z)",
        "relu": "{1} = Relu({0})",
    }
    names = ["x", "a", "b", "y"]
    nodes = " ".join(steps[step].format(names[i], names[i + 1]) for i, step in enumerate(order))
    return model(f"{X} => (float[1,3,4,4] y) {{ {nodes} }}", w=W, s=F32(0.1), z=np.int8(0))


def wide(text: str) -> onnx.ModelProto:
    return model(f"{text} => (float[N,3,A,B] y) {{ y = Relu(n) }}")


def branch() -> onnx.ModelProto:
    t, e = (
        helper.make_graph(
            [helper.make_node(op, ["x"], [op])], op, [], [helper.make_tensor_value_info(op, TensorProto.FLOAT, [1, 3])]
        )
        for op in ("Relu", "Neg")
    )
    made = model("(float[1,3] x, bool c) => (float[1,3] y) { y = Relu(x) }")
    made.graph.node[0].CopyFrom(
        helper.make_node("If", ["c"], ["y"], "n", then_branch=t, else_branch=e),
    )
    return made


def named(text: str) -> onnx.ModelProto:
    return model(f"(float[1,3] x) => {text}")


U8 = "(uint8[1,4,4,3] n) => (float[1,3,4,4] y)"
CAST_FIRST = model(f"{U8} {{ f = Cast<to: int = 1>(n) y = Transpose<perm: ints = [0, 3, 1, 2]>(f) }}")
RELU = named("(float[1,3] y) { y = Relu(x) }")
INF = float("inf")
X86 = {"scheme": "int8-x86"}
CASES: dict[str, list[Case]] = {
    "external-data": [Case(external(), add([1, 2, 3]))],
    "unknown-domain": [
        Case(foreign("strange", "Relu"), foreign("com.microsoft", "Gelu")),
        Case(foreign("strange", "Stranger"), foreign("com.microsoft", "Gelu")),
    ],
    "microsoft-domain": [
        Case(foreign("com.microsoft", "Gelu"), RELU),
        Case(foreign("com.microsoft", "QuickGelu"), RELU),
    ],
    "opset-mismatch": [
        Case(model("(float[1,3] x) => (float[1,3] y) { y = Relu(x) }", opset=18), RELU, "opset_import", {"opset": 20})
    ],
    "shape-inference": [Case(add([1, 2, 3, 4]), add([1, 2, 3]), "graph")],
    "duplicate-names": [
        Case(
            named("(float[1,3] y) { n = Relu(x) n = Neg(x) y = Abs(n) }"),
            named("(float[1,3] y) { n = Relu(x) m = Neg(n) y = Abs(m) }"),
        ),
        Case(
            named("(float[1,3] y) { [n] a = Relu(x) [n] y = Neg(a) }"),
            named("(float[1,3] y) { [n] a = Relu(x) [m] y = Neg(a) }"),
        ),
    ],
    "unnamed-output": [
        Case(named("(float[1,3] n) { y = Relu(x) }"), RELU),
        Case(named("(float[1,3] n, float[1,3] n) { n = Relu(x) }"), RELU),
        Case(named("(float[1,3] x) { y = Relu(x) }"), named("(float[1,3] y) { y = Identity(x) }"), "x"),
        Case(named("() { y = Relu(x) }"), RELU, "graph"),
    ],
    "int64-io": [
        Case(typed("int64"), typed("int32")),
        Case(
            model("(float[1,3] x) => (int64[1,3] n) { n = Cast<to: int = 7>(x) }"),
            model("(float[1,3] x) => (int32[1,3] n) { n = Cast<to: int = 6>(x) }"),
        ),
    ],
    "uint8-before-cast": [
        Case(model(f"{U8} {{ t = Transpose<perm: ints = [0, 3, 1, 2]>(n) y = Cast<to: int = 1>(t) }}"), CAST_FIRST),
        Case(
            model(f"{U8} {{ d = DequantizeLinear(n, s) y = Transpose<perm: ints = [0, 3, 1, 2]>(d) }}", s=F32(1)),
            CAST_FIRST,
        ),
    ],
    "uint8-inside": [
        Case(
            named("(float[1,3] y) { n = Cast<to: int = 2>(x) y = Cast<to: int = 1>(n) }"),
            named("(uint8[1,3] n) { n = Cast<to: int = 2>(x) }"),
        )
    ],
    "dynamic-spatial": [Case(wide("(float[N,3,A,B] n)"), wide("(float[N,3,4,4] n)"))],
    "double-precision": [
        Case(typed("double"), typed("float")),
        Case(
            named("(float[1,3] y) { n = Cast<to: int = 11>(x) e = Exp(n) y = Cast<to: int = 1>(e) }"),
            named("(float[1,3] y) { e = Exp(x) y = Cast<to: int = 1>(e) }"),
        ),
    ],
    "non-tensor-type": [
        Case(model("(string[1] n) => (string[1] y) { y = Identity(n) }"), RELU),
        Case(
            named("(float[2,3] y) { n = SequenceConstruct(x, x) y = ConcatFromSequence<axis: int = 0>(n) }"),
            named("(float[2,3] y) { y = Concat<axis: int = 0>(x, x) }"),
        ),
    ],
    "unsupported-type": [
        Case(typed("int16"), typed("int8")),
        Case(typed("uint32"), typed("int32")),
        Case(
            named("(float[1,3] y) { n = Cast<to: int = 5>(x) y = Cast<to: int = 1>(n) }"),
            named("(float[1,3] y) { n = Cast<to: int = 6>(x) y = Cast<to: int = 1>(n) }"),
        ),
    ],
    "control-flow": [Case(branch(), RELU)],
    "batchnorm-after-conv": [
        Case(batchnorm("c = Conv(x, w)"), batchnorm("d = Conv(x, w) c = Relu(d)")),
        Case(batchnorm("c = ConvTranspose(x, w)"), batchnorm("c = Conv(x, w) d = Relu(c)")),
    ],
    "batchnorm-left": [Case(batchnorm("c = Relu(x)"), batchnorm("c = Conv(x, w)"))],
    "topk-limit": [Case(topk(3841), topk(3840))],
    "topk-dynamic-k": [Case(model("(float[1,9] x, int64[1] k) => (float[1,K] y) { [n] y, i = TopK(x, k) }"), topk(3))],
    "random-ops": [
        Case(named("(float[1,3] y) { [n] r = RandomNormalLike(x) y = Add(x, r) }"), RELU),
        Case(named("(float[1,3] y) { [n] y = Bernoulli(x) }"), RELU),
    ],
    "training-mode": [Case(training(op, 1), training(op, 0)) for op in ("BatchNormalization", "Dropout")],
    "nonfinite-weights": [
        Case(add([1, np.nan, 3]), add([1, 2, 3])),
        Case(add([1, INF, 3]), named("(float[1,3] y) { y = Clip(x, l, h) }")),
        Case(constant_node(INF), constant_node(2.0)),
    ],
    "fp16-index-arithmetic": [
        Case(index_cast(TensorProto.FLOAT16), index_cast(TensorProto.FLOAT)),
        Case(index_cast(TensorProto.FLOAT16, 2050), index_cast(TensorProto.FLOAT16, 2049)),
        # 70000 cells of 512 a row: the row is at most 136, four times the column up to 2044; the position is more.
        Case(
            index_cast(TensorProto.FLOAT16, before="r = Div(i, width) j = Mul(r, width)"),
            index_cast(TensorProto.FLOAT16, before="j = Div(i, width)"),
        ),
        Case(index_cast(TensorProto.BFLOAT16, 300), index_cast(TensorProto.BFLOAT16, 200)),
        Case(gather(TensorProto.FLOAT16), gather(TensorProto.FLOAT)),
    ],
    "float-floor-division": [
        Case(floor_division(), model("(int32[N] x) => (int32[N] y) { y = Div(x, c) }", c=np.int32(3))),
    ],
    "int32-dequantize": [Case(bias(np.int32), bias(np.int8))],
    "nonzero-zero-point": [Case(pair(np.int8(3)), pair(np.int8(0))), Case(pair(np.uint8(128)), pair(np.int8(0)))],
    "uint8-zero-point-zero": [
        Case(pair(np.uint8(0)), pair(np.int8(0))),
        Case(pair(), pair(np.int8(0))),
        Case(weight(np.uint8), weight(np.int8)),
    ],
    "qdq-between-conv-and-relu": [Case(relu("conv", "pair", "relu"), relu("conv", "relu", "pair"))],
    "int8-conv-transpose": [Case(quantized("ConvTranspose"), quantized("Conv"))],
    "int8-conv-transpose-axis": [
        Case(quantized("ConvTranspose", 1), quantized("ConvTranspose", 0)),
        Case(quantized("ConvTranspose", -3), quantized("ConvTranspose", -4)),
        Case(quantized("ConvTranspose", 1), quantized("ConvTranspose")),
    ],
    "fp16-scale-opset": [
        Case(
            pair(np.int8(0), scale=F16(0.1), kind="float16", opset=18),
            pair(np.int8(0), scale=F16(0.1), kind="float16", opset=19),
        )
    ],
    "per-tensor-weights": [
        Case(quantized("Conv"), quantized("Conv", 0), "n", {"scheme": scheme})
        for scheme in ("int8-trt", "int8-x86", "int8-arm")
    ]
    + [Case(product(), product(1), "n", {"scheme": "int8-trt"})],
    "s8s8-on-x86": [Case(pair(np.int8(0)), pair(np.uint8(3)), "n", X86)],
    "u8u8-on-x86": [Case(weight(np.uint8), weight(np.int8), "n", X86)],
}
CASES["nonfinite-weights"][1].good.graph.initializer.extend(
    numpy_helper.from_array(np.asarray(v, F32), name) for name, v in (("l", -INF), ("h", INF))
)
EACH = [pytest.param(rule, case, id=f"{rule}-{i}") for rule, cases in CASES.items() for i, case in enumerate(cases)]
