"""`edgekit eval --sheet`: the surest wrong answers, drawn."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import edgekit
from edgekit.benchmark.quality.wrong import draw_wrong
from edgekit.data.sample import Sample
from edgekit.data.survey.sheet import ASIDE, COLOURS
from edgekit.metrics.classification import classification_report
from edgekit.metrics.detection import detection_report
from edgekit.metrics.ground_truth import GroundTruth, Predictions
from edgekit.tasks.classification_quality import ClassificationEvaluation
from edgekit.tasks.detection.quality import DetectionEvaluation
from edgekit.tasks.evaluation import WrongAnswer
from tests.conftest import Cli

MADE = "synthetic://hive?n=4&val=12&seed=3"
BOX = (10.0, 10.0, 50.0, 50.0)
CELL = (240 + 2, 240 + 14 + 2)  # width, height, with its title and rim


def evaluation(truths: list[GroundTruth], founds: list[Predictions]) -> DetectionEvaluation:
    limits = (0.5, 0.5)
    report = detection_report(truths, founds, ("bee", "hornet"), limits)
    return DetectionEvaluation(report, tuple(truths), tuple(founds), limits)


def test_a_detector_shows_boxes_at_its_thresholds_surest_first_and_then_what_it_missed() -> None:
    far = (200.0, 200.0, 240.0, 240.0)
    truths = [GroundTruth([BOX, (60, 60, 70, 70)], [0, 1]), GroundTruth([], [])]
    founds = [Predictions([far, far], [0.6, 0.4], [1, 1]), Predictions([BOX], [0.9], [0])]
    shown = evaluation(truths, founds).wrong(24)
    assert [(w.index, w.says) for w in shown] == [
        (1, "bee 0.90: nothing labelled there"),
        (0, "hornet 0.60: nothing labelled there"),
        (0, "bee not found"),
        (0, "hornet not found"),
    ], "0.4 is below the threshold; the larger of the missed ones comes first"
    assert shown[1].place == far
    assert shown[1].boxes == ((BOX, None), ((60, 60, 70, 70), None), (far, 1)), "labels, and boxes that are shown"


def test_of_many_a_quarter_are_objects_not_found() -> None:
    boxes = [(float(x), 0.0, x + 20.0, 20.0) for x in range(0, 600, 30)]
    both = evaluation(
        [GroundTruth(boxes, [0] * 20)], [Predictions([(x, 300, y, 320) for x, _, y, _ in boxes], [0.9] * 20, [0] * 20)]
    )
    said = [w.says for w in both.wrong(8)]
    assert sum("not found" in one for one in said) == 2
    alone = evaluation([GroundTruth(boxes, [0] * 20)], [Predictions([], [], [])])
    assert len(alone.wrong(8)) == 8


def test_the_cost_of_each_kind_is_told_and_the_boxes_that_make_it() -> None:
    truths = [GroundTruth([BOX], [0]), GroundTruth([BOX], [1])]
    founds = [Predictions([BOX, (200, 200, 240, 240)], [0.6, 0.9], [0, 0]), Predictions([], [], [])]
    one = evaluation(truths, founds)
    lines = one.lines("m.onnx")
    start = next(i for i, line in enumerate(lines) if line.startswith("what AP50 loses"))
    rows = [line.split() for line in lines[start + 2 :]]
    assert rows[0] == ["nothing", "labelled", "there", "25.0", "1", "bee", "1"]
    assert rows[-1] == ["not", "found", "25.0", "1", "hornet", "1"]
    wrong = one.to_dict()["mistakes"]
    assert wrong["background"] == {"ap50": pytest.approx(0.25), "boxes": {"bee": 1, "hornet": 0}}
    assert wrong["missed"]["boxes"] == {"bee": 0, "hornet": 1}
    json.dumps(wrong)


def test_a_classifier_shows_the_most_probable_wrong_classes() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.3, 0.7], [0.05, 0.95], [0.2, 0.8]], np.float32))
    labels = np.array([0, 0, 0, 1])
    report = classification_report(logits, labels, ("ant", "bee"))
    shown = ClassificationEvaluation(report, logits, labels).wrong(24)
    assert [(w.index, w.says) for w in shown] == [(2, "bee 0.95, labelled ant"), (1, "bee 0.70, labelled ant")]


def test_the_sheet_is_cut_around_the_place_and_drawn_in_the_pictures_colours(tmp_path: Path) -> None:
    frame = np.zeros((400, 600, 3), np.uint8)
    samples = [Sample(None, frame, None, "deep/a.png")]
    place = (300.0, 200.0, 380.0, 280.0)  # 240 pixels around it: one to one
    wrong = [WrongAnswer(0, "bee 0.90", place, ((place, 1), ((310.0, 210.0, 320.0, 220.0), None), ((0, 0, 9, 9), 0)))]
    sheet = tmp_path / "wrong.png"
    draw_wrong(sheet, samples, wrong * 7)
    drawn = edgekit.read_picture(sheet)
    assert drawn.shape[:2] == (2 * CELL[1], 6 * CELL[0]), "six in a row"
    colours = {tuple(int(v) for v in c[::-1]) for c in drawn[:240, :240].reshape(-1, 3)}
    assert colours == {(0, 0, 0), COLOURS[1], ASIDE}, "the third box lies outside"
    assert tuple(drawn[80, 80, ::-1]) == COLOURS[1]


def test_places_at_the_rim_and_tiny_pictures(tmp_path: Path) -> None:
    samples = [Sample(None, np.zeros(size, np.uint8), None, "a.png") for size in ((8, 8, 3), (1, 400, 3))]
    places = [(-5.0, -5.0, 2.0, 2.0), (390.0, 0.0, 500.0, 3.0), (399.0, 0.0, 399.0, 0.0)]
    wrong = [WrongAnswer(i, "x", place) for i in (0, 1) for place in places]
    draw_wrong(tmp_path / "a.jpg", samples, [*wrong, WrongAnswer(1, "all of it")])


def test_the_command_and_the_function_draw_the_same(tmp_path: Path, cli: Cli) -> None:
    told: list[str] = []
    edgekit.evaluate("centernet-tiny", MADE, split="val", sheet=tmp_path / "new" / "a.png", say=told.append)
    assert "surest" in told[-1]
    done = cli("eval", "centernet-tiny", "--data", MADE, "--split", "val", "--sheet", tmp_path / "b.png")
    assert done.code == 0, done.text
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert "what AP50 loses" in done.out


def test_where_nothing_is_wrong_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DetectionEvaluation, "wrong", lambda self, most: ())
    told: list[str] = []
    edgekit.evaluate("centernet-tiny", MADE, split="val", sheet=tmp_path / "a.png", say=told.append)
    assert told[-1] == "nothing is wrong: a.png is not written"
    assert not (tmp_path / "a.png").exists()


def test_what_cannot_be_drawn_is_said_before_anything_is_measured(tmp_path: Path, cli: Cli) -> None:
    ending = cli("eval", "centernet-tiny", "--data", MADE, "--sheet", tmp_path / "a.bmp")
    assert ending.code == 2
    assert ".png" in ending.text
    nothing = cli("eval", "centernet-tiny", "--alarms", MADE, "--sheet", tmp_path / "a.png")
    assert nothing.code == 2
    assert "--data DIR" in nothing.text
    from edgekit.api.evaluate import _checked

    masks = SimpleNamespace(shows_wrong=False, noun="a segmentation model")
    with pytest.raises(edgekit.errors.UsageError, match="a segmentation model"):
        _checked(tmp_path / "a.png", masks)  # type: ignore[arg-type]
