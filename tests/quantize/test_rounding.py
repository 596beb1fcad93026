"""Weights are rounded so that outputs stay near: patches are the convolution's own, and errors go down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from edgekit.backends.onnxruntime_ import run_once
from edgekit.data import Dataset, made_pictures
from edgekit.errors import DataError
from edgekit.graph.lint.graph import Graph
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.place import quantize
from edgekit.quantize.rounding import Moments, Rounder, rounder
from edgekit.quantize.rounding.geometry import geometries, geometry_of
from edgekit.quantize.rounding.gptq import left_over, round_rows
from edgekit.quantize.rounding.moments import InputStatistics
from edgekit.quantize.weights import half_scale, quantize_bias, quantize_weight, room_for_bias, weight_scales
from tests.quantize.conftest import SMALL

Calibrated = Callable[[onnx.ModelProto], Calibration]


def problem(inputs: int = 40, outputs: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray, InputStatistics]:
    """Weights, scales and the moments of correlated inputs that are never negative, as behind a ReLU."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(outputs, inputs))
    causes = max(inputs // 8, 1)  # few, so that inputs go together as neighbouring pixels do
    mixed = np.maximum(rng.normal(size=(2000, causes)) @ rng.normal(size=(causes, inputs)) + 1, 0)
    moments = InputStatistics.empty(inputs)
    moments.add(mixed[:300].astype(np.float32))
    moments.add(mixed[300:].astype(np.float32))
    return rows, weight_scales(rows.astype(np.float32), 0), moments


def output_error(rows: np.ndarray, steps: np.ndarray, scales: np.ndarray, moments: InputStatistics) -> float:
    """Mean squared error of the outputs, over channels and places."""
    lost = rows - steps * scales[:, None]
    return float(np.einsum("ck,kl,cl->c", lost, moments.mean_second(), lost, optimize=True).mean())


@pytest.mark.parametrize("inputs", [1, 7, 40, 300])
def test_outputs_are_nearer_than_with_nearest_weights(inputs: int) -> None:
    rows, scales, moments = problem(inputs)
    nearest = np.clip(np.rint(rows / scales[:, None]), -127, 127).astype(np.int8)
    steps = round_rows(rows, scales, moments)
    assert steps.dtype == np.int8
    assert np.abs(steps).max() <= 127
    worse, better = (output_error(rows, s, scales, moments) for s in (nearest, steps))
    assert better <= worse * 1.0001
    if inputs >= 40:
        assert better < 0.5 * worse


def test_moments_are_those_of_all_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(1500, 6)).astype(np.float32)
    moments = InputStatistics.empty(6)
    for part in np.array_split(rows, 7):
        moments.add(part)
    assert moments.count == 1500
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(moments.mean_second(), rows.T @ rows / 1500, atol=1e-4)
    np.testing.assert_allclose(moments.mean_second(), rows.T @ rows / 1500, atol=1e-4)  # nothing is added twice


def test_independent_inputs_are_rounded_to_the_nearest() -> None:
    rows, scales, _ = problem()
    moments = InputStatistics(np.zeros(40), np.eye(40, dtype=np.float32) * 100, 100)
    np.testing.assert_array_equal(round_rows(rows, scales, moments), np.rint(rows / scales[:, None]))


def test_inputs_that_are_never_seen_are_rounded_to_the_nearest() -> None:
    rows, scales, moments = problem()
    moments.first[:5] = moments.second[:5] = moments.second[:, :5] = 0
    steps = round_rows(rows, scales, moments)
    np.testing.assert_array_equal(steps[:, :5], np.rint(rows / scales[:, None])[:, :5])


def test_what_is_left_over_is_the_mean_error() -> None:
    rows, scales, moments = problem()
    steps = round_rows(rows, scales, moments)
    want = (rows - steps * scales[:, None]) @ (moments.first / moments.count)
    np.testing.assert_allclose(left_over(rows, steps, scales, moments), want)
    assert np.abs(want).max() > 0


