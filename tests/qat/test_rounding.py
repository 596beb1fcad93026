"""torch rounds as the exporter stores: the same integers of weights, biases and activations, and gradients through."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgekit.config.schemes import SCHEMES, Scheme
from edgekit.qat.rounding import Range, half_scales, weight_and_bias
from edgekit.quantize.weights import half_scale, quantize_bias, quantize_weight, room_for_bias, weight_scales


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("axis", [0, 1])
def test_weights_and_biases_are_those_that_an_export_stores(scheme: object, axis: int) -> None:
    assert isinstance(scheme, type(SCHEMES["int8-x86"]))
    rng = np.random.default_rng(axis)
    weight = rng.normal(0, 0.1, (6, 6)).astype(np.float32)
    weight[:, 2] *= 1e-9  # a channel whose bias asks for another scale
    weight[2] *= 1e-9
    bias, step = rng.normal(0, 3, 6).astype(np.float32), 0.0123
    scales = weight_scales(weight, axis)
    scales = half_scale(scales) if scheme.half_scales else scales
    scales = room_for_bias(scales, bias, step) if scheme.quantized_bias else scales
    scales = scales.astype(np.float32).astype(np.float64)
    shape = [1, 1]
    shape[axis] = -1
    wanted = quantize_weight(weight, scales, axis) * scales.astype(np.float32).reshape(shape)
    got, shift = weight_and_bias(torch.from_numpy(weight), torch.from_numpy(bias), axis, step, scheme)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=2e-7, atol=1e-12)
    assert shift is not None
    units = (scales * step).astype(np.float32)
    stored = quantize_bias(bias, units.astype(np.float64), 1.0) * units if scheme.quantized_bias else bias
    np.testing.assert_allclose(shift.numpy(), stored, rtol=2e-7)


@pytest.mark.parametrize(("zero", "kind", "scheme"), [(31, np.uint8, "int8-x86"), (-7, np.int8, "int8-arm")])
def test_activations_are_those_of_a_pair(zero: int, kind: type[np.generic], scheme: str) -> None:
    scale = np.float32(0.037)
    x = np.random.default_rng(0).uniform(-6, 12, 4000).astype(np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    values = [numpy_helper.from_array(np.array(scale), "s"), numpy_helper.from_array(np.array(zero, kind), "z")]
    float_value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4000]) for n in "xy"]
    model = helper.make_model(
        helper.make_graph(nodes, "g", float_value[:1], float_value[1:], values),
        opset_imports=[helper.make_opsetid("", 20)],
    )
    onnx.checker.check_model(model)
    wanted = ReferenceEvaluator(model).run(None, {"x": x})[0]
    got = Range(float(scale), zero, SCHEMES[scheme])(torch.from_numpy(x)).detach().numpy()
    off = np.abs(got - wanted)
    assert (off > 1e-6).mean() < 0.002  # halves, which a reciprocal can round to the other side
    assert off.max() <= scale * 1.001


def test_what_is_inside_the_range_learns_and_what_is_outside_does_not() -> None:
    x = torch.tensor([-5.0, 0.5, 300.0], requires_grad=True)
    Range(1.0, 0, SCHEMES["int8-x86"])(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 0]
    weight, bias = (torch.randn(4, 3, requires_grad=True), torch.randn(4, requires_grad=True))
    rounded, moved = weight_and_bias(weight, bias, 0, 0.1, SCHEMES["int8-x86"])
    assert moved is not None
    (rounded.sum() + moved.sum()).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert torch.equal(weight.grad, torch.ones(4, 3))
    assert torch.equal(bias.grad, torch.ones(4))


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("factor", [5.0, 0.1])
def test_a_range_that_is_too_wide_or_too_narrow_learns(scheme: Scheme, factor: float) -> None:
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    zero = 0 if scheme.grid.symmetric else scheme.grid.low + 128
    found = Range(factor * 4 / 127, zero, scheme)
    before = (found(x) - x).square().mean().item()
    optimizer = torch.optim.Adam(found.parameters(), lr=2e-3)
    for _ in range(300):
        optimizer.zero_grad()
        (found(x) - x).square().mean().backward()
        optimizer.step()
    after = (found(x) - x).square().mean().item()
    assert after < before / 10
    scale, still = found.numbers()
    assert still == zero
    assert scale == pytest.approx(4 / 127, rel=0.35)
    assert not scheme.half_scales or np.float16(scale) == scale


def test_scales_of_half_precision_are_the_exporters() -> None:
    values = np.concatenate([10.0 ** np.linspace(-8, 6, 500), np.array([0.5, 1.0, 6e-8])])
    np.testing.assert_array_equal(half_scales(torch.from_numpy(values)).numpy(), half_scale(values))
