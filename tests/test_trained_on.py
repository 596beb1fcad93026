"""A model that learnt from made pictures only says so; tests/cli/test_demo.py has one from its training on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from edgekit import nets
from edgekit.artifacts.metadata import MADE, RECORDED
from edgekit.artifacts.onnx_file import KEY, embed, read_onnx
from edgekit.camera.web.parts import part_text
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.data import hive_pictures
from edgekit.loading import model_path, open_predictor
from edgekit.spec import digest
from tests.training.conftest import TINY, TINY_NET, write_pictures

TOLD = "was trained on made pictures only"


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "hive.png"
    Image.fromarray(np.ascontiguousarray(hive_pictures(1, 5).samples[0].read()[..., ::-1])).save(path)
    return path


def test_the_shipped_model_says_it(cli: Any, picture: Path) -> None:
    assert read_onnx(model_path(Path("centernet-tiny"))).metadata.trained_on == MADE
    assert TOLD in cli("predict", "centernet-tiny", picture).err


def test_a_training_on_recorded_pictures_says_that_and_nothing_is_told(
    cli: Any, checkpoint: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(nets.NETS, "resnet18", TINY_NET)
    write_pictures(tmp_path / "data" / "train", ("a", "b"), 2, 0)
    write_pictures(tmp_path / "data" / "val", ("a", "b"), 1, 1)
    (tmp_path / "tiny.toml").write_text(TINY)
    run = tmp_path / "run"
    done = cli("train", tmp_path / "tiny.toml", "--data", tmp_path / "data", "--out", run, "--set", "schedule.epochs=1")
    assert done.code == 0, done.text
    assert load_checkpoint(run / "best.pt").trained_on == RECORDED
    assert "trained on" not in cli("predict", run / "best.pt", pictures).err
    monkeypatch.undo()
    assert load_checkpoint(checkpoint).trained_on == ""  # not said
    assert "trained on" not in cli("predict", checkpoint, pictures).err


def test_what_a_recipe_says_of_its_pictures_travels_to_the_screen(
    cli: Any, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(nets.NETS, "resnet18", TINY_NET)
    write_pictures(tmp_path / "data" / "train", ("a", "b"), 2, 0)
    write_pictures(tmp_path / "data" / "val", ("a", "b"), 1, 1)
    (tmp_path / "tiny.toml").write_text(TINY)
    words = ("train", tmp_path / "tiny.toml", "--data", tmp_path / "data", "--set", "schedule.epochs=1")
    credit = "bees of ours (CC BY 4.0)"
    done = cli(*words, "--out", tmp_path / "run", "--set", f"data.credit={credit}")
    assert done.code == 0, done.text
    assert load_checkpoint(tmp_path / "run" / "best.pt").trained_on == credit
    assert f"best.pt was trained on {credit}" in cli("predict", tmp_path / "run" / "best.pt", pictures).err
    refused = cli(*words, "--out", tmp_path / "other", "--set", "data.credit=two\nlines")
    assert refused.code == 2


def test_a_file_from_before_says_nothing_and_is_the_same_to_the_byte(tmp_path: Path) -> None:
    """Not said is not written: its hash, and an older edgekit's reading, are as they were."""
    artifact = read_onnx(model_path(Path("centernet-tiny")))
    content = json.loads({p.key: p.value for p in artifact.model.metadata_props}[KEY])
    del content["digest"], content["trained_on"]
    content["model"]["max_detections"] = content["model"].pop("keep")  # its name when the shipped file was made
    del artifact.model.metadata_props[:]
    text = json.dumps({**content, "digest": digest(content)}, sort_keys=True)
    onnx.helper.set_model_props(artifact.model, {KEY: text})
    old = tmp_path / "old.onnx"
    old.write_bytes(artifact.model.SerializeToString())
    with open_predictor(old) as predictor:
        assert predictor.trained_on == ""
    again = read_onnx(old)
    embed(again.model, again.metadata)
    assert again.model.SerializeToString() == old.read_bytes()


def test_the_camera_its_status_and_its_events_say_it(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.camera import runtime

    seen: list[dict[str, Any]] = []
    honest = runtime.summarize

    def summarize(seconds: float, counters: Any, health: Any, *rest: Any) -> Any:
        seen.append(health.status())
        return honest(seconds, counters, health, *rest)

    monkeypatch.setattr(runtime, "summarize", summarize)
    source = "synthetic://hive?seed=1&fps=10&frames=5&height=180&width=320"
    done = cli("camera", "--source", source, "--model", "centernet-tiny", "--out", tmp_path)
    assert done.code == 0, done.text
    assert f"centernet-tiny.onnx {TOLD}" in done.err
    assert seen[0]["model"]["trained_on"] == MADE
    assert 'id="made" hidden' in part_text("page.html")
