"""Graphs as other exporters write them come out plain, and compute what they did."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from edgekit.graph.foreign import Cleaned, Foreign, clean, read_foreign
from edgekit.graph.foreign.run import run
from edgekit.graph.lint import lint

OPSET = 20
RNG = np.random.default_rng(0)


def numbers(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32)


def file(
    tmp_path: Path, text: str, weights: dict[str, NDArray[Any]] | None = None, ir: int = 8, opset: int = 11
) -> Path:
    """An ONNX from onnx's textual syntax."""
    model = parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}]>\n{text}')
    for name, value in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    return path


def cleaned(path: Path, *, size: tuple[int, int] | None = None, dynamic: bool = True, opset: int = OPSET) -> Cleaned:
    """Cleaned, and what must be true of every cleaned graph."""
    foreign = read_foreign(path)
    before = foreign.runnable()
    found = clean(foreign, opset=opset, size=size, dynamic=dynamic)
    assert foreign.runnable() == before, "the original is left alone"
    model = found.model
    assert [v.name for v in model.graph.input] == ["image"]
    assert [v.name for v in model.graph.output] == [spec.name for spec in foreign.outputs]
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert not lint_errors(model)
    compare(foreign, found)
    return found


def lint_errors(model: onnx.ModelProto) -> list[str]:
    return [finding.message for finding in lint(model) if finding.severity == "error"]


def compare(foreign: Foreign, found: Cleaned, limit: float = 1e-4) -> None:
    """The original against what came of it, in onnxruntime."""
    dims = [d.dim_value for d in found.model.graph.input[0].type.tensor_type.shape.dim]
    picture = np.random.default_rng(1).normal(size=(1, *dims[1:])).astype(np.float32)
    spec = foreign.inputs[0]
    want = run(foreign.runnable(), {spec.name: picture.astype(spec.dtype)})
    got = run(found.model, {"image": picture})
    for name, value in want.items():
        assert np.abs(got[name] - value.astype(np.float64)).max() <= limit * np.abs(value).max(), name


def ops(found: Cleaned) -> Counter[str]:
    return Counter(node.op_type for node in found.model.graph.node)


def norm(channels: int) -> dict[str, NDArray[np.float32]]:
    return {"s": numbers(channels), "b": numbers(channels), "m": numbers(channels), "v": np.abs(numbers(channels))}


def test_a_net_as_it_was_exported_years_ago(tmp_path: Path) -> None:
    """Opset 9, weights as inputs, Constants, a norm of its own, and a flatten that reads the shape."""
    text = """net (float[1,3,8,8] x, float[4,3,3,3] w, float[4] s, float[4] b, float[4] m, float[4] v, float[256,5] k)
      => (float[1,5] y) {
      c = Conv<pads = [1,1,1,1]>(x, w)
      n = BatchNormalization<epsilon = 0.001>(c, s, b, m, v)
      r = Relu(n)
      shape = Shape(r)
      zero = Constant<value = int64 {0}>()
      first = Gather<axis = 0>(shape, zero)
      minus = Constant<value = int64[1] {-1}>()
      firsts = Unsqueeze<axes = [0]>(first)
      whole = Concat<axis = 0>(firsts, minus)
      flat = Reshape(r, whole)
      f = MatMul(flat, k)
      y = Softmax(f)
    }"""
    weights = {"w": numbers(4, 3, 3, 3), **norm(4), "k": numbers(256, 5) / 16}
    found = cleaned(file(tmp_path, text, weights, ir=3, opset=9))
    assert ops(found) == {"Conv": 1, "Relu": 1, "Reshape": 1, "MatMul": 1, "Softmax": 1}
    assert found.batch == "N"
    (folded,) = found.folded
    assert folded.into == "conv"
    assert 0 <= folded.difference < 1e-5 * folded.scale
