"""Each decoder's graph gives what its numpy reference does, and some are held against their authors' formulas."""

from collections.abc import Callable

import numpy as np
import pytest

from edgekit.graph import decoders
from edgekit.graph.decoders import DECODERS, Reading, readings
from edgekit.vision.spec import Suppression
from tests.graph.decoders.raw import Raw, centred, decoded, specs, stepped

SIZE = (64, 96)  # 8 x 12 + 4 x 6 + 2 x 3 cells
CELLS = 126
Rng = np.random.Generator


def cat(*parts: np.ndarray, axis: int = 2) -> np.ndarray:
    return np.concatenate(parts, axis=axis)


def corners(rng: Rng, n: int, places: int, scale: float) -> np.ndarray:
    box = centred(rng, n, places, scale)
    return cat(box[..., :2] - box[..., 2:] / 2, box[..., :2] + box[..., 2:] / 2)


def yolox(rng: Rng, n: int) -> Raw:
    return {"output": cat(rng.normal(0, 1, (n, CELLS, 4)).astype(np.float32), stepped(rng, n, CELLS, 1 + 5))}


def yolox_decoded(rng: Rng, n: int) -> Raw:
    return {"output": cat(centred(rng, n, CELLS, 80), stepped(rng, n, CELLS, 1 + 5))}


def yolov8(rng: Rng, n: int) -> Raw:
    return {"output0": cat(centred(rng, n, CELLS, 80), stepped(rng, n, CELLS, 3)).transpose(0, 2, 1).copy()}


def fastestdet(rng: Rng, n: int) -> Raw:
    box = rng.normal(0, 1, (n, 4, 4, 6)).astype(np.float32)
    return {"758": cat(stepped(rng, n, 1, 4, 6), box, stepped(rng, n, 7, 4, 6), axis=1)}


def ultraface(rng: Rng, n: int) -> Raw:
    face = stepped(rng, n, 1100, 1)
    return {"scores": cat(1 - face, face), "boxes": corners(rng, n, 1100, 1.0)}


def ssd(rng: Rng, n: int) -> Raw:
    return {"boxes": corners(rng, n, 1100, 60), "conf": stepped(rng, n, 1100, 6, high=4)}


def detr(rng: Rng, n: int) -> Raw:
    return {"logits": stepped(rng, n, 30, 6, high=4), "pred_boxes": centred(rng, n, 30, 1.0)}


def ultralytics_rtdetr(rng: Rng, n: int) -> Raw:
    return {"output0": cat(centred(rng, n, 300, 1.0), stepped(rng, n, 300, 5))}


def end_to_end(rng: Rng, n: int) -> Raw:
    return {"output0": cat(corners(rng, n, 300, 60), stepped(rng, n, 300, 1), stepped(rng, n, 300, 1, high=4, steps=4))}


def detections(rng: Rng, n: int) -> Raw:
    labels = rng.integers(0, 5, (n, 40)).astype(np.int64)
    return {"labels": labels, "scores": stepped(rng, n, 40), "boxes": corners(rng, n, 40, 60)}


def logits(rng: Rng, n: int) -> Raw:
    return {"output": rng.normal(0, 3, (n, 9, 1, 1)).astype(np.float32)}


def probabilities(rng: Rng, n: int) -> Raw:
    power = np.exp(rng.normal(0, 30, (n, 1001)))
    return {"scores": (power / power.sum(axis=1, keepdims=True)).astype(np.float32)}


CASES: dict[str, Callable[[Rng, int], Raw]] = {
    "yolox": yolox,
    "yolox-decoded": yolox_decoded,
    "yolov8": yolov8,
    "fastestdet": fastestdet,
    "boxes-and-scores": ultraface,
    "boxes-and-scores-pixels": ssd,
    "detr": detr,
    "rt-detr": detr,
    "rt-detr-ultralytics": ultralytics_rtdetr,
    "end-to-end": end_to_end,
    "detections": detections,
    "logits": logits,
    "probabilities": probabilities,
}
BOXES = [name for name in CASES if "detection" in decoders.decoder_named(name).tasks]


def of(name: str, raw: Raw) -> Reading:
    return decoders.named(name, specs(raw), decoders.decoder_named(name).tasks[0], SIZE, {})


