"""int8 weights with one scale per output channel, and int32 biases that fit beside them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PEAK = 127  # symmetric: -128 is not used, so that a weight and its negative are equally exact
BIAS_PEAK = 2**30  # half of what int32 holds; the other half is the sum's


def weight_scales(weight: NDArray[np.float32], axis: int, clip: bool = False) -> Floats:
    """float64 [C] of a weight with its output channels on `axis`; 1 for a channel of zeros.

    Args:
        clip: search each channel's scale for the least squared error, down to 0.7 of what holds its largest weight.
    """
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)
    peaks = np.abs(rows).max(axis=1)
    full = np.where(peaks > 0, peaks / PEAK, 1.0)
    if not clip:
        return full
    best, errors = full, np.full(len(full), np.inf)
    for factor in np.linspace(1.0, 0.7, 31):
        scales = full * factor
        steps = np.clip(np.rint(rows / scales[:, None]), -PEAK, PEAK)
        error = ((steps * scales[:, None] - rows) ** 2).sum(axis=1)
        better = error < errors
        best, errors = np.where(better, scales, best), np.where(better, error, errors)
    return np.asarray(best)


def room_for_bias(scales: Floats, bias: NDArray[np.float32] | None, input_scale: float) -> Floats:
    """`scales`, larger where bias / (input_scale scale) would leave int32: a channel of tiny weights with a bias."""
    if bias is None:
        return scales
    return np.maximum(scales, np.abs(bias.astype(np.float64)) / (input_scale * BIAS_PEAK))


def half_scale(scale: Floats) -> Floats:
    """The next number up that float16 holds exactly, where it has one that is not much larger.

    That includes numbers below 6.1e-5, of which it has one every 6e-8: a first layer with 1 / (255 std) in its weights
    has such scales, and rounding the weights to the scale as it is stored costs only its growing by 1.6 % at most.
    """
    low, high = 2.0**-18, float(np.finfo(np.float16).max)
    fits = (scale >= low) & (scale <= high)
    near = np.clip(scale, low, high).astype(np.float16)
    with np.errstate(over="ignore"):  # there is none above the largest: infinity, and so `scale` itself
        next_up = np.nextafter(near, np.float16(np.inf))
    up = np.where(near.astype(np.float64) < scale, next_up, near).astype(np.float64)
    return np.where(fits & np.isfinite(up), up, scale)


def quantize_weight(weight: NDArray[np.float32], scales: Floats, axis: int) -> NDArray[np.int8]:
    """int8 of the same shape: weight / scale, rounded to the nearest."""
    shape = [1] * weight.ndim
    shape[axis] = -1
    return np.clip(np.rint(weight / scales.reshape(shape)), -PEAK, PEAK).astype(np.int8)


def quantize_bias(bias: NDArray[np.float32], scales: Floats, input_scale: float) -> NDArray[np.int32]:
    """int32 [C] in units of input_scale scale, the products that it is added to."""
    return np.asarray(np.rint(bias.astype(np.float64) / (scales * input_scale)), np.int32)
