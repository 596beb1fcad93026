"""Defects of quantized graphs, planted one at a time into a whole export: each is rejected, in words that name it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.data import hive_pictures
from edgekit.pipeline import precision
from edgekit.quantize.fp16 import Half
from edgekit.quantize.place import Quantized
from edgekit.spec import PreprocessSpec
from tests.faults.test_detector_gate import lively, spec_of

Graph = onnx.ModelProto
Patch = pytest.MonkeyPatch
TARGET = """
name = "board"
description = "TensorRT's rules and a CPU to prove on, for tests"
opset = 20
runtimes = ["tensorrt", "onnxruntime"]
precisions = ["fp32", "fp16", "int8"]
scheme = "int8-trt"
[gate.fp32]
max_abs = 1e-3
top1_agreement = 1.0
boxes_matched = 0.999
[gate.fp16]
max_abs = 0.3
top1_agreement = 0.9
boxes_matched = 0.9
score_shift = 0.05
boxes = "shown"
box_iou = 0.5
[gate.int8]
max_abs = 0.6
top1_agreement = 0.7
"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for i, sample in enumerate(hive_pictures(56, 31, 120, 200)):
        Image.fromarray(np.ascontiguousarray(sample.read()[..., ::-1])).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("target") / "board.toml"
    path.write_text(TARGET)
    return path


Export = Callable[..., Any]


@pytest.fixture
def export(
    cli: Any, checkpoint: Path, scenes: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Export:
    """Weights are rounded to the nearest here: rounding them better takes most of the time."""
    monkeypatch.setattr(precision.Moments, "rounder", lambda self: None)

    def call(*more: object, precision: str = "int8", model: Path = checkpoint, calibrate: int = 40) -> Any:
        usual = ("--data", scenes, "--out", tmp_path, "--target", board, "--pictures", 12, "--calibrate", calibrate)
        return cli("export", model, *usual, "--precision", precision, *more)

    return call


def initializer(graph: Graph, name: str) -> onnx.TensorProto:
    return next(t for t in graph.graph.initializer if t.name == name)


def put(graph: Graph, name: str, value: Any) -> None:
    """An initializer's new value, or a new initializer."""
    stored = numpy_helper.from_array(np.asarray(value), name)
    for tensor in graph.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(stored)
            return
    graph.graph.initializer.append(stored)


def of_type(graph: Graph, *kinds: str) -> list[onnx.NodeProto]:
    return [node for node in graph.graph.node if node.op_type in kinds]


def weight_pairs(graph: Graph) -> list[onnx.NodeProto]:
    """DequantizeLinear nodes of convolutions' weights."""
    read = {node.input[1] for node in of_type(graph, "Conv")}
    return [node for node in of_type(graph, "DequantizeLinear") if node.output[0] in read]


def unsigned_activations(graph: Graph) -> None:
    for node in of_type(graph, "QuantizeLinear"):
        put(graph, node.input[2], np.uint8(0))
    del graph.graph.value_info[:]  # of int8 tensors


def int32_bias(graph: Graph) -> None:
    conv = next(node for node in of_type(graph, "Conv") if len(node.input) == 3)
    bias = numpy_helper.to_array(initializer(graph, conv.input[2]))
    put(graph, "b.q", np.round(bias / 1e-4).astype(np.int32))
    put(graph, "b.s", np.float32(1e-4))
    graph.graph.node.insert(0, helper.make_node("DequantizeLinear", ["b.q", "b.s"], ["b.d"], "b.dequantize"))
    conv.input[2] = "b.d"


def before_the_relu(graph: Graph) -> None:
    relu = of_type(graph, "Relu")[1]
    put(graph, "early.s", np.float32(0.1))
    put(graph, "early.z", np.int8(0))
    place = list(graph.graph.node).index(relu)
    made = helper.make_node("QuantizeLinear", [relu.input[0], "early.s", "early.z"], ["early.q"], "early.quantize")
    back = helper.make_node("DequantizeLinear", ["early.q", "early.s", "early.z"], ["early.d"], "early.dequantize")
    graph.graph.node.insert(place, made)
    graph.graph.node.insert(place + 1, back)
    of_type(graph, "Relu")[1].input[0] = "early.d"


def one_scale_for_a_weight(graph: Graph) -> None:
    node = weight_pairs(graph)[3]
    codes = numpy_helper.to_array(initializer(graph, node.input[0])).astype(np.float32)
    scales = numpy_helper.to_array(initializer(graph, node.input[1]))
    whole = codes * scales.reshape(-1, 1, 1, 1)
    scale = np.float32(np.abs(whole).max() / 127)
    put(graph, node.input[0], np.round(whole / scale).astype(np.int8))
    put(graph, node.input[1], scale)
    put(graph, node.input[2], np.int8(0))


def a_wrong_scale(graph: Graph) -> None:
    node = weight_pairs(graph)[1]
    put(graph, node.input[1], numpy_helper.to_array(initializer(graph, node.input[1])) * np.float32(2))


def test_the_honest_graph_passes(export: Export, tmp_path: Path) -> None:
    outcome = export()
    assert outcome.code == 0, outcome.text
    assert read_onnx(tmp_path / "tiny.int8-trt.onnx").metadata.precision == "int8-trt"


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (unsigned_activations, "uint8-zero-point-zero: QuantizeLinear preprocess.transpose.quantize"),
        (int32_bias, "int32-dequantize: DequantizeLinear b.dequantize reads int32 b.q"),
        (before_the_relu, "qdq-between-conv-and-relu: early.quantize stands between Conv"),
        (one_scale_for_a_weight, "per-tensor-weights: the 16 channels of the weight of Conv layer1"),
        (a_wrong_scale, "verification failed at stage int8-trt"),
    ],
)
def test_a_defect_in_the_graph(
    export: Export, tmp_path: Path, monkeypatch: Patch, plant: Callable[[Graph], None], words: str
) -> None:
    honest = precision.quantize

    def quantize(*given: Any, **options: Any) -> Quantized:
        made = honest(*given, **options)
        plant(made.model)
        return made

    monkeypatch.setattr(precision, "quantize", quantize)
    outcome = export()
    assert outcome.code == 3, outcome.text
    assert words in outcome.err, outcome.err
    assert "--max-drop" in outcome.err  # the way out
    assert (tmp_path / "tiny.onnx").is_file()  # the proven one
    assert not (tmp_path / "tiny.int8-trt.onnx").exists()
    report = json.loads((tmp_path / "tiny.int8-trt.rejected.verify.json").read_text())
    assert report["passed"] is False