def convolution(text: str, *weight: int) -> onnx.ModelProto:
    """One convolution of 4 channels [11, 13], with random weights."""
    graph = onnx.parser.parse_graph(f"g (float[1,4,11,13] x) => (float[1,c,h,w] y) {{ y = Conv<{text}>(x, w0) }}")
    values = np.random.default_rng(3).normal(size=weight).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(values, "w0"))
    graph.node[0].name = "y"
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(("conv", "groups", "channels"), [
    ("kernel_shape=[3,3], pads=[1,1,1,1]", 1, 5),
    ("kernel_shape=[3,3], strides=[2,2], pads=[0,1,2,1]", 1, 5),
    ("kernel_shape=[3,3], dilations=[2,2], pads=[2,2,2,2]", 1, 5),
    ("kernel_shape=[3,3]", 1, 5),
    ("kernel_shape=[3,3], strides=[2,2], group=2", 2, 6),
    ("kernel_shape=[3,3], pads=[1,1,1,1], group=4", 4, 4),
    ("kernel_shape=[3,3], pads=[1,1,1,1], group=4", 4, 8),
])  # fmt: skip
def test_patches_are_what_the_convolution_sees(
    conv: str, groups: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.quantize.rounding.geometry.PLACES", 10_000)  # all of them
    model = convolution(conv, channels, 4 // groups, 3, 3)
    x = np.random.default_rng(4).normal(size=(1, 4, 11, 13)).astype(np.float32)
    want = run_once(model.SerializeToString(), {"x": x})["y"][0].reshape(channels, -1)
    graph = Graph(model)
    geometry, weight = geometry_of(graph, graph.nodes[0]), graph.constant("w0")
    assert geometry is not None
    assert weight is not None
    patches = geometry.patches(x[0]).reshape(-1, groups, geometry.inputs)
    got = np.einsum("pgk,gck->gcp", patches, weight.reshape(groups, channels // groups, -1)).reshape(channels, -1)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_which_layers_are_rounded_to_the_nearest(residual: onnx.ModelProto) -> None:
    assert set(geometries(residual)) == {"stem", "a1", "a2", "short", "b1", "b2", "logits"}
    assert set(geometries(convolution("group=4", 4, 1, 3, 3))) == {"y"}
    assert geometries(convolution('auto_pad="SAME_UPPER"', 5, 4, 3, 3)) == {}


def test_a_group_is_rounded_as_a_layer_of_its_own() -> None:
    rows, scales, _ = problem(8, 6)
    seen = np.random.default_rng(1).gamma(1, size=(700, 3, 8)).astype(np.float32)
    seen += seen[:, :, :1]
    moments = InputStatistics.empty(8, 3)
    for part in np.array_split(seen, 4):
        moments.add(part)
    made = Rounder({"a": moments})("a", rows.astype(np.float32).reshape(6, 2, 2, 2), scales, 0)
    assert made is not None
    rows = rows.astype(np.float32).astype(np.float64)
    for group in range(3):
        alone = InputStatistics.empty(8)
        alone.add(seen[:, group])
        own = slice(2 * group, 2 * group + 2)
        steps = round_rows(rows[own], scales[own], alone)
        np.testing.assert_array_equal(made[0][own].reshape(2, 8), steps)
        np.testing.assert_allclose(made[1][own], left_over(rows[own], steps, scales[own], alone), atol=1e-6)
        assert np.abs(made[1][own]).min() > 0


def test_a_whole_net_is_nearer_with_it(residual: onnx.ModelProto, calibrated: Calibrated, photos: Dataset) -> None:
    from edgekit.backends import open_session
    from edgekit.vision.preprocess import normalise, preprocess

    rounds = rounder(residual, photos, SMALL)
    assert set(rounds.moments) == set(geometries(residual))
    feed = {"image": normalise(np.stack([preprocess(s.read(), SMALL) for s in photos]), SMALL)}
    want = open_session(residual.SerializeToString()).run(feed)["logits"]
    errors = {}
    for name, using in (("nearest", None), ("rounded", rounds)):
        data = quantize(residual, calibrated(residual), "int8-trt", rounder=using).model.SerializeToString()
        errors[name] = float(((open_session(data).run(feed)["logits"] - want) ** 2).mean())
    assert errors["rounded"] < errors["nearest"]


def test_moments_are_gathered_while_ranges_are_measured(residual: onnx.ModelProto, photos: Dataset) -> None:
    alone, beside = rounder(residual, photos, SMALL), Moments(residual)
    assert not beside.seen
    calibrate(residual, photos, SMALL, watch=beside.see)
    assert beside.seen
    assert set(beside.rounder().moments) == set(alone.moments)
    for name, moments in beside.of.items():
        assert moments.count == alone.moments[name].count
        np.testing.assert_allclose(moments.mean_second(), alone.moments[name].mean_second(), rtol=1e-3, atol=1e-4)


def test_a_layer_is_rounded_once_for_the_same_scales() -> None:
    rows, scales, moments = problem()
    using = Rounder({"a": moments})
    weight = rows.astype(np.float32).reshape(12, 10, 2, 2)
    first = using("a", weight, scales, 0)
    assert first is not None
    assert first[0].shape == weight.shape
    again, other = using("a", weight, scales, 0), using("a", weight, scales * 1.1, 0)
    assert again is first
    assert other is not None
    assert other is not first
    assert using("b", weight, scales, 0) is None
    turned = Rounder({"a": moments})("a", rows.astype(np.float32).T, scales, 1)
    assert turned is not None
    assert np.array_equal(turned[0].T.reshape(weight.shape), first[0])


def test_pictures_made_in_code_are_refused(residual: onnx.ModelProto) -> None:
    with pytest.raises(DataError, match="made in code"):
        rounder(residual, made_pictures(40), SMALL)


# --- weights


@given(st.integers(0, 1000), st.sampled_from([0, 1]))
@settings(max_examples=30, deadline=None)
def test_a_weight_comes_back_within_half_a_step(seed: int, axis: int) -> None:
    weight = np.random.default_rng(seed).normal(size=(6, 5)).astype(np.float32)
    scales = weight_scales(weight, axis)
    shape = (-1, 1) if axis == 0 else (1, -1)
    back = quantize_weight(weight, scales, axis) * scales.reshape(shape)
    assert (np.abs(back - weight) <= scales.reshape(shape) * 0.5001).all()


def test_scales_of_half_precision_are_not_smaller() -> None:
    scales = np.concatenate([np.geomspace(1e-9, 1e6, 500), [65504.0, 0.5]])
    rounded = half_scale(scales)
    inside = (scales >= 2.0**-18) & (scales <= 65504)
    assert (rounded[inside] >= scales[inside]).all()
    assert (rounded[inside] <= scales[inside] * 1.016).all()
    normal = inside & (scales >= 6.2e-5)
    assert (rounded[normal] <= scales[normal] * 1.001).all()
    np.testing.assert_array_equal(rounded[inside], rounded[inside].astype(np.float16))
    np.testing.assert_array_equal(rounded[~inside], scales[~inside])  # float16 does not have these


def test_a_bias_never_leaves_int32() -> None:
    scales = np.array([1e-12, 0.01])
    bias = np.array([5.0, -5.0], np.float32)
    wider = room_for_bias(scales, bias, 0.02)
    assert wider[1] == 0.01
    steps = quantize_bias(bias, wider, 0.02)
    np.testing.assert_allclose(steps * wider * 0.02, bias, rtol=1e-3)
    np.testing.assert_array_equal(room_for_bias(scales, None, 0.02), scales)
