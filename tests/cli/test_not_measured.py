"""Where there was nothing to measure on no figure is given: not 0 %, not 100 %, and no interval from 0 to 1."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit import nets
from edgekit.benchmark.quality.agreement import Answers, accuracy, agreement
from edgekit.benchmark.quality.robustness import robustness
from edgekit.benchmark.schema import Accuracy, Agreement
from edgekit.data import HIVE_CLASSES, hive_pictures, load_dataset
from edgekit.errors import DataError
from edgekit.loading import open_predictor
from edgekit.metrics.detection import detection_report
from edgekit.metrics.ground_truth import GroundTruth, Predictions
from edgekit.tasks.detection.quality import DetectionEvaluation
from tests.benchmark.conftest import made_report, made_row
from tests.training.conftest import TINY, TINY_NET, write_pictures

EMPTY = np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)


def yolo(folder: Path, split: str, count: int, objects: bool) -> None:
    """Small made pictures of a hive, with their boxes or with empty label files."""
    for kind in ("images", "labels"):
        (folder / split / kind).mkdir(parents=True)
    names = ", ".join(HIVE_CLASSES)
    (folder / "data.yaml").write_text(f"train: train/images\nval: val/images\nnames: [{names}]\n")
    for i, sample in enumerate(hive_pictures(count, seed=3, height=96, width=160)):
        frame = sample.read()
        Image.fromarray(np.ascontiguousarray(frame[..., ::-1])).save(folder / split / "images" / f"{i}.png")
        assert sample.boxes is not None
        assert sample.box_labels is not None
        boxes = sample.boxes / np.tile([160, 96], 2)
        places = np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
        labels = sample.box_labels.tolist()
        rows = [f"{i} {' '.join(f'{v:.5f}' for v in place)}" for i, place in zip(labels, places, strict=True)]
        text = "\n".join(rows) if objects else ""
        (folder / split / "labels" / f"{i}.txt").write_text(text)


@pytest.fixture(scope="module")
def no_objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training pictures with objects, and two validation pictures without any."""
    folder = tmp_path_factory.mktemp("none")
    yolo(folder, "train", 4, objects=True)
    yolo(folder, "val", 2, objects=False)
    return folder


def rates(content: Any) -> Iterator[dict[str, Any]]:
    """Every rate in a JSON, however deep."""
    if isinstance(content, dict):
        if content.keys() >= {"hits", "n", "value", "low", "high"}:
            yield content
        for value in content.values():
            yield from rates(value)
    elif isinstance(content, list):
        for value in content:
            yield from rates(value)


def test_eval_of_a_detector_where_there_are_no_objects(cli: Any, no_objects: Path) -> None:
    done = cli("eval", "centernet-tiny", "--data", no_objects)
    assert done.code == 0, done.text
    assert "recall not measured (no objects)" in done.out
    assert "100.00%]" not in done.out
    assert "alarm" in done.out
    assert done.out.count("not measured:") == 2  # no picture with it, of either class
    content = json.loads(cli("eval", "centernet-tiny", "--data", no_objects, "--format", "json").out)
    found = list(rates(content))
    assert any(not rate["n"] for rate in found)
    for rate in found:
        measured = rate["n"] > 0
        assert [rate[k] is not None for k in ("value", "low", "high")] == [measured] * 3
    assert content["mean"]["ap50"] is None


def test_eval_where_nothing_is_shown_has_no_precision(cli: Any, tmp_path: Path) -> None:
    """Black pictures: not one box at the threshold, so nobody knows how many would be right."""
    yolo(tmp_path, "val", 2, objects=True)
    for path in (tmp_path / "val" / "images").iterdir():
        Image.new("RGB", (160, 96)).save(path)
    out = cli("eval", "centernet-tiny", "--data", tmp_path, "--split", "val").out
    assert "precision not measured (no boxes)" in out
    assert "recall   0.00%" in out  # that is a finding: there are objects, and none was found


