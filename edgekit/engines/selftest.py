"""Whether engines really build and run here: a small graph in three precisions, compared with onnxruntime."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifacts.engine import Card, write_engine
from edgekit.artifacts.engine_key import TITLES, Batch, BuildOptions
from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.backends.cuda.open import open_cuda
from edgekit.backends.onnxruntime_ import run_once
from edgekit.backends.tensorrt_ import open_engine
from edgekit.backends.trt.build import build
from edgekit.backends.trt.layers import convolutions
from edgekit.backends.trt.library import Library, load_library
from edgekit.backends.trt.place import this_place
from edgekit.errors import BackendError, EdgekitError
from edgekit.spec import ModelSpec, PreprocessSpec

# Largest difference over largest value. float16 has 11 bits, through five layers; an int8 rounding that falls the other
# way is one of 255 steps, of which each later layer adds some.
TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2, "int8": 1e-1}
SHAPE = (32, 48, 3)
BATCH = Batch(1, 2, 4)
RUNS = (1, 4, 4, 4, 2)  # a CUDA graph is captured at the second run of a shape


@dataclass(frozen=True)
class Check:
    """One precision with one library.

    Attributes:
        passed: None when it could not be tried to the end, and `note` says why.
        difference: largest difference from onnxruntime over the largest value, of all runs.
        int8: convolutions that are int8 in the engine, where the log tells.
    """

    library: str
    precision: str
    passed: bool | None
    difference: float | None = None
    seconds: float | None = None
    int8: int | None = None
    note: str = ""


def selftest() -> Iterator[Check]:
    """Builds and runs with every library that is installed, for the GPU that is here.

    Without a GPU, TensorRT-RTX builds for SM 8.9 and nothing runs.
    """
    for name in TITLES:
        try:
            library = load_library(name)
        except BackendError as error:
            yield Check(TITLES[name], "", None, note=error.what)
            continue
        for precision in TOLERANCE:
            try:
                yield _check(library, precision)
            except BackendError as error:
                yield Check(library.title, precision, None, note=f"{error.what} {error.got or ''}".strip())
            except EdgekitError as error:
                yield Check(library.title, precision, False, note=f"{error.what} {error.got or ''}".strip())


def _check(library: Library, precision: str) -> Check:
    model = graph(precision).SerializeToString()
    try:
        device = open_cuda().device
        missing = ""
    except BackendError as error:
        device, missing = None, f"built, not run: {error.what} {error.got or ''}".strip()
        if library.name != "tensorrt_rtx":
            raise
    options = BuildOptions(library.name, (device.sm if device else "8.9",), BATCH)
    started = time.monotonic()
    built = build(model, options, library)
    seconds = time.monotonic() - started
    int8 = convolutions(model, built.layers).get("int8")
    if device is None:
        return Check(library.title, precision, None, seconds=seconds, int8=int8, note=missing)
    card = Card(
        plan_sha256=hashlib.sha256(built.plan).hexdigest(),
        plan_bytes=len(built.plan),
        onnx_sha256=hashlib.sha256(model).hexdigest(),
        onnx_name="selftest.onnx",
        target="selftest",
        built_on=this_place(library, device),
        options=options,
        profiles={},
        metadata=Metadata(ModelSpec("selftest", ("a",), PreprocessSpec()), Lineage("", ""), "uint8", precision, ""),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "selftest.engine"
        write_engine(path, built.plan, card)
        difference = max(_difference(path, model, cuda_graph) for cuda_graph in _graph_modes())
    return Check(library.title, precision, difference <= TOLERANCE[precision], difference, seconds, int8)


def _graph_modes() -> tuple[bool, ...]:
    return (False, True) if open_cuda().has_graphs else (False,)


def _difference(path: Path, model: bytes, cuda_graph: bool) -> float:
    rng, worst = np.random.default_rng(0), 0.0
    with open_engine(path, cuda_graph=cuda_graph) as session:
        for n in RUNS:
            feeds = {"image": rng.integers(0, 256, (n, *SHAPE), np.uint8)}
            want, got = run_once(model, feeds)["logits"], session.run(feeds)["logits"]
            worst = max(worst, float(np.abs(want - got).max() / np.abs(want).max()))
    return worst


def graph(precision: str) -> onnx.ModelProto:
    """image uint8 [N, 32, 48, 3] -> logits float32 [N, 8]: four convolutions with a skip, and a mean."""
    rng = np.random.default_rng(1)
    kind = np.float16 if precision == "fp16" else np.float32
    stored: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, value: NDArray[np.generic]) -> str:
        stored.append(numpy_helper.from_array(value, name))
        return name

    def node(operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def quantized(tensor: str, scale: float, name: str) -> str:
        pair = [constant(f"{name}.scale", np.array(scale, np.float32)), constant(f"{name}.zero", np.array(0, np.int8))]
        return node("DequantizeLinear", [node("QuantizeLinear", [tensor, *pair], f"{name}.q"), *pair], f"{name}.dq")

    def convolution(tensor: str, c_in: int, name: str, scale: float) -> str:
        weight = (rng.normal(size=(8, c_in, 3, 3)) * (2 / (9 * c_in)) ** 0.5).astype(np.float32)
        bias = constant(f"{name}.bias", np.linspace(-0.1, 0.1, 8).astype(kind))
        if precision == "int8":
            steps = (np.abs(weight).reshape(8, -1).max(1) / 127).astype(np.float32)
            codes = constant(f"{name}.weight", np.round(weight / steps[:, None, None, None]).astype(np.int8))
            zeros = constant(f"{name}.wzero", np.zeros(8, np.int8))
            kernel = node("DequantizeLinear", [codes, constant(f"{name}.wscale", steps), zeros], f"{name}.wdq", axis=0)
            tensor = quantized(tensor, scale, f"{name}.in")
        else:
            kernel = constant(f"{name}.weight", weight.astype(kind))
        return node("Relu", [node("Conv", [tensor, kernel, bias], name, pads=[1, 1, 1, 1])], f"{name}.relu")

    element = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
    x = node("Transpose", [node("Cast", ["image"], "cast", to=element)], "nchw", perm=[0, 3, 1, 2])
    x = node("Sub", [x, constant("mean", np.array(128, kind))], "centred")
    x = node("Mul", [x, constant("std", np.array(1 / 64, kind))], "scaled")
    x = convolution(x, 3, "conv0", 2 / 127)
    skip = x
    x = convolution(convolution(x, 8, "conv1", 5 / 127), 8, "conv2", 5 / 127)
    x = convolution(node("Add", [x, skip], "add"), 8, "conv3", 8 / 127)
    x = node("ReduceMean", [x, constant("axes", np.array([2, 3], np.int64))], "mean_of_map", keepdims=0)
    node("Cast", [x], "logits", to=TensorProto.FLOAT)
    ends = [
        helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *SHAPE]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 8]),
    ]
    made = helper.make_graph(nodes, "selftest", ends[:1], ends[1:], stored)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
