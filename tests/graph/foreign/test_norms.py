"""BatchNormalization on the graph becomes part of a layer exactly where that is exact, and is measured."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from tests.graph.foreign.nets import Weights, cleaned, file, norm, numbers, ops

N = "BatchNormalization(c, s, b, m, v)"

# layer and norm in either order; the output of the first is `c`, and the picture has 4 channels of 6 x 6
FOLDED: dict[str, tuple[str, Weights]] = {
    "Conv": (f"c = Conv<pads = [1, 1, 1, 1]>(x, w)\n y = {N}", {"w": numbers(4, 4, 3, 3)}),
    "Conv with a bias": (f"c = Conv(x, w, k)\n y = {N}", {"w": numbers(4, 4, 3, 3), "k": numbers(4)}),
    "depthwise": (f"c = Conv<group = 4>(x, w)\n y = {N}", {"w": numbers(4, 1, 3, 3)}),
    "Conv in groups": (f"c = Conv<group = 2>(x, w)\n y = {N}", {"w": numbers(4, 2, 1, 1)}),
    "ConvTranspose": (f"c = ConvTranspose<strides = [2, 2]>(x, w, k)\n y = {N}",
                      {"w": numbers(4, 4, 3, 3), "k": numbers(4)}),
    "ConvTranspose in groups": (f"c = ConvTranspose<group = 2>(x, w)\n y = {N}", {"w": numbers(4, 2, 2, 2)}),
    "Gemm": (f"f = Flatten(x)\n c = Gemm<alpha = 0.5, beta = 3.0>(f, w, k)\n y = {N}",
             {"w": numbers(144, 4), "k": numbers(4)}),
    "Gemm, turned, with one bias": (f"f = Flatten(x)\n c = Gemm<transB = 1>(f, w, k)\n y = {N}",
                                    {"w": numbers(4, 144), "k": numbers(1)}),
    "MatMul": (f"f = Flatten(x)\n c = MatMul(f, w)\n y = {N}", {"w": numbers(144, 4)}),
    "before Conv": ("c = Relu(x)\n n = " + N + "\n y = Conv(n, w, k)", {"w": numbers(5, 4, 3, 3), "k": numbers(5)}),
    "before Conv in groups": ("c = Relu(x)\n n = " + N + "\n y = Conv<group = 2>(n, w)", {"w": numbers(6, 2, 1, 1)}),
    "before Gemm": ("p = GlobalAveragePool(x)\n c = Flatten(p)\n n = " + N
                    + "\n y = Gemm<alpha = 2.0, beta = 0.5, transB = 1>(n, w, k)",
                    {"w": numbers(5, 4), "k": numbers(5)}),
    "before MatMul": ("p = GlobalAveragePool(x)\n c = Flatten(p)\n n = " + N + "\n y = MatMul(n, w)",
                      {"w": numbers(4, 5)}),
}  # fmt: skip


def cleaned_of(text: str, weights: Weights, tmp_path: Path):  # type: ignore[no-untyped-def]
    return cleaned(file(tmp_path, f"net (float[1,4,6,6] x) => (float[a,b,c,d] y) {{\n{text}\n}}", weights, opset=13))


@pytest.mark.parametrize("name", FOLDED)
def test_is_folded(name: str, tmp_path: Path) -> None:
    text, weights = FOLDED[name]
    found = cleaned_of(text, {**norm(4), **weights}, tmp_path)
    assert ops(found)["BatchNormalization"] == 0
    (one,) = found.folded
    assert one.into
    assert not one.reason
    assert 0 <= one.difference < 3e-5 * one.scale


STAYS: dict[str, tuple[str, Weights, str]] = {
    "padded behind": ("c = Relu(x)\n n = " + N + "\n y = Conv<pads = [1, 1, 1, 1]>(n, w)",
                      {"w": numbers(4, 4, 3, 3)}, "pads"),
    "the layer is read twice": (f"c = Conv(x, w)\n n = {N}\n y = Add(n, c)", {"w": numbers(4, 4, 1, 1)}, "others"),
    "nothing before or behind": (f"c = Relu(x)\n n = {N}\n y = Relu(n)", {}, "no weights"),
    "a variance below zero": (f"c = Conv(x, w)\n y = {N}",
                              {"w": numbers(4, 4, 1, 1), "v": np.array([1, -0.5, 1, 1], np.float32)}, "below zero"),
    "too large": (f"c = Conv(x, w)\n y = {N}",
                  {"w": np.full((4, 4, 1, 1), 1e30, np.float32), "s": np.full(4, 1e20, np.float32)}, "float32"),
}  # fmt: skip


@pytest.mark.parametrize("name", STAYS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_stays_and_is_said(name: str, tmp_path: Path) -> None:
    from edgekit.graph.foreign import clean, read_foreign

    text, weights, word = STAYS[name]
    path = file(
        tmp_path, f"net (float[1,4,6,6] x) => (float[a,b,c,d] y) {{\n{text}\n}}", {**norm(4), **weights}, opset=13
    )
    found = clean(read_foreign(path), opset=20)
    assert ops(found)["BatchNormalization"] == 1
    (one,) = found.folded
    assert not one.into
    assert word in one.reason
    assert math.isnan(one.difference)
    assert any(word in step for step in found.steps)


def test_a_shift_of_zero_may_be_padded(tmp_path: Path) -> None:
    weights = {**norm(4), "w": numbers(4, 4, 3, 3), "b": np.zeros(4, np.float32), "m": np.zeros(4, np.float32)}
    found = cleaned_of("c = Relu(x)\n n = " + N + "\n y = Conv<pads = [1, 1, 1, 1]>(n, w)", weights, tmp_path)
    assert ops(found) == {"Relu": 1, "Conv": 1}


def test_a_variance_of_zero_is_kept_apart_by_epsilon(tmp_path: Path) -> None:
    weights = {**norm(4), "w": numbers(4, 4, 1, 1), "v": np.zeros(4, np.float32)}
    found = cleaned_of(f"c = Conv(x, w)\n y = {N}", weights, tmp_path)
    assert ops(found) == {"Conv": 1}


def test_float64_and_rounded_once(tmp_path: Path) -> None:
    """The weights are the nearest float32 to the exact products, of values that float32 arithmetic would move."""
    weights = {**norm(4), "w": numbers(4, 4, 1, 1)}
    found = cleaned_of(f"c = Conv(x, w)\n y = {N}", weights, tmp_path)
    stored = {tuple(t.dims): numpy_helper.to_array(t) for t in found.model.graph.initializer}
    w, s, v = (weights[n].astype(np.float64) for n in ("w", "s", "v"))
    exact = w * (s / np.sqrt(v + float(np.float32(1e-5)))).reshape(4, 1, 1, 1)
    assert np.array_equal(stored[(4, 4, 1, 1)], exact.astype(np.float32))


def test_a_weight_that_two_layers_share(tmp_path: Path) -> None:
    """The other layer keeps its own."""
    text = f"c = Conv(x, w)\n n = {N}\n a = Conv(n, w)\n y = Relu(a)"
    found = cleaned_of(text, {**norm(4), "w": numbers(4, 4, 1, 1)}, tmp_path)
    assert ops(found) == {"Conv": 2, "Relu": 1}
