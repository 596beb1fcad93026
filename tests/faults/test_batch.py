"""A row's answer depends on its own picture: not on its neighbours, their number, or the form of the input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from edgekit.data import made_pictures
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec

Export = Callable[..., Path]


@pytest.fixture(scope="module")
def export(cli: Any, checkpoint: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    def call(*arguments: object) -> Path:
        out = tmp_path_factory.mktemp("export")
        outcome = cli("export", checkpoint, "--data", pictures, "--out", out, *arguments)
        assert outcome.code == 0, outcome.text
        return out / "tiny.onnx"

    return call


@pytest.fixture(scope="module")
def fixed(export: Export) -> Path:
    return export("--batch", 4)


@pytest.fixture(scope="module")
def random_pixels(spec: ModelSpec) -> NDArray[np.uint8]:
    shape = (16, spec.preprocess.height, spec.preprocess.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def session(good: Path) -> ort.InferenceSession:
    return ort.InferenceSession(good)


@pytest.fixture(scope="module")
def alone(session: ort.InferenceSession, random_pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    rows = [session.run(["logits"], {"image": random_pixels[i : i + 1]})[0] for i in range(16)]
    return np.concatenate(rows)


@pytest.mark.parametrize("batch", range(1, 17))
def test_rows_of_a_batch_equal_the_pictures_alone(
    batch: int, session: ort.InferenceSession, random_pixels: NDArray[np.uint8], alone: NDArray[np.float32]
) -> None:
    rows = session.run(["logits"], {"image": random_pixels[:batch]})[0]
    assert rows.shape == (batch, alone.shape[1])
    assert np.abs(rows - alone[:batch]).max() <= 1e-5


def test_the_pictures_differ_so_that_mixed_rows_would_show(alone: NDArray[np.float32]) -> None:
    for i in range(16):
        assert np.abs(np.delete(alone, i, 0) - alone[i]).max(1).min() > 1e-3


def test_the_order_of_the_rows_is_kept(
    session: ort.InferenceSession, random_pixels: NDArray[np.uint8], alone: NDArray[np.float32]
) -> None:
    order = np.random.default_rng(1).permutation(16)
    rows = session.run(["logits"], {"image": random_pixels[order]})[0]
    assert np.abs(rows - alone[order]).max() <= 1e-5


@pytest.mark.parametrize("count", range(1, 10))
def test_a_fixed_batch_takes_any_number_of_pictures(count: int, fixed: Path, good: Path) -> None:
    frames = [sample.read() for sample in made_pictures(count, seed=6).samples]
    with Predictor.open(fixed) as four, Predictor.open(good) as dynamic:
        assert four.fixed_batch == 4
        assert dynamic.fixed_batch is None
        want, got = dynamic.logits(frames), four.logits(frames)
        assert got.shape == (count, 7)
        assert np.abs(got - want).max() <= 1e-5
        assert np.abs(np.stack(list(four.stream(iter(frames)))) - want).max() <= 1e-5


def test_a_fixed_batch_refuses_another_size(fixed: Path, random_pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(Exception, match="invalid dimensions"):
        ort.InferenceSession(fixed).run(["logits"], {"image": random_pixels[:3]})


def test_float_input_gives_what_uint8_input_gives(export: Export, good: Path) -> None:
    frames = [sample.read() for sample in made_pictures(9, seed=7).samples]
    with Predictor.open(export("--input", "float")) as normalised, Predictor.open(good) as pixels:
        assert normalised.session.inputs[0].dtype == "float32"
        assert pixels.session.inputs[0].dtype == "uint8"
        assert np.abs(normalised.logits(frames) - pixels.logits(frames)).max() <= 1e-4
