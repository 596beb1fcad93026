"""A graph that gives what it is fed, and random raw outputs with many equal scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edgekit.backends.onnxruntime_ import run_once
from edgekit.graph import decoders
from edgekit.graph.decoders import Reading
from edgekit.graph.lint import lint
from edgekit.vision.spec import Suppression, TensorSpec

Raw = Mapping[str, NDArray[Any]]


def specs(raw: Raw) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, value.dtype.name, ("N", *value.shape[1:])) for name, value in raw.items())


def given(raw: Raw) -> onnx.ModelProto:
    """A model whose outputs are its inputs, called `to/NAME` there."""
    nodes, inputs, outputs = [], [], []
    for name, value in raw.items():
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        shape = ["N", *value.shape[1:]]
        inputs.append(helper.make_tensor_value_info(f"to/{name}", kind, shape))
        outputs.append(helper.make_tensor_value_info(name, kind, shape))
        nodes.append(helper.make_node("Identity", [f"to/{name}"], [name], name=f"give/{name}"))
    graph = helper.make_graph(nodes, "given", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def decoded(
    raw: Raw, reading: Reading, size: tuple[int, int], keep: int = 100, candidates: int = 300,
    suppression: Suppression | None = None,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """What the graph makes of raw outputs in onnxruntime; nothing in it may break a rule."""
    model = given(raw)
    decoders.append(model, reading, size, keep, candidates, suppression)
    onnx.checker.check_model(model, full_check=True)
    assert [found for found in lint(model) if not found.where.startswith("to/")] == []
    read = {value.name for value in model.graph.input}
    feeds = {f"to/{name}": value for name, value in raw.items() if f"to/{name}" in read}
    return run_once(model.SerializeToString(), feeds)


def stepped(rng: np.random.Generator, *shape: int, high: float = 1.0, steps: int = 40) -> NDArray[np.float32]:
    """Uniform 0 to `high` on a few steps: many are equal, as int8 nets' scores are."""
    return np.asarray(rng.integers(0, steps + 1, shape) / steps * high, np.float32)


def centred(rng: np.random.Generator, n: int, places: int, scale: float) -> NDArray[np.float32]:
    """[n, places, 4] centres and sizes within 0 to `scale`, crowded enough to overlap."""
    centre = rng.uniform(0.2, 0.8, (n, places, 2))
    size = rng.uniform(0.05, 0.5, (n, places, 2))
    return np.asarray(np.concatenate([centre, size], axis=2) * scale, np.float32)
