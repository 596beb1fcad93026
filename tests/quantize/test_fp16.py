"""float16 between the first and the last layer, and float32 wherever float16 could not hold a number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.backends import open_session
from edgekit.data import Dataset, made_pictures
from edgekit.errors import ArtifactError, UsageError
from edgekit.graph.lint import lint
from edgekit.graph.lint.graph import Graph
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.fp16 import scale_misfit, to_fp16, weight_misfit
from edgekit.quantize.place import quantize
from edgekit.vision.preprocess import normalise, preprocess
from tests.quantize.conftest import SMALL

Calibrated = Callable[[onnx.ModelProto], Calibration]


def changed(model: onnx.ModelProto, **arrays: np.ndarray) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name in arrays:
            tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name].astype(np.float32), tensor.name))
    return copy


def weight(model: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name)).copy()


def half_nodes(model: onnx.ModelProto) -> set[str]:
    graph = Graph(model)
    return {n.name for n in graph.nodes if n.op_type != "Cast" and graph.dtype(n.output[0]) == TensorProto.FLOAT16}


def feed(photos: Dataset) -> dict[str, np.ndarray]:
    return {"image": normalise(np.stack([preprocess(s.read(), SMALL) for s in photos]), SMALL)}


def test_layers_are_cast_and_the_interface_is_not(residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    half = to_fp16(residual, calibrated(residual).tensors)
    assert half.kept == {}
    assert half_nodes(half.model) >= {"stem", "stem_relu", "pool", "a1", "a_add", "b2", "b_out", "mean"}
    assert len(half_nodes(half.model)) == half.nodes
    graph = Graph(half.model)
    assert graph.dtype("logits") == TensorProto.FLOAT
    assert graph.dtype("image") == TensorProto.FLOAT
    # a last linear layer is small, and its output decides between near classes
    assert "logits" not in half_nodes(half.model)
    assert not any(t.data_type == TensorProto.FLOAT and t.name.startswith("w_a") for t in half.model.graph.initializer)
    assert lint(half.model) == []


def test_answers_are_near(residual: onnx.ModelProto, calibrated: Calibrated, photos: Dataset) -> None:
    want = open_session(residual.SerializeToString()).run(feed(photos))["logits"]
    got = open_session(to_fp16(residual, calibrated(residual).tensors).model.SerializeToString()).run(feed(photos))
    assert 0 < np.abs(got["logits"] - want).max() < 5e-3 * np.abs(want).max()


def test_a_decoding_stays_exact(detector: onnx.ModelProto, calibrated: Calibrated, photos: Dataset) -> None:
    half = to_fp16(detector, calibrated(detector).tensors)
    assert not half_nodes(half.model) & {"highest", "is_peak", "peaks", "flat", "scores", "values", "index"}
    assert {"up", "heatmap", "size"} <= half_nodes(half.model)
    graph = Graph(half.model)
    assert graph.dtype("heatmap") == TensorProto.FLOAT  # cast back where the decoding reads it
    assert [graph.dtype(o) for o in ("scores", "index", "size")] == [
        TensorProto.FLOAT,
        TensorProto.INT32,
        TensorProto.FLOAT,
    ]
    assert [f for f in lint(half.model) if f.rule == "fp16-index-arithmetic"] == []
    want = open_session(detector.SerializeToString()).run(feed(photos))
    got = open_session(half.model.SerializeToString()).run(feed(photos))
    np.testing.assert_allclose(got["scores"], want["scores"], atol=1e-2)


@pytest.mark.parametrize("scheme", ["int8-trt", "int8-x86"])
def test_a_quantized_graph_is_cast_too(
    scheme: str, residual: onnx.ModelProto, calibrated: Calibrated, photos: Dataset
) -> None:
    seen = calibrated(residual)
    int8 = quantize(residual, seen, scheme).model
    half = to_fp16(int8, seen.tensors).model
    graph = Graph(half)
    scales = [graph.dtype(n.input[1]) for n in graph.of_type("QuantizeLinear")]
    assert scales.count(TensorProto.FLOAT16) >= len(scales) - 1  # the pair of the last linear layer is float32
    want = open_session(int8.SerializeToString()).run(feed(photos))["logits"]
    got = open_session(half.SerializeToString()).run(feed(photos))["logits"]
    assert np.abs(got - want).mean() < 0.05 * want.std(axis=0).mean()
    if scheme == "int8-trt":  # its scales are numbers of float16: the cast changes no int8 weight
        for tensor in int8.graph.initializer:
            if tensor.name.endswith(".scale"):
                exact = numpy_helper.to_array(tensor)
                np.testing.assert_array_equal(exact, exact.astype(np.float16))


# --- what float16 cannot hold


def test_a_tensor_that_overflows_stays_float32_and_is_said(residual: onnx.ModelProto, photos: Dataset) -> None:
    planted = changed(residual, w_a1=weight(residual, "w_a1") * 2e5, w_a2=weight(residual, "w_a2") / 2e5)
    seen = calibrate(planted, photos, SMALL)
    assert seen.tensors["a1"].peak > 65504
    half = to_fp16(planted, seen.tensors)
    assert {"a1", "a1_relu", "a2"} <= set(half.kept)
    assert "float16 ends at 65504" in half.kept["a1"]
    assert any(note.startswith("a1 stays in float32") for note in half.notes)
    assert "b1" in half_nodes(half.model)
    want = open_session(planted.SerializeToString()).run(feed(photos))["logits"]
    got = open_session(half.model.SerializeToString()).run(feed(photos))["logits"]
    assert np.isfinite(got).all()
    assert np.abs(got - want).max() < 5e-3 * np.abs(want).max()


def test_room_is_left_above_what_was_seen(residual: onnx.ModelProto, photos: Dataset) -> None:
    seen = dict(calibrate(residual, photos, SMALL).tensors)
    factor = 0.6 * 65504 / seen["a1"].peak
    planted = changed(
        residual, w_a1=weight(residual, "w_a1") * factor, b_a1=weight(residual, "b_a1") * factor,
        w_a2=weight(residual, "w_a2") / factor,
    )  # fmt: skip
    found = calibrate(planted, photos, SMALL)
    assert 32752 < found.tensors["a1"].peak < 65504
    assert "a1" in to_fp16(planted, found.tensors).kept


def test_weights_that_vanish_or_overflow_stay_float32(residual: onnx.ModelProto, photos: Dataset) -> None:
    tiny = changed(residual, w_b1=weight(residual, "w_b1") * 1e-6)
    half = to_fp16(tiny, calibrate(tiny, photos, SMALL).tensors)
    assert set(half.kept) == {"b1"}
    assert "where float16 loses digits" in half.kept["b1"]
    assert weight_misfit(np.array([1e5], np.float32)).startswith("it has the value 1e+05")
    assert weight_misfit(np.array([1.0, 1e-7, 0.0], np.float32)) == ""  # lost, and nobody can tell
    assert weight_misfit(np.zeros(3, np.float32)) == ""


def test_scales_may_be_small_as_long_as_float16_has_them() -> None:
    assert scale_misfit(np.array([0.1, 2.0**-18, 100], np.float32)) == ""
    assert scale_misfit(np.array([0.1, 1e-6], np.float32)) == "float16 has no number near 1e-06"
    assert scale_misfit(np.array(1e6, np.float32)).endswith("1e+06")


def test_a_first_layer_of_tiny_weights_stays_int8(residual: onnx.ModelProto, photos: Dataset) -> None:
    """Of pixels in 0..255 and 1 / (255 std) in the weights: all scales lie below the normal numbers of float16."""
    planted = changed(residual, w_stem=weight(residual, "w_stem") / 500)
    seen = calibrate(planted, photos, SMALL)
    half = to_fp16(quantize(planted, seen, "int8-trt").model, seen.tensors)
    assert half.kept == {}
    assert "w_stem.dequantize" in half_nodes(half.model)


def test_nodes_can_be_kept(residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    half = to_fp16(residual, calibrated(residual).tensors, keep=["a1"])
    assert half.kept == {"a1": "asked for"}
    assert "a1" not in half_nodes(half.model)


def test_errors(residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    seen = calibrated(residual).tensors
    with pytest.raises(UsageError, match="no such nodes"):
        to_fp16(residual, seen, keep=["layer9"])
    with pytest.raises(UsageError, match="No layer is left"):
        to_fp16(residual, seen, keep=[n.name for n in residual.graph.node])
    with pytest.raises(ArtifactError, match="Nothing is known about the values of a1"):
        to_fp16(residual, {name: h for name, h in seen.items() if name != "a1"})
    old = onnx.ModelProto()
    old.CopyFrom(residual)
    old.opset_import[0].version = 18
    with pytest.raises(ArtifactError, match="float16 scales"):
        to_fp16(old, seen)


def test_a_resnet_from_its_own_export(good: object) -> None:
    """Pixels minus the mean stay float32: half of the pixels' values are exact in float16, the means are not."""
    from dataclasses import replace

    artifact = read_onnx(good)  # type: ignore[arg-type]
    spec = artifact.metadata.model.preprocess
    seen = calibrate(artifact.model, replace(made_pictures(36, seed=5), layout="pictures"), spec)
    half = to_fp16(artifact.model, seen.tensors)
    assert not half.model.metadata_props  # those of the float32 graph would lie
    assert not half_nodes(half.model) & {"preprocess.cast", "preprocess.transpose", "preprocess.sub"}
    assert {"conv1", "layer4.1.conv2"} <= half_nodes(half.model)
    pixels = np.stack([preprocess(s.read(), spec) for s in made_pictures(24, seed=6)])
    want = open_session(artifact.data).run({"image": pixels})["logits"]
    got = open_session(half.model.SerializeToString()).run({"image": pixels})["logits"]
    assert np.abs(got - want).max() < 1e-2 * np.abs(want).max()
    np.testing.assert_array_equal(got.argmax(1), want.argmax(1))
