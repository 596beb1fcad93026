"""Each decoder's graph gives what its numpy reference does, and some are held against their authors' formulas."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def centres_end_to_end(rng: Rng, n: int) -> Raw:
    scores, labels = stepped(rng, n, 300, 1), stepped(rng, n, 300, 1, high=4, steps=4)
    return {"output0": cat(centred(rng, n, 300, 1.0), scores, labels)}


def detections(rng: Rng, n: int) -> Raw:
    labels = rng.integers(0, 5, (n, 40)).astype(np.int64)
    return {"labels": labels, "scores": stepped(rng, n, 40), "boxes": corners(rng, n, 40, 60)}


def yolov5(rng: Rng, n: int) -> Raw:
    return {"output": cat(centred(rng, n, 3 * CELLS, 80), stepped(rng, n, 3 * CELLS, 1 + 4))}


def heads(rng: Rng, n: int) -> Raw:
    """Of stride 32 first, as some exporters sort them."""
    sides = {"p5": (2, 3), "p3": (8, 12), "p4": (4, 6)}
    return {name: rng.normal(0, 1, (n, 3 * 7, *side)).astype(np.float32) for name, side in sides.items()}


def heads_of_five_sides(rng: Rng, n: int) -> Raw:
    sides = {"p3": (8, 12), "p4": (4, 6), "p5": (2, 3)}
    return {name: rng.normal(0, 1, (n, 3, *side, 7)).astype(np.float32) for name, side in sides.items()}


def centernet(rng: Rng, n: int) -> Raw:
    heat = stepped(rng, n, 3, 16, 24, high=4) - 2
    box = rng.uniform(0, 9, (n, 4, 16, 24)).astype(np.float32)
    return {"wh": box[:, :2], "hm": heat, "reg": box[:, 2:] / 9}


def centernet_sigmoid(rng: Rng, n: int) -> Raw:
    return {**centernet(rng, n), "hm": stepped(rng, n, 3, 16, 24)}


def mask_logits(rng: Rng, n: int) -> Raw:
    return {"out": rng.normal(0, 3, (n, 5, 8, 12)).astype(np.float32), "aux": np.zeros((n, 5, 8, 12), np.float32)}


def mask_probabilities(rng: Rng, n: int) -> Raw:
    power = np.exp(rng.normal(0, 3, (n, *SIZE, 5)))
    return {"out": (power / power.sum(axis=3, keepdims=True)).astype(np.float32)}


def mask_numbers(rng: Rng, n: int) -> Raw:
    return {"out": rng.integers(0, 7, (n, 1, *SIZE)).astype(np.int64)}


def tokens(rng: Rng, n: int) -> Raw:
    return {"last_hidden_state": rng.normal(0, 1, (n, 25, 12)).astype(np.float32)}


def features(rng: Rng, n: int) -> Raw:
    return {"y": rng.normal(0, 1, (n, 12, 2, 3)).astype(np.float32)}


def logits(rng: Rng, n: int) -> Raw:
    return {"output": rng.normal(0, 3, (n, 9, 1, 1)).astype(np.float32)}


def probabilities(rng: Rng, n: int) -> Raw:
    power = np.exp(rng.normal(0, 30, (n, 1001)))
    return {"scores": (power / power.sum(axis=1, keepdims=True)).astype(np.float32)}


CASES: dict[str, Callable[[Rng, int], Raw]] = {
    "yolox": yolox,
    "yolox-decoded": yolox_decoded,
    "yolov8": yolov8,
    "yolov5": yolov5,
    "yolov5-heads": heads,
    "yolov7-heads": heads_of_five_sides,
    "yolov3-heads": heads,
    "fastestdet": fastestdet,
    "centernet": centernet,
    "centernet-sigmoid": centernet_sigmoid,
    "mask-logits": mask_logits,
    "mask-probabilities": mask_probabilities,
    "mask-numbers": mask_numbers,
    "features": features,
    "features-first": tokens,
    "features-mean": tokens,
    "boxes-and-scores": ultraface,
    "boxes-and-scores-pixels": ssd,
    "detr": detr,
    "rt-detr": detr,
    "rt-detr-ultralytics": ultralytics_rtdetr,
    "end-to-end": end_to_end,
    "rt-detr-end-to-end": centres_end_to_end,
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
    tests = "".join(
        path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name
    )
    assert [name for name in DECODERS if name not in CASES and f'"{name}"' not in tests] == []


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
            np.testing.assert_allclose(together[key][i : i + 1], value, rtol=1e-6, atol=1e-6, err_msg=key)


# where the scores of each case stand, and what makes them say nothing
QUIET: dict[str, tuple[str, Any, float]] = {
    **dict.fromkeys(("yolox", "yolox-decoded", "yolov5"), ("output", np.s_[..., 4:], 0)),
    "yolov8": ("output0", np.s_[:, 4:], 0),
    **dict.fromkeys(("yolov5-heads", "yolov7-heads", "yolov3-heads"), ("p3 p4 p5", np.s_[...], -200)),
    "fastestdet": ("758", np.s_[:, :1], 0),
    "boxes-and-scores": ("scores", np.s_[..., 1:], -200),
    "boxes-and-scores-pixels": ("conf", np.s_[..., 1:], -200),
    "detr": ("logits", np.s_[..., :-1], -200),
    "rt-detr": ("logits", np.s_[...], -200),
    "rt-detr-ultralytics": ("output0", np.s_[..., 4:], 0),
    **dict.fromkeys(("end-to-end", "rt-detr-end-to-end"), ("output0", np.s_[..., 4], 0)),
    "detections": ("scores", np.s_[...], 0),
    "centernet": ("hm", np.s_[...], -200),
    "centernet-sigmoid": ("hm", np.s_[...], 0),
}


@pytest.mark.parametrize("name", BOXES)
def test_no_boxes_at_all(name: str) -> None:
    raw = {k: v.copy() for k, v in CASES[name](np.random.default_rng(2), 2).items()}
    outputs, where, nothing = QUIET[name]
    for output in outputs.split():
        raw[output][where] = nothing
    given = decoded(raw, of(name, raw), SIZE, 20, 60, Suppression(0.5))
    assert given["scores"].max() < 1e-30
    assert np.isfinite(given["boxes"]).all()


@pytest.mark.parametrize("name", BOXES)
def test_a_score_that_is_no_number_is_not_hidden(name: str) -> None:
    raw = {k: v.copy() for k, v in CASES[name](np.random.default_rng(3), 2).items()}
    output, where, _ = QUIET[name]
    scores = raw[output.split()[0]][1:][where]
    scores[(-1,) * scores.ndim] = np.nan
    reading = of(name, raw)
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


def test_yolov5_as_its_authors_decode_it() -> None:
    raw = {"p3": (8, 12), "p4": (4, 6), "p5": (2, 3)}
    maps = {name: np.full((1, 3 * 8, *sides), -9, np.float32) for name, sides in raw.items()}
    maps["p4"][0, 8:16, 1, 2] = 0.5, -0.5, 0.2, -0.2, 3, -1, 2, 1  # the second anchor of stride 16: 62 x 45
    s = 1 / (1 + np.exp(-maps["p4"][0, 8:16, 1, 2].astype(np.float64)))
    for name in ("yolov5-heads", "yolov3-heads"):
        found = decoded(maps, of(name, maps), SIZE, 5)
        if name == "yolov5-heads":
            cx, cy, w, h = (
                (2 * s[0] - 0.5 + 2) * 16,
                (2 * s[1] - 0.5 + 1) * 16,
                (2 * s[2]) ** 2 * 62,
                (2 * s[3]) ** 2 * 45,
            )
        else:
            cx, cy, w, h = (s[0] + 2) * 16, (s[1] + 1) * 16, np.exp(0.2) * 62, np.exp(-0.2) * 45
        np.testing.assert_allclose(found["boxes"][0, 0], [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], rtol=1e-5)
        assert found["scores"][0, 0] == pytest.approx(s[4] * s[6], rel=1e-5)
        assert found["labels"][0, 0] == 1


def test_centernets_peaks_alone_are_things_and_sizes_are_no_offsets() -> None:
    heat = np.full((1, 2, 16, 24), -9, np.float32)
    heat[0, 1, 5, 7], heat[0, 1, 5, 8], heat[0, 0, 5, 8] = 3, 2, 1  # a neighbour of its class, and one of the other
    raw = {"hm": heat, "reg": np.full((1, 2, 16, 24), 0.25, np.float32), "wh": np.full((1, 2, 16, 24), 2, np.float32)}
    found = decoded(raw, of("centernet", raw), SIZE, 3)
    assert found["labels"].tolist()[0][:2] == [1, 0]
    np.testing.assert_allclose(found["boxes"][0, 0], [25, 17, 33, 25])
    np.testing.assert_allclose(found["scores"][0, :2], 1 / (1 + np.exp([-3.0, -1])), rtol=1e-5)
    assert found["scores"][0, 2] < 1e-3


def test_a_mask_is_torchs_interpolation_and_argmax() -> None:
    torch = pytest.importorskip("torch")
    maps = np.random.default_rng(7).normal(0, 3, (2, 4, 9, 7)).astype(np.float32)
    size = (72, 55)
    reading = decoders.named("mask-logits", specs({"out": maps}), "segmentation", size, {})
    wide = torch.nn.functional.interpolate(torch.from_numpy(maps), size, mode="bilinear", align_corners=False)
    found = decoded({"out": maps}, reading, size)
    score, mask = wide.softmax(1).max(1)
    assert (found["mask"] == mask.numpy()).mean() > 0.999
    np.testing.assert_allclose(found["score"], score.numpy(), atol=1e-5)


@pytest.mark.parametrize(("of", "to"), [(65, 513), (33, 520), (7, 100), (41, 328), (129, 1025)])
def test_a_mask_has_the_inputs_size_whatever_rounding_does(of: int, to: int) -> None:
    maps = np.random.default_rng(of).normal(0, 1, (1, 2, of, 3)).astype(np.float32)
    reading = Reading("mask-logits", "segmentation", {"out": "out", "maps": "out"}, 2, {"axis": "first"})
    found = decoded({"out": maps}, reading, (to, 20))
    assert found["mask"].shape == (1, to, 20)


def test_one_map_is_a_thing_and_its_background() -> None:
    raw = {"out": np.linspace(-2, 2, 12, dtype=np.float32).reshape(1, 1, 3, 4)}
    reading = decoders.named("mask-logits", specs(raw), "segmentation", (3, 4), {})
    assert reading.classes == 2
    found, wanted = decoded(raw, reading, (3, 4)), decoders.reference(reading, (3, 4), raw)
    assert found["mask"].ravel().tolist() == [0] * 6 + [1] * 6
    np.testing.assert_allclose(found["score"], wanted["score"], rtol=1e-6)
    assert found["score"].min() > 0.5


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
