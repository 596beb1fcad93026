"""The model that edgekit ships: small, verified, described by its card, and it finds insects in made pictures."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit import nets
from edgekit.artifacts.deployment import model_path, shipped_models
from edgekit.artifacts.onnx_file import file_sha256, read_onnx
from edgekit.benchmark.quality.accuracy import evaluate
from edgekit.config.recipe import load_recipe
from edgekit.config.target import COMPACT
from edgekit.data import hive_pictures, load_dataset
from edgekit.data.classes.class_map import class_map
from edgekit.loading import open_predictor
from edgekit.predictor import require_verified

ROOT = Path(__file__).parents[1]


def test_it_is_there_and_small() -> None:
    assert shipped_models() == ("centernet-tiny", "hornet-mobile")
    assert model_path(Path("centernet-tiny")).stat().st_size <= 2_000_000
    assert model_path(Path("hornet-mobile")).stat().st_size <= 9_000_000


@pytest.mark.parametrize("name", ["centernet-tiny", "hornet-mobile"])
def test_it_was_proven_and_is_what_its_recipe_and_card_say(name: str) -> None:
    path = model_path(Path(name))
    artifact = read_onnx(path)
    require_verified(artifact)
    spec, recipe = artifact.metadata.model, load_recipe(name)
    assert spec.arch_args == nets.find(recipe.net.arch).complete(recipe.net.asked())
    pictures = recipe.input.preprocess()
    if name == "hornet-mobile":  # as its trunk's published weights take them
        pictures = replace(pictures, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert (spec.preprocess, spec.max_detections) == (pictures, recipe.net.max_detections)
    assert file_sha256(path)[:16] in (ROOT / "models" / f"{name}.md").read_text()


def test_the_one_that_learnt_from_peoples_pictures_names_them_and_has_alarms() -> None:
    artifact = read_onnx(model_path(Path("hornet-mobile")))
    assert "CC BY 4.0" in artifact.metadata.trained_on
    assert "CC BY 4.0" in (ROOT / "models" / "hornet-mobile.md").read_text()
    assert artifact.metadata.precision == COMPACT
    assert len(artifact.metadata.model.alarm_thresholds) == 2
    assert artifact.metadata.model.suppression == load_recipe("hornet-mobile").suppression.made()


@pytest.mark.parametrize(("name", "ap50", "pictures"), [("centernet-tiny", 0.55, 60), ("hornet-mobile", 0.7, 24)])
def test_it_finds_bees_and_hornets_that_it_never_saw(name: str, ap50: float, pictures: int) -> None:
    with open_predictor(Path(name)) as predictor:
        report = evaluate(predictor, hive_pictures(pictures, seed=77)).report
    assert report.mean.ap50 is not None
    assert report.mean.ap50 > ap50
    hornet = report.alarms[1]
    assert hornet.auroc is not None
    assert hornet.auroc > 0.9


@pytest.mark.skipif("EDGEKIT_DATA" not in os.environ, reason="EDGEKIT_DATA is not set: no real pictures of hornets")
def test_it_finds_real_ones_as_its_card_says() -> None:
    names = class_map("bee=Bees,hornet=Hornets")
    with open_predictor(Path("hornet-mobile")) as predictor:
        pictures = load_dataset(
            Path(os.environ["EDGEKIT_DATA"]) / "hornets-yolo", predictor.spec.classes, "valid", classes_map=names
        )
        report = evaluate(predictor, pictures).report
    assert report.mean.ap50 == pytest.approx(0.825, abs=0.002)
    assert all(alarm.auroc is not None and alarm.auroc > 0.99 for alarm in report.alarms)


def test_predict_takes_it_by_name(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.ascontiguousarray(hive_pictures(1, 5).samples[0].read()[..., ::-1])).save("hive.png")
    outcome = cli("predict", "centernet-tiny", "hive.png", "--out", "marked")
    assert outcome.code == 0, outcome.text
    assert Path("marked/hive.jpg").is_file()