def test_training_a_detector_without_validation_objects(cli: Any, no_objects: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = ("schedule.epochs=2", "schedule.batch=4", "input.train_size=64", "input.size=64", "precision=fp32")
    options = [word for change in changes for word in ("--set", change)]
    done = cli("train", "demo", "--data", no_objects, "--out", run, *options, "--format", "json")
    assert done.code == 0, done.text
    assert "WARNING: validation has nothing: AP is not measured" in done.err
    content = json.loads(done.out)
    for which in ("metrics", "final"):
        assert [content[which][name] for name in ("ap50", "ap", "voc07")] == [None] * 3
    assert content["best_epoch"] == 2  # nothing to choose by: the last
    with (run / "metrics.csv").open() as stream:
        assert not any(row.get("ap50") for row in csv.DictReader(stream))
    out = cli("train", "demo", "--data", no_objects, "--out", run, *options, "--resume").out
    lines = out.splitlines()
    assert all("ap50 not measured  ap not measured  voc07 not measured" in line for line in lines[:2])
    assert "chosen" not in lines[0]
    assert "pictures/s" not in out  # not one was trained on in this process


def test_training_a_classifier_whose_validation_lacks_a_class(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(nets.NETS, "resnet18", TINY_NET)
    write_pictures(tmp_path / "data" / "train", ("red", "green"), 6, 0)
    write_pictures(tmp_path / "data" / "val", ("red",), 3, 1)
    (tmp_path / "tiny.toml").write_text(TINY)
    call = ("train", tmp_path / "tiny.toml", "--data", tmp_path / "data", "--out", tmp_path / "run")
    done = cli(*call, "--set", "schedule.epochs=1", "--format", "json")
    assert done.code == 0, done.text
    assert json.loads(done.out)["metrics"]["balanced"] is None
    assert "balanced not measured" in cli(*call, "--set", "schedule.epochs=1", "--resume").out


@pytest.fixture(scope="module")
def blind() -> tuple[Accuracy, Agreement]:
    """bench's view of two detectors that show nothing on pictures with nothing."""
    samples = hive_pictures(3, seed=1, height=96, width=160).samples
    truths = tuple(GroundTruth(EMPTY[0], EMPTY[2]) for _ in samples)
    founds = tuple(Predictions(*EMPTY) for _ in samples)
    evaluation = DetectionEvaluation(detection_report(truths, founds, HIVE_CLASSES), truths, founds)
    answers = Answers("detection", evaluation, samples)
    return accuracy(answers), agreement(answers, answers, "the other")


def test_bench_has_no_agreement_of_boxes_that_nobody_shows(blind: tuple[Accuracy, Agreement]) -> None:
    right, same = blind
    assert right.metrics == {}
    assert same.share is None
    assert same.difference is None
    assert same.verdict == "not measured"


def test_bench_prints_nothing_of_it(blind: tuple[Accuracy, Agreement]) -> None:
    from edgekit.benchmark.report.page import as_html
    from edgekit.benchmark.report.text import as_csv, as_markdown

    made = made_report(*(made_row(name, [np.full(20, 5.0)] * 3) for name in ("one", "two")))
    row = made.rows[-1]
    row.accuracy, row.agreement = blind
    (line,) = [line for line in as_markdown(made).splitlines() if line.startswith(f"| {row.name} |")]
    assert line.split("|")[3:5] == [" - ", " - "]
    (cells,) = [cells for cells in csv.DictReader(as_csv(made).splitlines()) if cells["name"] == row.name]
    assert (cells["accuracy"], cells["accuracy_low"], cells["agreement"]) == ("", "", "")
    assert "neither shows a box" in as_html(made)


def test_robustness_needs_objects(no_objects: Path) -> None:
    with (
        open_predictor(Path("centernet-tiny")) as predictor,
        pytest.raises(DataError, match="needs objects to find"),
    ):
        robustness(predictor, load_dataset(no_objects, predictor.spec.classes, "val"))


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_classes_of_another_model_are_refused(
    command: str, cli: Any, good: Path, checkpoint: Path, pictures: Path, spec: Any, tmp_path: Path
) -> None:
    """They were taken without a word, and left aside."""
    other, same = tmp_path / "other.txt", tmp_path / "same.txt"
    other.write_text("\n".join(f"x{i}" for i in range(len(spec.classes))))
    same.write_text("\n".join(spec.classes))
    data = ("--data", pictures) if command == "eval" else (pictures,)
    for model in (good, checkpoint):
        done = cli(command, model, *data, "--classes", other)
        assert done.code == 2, done.text
        assert "leave --classes out" in done.err
    if command == "predict":
        assert cli(command, good, *data, "--classes", same).code == 0


@pytest.mark.parametrize(
    ("option", "value"), [("--norm", "group"), ("--preprocess", "height = 32\nwidth = 32\nshorter_side = 40\n")]
)
def test_nor_is_anything_else_that_a_file_says_itself(
    option: str, value: str, cli: Any, good: Path, pictures: Path, tmp_path: Path
) -> None:
    if option == "--preprocess":
        (tmp_path / "spec.toml").write_text(value)
        value = str(tmp_path / "spec.toml")
    done = cli("predict", good, pictures, option, value)
    assert done.code == 2, done.text
    assert f"leave {option} out" in done.err
