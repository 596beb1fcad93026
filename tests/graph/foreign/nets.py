"""Small nets in onnx's textual syntax, cleaned and compared with what they were."""

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
Weights = dict[str, NDArray[Any]]
RNG = np.random.default_rng(0)


def numbers(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32)


def file(tmp_path: Path, text: str, weights: Weights | None = None, ir: int = 8, opset: int = 11) -> Path:
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