def assert_same(name: str, raw: Raw, reading: Reading, keep: int, candidates: int, how: Suppression | None) -> None:
    given = decoded(raw, reading, SIZE, keep, candidates, how)
    wanted = decoders.reference(reading, SIZE, raw, keep, candidates, how)
    assert set(given) == set(wanted)
    for key, value in wanted.items():
        assert given[key].dtype == value.dtype
        np.testing.assert_allclose(given[key], value, rtol=1e-5, atol=1e-4, err_msg=f"{name}: {key}")


def rows(found: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Of each picture x1 y1 x2 y2, label and score of what has one, in an order that a near tie does not change."""
    assert found["scores"].shape[1] == found["boxes"].shape[1] == found["labels"].shape[1]
    whole = cat(found["boxes"], found["labels"][..., None], found["scores"][..., None])
    return [row[np.lexsort((row[:, 4], row[:, 0]))] for picture in whole for row in [picture[picture[:, 5] > 0]]]


def test_every_decoder_is_tried() -> None:
    assert set(CASES) == set(DECODERS) - {"described"}


@pytest.mark.parametrize("name", CASES)
def test_the_graph_gives_what_the_reference_does(name: str) -> None:
    for seed, how in enumerate((None, Suppression(0.451), Suppression(0.3, across_classes=True))):
        raw = CASES[name](np.random.default_rng(seed), 3)
        assert_same(name, raw, of(name, raw), 20, 60, how)


@pytest.mark.parametrize("name", BOXES)
def test_more_boxes_than_places_are_filled_up_with_nothing(name: str) -> None:
    raw = CASES[name](np.random.default_rng(0), 2)
    places = max(np.prod(value.shape[1:]) for value in raw.values())
    keep = min(3840, int(places) + 50)
    reading = of(name, raw)
    given = rows(decoded(raw, reading, SIZE, keep, keep))
    wanted = rows(decoders.reference(reading, SIZE, raw, keep, keep))
    for one, other in zip(given, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_its_pictures_one_by_one(name: str) -> None:
    raw = CASES[name](np.random.default_rng(1), 5)
    reading = of(name, raw)
    together = decoded(raw, reading, SIZE, 20, 60, Suppression(0.451))
    for i in range(5):
        alone = decoded({k: v[i : i + 1] for k, v in raw.items()}, reading, SIZE, 20, 60, Suppression(0.451))
        for key, value in alone.items():
            np.testing.assert_array_equal(together[key][i : i + 1], value, err_msg=key)


@pytest.mark.parametrize("name", BOXES)
def test_no_boxes_at_all(name: str) -> None:
    raw = {k: v.copy() for k, v in CASES[name](np.random.default_rng(2), 2).items()}
    reading = of(name, raw)
    silent = -100.0 if reading.settings.get("activation", "none") == "sigmoid" else 0.0
    for role, output in reading.roles.items():
        first, end = reading.settings.get("score_columns", (None, None))
        if role == "scores" and reading.settings.get("background", "none") != "none":
            raw[output][:] = 0
            raw[output][..., 0 if reading.settings["background"] == "first" else -1] = 200
        elif role == "scores":
            raw[output][..., first:end] = silent
        elif role != "labels" and "scores" not in reading.roles:
            raw[output][(slice(None), slice(4, None)) if name == "yolov8" else (..., slice(4, None))] = 0
            if role == "map":
                raw[output][:, 0] = 0
    given = decoded(raw, reading, SIZE, 20, 60, Suppression(0.5))
    assert given["scores"].max() < 1e-30
    assert np.isfinite(given["boxes"]).all()


@pytest.mark.parametrize("name", BOXES)
def test_a_score_that_is_no_number_is_not_hidden(name: str) -> None:
    raw = {k: v.copy() for k, v in CASES[name](np.random.default_rng(3), 2).items()}
    reading = of(name, raw)
    output = reading.roles.get("scores") or next(iter(reading.roles.values()))
    spot = (1, 4, 11) if name == "yolov8" else (1, 0, 1, 1) if name == "fastestdet" else (1, 11, -1)
    spot = {"detections": (1, 11), "end-to-end": (1, 11, 4)}.get(name, spot)
    raw[output][spot] = np.nan
    for found in (decoded(raw, reading, SIZE), decoders.reference(reading, SIZE, raw)):
        assert np.isnan(found["scores"][1]).all()
        assert np.isfinite(found["scores"][0]).all()


def test_yolox_as_its_authors_demo_decodes_it() -> None:
    """Their `demo_postprocess`, cell by cell, and the best class of the best place."""
    rng = np.random.default_rng(4)
    raw = rng.uniform(0.0, 0.2, (1, CELLS, 5 + 3)).astype(np.float32)
    raw[0, 96 + 8, 4:] = 0.9, 0.1, 0.2, 0.8  # the second grid's third cell of its second row
    found = decoded({"output": raw}, of("yolox", {"output": raw}), SIZE, 5)
    x, y, w, h = raw[0, 104, :4]
    cx, cy, w, h = (x + 2) * 16, (y + 1) * 16, np.exp(w) * 16, np.exp(h) * 16
    np.testing.assert_allclose(found["boxes"][0, 0], [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], rtol=1e-5)
    assert found["scores"][0, 0] == pytest.approx(0.72, abs=1e-6)
    assert found["labels"][0, 0] == 2


def test_fastestdet_as_its_author_decodes_it() -> None:
    raw = np.full((1, 5 + 3, 4, 6), 0.01, np.float32)
    raw[0, :, 2, 5] = 0.5, 0.3, -0.2, 0.1, 0.7, 0.1, 0.6, 0.3
    found = decoded({"map": raw}, of("fastestdet", {"map": raw}), SIZE, 5)
    cx, cy = (np.tanh(0.3) + 5) / 6 * 96, (np.tanh(-0.2) + 2) / 4 * 64
    w, h = 96 / (1 + np.exp(-0.1)), 64 / (1 + np.exp(-0.7))
    np.testing.assert_allclose(found["boxes"][0, 0], [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], rtol=1e-5)
    assert found["scores"][0, 0] == pytest.approx(0.5**0.6 * 0.6**0.4, rel=1e-5)
    assert found["labels"][0, 0] == 1


def test_detrs_last_column_is_no_class() -> None:
    logits = np.array([[[1, 2, 5], [4, 1, 1]]], np.float32)
    boxes = np.array([[[0.5, 0.5, 0.2, 0.4], [0.25, 0.5, 0.5, 1.0]]], np.float32)
    raw = {"logits": logits, "pred_boxes": boxes}
    found = decoded(raw, of("detr", raw), SIZE, 2)
    assert found["labels"].tolist() == [[0, 1]]
    np.testing.assert_allclose(found["boxes"][0, 0], [0, 0, 48, 64], atol=1e-4)
    power = np.exp([4.0, 1, 1])
    assert found["scores"][0, 0] == pytest.approx(power[0] / power.sum(), rel=1e-5)


def test_a_softmax_of_the_logits_gives_the_probabilities_again() -> None:
    raw = probabilities(np.random.default_rng(5), 2)
    reading = of("probabilities", raw)
    assert reading.classes == 1000, "a background in front"
    assert "background" in reading.notes[0]
    logits = decoded(raw, reading, SIZE)["logits"].astype(np.float64)
    assert np.isfinite(logits).all()
    kept = raw["scores"][:, 1:].astype(np.float64)
    again = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(again, kept / kept.sum(axis=1, keepdims=True), atol=1e-6)


def test_of_several_labels_each_has_its_own_sigmoid() -> None:
    raw = {"output": np.array([[0.0, 2.0]], np.float32)}
    for name, wanted in (("logits", 1 / (1 + np.exp([0.0, -2.0]))), ("probabilities", [0.0, 2.0])):
        reading = decoders.named(name, specs(raw), "multilabel", SIZE, {})
        np.testing.assert_allclose(decoded(raw, reading, SIZE)["scores"], [wanted], rtol=1e-6)
        np.testing.assert_allclose(decoders.reference(reading, SIZE, raw)["scores"], [wanted], rtol=1e-6)


def test_a_raw_output_may_have_a_name_of_the_contract() -> None:
    raw = ultraface(np.random.default_rng(6), 1)
    (reading, *_) = readings(specs(raw), "detection", SIZE, {})
    found = decoded(raw, reading, SIZE, 7)
    assert {key: value.shape for key, value in found.items()} == {
        "boxes": (1, 7, 4),
        "scores": (1, 7),
        "labels": (1, 7),
    }
