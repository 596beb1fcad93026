"""Present and absent: what stands out is a candidate, and what absent pictures lack is proposed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.load import load_dataset
from edgekit.data.sample import Dataset, Sample
from edgekit.errors import DataError, UsageError
from edgekit.labels.proposals.base import Prompt, Segment, Segmenter, box_of
from edgekit.labels.proposals.folders.candidates import background_of, clicked, moving, salient
from edgekit.labels.proposals.folders.crops import drawn
from edgekit.labels.proposals.folders.proposer import learn
from edgekit.labels.proposals.folders.ranking import rank
from edgekit.labels.proposals.folders.sides import sides_of
from edgekit.labels.proposals.quality import proposal_quality
from edgekit.metrics.ground_truth import GroundTruth
from edgekit.vision.boxes import iou_matrix
from edgekit.vision.image import Frame, encode_picture

Rng = np.random.Generator


def meadow(rng: Rng, wasps: int, beetles: int) -> tuple[Frame, np.ndarray]:
    """A noisy green ground with striped wasps and plain beetles, and the wasps' boxes."""
    import cv2

    ground = cv2.GaussianBlur(rng.normal(0, 250, (160, 240, 3)).astype(np.float32), (0, 0), 20)
    frame = np.clip(ground + rng.normal((90, 140, 100), 8), 0, 255).astype(np.uint8)
    boxes = []
    for i in range(wasps + beetles):
        w, h = (int(v) for v in rng.integers(22, 40, 2))
        x, y = 6 + 78 * (i % 3) + int(rng.integers(0, 30)), 6 + 75 * (i // 3) + int(rng.integers(0, 30))
        oval = np.zeros((160, 240), np.uint8)
        cv2.ellipse(oval, (x + w // 2, y + h // 2), (w // 2, h // 2), 0, 0, 360, 1, -1)
        frame[oval > 0] = (40, 30, 25)
        if i < wasps:
            stripes = (np.arange(240) - x) // 6 % 2 == 1
            frame[(oval > 0) & stripes] = (30, 190, 240)
            boxes.append(box_of(oval > 0))
    return frame, np.array(boxes, np.float64).reshape(-1, 4)


def dark(frame: Frame) -> np.ndarray:
    """Boxes around dark places, halves of them, and some anywhere."""
    import cv2

    closed = cv2.morphologyEx((frame[..., 0] < 60).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    stats = cv2.connectedComponentsWithStats(closed)[2][1:]
    stats = stats[stats[:, 4] > 200]
    whole = np.concatenate([stats[:, :2], stats[:, :2] + stats[:, 2:4]], axis=1).astype(float)
    halves = np.concatenate([whole[:, :2], (whole[:, :2] + whole[:, 2:]) / 2], axis=1)
    corner = np.random.default_rng(len(whole)).uniform((0, 0), (200, 120), (15, 2))
    return np.concatenate([whole, halves, np.concatenate([corner, corner + 30], axis=1)])


@pytest.fixture(scope="module")
def meadows() -> tuple[Dataset, list[np.ndarray]]:
    rng = np.random.default_rng(3)
    shown = [meadow(rng, 1 + i % 2 if i < 24 else 0, 2) for i in range(48)]
    samples = tuple(Sample(None, frame, int(i >= 24), f"{i:02d}") for i, (frame, _) in enumerate(shown))
    return Dataset(samples, ("wasp", "none"), "folder"), [boxes for _, boxes in shown]


def test_a_thing_that_only_present_pictures_have_is_proposed(meadows: tuple[Dataset, list[np.ndarray]]) -> None:
    dataset, truth = meadows
    seen = replace(dataset, samples=dataset.samples[:16] + dataset.samples[24:40])
    propose = learn(seen, sides_of(seen), dark)
    hidden = range(16, 24)
    quality = proposal_quality(
        [propose(dataset.samples[i].read()) for i in hidden],
        [GroundTruth(truth[i], np.zeros(len(truth[i]), int)) for i in hidden],
        ("wasp",),
    )
    assert quality.recall.value is not None
    assert quality.recall.value >= 0.7, quality
    assert quality.precision.value is not None
    assert quality.precision.value >= 0.6, quality


def test_what_stands_out_is_a_candidate() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(3):
        frame, boxes = meadow(rng, 2, 0)
        found += iou_matrix(boxes, salient(frame)).max(axis=1).tolist()
    assert np.mean(np.array(found) >= 0.5) > 0.8
    assert salient(np.full((90, 120, 3), 90, np.uint8)).shape == (0, 4)


def test_what_moves_before_a_still_background_is_a_candidate() -> None:
    rng = np.random.default_rng(0)
    ground, _ = meadow(rng, 0, 3)
    frames = []
    for i in range(7):
        frame = np.clip(ground + rng.normal(0, 2, ground.shape), 0, 255).astype(np.uint8)
        frame[100:120, 20 + 25 * i : 50 + 25 * i] = (30, 190, 240)
        frames.append(frame)
    still = background_of(frames)
    assert np.abs(still.astype(int) - ground).max() < 12
    for i in (0, 6):
        found = moving(frames[i], still)
        assert iou_matrix([[20 + 25 * i, 100, 50 + 25 * i, 120]], found).max() > 0.8
        assert len(found) < 4, "what stands still is none"


def test_a_grid_of_clicks_gives_each_thing_once() -> None:
    class Plain(Segmenter):
        def _embed(self, frame: Frame) -> Frame:
            return frame

        def _decode(self, embedding: Frame, prompt: Prompt) -> Segment:
            x, y = prompt.points[0]
            mask = (embedding == embedding[int(y), int(x)]).all(axis=2)
            return Segment(mask, box_of(mask), 0.5)

    frame = np.zeros((60, 60, 3), np.uint8)
    frame[10:30, 10:30], frame[40:55, 35:55] = 100, 200
    assert clicked(Plain(), "a", lambda: frame, 6).tolist() == [[10, 10, 30, 30], [35, 40, 55, 55]]


def test_the_ranking_finds_the_one_right_candidate_of_each_picture() -> None:
    rng = np.random.default_rng(0)
    present, absent = [rng.normal(size=(9, 5)) for _ in range(30)], [rng.normal(size=(9, 5)) for _ in range(30)]
    for rows in present:
        rows[4] += (4, -3, 0, 0, 0)
    ranking = rank([r.astype(np.float32) for r in present], [r.astype(np.float32) for r in absent])
    assert np.mean([ranking.scores(rows.astype(np.float32)).argmax() == 4 for rows in present]) > 0.9
    assert np.mean([ranking.scores(rows.astype(np.float32)).max() > 0.5 for rows in absent]) <= 0.2
    with pytest.raises(DataError, match="nothing to tell"):
        rank([np.zeros((2, 5), np.float32)], [np.zeros((0, 5), np.float32)])


def test_a_description_has_one_row_a_candidate_also_at_the_border() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (50, 70, 3)).astype(np.uint8)
    rows = drawn(frame, np.array([[0, 0, 5.5, 5], [60, 40, 70, 50], [0, 0, 70, 50]], np.float64))
    assert rows.shape[0] == 3
    assert np.isfinite(rows).all()
    assert drawn(frame, np.zeros((0, 4))).shape[0] == 0


@pytest.mark.parametrize(
    ("names", "absent", "present"),
    [
        (("hornet", "none"), None, "hornet"),
        (("absent", "present"), None, "present"),
        (("hornet", "no_hornet"), None, "hornet"),
        (("a", "b"), "a", "b"),
    ],
)
def test_the_folder_without_is_found_or_told(
    names: tuple[str, str], absent: str | None, present: str, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).mkdir()
        for i in range(2):
            (tmp_path / name / f"{i}.png").write_bytes(encode_picture(np.full((8, 8, 3), 40 * i, np.uint8), ".png"))
    dataset = load_dataset(tmp_path)
    sides = sides_of(dataset, absent)
    assert sides.present == present
    assert sum(sides.of) == 2


@pytest.mark.parametrize(("names", "absent"), [(("a", "b"), None), (("none", "empty"), None), (("a", "none"), "b")])
def test_an_unclear_folder_is_asked_about(names: tuple[str, str], absent: str | None) -> None:
    samples = tuple(Sample(None, np.zeros((4, 4, 3), np.uint8), i) for i in range(2))
    with pytest.raises(UsageError, match="--absent"):
        sides_of(Dataset(samples, names, "folder"), absent)


def test_three_classes_or_boxes_are_no_two_sides() -> None:
    samples = (Sample(None, np.zeros((4, 4, 3), np.uint8), 0),)
    with pytest.raises(DataError, match="two folders"):
        sides_of(Dataset(samples, ("a", "b", "c"), "folder"))
