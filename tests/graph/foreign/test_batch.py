"""A batch of any size where the graph allows it, and a reason where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.graph.foreign import Cleaned, clean, read_foreign
from edgekit.graph.foreign.run import run
from tests.graph.foreign.nets import Weights, cleaned, file, numbers


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


# `x` is float[1,4,6,6]; each holds a batch of 1 in its own way
MADE: dict[str, tuple[str, Weights]] = {
    "a Reshape": ("y = Reshape(x, s)", {"s": ints(1, -1)}),
    "a Reshape with all sizes": ("y = Reshape(x, s)", {"s": ints(1, 4, 36)}),
    "a Reshape that copies": ("y = Reshape(x, s)", {"s": ints(0, 4, -1)}),
    "a shuffle of channels": ("a = Reshape(x, s)\n b = Transpose<perm = [0, 2, 1, 3, 4]>(a)\n y = Reshape(b, t)",
                              {"s": ints(1, 2, 2, 6, 6), "t": ints(1, 4, 6, 6)}),
    "rows within one dimension": ("a = Reshape(x, s)\n b = Transpose<perm = [0, 2, 1]>(a)\n c = MatMul(b, w)\n"
                                  "y = Reshape(c, t)",
                                  {"s": ints(2, 2, 36), "w": numbers(2, 3), "t": ints(1, 2, 36, 3)}),
    "rows behind places": ("a = Reshape(x, s)\n b = Transpose<perm = [2, 0, 1]>(a)\n c = Reshape(b, t)\n"
                           "d = Softmax<axis = 2>(c)\n e = Reshape(d, u)\n y = Transpose<perm = [1, 2, 0]>(e)",
                           {"s": ints(1, 4, 36), "t": ints(36, 2, 2), "u": ints(36, 1, 4)}),
    "rows merged behind places": ("a = Transpose<perm = [2, 0, 1, 3]>(x)\n b = Reshape(a, s)\n c = MatMul(b, w)\n"
                                  "d = Reshape(c, t)\n y = Transpose<perm = [1, 2, 0, 3]>(d)",
                                  {"s": ints(24, 6), "w": numbers(6, 5), "t": ints(6, 1, 4, 5)}),
    "an Expand": ("p = ReduceMean<axes = [2, 3]>(x)\n y = Expand(p, s)", {"s": ints(1, 4, 3, 3)}),
    "a Resize to sizes": ("y = Resize<mode = \"linear\">(x, e, e, s)",
                          {"e": np.zeros(0, np.float32), "s": ints(1, 4, 12, 12)}),
    "a Resize to sizes that no scale gives": ("y = Resize<mode = \"linear\">(x, e, e, s)",
                                              {"e": np.zeros(0, np.float32), "s": ints(1, 4, 13, 11)}),
    "a token": ("a = Reshape(x, s)\n y = Concat<axis = 1>(t, a)", {"s": ints(1, 4, 36), "t": numbers(1, 1, 36)}),
    "a token that is expanded": ("a = Reshape(x, s)\n e = Expand(t, u)\n y = Concat<axis = 1>(e, a)",
                                 {"s": ints(1, 4, 36), "t": numbers(1, 1, 36), "u": ints(1, 1, 36)}),
    "a slice of the whole": ("a = Slice<starts = [0, 1], ends = [1, 3], axes = [0, 1]>(x)\n y = Relu(a)", {}),
    "places of one flattened picture": ("f = Reshape(x, s)\n g = Gather(f, p)\n y = Relu(g)",
                                        {"s": ints(-1), "p": np.arange(144)[::-1].reshape(1, 12, 12).copy()}),
    "the shape, read": ("h = Shape(x)\n z = Constant<value = int64[1] {0}>()\n n = Gather(h, z)\n"
                        "m = Constant<value = int64[1] {-1}>()\n s = Concat<axis = 0>(n, m)\n y = Reshape(x, s)", {}),
    "states of zeros": ("a = Transpose<perm = [2, 0, 1, 3]>(x)\n b = Reshape(a, s)\n"
                        "c, d = GRU<hidden_size = 3>(b, w, r, k, , z)\n e = Transpose<perm = [2, 0, 1, 3]>(c)\n"
                        "y = Reshape(e, t)",
                        {"s": ints(6, 1, 24), "w": numbers(1, 9, 24), "r": numbers(1, 9, 3), "k": numbers(1, 18),
                         "z": np.zeros((1, 1, 3), np.float32), "t": ints(1, -1)}),
}  # fmt: skip


def net(text: str, weights: Weights, tmp_path: Path, shape: str = "1,4,6,6") -> Path:
    return file(tmp_path, f"net (float[{shape}] x) => (float[a,b,c,d,e] y) {{\n{text}\n}}", weights, opset=11)


@pytest.mark.parametrize("name", MADE)
def test_becomes_any(name: str, tmp_path: Path) -> None:
    if name == "a slice of the whole":  # as it was before opset 10
        text = f"net (float[1,4,6,6] x) => (float[a,b,c,d] y) {{\n{MADE[name][0]}\n}}"
        found = cleaned(file(tmp_path, text, opset=9))
    else:
        found = cleaned(net(*MADE[name], tmp_path))
    assert found.batch == "N", found.reason
    assert not found.reason
    first = found.model.graph.output[0].type.tensor_type.shape.dim[0]
    assert first.dim_param == "N"
    rows_are_independent(found)


def rows_are_independent(found: Cleaned) -> None:
    rows = numbers(3, 4, 6, 6)
    together = run(found.model, {"image": rows})["y"]
    for i in range(3):
        alone = run(found.model, {"image": rows[i : i + 1]})["y"]
        assert np.abs(together[i : i + 1] - alone).max() <= 1e-5 * np.abs(alone).max()


KEPT: dict[str, tuple[str, Weights, str]] = {
    "the first row": ("y = Gather<axis = 0>(x, z)", {"z": np.array(0)}, "Gather"),
    "the mean of all rows": ("y = ReduceMean<axes = [0], keepdims = 1>(x)", {}, "ReduceMean"),
    "an output of places": ("a = Reshape(x, s)\n y = Transpose<perm = [2, 0, 1]>(a)", {"s": ints(1, 4, 36)}, "row"),
    "an output that no picture changes": ("a = ReduceMean(x)\n b = Mul(a, z)\n y = Relu(k)",
                                          {"z": np.array(0, np.float32), "k": numbers(1, 4)}, "row"),
    "places of the first row only": ("u = Slice(x, st, en, ax)\n y = ScatterND(x, i, u2)",
                                     {"st": ints(0), "en": ints(1), "ax": ints(1), "i": ints(0, 0).reshape(1, 2),
                                      "u2": numbers(1, 6, 6)}, "differs"),
    "a norm over all rows": ("a = Reshape(x, s)\n b = Softmax<axis = 0>(a)\n y = Reshape(b, t)",
                             {"s": ints(4, 36), "t": ints(1, 4, 36)}, "differs"),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_stays_one_and_says_why(name: str, tmp_path: Path) -> None:
    text, weights, word = KEPT[name]
    path = file(
        tmp_path,
        f"net (float[1,4,6,6] x) => (float[a,b,c,d] y) {{\n{text}\n}}",
        weights,
        opset=13 if "norm" in name else 11,
    )
    found = cleaned(path)
    assert found.batch == 1
    assert word in found.reason
    assert any(found.reason in step for step in found.steps)
    assert found.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_only_where_it_is_wanted(tmp_path: Path) -> None:
    found = cleaned(net(*MADE["a Reshape"], tmp_path), dynamic=False)
    assert found.batch == 1
    assert found.reason


def test_a_dynamic_batch_stays_one(tmp_path: Path) -> None:
    found = cleaned(net(*MADE["the shape, read"], tmp_path, shape="n,4,6,6"))
    assert found.batch == "N"
    rows_are_independent(found)


def test_the_original_s_batch_is_left_alone(tmp_path: Path) -> None:
    path = net(*MADE["a Reshape"], tmp_path)
    foreign = read_foreign(path)
    clean(foreign, opset=20)
    assert foreign.inputs[0].shape == (1, 4, 6, 6)
