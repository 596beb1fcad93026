"""Calibration takes real pictures through the model's own preprocessing, and its cache belongs to all three."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekit.artifacts.onnx_file import graph_digest
from edgekit.backends.onnxruntime_ import run_once
from edgekit.data import Dataset, Sample, made_pictures
from edgekit.errors import ArtifactError, DataError
from edgekit.graph import passes
from edgekit.quantize import activation_tap as module
from edgekit.quantize.activation_tap import relu_masks
from edgekit.quantize.calibrate import calibrate, is_noise
from edgekit.quantize.calibration import Calibration, Key, load_calibration, save_calibration
from edgekit.vision.preprocess import normalise, preprocess
from tests.quantize.conftest import SMALL

Calibrated = Callable[[onnx.ModelProto], Calibration]


def test_the_ends_are_those_of_the_tensors(residual: onnx.ModelProto, photos: Dataset, calibrated: Calibrated) -> None:
    seen = calibrated(residual)
    pixels = np.stack([preprocess(s.read(), SMALL) for s in photos])
    want = run_once(passes.exposed(residual).SerializeToString(), {"image": normalise(pixels, SMALL)})
    floats = {name: values for name, values in want.items() if values.dtype == np.float32}
    assert set(seen.tensors) == {*floats, "image"}
    for name, values in floats.items():
        assert seen.tensors[name].low == pytest.approx(values.min(), abs=1e-4)
        assert seen.tensors[name].high == pytest.approx(values.max(), abs=1e-4)
    assert seen.tensors["a1"].total == want["a1"].size
    assert seen.pictures == 36


def test_what_the_relu_behind_an_add_throws_away_is_not_counted(
    residual: onnx.ModelProto, photos: Dataset, calibrated: Calibrated
) -> None:
    assert relu_masks(residual) == {"a2": "a_out", "short": "b_out", "b2": "b_out"}  # others read the pool too
    pixels = np.stack([preprocess(s.read(), SMALL) for s in photos])
    got = run_once(passes.exposed(residual).SerializeToString(), {"image": normalise(pixels, SMALL)})
    counted = calibrated(residual).tensors["a2"]
    assert counted.total == pytest.approx((got["a_out"] > 0).sum(), rel=1e-3)
    assert counted.total < got["a2"].size
    assert counted.low == pytest.approx(got["a2"].min(), abs=1e-4)


def test_pictures_go_through_the_preprocessing(residual: onnx.ModelProto, photos: Dataset) -> None:
    one = calibrate(residual, photos, SMALL)
    other = calibrate(residual, photos, replace(SMALL, std=(0.5, 0.5, 0.5)))
    assert one.tensors["stem"].high != other.tensors["stem"].high


def test_progress_counts_pictures(residual: onnx.ModelProto, photos: Dataset) -> None:
    told: list[tuple[int, int]] = []
    calibrate(residual, photos, SMALL, progress=lambda done, total: told.append((done, total)))
    assert told == [(i + 1, 36) for i in range(36)]


def test_tensors_are_taken_in_groups_that_fit(
    residual: onnx.ModelProto, photos: Dataset, calibrated: Calibrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 40_000)
    with module.ActivationTap(residual, 1) as exposed:
        assert len(exposed.sessions) > 2
    grouped, whole = calibrate(residual, photos, SMALL), calibrated(residual)
    for name, seen in whole.tensors.items():
        assert (grouped.tensors[name].low, grouped.tensors[name].high) == (seen.low, seen.high)


# --- refusals


def test_pictures_made_in_code_are_refused(residual: onnx.ModelProto) -> None:
    with pytest.raises(DataError, match="made in code") as caught:
        calibrate(residual, made_pictures(40), SMALL)
    assert "--data" in str(caught.value.fix)


def test_too_few_are_refused(residual: onnx.ModelProto, photos: Dataset) -> None:
    few = replace(photos, samples=photos.samples[:31])
    with pytest.raises(DataError, match="too few") as caught:
        calibrate(residual, few, SMALL)
    assert caught.value.got == "31"
    same = replace(photos, samples=photos.samples[:1] * 40)
    with pytest.raises(DataError, match="the same") as caught:
        calibrate(residual, same, SMALL)
    assert str(caught.value.got).startswith("1 different")


def test_noise_is_refused(residual: onnx.ModelProto, photos: Dataset) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (64, 64, 3)).astype(np.uint8) for _ in range(40)]
    noise = Dataset(tuple(Sample(None, f, None) for f in frames), None, "pictures")
    with pytest.raises(DataError, match="noise") as caught:
        calibrate(residual, noise, SMALL)
    assert caught.value.got == "40 of 40 pictures"
    assert not any(is_noise(sample.read()) for sample in photos)
    assert not is_noise(np.full((8, 8, 3), 7, np.uint8))


def test_a_missing_class_is_said(residual: onnx.ModelProto, photos: Dataset) -> None:
    labelled = tuple(replace(s, label=i % 2) for i, s in enumerate(photos.samples))
    data = Dataset(labelled, ("bee", "wasp", "hornet"), "pictures")
    assert calibrate(residual, data, SMALL).notes == ("no picture of 1 of 3 classes to calibrate on: hornet",)
    boxes = [
        replace(s, label=None, boxes=np.array([[1, 1, 5, 5]], np.float32), box_labels=np.array([1])) for s in labelled
    ]
    data = Dataset(tuple(boxes), ("bee", "wasp"), "pictures")
    assert calibrate(residual, data, SMALL).notes == ("no picture of 1 of 2 classes to calibrate on: bee",)
    assert calibrate(residual, photos, SMALL).notes == ()


def test_a_tensor_that_is_not_finite_is_named(residual: onnx.ModelProto, photos: Dataset) -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(residual)
    for tensor in broken.graph.initializer:
        if tensor.name == "b_a1":
            tensor.CopyFrom(numpy_helper.from_array(np.full(8, np.nan, np.float32), "b_a1"))
    with pytest.raises(DataError, match="a1 has values that are NaN"):
        calibrate(broken, photos, SMALL)


# --- the cache


@pytest.fixture
def cache(tmp_path: Path, residual: onnx.ModelProto, calibrated: Calibrated) -> Path:
    path = tmp_path / "seen.npz"
    save_calibration(path, calibrated(residual))
    return path


def test_a_cache_gives_back_what_was_measured(cache: Path, residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    want = calibrated(residual)
    got = load_calibration(cache, want.key)
    assert got.key == want.key
    assert (got.pictures, got.notes) == (want.pictures, want.notes)
    assert set(got.tensors) == set(want.tensors)
    for name, seen in want.tensors.items():
        np.testing.assert_array_equal(got.tensors[name].counts, seen.counts)
        assert vars(got.tensors[name]).keys() == vars(seen).keys()
        assert (got.tensors[name].low, got.tensors[name].zeros) == (seen.low, seen.zeros)


def test_a_cache_saves_the_run(cache: Path, residual: onnx.ModelProto, photos: Dataset) -> None:
    told: list[int] = []
    calibrate(residual, photos, SMALL, cache=cache, progress=lambda done, total: told.append(done))
    assert told == []


@pytest.mark.parametrize("part", ["graph", "data", "preprocess"])
def test_each_part_of_the_key_counts(
    part: str, cache: Path, residual: onnx.ModelProto, photos: Dataset, calibrated: Calibrated
) -> None:
    model, data, spec = onnx.ModelProto(), photos, SMALL
    model.CopyFrom(residual)
    if part == "graph":
        model.graph.initializer[0].CopyFrom(
            numpy_helper.from_array(
                numpy_helper.to_array(model.graph.initializer[0]) * np.float32(1.001), model.graph.initializer[0].name
            )
        )
    elif part == "data":
        data = replace(photos, samples=photos.samples[:-1])
    else:
        spec = replace(SMALL, mean=(0.5, 0.5, 0.5))
    key = Key(graph_digest(model), data.digest, spec.digest)
    changed = [
        name
        for name in ("graph", "data", "preprocess")
        if getattr(key, name) != getattr(calibrated(residual).key, name)
    ]
    assert changed == [part]
    with pytest.raises(
        ArtifactError, match={"graph": "another model", "data": "other pictures"}.get(part, "another pre")
    ):
        load_calibration(cache, key)
    told: list[int] = []
    calibrate(model, data, spec, cache=cache, progress=lambda done, total: told.append(done))
    assert len(told) == len(data)  # measured again
    assert load_calibration(cache, key).key == key  # and kept


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "pickle"])
def test_a_broken_cache(damage: str, cache: Path, residual: onnx.ModelProto, calibrated: Calibrated) -> None:
    if damage == "cut":
        cache.write_bytes(cache.read_bytes()[:-300])
    elif damage == "pickle":
        with cache.open("wb") as stream:
            np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    else:
        cache.write_bytes({"empty": b"", "text": b"not a calibration"}[damage])
    with pytest.raises(ArtifactError, match="not a calibration"):
        load_calibration(cache, calibrated(residual).key)


def test_a_calibration_of_another_graph_is_refused(
    residual: onnx.ModelProto, detector: onnx.ModelProto, calibrated: Calibrated
) -> None:
    calibrated(residual).require(residual)
    with pytest.raises(ArtifactError, match="another graph"):
        calibrated(residual).require(detector)
