"""`edgekit export --compact`: half the bytes, within limits that are said, and everything that reads the file copes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.config.target import COMPACT, COMPACT_LIMITS, load_target
from edgekit.engines.fallbacks import rungs_of
from edgekit.pipeline import compact


@pytest.fixture(scope="module")
def small(cli: Any, checkpoint: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compact")
    outcome = cli("export", checkpoint, "--data", pictures, "--out", out, "--compact")
    assert outcome.code == 0, outcome.text
    assert outcome.out.startswith("fp32-w16 verified: within the limits (max|d| ")
    assert "of our net from its own checkpoint, with large weights rounded to float16, on 8 pictures" in outcome.out
    return out / "tiny.onnx"


def test_it_is_half_as_large_and_says_what_was_proven(small: Path, good: Path) -> None:
    assert small.stat().st_size < 0.52 * good.stat().st_size
    report = json.loads(small.with_suffix(".verify.json").read_text())
    assert [stage["name"] for stage in report["stages"]] == ["preprocess", "fold", "onnx", "batch", "compact", "file"]
    moved = [stage["max_abs"] for stage in report["stages"][-2:]]
    assert all(1e-4 < gap <= COMPACT_LIMITS.max_abs for gap in moved), "rounded, so not equal"
    assert (report["precision"], report["limits"]) == (COMPACT, COMPACT_LIMITS.model_dump())
    assert report["compact"]["fp32"]["limits"]["max_abs"] == 1e-3
    assert report["compact"]["tensors"] > 15
    metadata = read_onnx(small).metadata
    assert metadata.precision == COMPACT
    assert metadata.model == read_onnx(good).metadata.model
    for verdict in (report["verdict"], metadata.verification["verdict"]):
        assert verdict["relation"] == "within limits"
        assert "equal" not in verdict["text"]
        assert "rounded to float16" in verdict["text"]


def test_it_is_judged_by_its_own_limits_wherever_it_is_verified(
    cli: Any, small: Path, good: Path, checkpoint: Path, pictures: Path
) -> None:
    for reference in (checkpoint, good):
        done = cli("verify", reference, small, "--data", pictures)
        assert done.code == 0, done.text
        assert done.out.startswith("fp32-w16 within the limits of ")
    assert load_target("jetson-orin-nano").limits(COMPACT) == COMPACT_LIMITS
    assert cli("verify", good, checkpoint, "--data", pictures).code == 0
    assert [rung.path for rung in rungs_of(small, ())] == [small]


def test_what_runs_and_measures_our_files_takes_it(cli: Any, small: Path, pictures: Path, tmp_path: Path) -> None:
    short = ("--seconds", "0.1", "--warmup", "0.1", "--turns", "1", "--out", tmp_path / "bench")
    done = cli("bench", small, "--data", pictures, *short, "--format", "json")
    assert done.code == 0, done.text
    (row,) = json.loads(done.out)["rows"]
    assert row["precision"] == COMPACT
    assert cli("predict", small, pictures).code == 0


def test_int8_beside_it_is_made_of_the_unrounded_weights(
    cli: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.pipeline import run

    seen: list[onnx.ModelProto] = []

    def make(fp32: Any, *rest: Any, **more: Any) -> Any:
        seen.append(fp32.model)
        raise SystemExit(9)

    monkeypatch.setattr(run, "make", make)
    monkeypatch.setattr(run, "calibration_pictures", lambda *given: object())
    with pytest.raises(SystemExit):
        run.export(checkpoint, tmp_path, data=_noise(tmp_path / "data"), pictures=4, precision="int8", compact=True)
    assert read_onnx(tmp_path / "tiny.onnx").metadata.precision == COMPACT
    assert not [t.name for t in seen[0].graph.initializer if t.data_type == onnx.TensorProto.FLOAT16]


@pytest.mark.parametrize("plant", ["zeroed", "coarse"])
def test_weights_that_are_not_only_rounded_are_rejected(
    cli: Any, checkpoint: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    honest = compact.half_weights

    def broken(model: onnx.ModelProto) -> Any:
        small, rounded = honest(model)
        halves = [t for t in small.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16]
        weight = max(halves, key=lambda t: np.prod(t.dims))
        values = onnx.numpy_helper.to_array(weight).copy()
        if plant == "zeroed":
            values[0, 0] = 0
        else:
            values = (values.view(np.uint16) & 0xFFF8).view(np.float16)
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return small, rounded

    monkeypatch.setattr(compact, "half_weights", broken)
    outcome = cli("export", checkpoint, "--data", pictures, "--out", tmp_path, "--compact")
    assert outcome.code == 3, outcome.text
    assert "verification failed at stage compact" in outcome.err
    assert "of its largest value, more than rounding to float16 is" in outcome.err
    assert not (tmp_path / "tiny.onnx").exists()


def _noise(folder: Path) -> Path:
    from PIL import Image

    folder.mkdir()
    for i in range(4):
        values = np.random.default_rng(i).integers(0, 255, (80, 100, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{i}.png")
    return folder
