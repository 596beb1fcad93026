"""Where Q/DQ pairs stand in each scheme, seen in the graph itself, and that what they compute is near the float net."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.backends import open_session
from edgekit.backends.onnxruntime_ import run_once
from edgekit.config.schemes import SCHEMES, Grid
from edgekit.data import Dataset
from edgekit.errors import ArtifactError, UsageError
from edgekit.graph.lint import lint
from edgekit.graph.lint.graph import Graph, attribute
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.observers import Histogram, Method
from edgekit.quantize.place import Quantized, quantize
from edgekit.quantize.plan import layers_of
from edgekit.vision.preprocess import normalise, preprocess
from tests.quantize.conftest import SMALL

Calibrated = Callable[[onnx.ModelProto], Calibration]
ALL = list(SCHEMES)
WITH_OUTPUTS = ["int8-x86", "int8-arm"]
Q, DQ = "QuantizeLinear", "DequantizeLinear"


MADE: dict[tuple[int, str], Quantized] = {}


def made(model: onnx.ModelProto, calibrated: Calibrated, scheme: str) -> Quantized:
    """The graph of a scheme; each is made once."""
    if (id(model), scheme) not in MADE:
        MADE[id(model), scheme] = quantize(model, calibrated(model), scheme)
    return MADE[id(model), scheme]


def placed(model: onnx.ModelProto, calibrated: Calibrated, scheme: str) -> Graph:
    return Graph(made(model, calibrated, scheme).model)


def node(graph: Graph, name: str) -> onnx.NodeProto:
    return next(n for n in graph.nodes if n.name == name)


def quantized_input(graph: Graph, name: str, i: int = 0) -> str | None:
    """The tensor whose pair stands on an input of a node; None where there is none."""
    dequantize = graph.producer(node(graph, name).input[i], DQ)
    quantize_ = graph.producer(dequantize.input[0], Q) if dequantize is not None else None
    return None if quantize_ is None else quantize_.input[0]


def activations(graph: Graph) -> list[onnx.NodeProto]:
    return list(graph.of_type(Q))


# --- all schemes


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("which", ["residual", "detector"])
def test_valid_and_clean_for_its_runtimes(
    scheme: str, which: str, request: pytest.FixtureRequest, calibrated: Calibrated
) -> None:
    result = made(request.getfixturevalue(which), calibrated, scheme)
    onnx.checker.check_model(result.model, full_check=True)
    problems = lint(result.model, runtimes=SCHEMES[scheme].runtimes, scheme=scheme)
    assert [p for p in problems if p.severity == "error"] == []
    assert [p for p in problems if p.rule in ("s8s8-on-x86", "u8u8-on-x86") and scheme == "int8-x86"] == []
    open_session(result.model.SerializeToString())


@pytest.mark.parametrize("scheme", ALL)
def test_the_model_that_it_is_made_of_is_not_changed(
    scheme: str, residual: onnx.ModelProto, calibrated: Calibrated
) -> None:
    before = residual.SerializeToString(deterministic=True)
    quantize(residual, calibrated(residual), scheme)
    assert residual.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("scheme", ALL)
def test_weights_are_int8_symmetric_per_output_channel(
    scheme: str, residual: onnx.ModelProto, calibrated: Calibrated
) -> None:
    graph = placed(residual, calibrated, scheme)
    for name in ("stem", "a1", "short", "b2", "logits"):
        dequantize = graph.producer(node(graph, name).input[1], DQ)
        assert dequantize is not None
        stored, scale, zero = (graph.constant(i) for i in dequantize.input)
        assert stored is not None
        assert stored.dtype == np.int8
        assert attribute(dequantize, "axis", 1) == 0
        assert scale is not None
        assert scale.shape == stored.shape[:1]
        assert len(set(scale.tolist())) > 1
        assert zero is not None
        assert not zero.any()
        assert stored.min() >= -127
        original = numpy_helper.to_array(
            next(t for t in residual.graph.initializer if t.name == f"w_{name}".replace("logits", "fc"))
        )
        shape = (-1,) + (1,) * (stored.ndim - 1)
        # nearest rounding: half a step, and a little for scales rounded to float16
        assert (np.abs(stored * scale.reshape(shape) - original) <= 0.51 * scale.reshape(shape)).all()


@pytest.mark.parametrize("scheme", ALL)
def test_no_float_weight_is_left_beside_its_int8(
    scheme: str, residual: onnx.ModelProto, calibrated: Calibrated
) -> None:
    model = made(residual, calibrated, scheme).model
    read = {name for n in model.graph.node for name in n.input}
    assert {t.name for t in model.graph.initializer} <= read
    assert not any(
        t.name.startswith("w_") and t.data_type == TensorProto.FLOAT and len(t.dims) > 1
        for t in model.graph.initializer
    )


@pytest.mark.parametrize("scheme", ALL)
def test_activation_types_and_zero_points(scheme: str, residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    graph = placed(residual, calibrated, scheme)
    expected = {"int8-trt": np.int8, "int8-x86": np.uint8, "int8-arm": np.int8}[scheme]
    zeros = {}
    for quantize_ in activations(graph):
        zero, scale = graph.constant(quantize_.input[2]), graph.constant(quantize_.input[1])
        assert zero is not None
        assert zero.dtype == expected
        assert scale is not None
        assert scale.shape == ()
        zeros[quantize_.input[0]] = int(zero)
        dequantize = graph.consumers(quantize_.output[0])
        assert [n.op_type for n in dequantize] == [DQ]
        assert list(dequantize[0].input[1:]) == list(quantize_.input[1:])
    if scheme == "int8-trt":
        assert set(zeros.values()) == {0}
    else:  # behind a ReLU the whole grid is for what is positive, so that the ReLU itself falls away
        assert zeros["a1_relu"] == {"int8-x86": 0, "int8-arm": -128}[scheme]
        assert zeros["image"] not in (0, -128)


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("which", ["residual", "detector"])
def test_nothing_stands_between_a_layer_and_its_relu(
    scheme: str, which: str, request: pytest.FixtureRequest, calibrated: Calibrated
) -> None:
    graph = placed(request.getfixturevalue(which), calibrated, scheme)
    relus = list(graph.of_type("Relu"))
    assert len(relus) >= 5
    for relu in relus:
        assert graph.producer(relu.input[0], DQ) is None


@pytest.mark.parametrize("scheme", ALL)
def test_outputs_are_float(scheme: str, residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    graph = placed(residual, calibrated, scheme)
    assert graph.producer("logits", "Gemm") is not None
    assert quantized_input(graph, "logits") == "mean"


@pytest.mark.parametrize("scheme", ALL)
def test_a_decoding_stays_float(scheme: str, detector: onnx.ModelProto, calibrated: Calibrated) -> None:
    graph = placed(detector, calibrated, scheme)
    for name in ("highest", "is_peak", "peaks", "flat", "scores"):
        assert all(graph.producer(i, DQ) is None for i in node(graph, name).input), name
    for quantize_ in activations(graph):
        assert quantize_.input[0] not in ("heatmap", "size", "highest", "peaks", "flat", "values")


@pytest.mark.parametrize("scheme", ALL)
def test_a_transposed_convolution_stays_float(scheme: str, detector: onnx.ModelProto, calibrated: Calibrated) -> None:
    graph = placed(detector, calibrated, scheme)
    assert graph.is_constant(node(graph, "up").input[1])
    assert graph.producer(node(graph, "up").input[1], DQ) is None
    if scheme == "int8-trt":
        assert quantized_input(graph, "up") is None


@pytest.mark.parametrize("scheme", ALL)
def test_layers_can_be_kept_in_float(scheme: str, residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    result = quantize(residual, calibrated(residual), scheme, keep=["a2", "stem"])
    graph = Graph(result.model)
    assert result.kept == ("a2", "stem")
    assert set(result.layers) == {"a1", "short", "b1", "b2", "logits"}
    for name in ("a2", "stem"):
        assert graph.dtype(node(graph, name).input[1]) == TensorProto.FLOAT
        assert graph.producer(node(graph, name).input[1], DQ) is None
    assert quantized_input(graph, "stem") is None
    assert quantized_input(graph, "a_add", 0) is None  # what it computed exactly is not rounded at the Add
    assert graph.producer(node(graph, "a2").output[0], "Conv") is not None


@pytest.mark.parametrize("scheme", ALL)
def test_answers_are_near(scheme: str, residual: onnx.ModelProto, calibrated: Calibrated, photos: Dataset) -> None:
    feed = {"image": normalise(np.stack([preprocess(s.read(), SMALL) for s in photos]), SMALL)}
    want = open_session(residual.SerializeToString()).run(feed)["logits"]
    data = made(residual, calibrated, scheme).model.SerializeToString()
    spread = want.std(axis=0).mean()
    for got in (open_session(data).run(feed)["logits"], run_once(data, feed)["logits"]):
        assert 0 < np.abs(got - want).mean() < 0.1 * spread


# --- int8-trt


def test_trt_a_layers_output_is_not_quantized(residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    graph = placed(residual, calibrated, "int8-trt")
    made_by_conv = [q.input[0] for q in activations(graph) if graph.producer(q.input[0], "Conv") is not None]
    assert made_by_conv == ["short"]  # which is a skip


def test_trt_only_the_skip_of_an_add_is_quantized(residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    graph = placed(residual, calibrated, "int8-trt")
    assert node(graph, "a_add").input[0] == "a2"
    assert quantized_input(graph, "a_add", 1) == "pool"
    # of two convolutions the one with more before it is fused
    assert quantized_input(graph, "b_add", 0) == "short"
    assert node(graph, "b_add").input[1] == "b2"


def test_trt_biases_stay_float(residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    graph = placed(residual, calibrated, "int8-trt")
    for name in ("stem", "a1", "logits"):
        assert graph.dtype(node(graph, name).input[2]) == TensorProto.FLOAT
        assert graph.is_constant(node(graph, name).input[2])
    assert not any(graph.dtype(n.input[0]) == TensorProto.INT32 for n in graph.of_type(DQ))


def test_trt_scales_are_float16_numbers(residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    graph = placed(residual, calibrated, "int8-trt")
    for n in graph.of_type(Q, DQ):
        scale = graph.constant(n.input[1])
        assert scale is not None
        np.testing.assert_array_equal(scale, scale.astype(np.float16).astype(np.float32))


def test_trt_last_layers_of_a_detector_are_int8(detector: onnx.ModelProto, calibrated: Calibrated) -> None:
    graph = placed(detector, calibrated, "int8-trt")
    assert quantized_input(graph, "heatmap") == "heat_relu"
    assert graph.producer("heatmap", "Conv") is not None


# --- int8-x86 and int8-arm


@pytest.mark.parametrize("scheme", WITH_OUTPUTS)
def test_every_layer_between_has_pairs_on_both_sides(
    scheme: str, residual: onnx.ModelProto, calibrated: Calibrated
) -> None:
    """Without a pair on its output onnxruntime has no int8 kernel for a convolution."""
    graph = placed(residual, calibrated, scheme)
    for name, output in (("stem", "stem_relu"), ("a1", "a1_relu"), ("a2", "a2"), ("short", "short"), ("b2", "b2")):
        assert quantized_input(graph, name) is not None
        assert {n.op_type for n in graph.consumers(output)} == {Q}


@pytest.mark.parametrize("scheme", WITH_OUTPUTS)
def test_biases_are_int32_in_units_of_the_products(
    scheme: str, residual: onnx.ModelProto, calibrated: Calibrated
) -> None:
    graph = placed(residual, calibrated, scheme)
    for name in ("stem", "a1", "logits"):
        layer = node(graph, name)
        bias = graph.producer(layer.input[2], DQ)
        weight = graph.producer(layer.input[1], DQ)
        data = graph.producer(layer.input[0], DQ)
        assert bias is not None
        assert weight is not None
        assert data is not None
        assert graph.dtype(bias.input[0]) == TensorProto.INT32
        scales = [graph.constant(n.input[1]) for n in (data, weight, bias)]
        np.testing.assert_allclose(scales[0] * scales[1], scales[2], rtol=1e-6)  # type: ignore[operator]


@pytest.mark.parametrize("scheme", WITH_OUTPUTS)
def test_adds_and_pools_between_int8_layers_are_int8(
    scheme: str, residual: onnx.ModelProto, detector: onnx.ModelProto, calibrated: Calibrated
) -> None:
    graph = placed(residual, calibrated, scheme)
    assert [quantized_input(graph, "a_add", i) for i in (0, 1)] == ["a2", "pool"]
    assert quantized_input(graph, "pool") == "stem_relu"
    # a pool gives values that it got: one scale and zero point for both
    parameters = {q.input[0]: [graph.constant(i).tolist() for i in q.input[1:]] for q in activations(graph)}  # type: ignore[union-attr]
    assert parameters["pool"] == parameters["stem_relu"]
    graph = placed(detector, calibrated, scheme)
    assert quantized_input(graph, "big") == "c2_relu"
    assert [quantized_input(graph, "merged", i) for i in (0, 1)] == ["big", "lateral"]
    # a transposed convolution's output is exact; it would be rounded for nothing but the Add
    assert quantized_input(graph, "both", 1) is None


@pytest.mark.parametrize("scheme", WITH_OUTPUTS)
def test_an_add_that_no_int8_layer_reads_is_not_rounded(
    scheme: str, residual: onnx.ModelProto, calibrated: Calibrated
) -> None:
    graph = placed(residual, calibrated, scheme)
    assert [n.op_type for n in graph.consumers("b_out")] == ["ReduceMean"]


@pytest.mark.parametrize("scheme", WITH_OUTPUTS)
def test_a_last_convolution_stays_float(scheme: str, detector: onnx.ModelProto, calibrated: Calibrated) -> None:
    """Its output is not quantized, so onnxruntime would compute it in float with rounded weights."""
    graph = placed(detector, calibrated, scheme)
    for name in ("heatmap", "size"):
        assert graph.dtype(node(graph, name).input[1]) == TensorProto.FLOAT
        assert graph.producer(node(graph, name).input[1], DQ) is None
    assert quantized_input(graph, "heat_1") == "both"


def test_onnxruntime_fuses_what_is_placed(residual: onnx.ModelProto, calibrated: Calibrated, tmp_path: object) -> None:
    """Every convolution becomes QLinearConv, the Add between them QLinearAdd, and the ReLUs are gone."""
    import onnxruntime

    from edgekit.backends.onnxruntime_ import UNASKED

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*UNASKED)
    options.optimized_model_filepath = f"{tmp_path}/optimized.onnx"
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    data = made(residual, calibrated, "int8-x86").model.SerializeToString()
    onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    kinds = [n.op_type for n in onnx.load(f"{tmp_path}/optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 6
    assert kinds.count("QLinearAdd") == 1
    assert kinds.count("Relu") == 1  # the one behind the float Add
    assert "Conv" not in kinds
    assert "QGemm" in kinds


# --- special weights, and errors


def changed(model: onnx.ModelProto, **arrays: np.ndarray) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name in arrays:
            tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    return copy


def test_a_channel_of_zeros_or_of_tiny_weights_with_a_bias(residual: onnx.ModelProto, photos: Dataset) -> None:
    """bias / (input scale x weight scale) of such a channel would not fit into int32, and wrap around."""
    weight = numpy_helper.to_array(next(t for t in residual.graph.initializer if t.name == "w_a1")).copy()
    weight[0], weight[1] = 0, weight[1] * 1e-12
    bias = np.full(8, 3.0, np.float32)
    model = changed(residual, w_a1=weight, b_a1=bias)
    seen = calibrate(model, photos, SMALL)
    feed = {"image": normalise(np.stack([preprocess(s.read(), SMALL) for s in photos]), SMALL)}
    want = open_session(model.SerializeToString()).run(feed)["logits"]
    for scheme in ALL:
        got = open_session(quantize(model, seen, scheme).model.SerializeToString()).run(feed)["logits"]
        assert np.abs(got - want).mean() < 0.1 * want.std(axis=0).mean()


def test_errors(residual: onnx.ModelProto, detector: onnx.ModelProto, calibrated: Calibrated) -> None:
    seen = calibrated(residual)
    with pytest.raises(UsageError, match="Unknown quantization scheme"):
        quantize(residual, seen, "int4")
    with pytest.raises(UsageError, match="no such layers") as caught:
        quantize(residual, seen, "int8-x86", keep=["layer9"])
    assert "stem" in str(caught.value.expected)
    with pytest.raises(UsageError, match="No layer is left"):
        quantize(residual, seen, "int8-x86", keep=[layer.name for layer in layers_of(residual)])
    with pytest.raises(ArtifactError, match="another graph"):
        quantize(detector, seen, "int8-x86")
    done = made(residual, calibrated, "int8-x86").model
    with pytest.raises(ArtifactError, match="quantized already"):
        quantize(done, seen, "int8-x86")
    nameless = onnx.ModelProto()
    nameless.CopyFrom(residual)
    nameless.graph.node[3].name = nameless.graph.node[4].name
    with pytest.raises(ArtifactError, match="cannot be told apart"):
        quantize(nameless, seen, "int8-x86")
    old = onnx.ModelProto()
    old.CopyFrom(residual)
    old.opset_import[0].version = 18
    with pytest.raises(ArtifactError, match="too old"):
        quantize(old, seen, "int8-x86")


def test_macs_are_multiplications_of_one_picture(residual: onnx.ModelProto) -> None:
    macs = {layer.name: layer.macs for layer in layers_of(residual)}
    assert macs["stem"] == 8 * 3 * 9 * 32 * 32
    assert macs["short"] == 16 * 8 * 8 * 8
    assert macs["logits"] == 5 * 16


# --- a whole net


@pytest.mark.slow
def test_a_resnet_from_its_own_export(good: object, pictures: object) -> None:
    """The tiny ResNet-18 of the other tests: all 21 layers, names from torch, every scheme near the float net."""
    artifact = read_onnx(good)  # type: ignore[arg-type]
    spec = artifact.metadata.model.preprocess
    from dataclasses import replace

    from edgekit.data import made_pictures

    data = replace(made_pictures(36, seed=5), layout="pictures")
    seen = calibrate(artifact.model, data, spec)
    feed = {"image": np.stack([preprocess(s.read(), spec) for s in made_pictures(24, seed=6)])}
    want = open_session(artifact.data).run(feed)["logits"]
    for scheme in ALL:
        result: Quantized = quantize(artifact.model, seen, scheme)
        assert not result.model.metadata_props  # those of the float graph would lie
        assert len(result.layers) == 21
        got = open_session(result.model.SerializeToString()).run(feed)["logits"]
        error = ((got - want) ** 2).sum() / ((want - want.mean(0)) ** 2).sum()
        assert 0 < error < 0.1, scheme


def test_a_range_is_chosen_once_however_often_a_graph_is_quantized(
    residual: onnx.ModelProto, calibrated: Callable[[onnx.ModelProto], Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search quantizes one graph hundreds of times, and choosing ranges was most of it."""
    from edgekit.quantize import calibration

    asked: list[float] = []
    true = calibration.choose_range

    def counted(seen: Histogram, method: Method, grid: Grid) -> tuple[float, float]:
        asked.append(seen.high)
        return true(seen, method, grid)

    monkeypatch.setattr(calibration, "choose_range", counted)
    seen = replace(calibrated(residual))  # a new one, of which nothing was asked yet
    first = quantize(residual, seen, "int8-trt")
    once = len(asked)
    assert once > 0
    again = quantize(residual, seen, "int8-trt", keep=[first.layers[0]])
    assert len(asked) == once
    assert {name: first.parameters[name] for name in again.parameters} == dict(again.parameters)
