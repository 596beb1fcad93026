"""The rounding of an int8 graph in torch, with gradients: the numbers are those that `edgekit.quantize` stores.

Forward it rounds; backward it does not, but for what lies outside a tensor's range, which gets no gradient (Bengio et
al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons", the straight-through estimator). The scale
of an activation learns too (Esser et al. 2020, "Learned Step Size Quantization", arXiv 1902.08153, sec. 2.1 and 2.2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from edgekit.config.schemes import Scheme
from edgekit.quantize.weights import BIAS_PEAK, PEAK

PACE = 20.0  # a scale moves by so many times the learning rate, as a share of itself: by more than one weight does


class Range(nn.Module):
    """The range of a tensor, or of tensors that share it: the scale learns, the zero point stays.

    Args:
        scale: as measured.
        zero: the integer that is 0.
        scheme: of the graph.
    """

    def __init__(self, scale: float, zero: int, scheme: Scheme) -> None:
        super().__init__()
        self.measured, self.zero, self.scheme = scale, zero, scheme
        self.moved = nn.Parameter(torch.zeros(()))

    def scale(self) -> Tensor:
        """float32, above 0: as measured until something was learnt."""
        learnt = self.measured * torch.exp(PACE * self.moved)
        if not self.scheme.half_scales:
            return learnt
        with torch.no_grad():
            step = half_scales(learnt.double()).float() - learnt
        return learnt + step

    def numbers(self) -> tuple[float, int]:
        """Scale and zero point."""
        return float(self.scale().detach()), self.zero

    def forward(self, x: Tensor) -> Tensor:
        """`x` as a QuantizeLinear and a DequantizeLinear give it; ties go to the even integer."""
        grid = self.scheme.grid
        given: Tensor = _Rounded.apply(x, self.scale(), self.zero, grid.low, grid.high)
        return given


class _Rounded(torch.autograd.Function):
    """Rounding to a tensor's integers and back, with gradients for the tensor and its scale."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: int, low: int, high: int) -> Tensor:
        ctx.save_for_backward(x, scale)
        ctx.limits = low - zero, high - zero
        return torch.fake_quantize_per_tensor_affine(x, float(scale), zero, low, high)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, scale = ctx.saved_tensors
        low, high = ctx.limits
        places = x / scale
        nearest = places.round()
        inside = (nearest >= low) & (nearest <= high)
        slope = nearest.clamp_(low, high) - places * inside  # outside: the end of the range
        share = (x.numel() * (high - low)) ** -0.5  # sec. 2.2: else its gradient dwarfs those of weights
        return grad * inside, (grad * slope).sum() * share, None, None, None


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
