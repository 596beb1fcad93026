"""LayerNorm as exporters wrote it below opset 17 is one node again, and what only looks like it is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.graph.foreign.test_clean import cleaned, file, numbers, ops

MEAN = "m = ReduceMean<axes=[-1]>(x) d = Sub(x, m)"
SQUARE = "q = Pow(d, two) v = ReduceMean<axes=[-1]>(q) e = Add(v, eps)"
OTHER_SQUARE, FOURTH = (SQUARE.replace("Pow(d, two)", other) for other in ("Mul(d, x)", "Pow(d, four)"))
ROOT = "r = Sqrt(e) n = Div(d, r)"
AFFINE = "g = Mul(n, gain) out = Add(g, bias)"


def net(norm: str, outputs: str = "float[1,6,4,8] y", last: str = "y = Mul(out, three)") -> str:
    stored = "float two = {2.0}, float one = {1.0}, float three = {3.0}, float four = {4.0}, float eps = {0.01}"
    return f"g (float[1,3,4,8] image) => ({outputs}) <{stored}> {{ x = Conv(image, w) {norm} {last} }}"


@pytest.mark.parametrize("norm", [
    f"{MEAN} {SQUARE} {ROOT} {AFFINE}",
    f"{MEAN} q = Mul(d, d) v = ReduceMean<axes=[3]>(q) e = Add(eps, v) {ROOT} {AFFINE}".replace("[-1]", "[3]"),
    f"{MEAN} {SQUARE} r = Sqrt(e) i = Reciprocal(r) n = Mul(i, d) {AFFINE}",
    f"{MEAN} {SQUARE} r = Sqrt(e) i = Div(one, r) n = Mul(d, i) g = Mul(gain, n) out = Add(bias, g)",
    f"{MEAN} {SQUARE} half = Constant<value_float=0.5>() r = Pow(e, half) n = Div(d, r) out = Mul(n, gain)",
    f"{MEAN} {SQUARE} {ROOT} out = Relu(n)",
    f"{MEAN} {SQUARE} {ROOT} {AFFINE}".replace("[-1]", "[2,3]").replace("gain", "map").replace("bias", "map"),
], ids=["torch", "squared", "reciprocal", "one over", "power", "plain", "maps"])  # fmt: skip
def test_it_is_one_node_again(norm: str, tmp_path: Path) -> None:
    weights = {"w": numbers(6, 3, 1, 1), "gain": numbers(8), "bias": numbers(1, 1, 1, 8), "map": numbers(4, 8)}
    found = cleaned(file(tmp_path, net(norm), weights, opset=12))
    assert ops(found)["LayerNormalization"] == 1
    assert not {"ReduceMean", "Sqrt", "Pow", "Sub"} & set(ops(found))
    assert any("1 LayerNorms" in step for step in found.steps)
    node = next(n for n in found.model.graph.node if n.op_type == "LayerNormalization")
    assert next(a.f for a in node.attribute if a.name == "epsilon") == np.float32(0.01)


@pytest.mark.parametrize(("norm", "outputs", "last"), [
    (f"{MEAN} {SQUARE} {ROOT} out = Relu(n)".replace("[-1]", "[1]"), "float[1,6,4,8] y", "y = Mul(out, three)"),
    (f"{MEAN} {SQUARE} {ROOT} {AFFINE}", "float[1,6,4,8] y, float[1,6,4,8] s", "s = Mul(d, two) y = Mul(out, three)"),
    (f"{MEAN} {SQUARE} {ROOT} {AFFINE}", "float[1,6,4,8] y, float[1,6,4,8] d", "y = Mul(out, three)"),
    (f"d = Mul(x, two) {SQUARE} {ROOT} {AFFINE}", "float[1,6,4,8] y", "y = Mul(out, three)"),
    (f"{MEAN} {OTHER_SQUARE} {ROOT} {AFFINE}", "float[1,6,4,8] y", "y = Mul(out, three)"),
    (f"{MEAN} {FOURTH} {ROOT} {AFFINE}", "float[1,6,4,8] y", "y = Mul(out, three)"),
], ids=["channels", "read by others", "an output", "not centred", "another square", "fourth power"])  # fmt: skip
def test_what_is_none_stays(norm: str, outputs: str, last: str, tmp_path: Path) -> None:
    """`cleaned` compares the answers too: a wrong fusion would be seen there."""
    weights = {"w": np.abs(numbers(6, 3, 1, 1)), "gain": numbers(8), "bias": numbers(8)}
    found = cleaned(file(tmp_path, net(norm, outputs, last), weights, opset=12))
    assert "LayerNormalization" not in ops(found)
