"""Alarms where there is nothing, counted by hand in a clip, a folder and a labelled set; Python and command agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import edgekit
from edgekit.api.model import Model
from edgekit.backends.base import Arrays, Session
from edgekit.backends.null import NullSession
from edgekit.benchmark.quality.false_alarms import ClipScores
from edgekit.errors import DataError, UsageError
from edgekit.metrics.classification import clopper_pearson
from edgekit.metrics.statistics import poisson
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec, PreprocessSpec, TensorSpec
from tests.conftest import SPEC as CLASSIFIER
from tests.conftest import Cli

SPEC = ModelSpec(
    "centernet-resnet18",
    ("bee", "hornet"),
    PreprocessSpec(32, 32, resize="stretch", shorter_side=None),
    task="detection",
    max_detections=1,
    thresholds=(0.3, 0.3),
    alarm_thresholds=(0.3, 0.6),
)


class Brightness(Session):
    """One hornet in the middle of every picture, as sure as the picture is bright."""

    backend = "made"

    def __init__(self) -> None:
        self.inputs = (TensorSpec("image", "uint8", ("N", 32, 32, 3)),)
        self.outputs = SPEC.outputs

    def _run(self, feeds: Arrays) -> Arrays:
        image = feeds["image"]
        n = len(image)
        return {
            "boxes": np.tile(np.float32([8, 8, 24, 24]), (n, 1, 1)),
            "scores": (image.reshape(n, -1).mean(1, keepdims=True) / 255).astype(np.float32),
            "labels": np.ones((n, 1), np.int32),
        }


def bright(score: float) -> np.ndarray[Any, Any]:
    return np.full((64, 64, 3), round(255 * score), np.uint8)


@pytest.fixture
def model() -> Model:
    return Model(Predictor(Brightness(), SPEC, name="made.onnx"))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip.avi: 30 s at 10 a second, bright for a second at 5 s and for two frames at 20 s. empty/: five pictures, one
    of them bright. labelled/: two with a hornet, two without."""
    root = tmp_path_factory.mktemp("places")
    video = cv2.VideoWriter(str(root / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    for i in range(300):
        video.write(bright(0.8 if 50 <= i < 60 else 0.7 if i in (200, 201) else 0.1))
    video.release()
    (root / "empty").mkdir()
    for i, score in enumerate((0.1, 0.2, 0.65, 0.3, 0.55)):
        Image.fromarray(bright(score)).save(root / "empty" / f"{i}.png")
    for kind in ("images", "labels"):
        (root / "labelled" / kind).mkdir(parents=True)
    for i, (score, there) in enumerate(((0.9, True), (0.5, True), (0.7, False), (0.2, False))):
        Image.fromarray(bright(score)).save(root / "labelled" / "images" / f"{i}.png")
        (root / "labelled" / "labels" / f"{i}.txt").write_text("1 0.5 0.5 0.5 0.5\n" if there else "")
    (root / "labelled" / "data.yaml").write_text("train: images\nval: images\nnames: [bee, hornet]\n")
    return root


def test_alarms_an_hour_and_when_they_came(model: Model, places: Path) -> None:
    found = edgekit.false_alarms(model, [places / "clip.avi"], without=["hornet"])
    (hornet,) = found.classes
    assert (hornet.setting.threshold, hornet.setting.point) == (0.6, None)
    assert found.clips == (("clip.avi", pytest.approx(30), 0),)
    hours = 30 / 3600
    assert (hornet.alarms.count, hornet.frames) == (2, (12, 300))
    assert hornet.alarms.per_hour == pytest.approx(2 / hours)
    assert (hornet.alarms.low, hornet.alarms.high) == pytest.approx([v / hours for v in poisson(2)])
    first, second = hornet.moments
    assert (first.start, first.end, first.frames) == (pytest.approx(5.0), pytest.approx(5.9), 10)
    assert first.worst == pytest.approx(0.8, abs=0.01)
    assert (second.start, second.frames) == (pytest.approx(20.0), 2)
    # two frames are no track that counts: the camera would tell of the first alone
    (visit,) = hornet.told
    assert hornet.visits.count == 1
    assert (visit.start, visit.end) == (pytest.approx(5.2), pytest.approx(5.9))
    assert 5.2 <= visit.worst_at <= 5.9


def test_alarms_close_together_are_one() -> None:
    clip = ClipScores("a", 60, 0, [0, 1, 8.5, 20, 27.9, 40], [(0.9,), (0.2,), (0.7,), (0.6,), (0.8,), (0.1,)])
    apart = [(m.start, m.end, m.frames) for m in clip.moments(0, 0.5, 8.0)]
    assert apart == [(0, 0, 1), (8.5, 8.5, 1), (20, 27.9, 2)]
    assert clip.moments(0, 0.5, 8.0)[2].worst_at == 27.9


def test_a_folder_and_a_labelled_set(model: Model, places: Path) -> None:
    (hornet,) = edgekit.false_alarms(model, [places / "empty"], without=["hornet"]).classes
    assert (hornet.pictures.hits, hornet.pictures.n) == (1, 5)
    assert (hornet.pictures.low, hornet.pictures.high) == clopper_pearson(1, 5)
    assert [name for name, _ in hornet.worst] == ["2.png"]
    assert hornet.alarms.per_hour is None
    # of a labelled one those without the class count: one of two is bright; no bee is in any of the four
    told: list[str] = []
    bee, hornet = edgekit.false_alarms(model, [places / "labelled"], say=told.append).classes
    assert (bee.pictures.hits, bee.pictures.n) == (0, 4)
    assert (hornet.pictures.hits, hornet.pictures.n) == (1, 2)
    assert not [line for line in told if "taken to be without" in line]
    edgekit.false_alarms(model, [places / "empty"], say=told.append)
    assert "taken to be without bee, hornet; --without NAME" in told[-1]


def test_the_threshold_has_its_recall_beside_it(model: Model, places: Path) -> None:
    where = {"without": ["hornet"], "data": places / "labelled"}
    (own,) = edgekit.false_alarms(model, [places / "empty"], **where).classes  # type: ignore[arg-type]
    assert own.setting.point is not None
    assert (own.setting.point.recall.hits, own.setting.point.recall.n, own.pictures.hits) == (1, 2, 1)
    (all_of,) = edgekit.false_alarms(model, [places / "empty"], recall=1.0, **where).classes  # type: ignore[arg-type]
    assert all_of.setting.point is not None
    # midway between the second hornet (.5) and the picture without one below it (.2)
    assert all_of.setting.threshold == pytest.approx(0.35, abs=0.01)
    assert (all_of.setting.point.recall.hits, all_of.pictures.hits) == (2, 2)


def test_the_cameras_rules_are_asked_at_the_threshold_of_the_recall(places: Path) -> None:
    """The clip is bright (0.8) for a second: no visit where the alarm asks for 0.9, one where each hornet counts."""
    sure = Model(Predictor(Brightness(), replace(SPEC, alarm_thresholds=(0.3, 0.9))))
    where = {"without": ["hornet"], "data": places / "labelled"}
    clip = [places / "clip.avi"]
    (own,) = edgekit.false_alarms(sure, clip, **where).classes  # type: ignore[arg-type]
    assert (own.alarms.count, own.visits.count) == (0, 0)
    (half,) = edgekit.false_alarms(sure, clip, recall=0.5, **where).classes  # type: ignore[arg-type]
    assert half.setting.threshold == pytest.approx(0.8, abs=0.01)
    (all_of,) = edgekit.false_alarms(sure, clip, recall=1.0, **where).classes  # type: ignore[arg-type]
    assert (all_of.alarms.count, all_of.visits.count) == (2, 1)


def test_what_cannot_be_counted_is_refused(model: Model, places: Path) -> None:
    empty = [places / "empty"]
    session = NullSession((TensorSpec("image", "uint8", ("N", 48, 64, 3)),), CLASSIFIER.outputs)
    classifier = Model(Predictor(session, CLASSIFIER))
    with pytest.raises(UsageError, match="no such class"):
        edgekit.false_alarms(model, empty, without=["wasp"])
    with pytest.raises(UsageError, match="recall takes pictures"):
        edgekit.false_alarms(model, empty, recall=0.9)
    with pytest.raises(UsageError, match="share"):
        edgekit.false_alarms(model, empty, recall=0, data=places / "labelled")
    with pytest.raises(DataError, match="No threshold has a recall"):
        edgekit.false_alarms(model, empty, without=["bee"], recall=0.9, data=places / "labelled")
    with pytest.raises(UsageError, match="has an end"):
        edgekit.false_alarms(model, ["synthetic://hive?seed=1"])
    with pytest.raises(UsageError, match="no alarm"):
        edgekit.false_alarms(classifier, empty)
    (places / "words").mkdir()
    (places / "words" / "notes.md").write_text("nothing to look at")
    with pytest.raises(DataError, match="no pictures and no videos"):
        edgekit.false_alarms(model, [places / "words"])


def test_the_command_says_the_same(cli: Cli, model: Model, places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.loading.open_model", lambda *given, **options: Predictor(Brightness(), SPEC))
    words = ("--data", places / "labelled", "--without", "hornet", "--alarms", places / "clip.avi", places / "empty")
    done = cli("eval", "centernet-tiny", *words, "--format", "json")
    assert done.code == 0, done.text
    printed = json.loads(done.out)
    found = edgekit.false_alarms(
        model, [places / "clip.avi", places / "empty"], without=["hornet"], data=places / "labelled"
    )
    assert printed["false_alarms"] == json.loads(json.dumps(found.to_dict()))
    assert printed["mean"]["ap50"] is not None
    text = cli("eval", "centernet-tiny", *words).out
    low, high = (v * 120 for v in poisson(2))
    assert f"single frames  2 alarms: 240 [{low:.3g}, {high:.3g}] an hour; 12 of 300 frames" in text
    assert "1 of 5 without it: 200 [5.05, 716] a thousand" in text
    assert "where there is none: 1 clip, 0:00:30.0 in all, 5 pictures; exact" in text
    assert "clip.avi  0:00:05.0 to 0:00:05.9  worst 0.79" in text
    assert "threshold 0.600 (the model's): recall 50.00%   [1.26%, 98.74%] on labelled" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "nothing to measure on"),
        (("clip.avi",), "behind --alarms"),
        (("--data", ".", "--without", "bee"), "are for --alarms"),
        (("--data", ".", "--recall", "0.9"), "are for --alarms"),
    ],
)
def test_options_that_do_not_go_together(cli: Cli, words: tuple[str, ...], says: str) -> None:
    done = cli("eval", "centernet-tiny", *words)
    assert done.code == 2
    assert says in done.err


def test_a_made_hive_without_hornets(cli: Cli) -> None:
    hive = "synthetic://hive?seed=3&fps=5&frames=5&width=128&height=96&hornets=0"
    done = cli("eval", "centernet-tiny", "--alarms", hive, "--without", "hornet", "--format", "json")
    assert done.code == 0, done.text
    (hornet,) = json.loads(done.out)["false_alarms"]["classes"]
    assert hornet["setting"]["chosen"].startswith("that of its boxes")  # a file of before
    assert hornet["alarms"]["hours"] == pytest.approx(1 / 3600)
    assert hornet["pictures"]["value"] is None
