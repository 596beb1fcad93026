"""The model that edgekit ships: small, verified, described by its card, and it finds insects in made pictures."""

from __future__ import annotations

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
from edgekit.data import hive_pictures
from edgekit.loading import open_predictor
from edgekit.predictor import require_verified

ROOT = Path(__file__).parents[1]


def test_it_is_there_and_small() -> None:
    assert shipped_models() == ("centernet-tiny",)
    assert model_path(Path("centernet-tiny")).stat().st_size <= 2_000_000


def test_it_was_proven_and_is_what_its_recipe_and_card_say() -> None:
    path = model_path(Path("centernet-tiny"))
    artifact = read_onnx(path)
    require_verified(artifact)
    spec, recipe = artifact.metadata.model, load_recipe("centernet-tiny")
    assert spec.arch_args == nets.find(recipe.net.arch).complete(recipe.net.asked())
    assert (spec.preprocess, spec.max_detections) == (recipe.input.preprocess(), recipe.net.max_detections)
    assert file_sha256(path)[:16] in (ROOT / "models" / "centernet-tiny.md").read_text()


def test_it_finds_bees_and_hornets_that_it_never_saw() -> None:
    with open_predictor(Path("centernet-tiny")) as predictor:
        report = evaluate(predictor, hive_pictures(60, seed=77)).report
    assert report.mean.ap50 is not None
    assert report.mean.ap50 > 0.55
    hornet = report.alarms[1]
    assert hornet.auroc is not None
    assert hornet.auroc > 0.9


def test_predict_takes_it_by_name(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.ascontiguousarray(hive_pictures(1, 5).samples[0].read()[..., ::-1])).save("hive.png")
    outcome = cli("predict", "centernet-tiny", "hive.png", "--out", "marked")
    assert outcome.code == 0, outcome.text
    assert Path("marked/hive.jpg").is_file()
