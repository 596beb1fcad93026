"""The rounding of an int8 graph in torch, with gradients: the numbers are those that `edgekit.quantize` stores.

Forward it rounds; backward it does not, but for what lies outside a tensor's range, which gets no gradient (Bengio et
al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons", the straight-through estimator).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit.config.schemes import Scheme
from edgekit.quantize.weights import BIAS_PEAK, PEAK


@dataclass(frozen=True)
class Activation:
    """The integers of a tensor: its scale, its zero point, the smallest and the largest of them."""

    scale: float
    zero: int
    low: int
    high: int

    def __call__(self, x: Tensor) -> Tensor:
        """`x` as a QuantizeLinear and a DequantizeLinear give it; ties go to the even integer."""
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, self.low, self.high)


def weight_and_bias(
    weight: Tensor, bias: Tensor | None, axis: int, input_scale: float, scheme: Scheme
) -> tuple[Tensor, Tensor | None]:
    """A layer's weight and bias as its int8 node has them, with gradients for both.

    Args:
        weight: float32, its output channels on `axis`.
        bias: float32 [C].
        input_scale: of what the layer reads.
    """
    with torch.no_grad():
        scales = _scales(weight, bias, axis, input_scale, scheme)
        shape = [1] * weight.ndim
        shape[axis] = -1
        wide = scales.reshape(shape)
        steps = torch.round(weight.double() / wide).clamp_(-PEAK, PEAK)
        moved = steps.float() * wide.float() - weight
    if bias is None or not scheme.quantized_bias:
        return weight + moved, bias
    with torch.no_grad():
        units = (scales * input_scale).float()
        shift = (torch.round(bias.double() / units.double()).float() * units) - bias
    return weight + moved, bias + shift


def _scales(weight: Tensor, bias: Tensor | None, axis: int, input_scale: float, scheme: Scheme) -> Tensor:
    """float64 [C], numbers of float32: as `edgekit.quantize.place` makes them."""
    peaks = weight.transpose(0, axis).flatten(1).abs().amax(1).double()
    scales = torch.where(peaks > 0, peaks / PEAK, torch.ones_like(peaks))
    if scheme.half_scales:
        scales = half_scales(scales)
    if scheme.quantized_bias and bias is not None:
        scales = torch.maximum(scales, bias.double().abs() / (input_scale * BIAS_PEAK))
    return scales.float().double()


def half_scales(scales: Tensor) -> Tensor:
    """As `edgekit.quantize.weights.half_scale`: the next number up that float16 has, where it has one."""
    low, high = 2.0**-18, torch.finfo(torch.float16).max
    near = scales.clamp(low, high).half()
    above = (near.view(torch.int16) + 1).view(torch.float16)  # of positive numbers the next one
    up = torch.where(near.double() < scales, above, near).double()
    fits = (scales >= low) & (scales <= high) & torch.isfinite(up)
    return torch.where(fits, up, scales)