def test_a_calibration_through_another_preprocessing(export: Export, tmp_path: Path, monkeypatch: Patch) -> None:
    honest = precision.calibrate

    def calibrate(model: Graph, dataset: Any, spec: PreprocessSpec, **options: Any) -> Any:
        return honest(model, dataset, replace(spec, antialias=not spec.antialias), **options)

    monkeypatch.setattr(precision, "calibrate", calibrate)
    outcome = export()
    assert outcome.code == 5, outcome.text
    assert "measured through another preprocessing" in outcome.err
    assert not (tmp_path / "tiny.int8-trt.onnx").exists()


@pytest.mark.slow
def test_a_stale_calibration_is_not_used(export: Export, tmp_path: Path, monkeypatch: Patch) -> None:
    """Of other pictures, in the very place of the cache: measured again, so that the result is the same as without."""
    assert export().code == 0
    clean = read_onnx(tmp_path / "tiny.int8-trt.onnx").metadata.lineage.graph
    cache = tmp_path / "tiny.calibration.npz"
    fresh = cache.read_bytes()
    assert export("--force", calibrate=33).code == 0
    stale = cache.read_bytes()
    assert stale != fresh
    outcome = export("--force")
    assert outcome.code == 0, outcome.text
    assert read_onnx(tmp_path / "tiny.int8-trt.onnx").metadata.lineage.graph == clean
    assert cache.read_bytes() != stale


@pytest.mark.slow
def test_indices_in_float16(export: Export, tmp_path: Path, monkeypatch: Patch) -> None:
    """A converter that takes the whole graph: 3072 places, of which float16 tells 2048 apart."""
    spec = replace(spec_of("fpn", "ltrb"), preprocess=PreprocessSpec(192, 256, "letterbox", None))
    model = tmp_path / "hive.pt"
    save_checkpoint(model, Checkpoint(spec, lively(spec).state_dict()))
    honest = precision.to_fp16

    def to_fp16(*given: Any) -> Half:
        half = honest(*given)
        nodes = half.model.graph.node
        topk = next(node for node in nodes if node.op_type == "TopK")
        places = topk.output[1]
        readers = [node for node in nodes if places in node.input]
        at = list(nodes).index(topk) + 1
        nodes.insert(at, helper.make_node("Cast", [places], ["places.half"], "to_half", to=TensorProto.FLOAT16))
        nodes.insert(at + 1, helper.make_node("Cast", ["places.half"], ["places.back"], "back", to=TensorProto.INT64))
        for node in readers:
            node.input[list(node.input).index(places)] = "places.back"
        return half

    monkeypatch.setattr(precision, "to_fp16", to_fp16)
    outcome = export(precision="fp16", model=model)
    assert outcome.code == 3, outcome.text
    assert "fp16-index-arithmetic" in outcome.err
    assert not (tmp_path / "hive.fp16.onnx").exists()
