"""Layers of nets that are no ResNets: a squeeze-excite gate, attention, windows along the batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgekit.backends.onnxruntime_ import run_once
from edgekit.config.schemes import SCHEMES
from edgekit.data import Dataset
from edgekit.graph.lint.graph import Graph
from edgekit.quantize.activation_tap import ActivationTap
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.fp16 import to_fp16
from edgekit.quantize.place import quantize
from edgekit.quantize.plan import layers_of
from edgekit.quantize.rounding import rounder
from edgekit.quantize.rounding.geometry import geometries
from edgekit.vision.preprocess import normalise, preprocess
from tests.quantize.conftest import SMALL, net

Calibrated = Callable[[onnx.ModelProto], Calibration]
DQ = "DequantizeLinear"

# an inverted residual with a gate (Howard et al. 2019, sec. 5.3), and a linear layer behind the pool that is no gate
MOBILE = (
    "g (float[N,3,32,32] image) => (float[N,5] logits) {"
    " stem = Conv<pads=[1,1,1,1], strides=[2,2]>(image, w_stem, b_stem) stem_act = HardSwish(stem)"
    " depth = Conv<pads=[1,1,1,1], group=8>(stem_act, w_depth, b_depth) depth_act = Relu(depth)"
    " pool = ReduceMean<keepdims=1>(depth_act, axes)"
    " squeeze = Conv(pool, w_squeeze, b_squeeze) squeeze_act = Relu(squeeze)"
    " excite = Conv(squeeze_act, w_excite, b_excite) gate = HardSigmoid(excite)"
    " gated = Mul(depth_act, gate)"
    " project = Conv(gated, w_project, b_project)"
    " sum = Add(project, stem_act)"
    " silu_in = Conv(sum, w_silu, b_silu) sigmoid = Sigmoid(silu_in) silu = Mul(silu_in, sigmoid)"
    " last_pool = ReduceMean<keepdims=1>(silu, axes)"
    " last = Conv(last_pool, w_last, b_last) last_act = HardSwish(last) flat = Flatten(last_act)"
    " logits = Gemm<transB=1>(flat, w_fc, b_fc) }"
)
MOBILE_WEIGHTS = {
    "stem": (8, 3, 3, 3),
    "depth": (8, 1, 3, 3),
    "squeeze": (4, 8, 1, 1),
    "excite": (8, 4, 1, 1),
    "project": (8, 8, 1, 1),
    "silu": (8, 8, 1, 1),
    "last": (16, 8, 1, 1),
    "fc": (5, 16),
}
# patches, one block of attention with one head and a linear layer behind it, in windows of 16 of 64 places
VIT = (
    "g (float[N,3,32,32] image) => (float[N,5] logits) {"
    " patch = Conv<strides=[4,4]>(image, w_patch, b_patch)"
    " rows = Reshape(patch, as_rows) places = Transpose<perm=[0,2,1]>(rows)"
    " windows = Reshape(places, as_windows)"
    " norm1 = LayerNormalization(windows, gain, bias)"
    " q_mm = MatMul(norm1, w_q) q = Add(q_mm, b_q)"
    " k_mm = MatMul(norm1, w_k) k = Transpose<perm=[0,2,1]>(k_mm)"
    " v = MatMul(norm1, w_v)"
    " scores = MatMul(q, k) attention = Softmax(scores) mixed = MatMul(attention, v)"
    " proj_mm = MatMul(mixed, w_p) proj = Add(proj_mm, b_p) skip = Add(proj, windows)"
    " norm2 = LayerNormalization(skip, gain, bias)"
    " up_mm = MatMul(norm2, w_up) up = Add(up_mm, b_up) act = Gelu(up)"
    " down_mm = MatMul(act, w_down) down = Add(down_mm, b_p) skip2 = Add(down, skip)"
    " whole = Reshape(skip2, as_places) mean = ReduceMean<keepdims=0>(whole, axes)"
    " logits = Gemm<transB=1>(mean, w_fc, b_fc) }"
)


@pytest.fixture(scope="module")
def mobile() -> onnx.ModelProto:
    return net(MOBILE, MOBILE_WEIGHTS, axes=np.array([2, 3]))


@pytest.fixture(scope="module")
def vit() -> onnx.ModelProto:
    rng = np.random.default_rng(3)

    def some(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)

    linear = {f"w_{name}": some(16, 16) for name in "qkvp"}
    biases = {f"b_{name}": some(16) for name in "qp"}
    return net(
        VIT,
        {"patch": (16, 3, 4, 4), "fc": (5, 16)},
        **linear,
        **biases,
        w_up=some(16, 32),
        b_up=some(32),
        w_down=some(32, 16),
        gain=np.linspace(0.5, 1.5, 16, dtype=np.float32),
        bias=some(16),
        as_rows=np.array([-1, 16, 64]),
        as_windows=np.array([-1, 16, 16]),
        as_places=np.array([-1, 64, 16]),
        axes=np.array([1]),
    )


def int8_layers(model: onnx.ModelProto, calibration: Calibration, scheme: str) -> set[str]:
    return set(quantize(model, calibration, scheme).layers)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_gate_stays_float_and_what_is_none_does_not(
    scheme: str, mobile: onnx.ModelProto, calibrated: Calibrated
) -> None:
    layers = int8_layers(mobile, calibrated(mobile), scheme)
    assert {"squeeze", "excite"} & layers == set()
    assert {"depth", "project", "silu_in", "logits"} <= layers
    assert "last" in layers  # one place too, and scales nothing


@pytest.mark.parametrize("scheme", SCHEMES)
def test_linear_layers_of_attention_are_int8_and_the_rest_is_float(
    scheme: str, vit: onnx.ModelProto, calibrated: Calibrated
) -> None:
    made = quantize(vit, calibrated(vit), scheme)
    assert {"q_mm", "k_mm", "v", "proj_mm", "up_mm", "down_mm", "logits"} <= set(made.layers)
    assert {"scores", "mixed"} & set(made.layers) == set()
    graph = Graph(made.model)
    for node in graph.of_type("LayerNormalization", "Softmax", "Gelu", "MatMul", "Add"):
        if node.name in made.layers:
            weight = graph.producer(node.input[1], DQ)
            assert weight is not None
            assert (graph.shape(weight.input[1]), weight.attribute[0].i) == (
                (graph.shape(weight.input[0]) or ())[1:],
                1,
            )
        else:
            assert [graph.producer(name, DQ) for name in node.input] == [None] * len(node.input), node.name


@pytest.mark.parametrize("scheme", ["int8-x86", "int8-arm"])
def test_a_matrix_product_goes_to_its_bias_in_float(scheme: str, vit: onnx.ModelProto, calibrated: Calibrated) -> None:
    graph = Graph(quantize(vit, calibrated(vit), scheme).model)
    assert [node.op_type for node in graph.consumers("q_mm")] == ["Add"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["mobile", "vit"])
def test_answers_are_near_and_nearer_when_rounded_by_outputs(
    name: str, scheme: str, request: pytest.FixtureRequest, calibrated: Calibrated, photos: Dataset
) -> None:
    model = request.getfixturevalue(name)
    calibration = calibrated(model)
    block = np.stack([preprocess(sample.read(), SMALL) for sample in photos])
    feed = {"image": normalise(block, SMALL)}

    def answers(graph: onnx.ModelProto) -> np.ndarray:
        return run_once(graph.SerializeToString(), feed)["logits"]

    want = answers(model)
    spread = float(want.std(0).mean())
    errors = [
        float(np.abs(answers(quantize(model, calibration, scheme, rounder=how).model) - want).mean())
        for how in (None, rounder(model, photos, SMALL))
    ]
    assert errors[0] < 0.2 * spread
    assert errors[1] < 1.05 * errors[0]


def test_all_windows_of_a_picture_are_seen(vit: onnx.ModelProto, photos: Dataset) -> None:
    """Where a net cuts pictures into windows along the batch, four rows are one picture."""
    frame = preprocess(photos.samples[0].read(), SMALL)
    with ActivationTap(vit, 1, only={"norm1", "patch"}) as tap:
        seen = {name: values.shape for name, values, _ in tap.run(frame, SMALL)}
    assert seen == {"norm1": (4, 16, 16), "patch": (1, 16, 8, 8)}
    rows = geometries(vit)["q_mm"].patches(np.arange(4 * 16 * 16, dtype=np.float32).reshape(4, 16, 16))
    np.testing.assert_array_equal(rows, np.arange(4 * 16 * 16, dtype=np.float32).reshape(64, 16))


def test_what_a_product_lacks_on_average_goes_into_its_bias(
    vit: onnx.ModelProto, calibrated: Calibrated, photos: Dataset
) -> None:
    rounds = rounder(vit, photos, SMALL)
    model = quantize(vit, calibrated(vit), "int8-trt", rounder=rounds).model
    before, after = Graph(vit), Graph(model)
    weight = before.constant("w_q")
    scales = after.constant("w_q.scale")
    assert weight is not None
    assert scales is not None
    rounded = rounds("q_mm", weight, scales.astype(np.float64), 1)
    assert rounded is not None
    steps, lacking = rounded
    mean = rounds.moments["q_mm"].mean
    np.testing.assert_allclose(lacking, mean @ (weight - steps * scales), atol=1e-9)
    bias, corrected = before.constant("b_q"), after.constant("q_mm.bias.corrected")
    assert bias is not None
    assert corrected is not None
    assert np.abs(lacking).max() > 1e-5
    np.testing.assert_allclose(corrected, bias + lacking, rtol=1e-6, atol=1e-7)
    assert "q_mm.bias.corrected" in next(node for node in after.nodes if node.name == "q").input


def test_what_a_depthwise_layer_lacks_on_average_goes_into_its_bias(
    mobile: onnx.ModelProto, calibrated: Calibrated, photos: Dataset
) -> None:
    rounds = rounder(mobile, photos, SMALL)
    before = Graph(mobile)
    after = Graph(quantize(mobile, calibrated(mobile), "int8-trt", rounder=rounds).model)
    weight, bias = before.constant("w_depth"), before.constant("b_depth")
    steps, scales = after.constant("w_depth.quantized"), after.constant("w_depth.scale")
    corrected = after.constant("depth.bias.corrected")
    assert weight is not None and bias is not None  # noqa: PT018
    assert steps is not None and scales is not None and corrected is not None  # noqa: PT018
    lost = weight.reshape(8, 9) - steps.reshape(8, 9) * scales[:, None].astype(np.float64)
    lacking = (lost * rounds.moments["depth"].mean).sum(1)
    assert np.abs(lacking).max() > 1e-5
    np.testing.assert_allclose(corrected, bias + lacking, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scheme", ["int8-x86", "int8-arm"])
def test_a_range_in_front_of_a_hardswish_begins_at_minus_three(
    scheme: str, mobile: onnx.ModelProto, calibrated: Calibrated
) -> None:
    wide = onnx.ModelProto()
    wide.CopyFrom(mobile)
    for name in ("w_stem", "b_stem"):
        (tensor,) = (t for t in wide.graph.initializer if t.name == name)
        tensor.CopyFrom(onnx.numpy_helper.from_array(20 * onnx.numpy_helper.to_array(tensor), name))
    seen = calibrated(wide)
    assert seen.range_of("stem", "minmax", SCHEMES[scheme].grid)[0] < -6
    scale, zero = quantize(wide, seen, scheme).parameters["stem"]
    low = scale * (SCHEMES[scheme].grid.low - zero)
    assert -3 - scale < low <= -3 + scale


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tokens_keep_their_few_huge_values(scheme: str, vit: onnx.ModelProto, calibrated: Calibrated) -> None:
    """Behind LayerNorm and GELU the whole range is taken; a map in front of a convolution is clipped as before."""
    calibration = calibrated(vit)
    found = quantize(vit, calibration, scheme).parameters
    grid = SCHEMES[scheme].grid
    for tensor in ("norm1", "act", "mixed"):
        scale, zero = found[tensor]
        ends = [(step - zero) * scale for step in (grid.low, grid.high)]
        seen = calibration.tensors[tensor]
        assert ends[0] <= seen.low + scale, tensor
        assert ends[1] >= seen.high - scale, tensor


def test_multiplications_of_a_matrix_product_are_those_of_one_window(vit: onnx.ModelProto) -> None:
    assert {layer.name: layer.macs for layer in layers_of(vit)}["up_mm"] == 16 * 32 * 16


def test_norms_over_rows_stay_float32_in_float16(vit: onnx.ModelProto, calibrated: Calibrated, photos: Dataset) -> None:
    half = to_fp16(vit, calibrated(vit).tensors)
    graph = Graph(half.model)
    for norm in graph.of_type("LayerNormalization"):
        assert {graph.dtype(name) for name in (*norm.input, *norm.output)} == {TensorProto.FLOAT}
    for node in graph.of_type("MatMul", "Softmax", "Gelu"):
        assert graph.dtype(node.output[0]) == TensorProto.FLOAT16, node.name
    feed = {"image": normalise(np.stack([preprocess(s.read(), SMALL) for s in photos]), SMALL)}
    want = run_once(vit.SerializeToString(), feed)["logits"]
    got = run_once(half.model.SerializeToString(), feed)["logits"]
    assert np.corrcoef(want.ravel(), got.ravel())[0, 1] > 0.9999
    assert float(np.abs(got - want).max()) > 0


@pytest.mark.parametrize(("norm", "axis"), [
    ("m = ReduceMean(a, axes) d = Sub(a, m) q = Pow(d, two) v = ReduceMean(q, axes) e = Add(v, eps) r = Sqrt(e)"
     " n = Div(d, r) b = Mul(n, gain)", 1),
    ("q = Mul(a, a) v = ReduceMean(q, axes) e = Add(v, eps) half = Pow(e, minus) n = Mul(a, half) b = Mul(n, gain)", 1),
    ("m = ReduceMean(a, axes) d = Sub(a, m) q = Mul(d, d) v = ReduceMean(q, axes) e = Add(v, eps) r = Sqrt(e)"
     " i = Reciprocal(r) s = Mul(i, gain) b = Mul(d, s)", 1),
], ids=["LayerNorm over channels", "RMSNorm", "scaled root"])  # fmt: skip
def test_a_written_out_norm_stays_float32_in_float16(norm: str, axis: int, photos: Dataset) -> None:
    """The square of 256 is infinite in float16."""
    text = (
        "g (float[N,3,32,32] image) => (float[N,5,30,30] y) {"
        f" a = Conv(image, w_a, b_a) {norm} c = Relu(b) y = Conv(c, w_c, b_c) }}"
    )
    stored = {
        "axes": np.array([axis]),
        "gain": np.linspace(0.5, 1.5, 8, dtype=np.float32).reshape(8, 1, 1),
        **{key: np.array(value, np.float32) for key, value in {"two": 2, "eps": 1e-6, "minus": -0.5}.items()},
    }
    model = net(text, {"a": (8, 3, 3, 3), "c": (5, 8, 1, 1)}, **stored)
    graph = Graph(to_fp16(model, calibrate(model, photos, SMALL).tensors).model)
    for name in {"m", "d", "q", "v", "e", "r", "half"} & {node.name for node in graph.nodes}:
        assert graph.dtype(name) == TensorProto.FLOAT, name
    assert graph.dtype("y.fp16") == graph.dtype("c.fp16") == TensorProto.FLOAT16


def test_a_last_product_stays_float32_as_a_last_linear_layer_does(photos: Dataset) -> None:
    text = (
        "g (float[N,3,32,32] image) => (float[N,5] logits) {"
        " stem = Conv(image, w_stem, b_stem) mean = ReduceMean<keepdims=0>(stem, axes) logits = MatMul(mean, w_last) }"
    )
    last = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    model = net(text, {"stem": (8, 3, 3, 3)}, axes=np.array([2, 3]), w_last=last)
    half = to_fp16(model, calibrate(model, photos, SMALL).tensors)
    graph = Graph(half.model)
    last_node = next(graph.of_type("MatMul"))
    assert [graph.dtype(name) for name in (*last_node.input, "mean.fp16")] == [1, 1, TensorProto.FLOAT16]
