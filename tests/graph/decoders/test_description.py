"""`--decoder FILE.toml`: described outputs are decoded as described, and what does not fit them is said."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.graph import decoders
from edgekit.graph.decoders import Reading, from_toml
from edgekit.vision.spec import Suppression
from tests.graph.decoders.raw import Raw, centred, decoded, specs, stepped

SIZE = (64, 96)
Told = Callable[..., Reading]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    def read(text: str, raw: Raw, task: str = "detection") -> Reading:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return from_toml(path, specs(raw), task, SIZE)

    return read


def assert_same(raw: Raw, reading: Reading) -> dict[str, np.ndarray]:
    assert Reading.from_dict(reading.to_dict()) == reading
    how = Suppression(0.451) if reading.task == "detection" else None
    given, wanted = decoded(raw, reading, SIZE, 12, 40, how), decoders.reference(reading, SIZE, raw, 12, 40, how)
    for key, value in wanted.items():
        np.testing.assert_allclose(given[key], value, rtol=1e-5, atol=1e-4, err_msg=key)
    return given


ANCHORS = "anchors = [[[20, 20], [40, 20]], [[30, 60], [60, 30]]]"
PLACES = 2 * (4 * 6 + 2 * 3)


@pytest.mark.parametrize("form", ["xyxy", "yxyx", "xywh", "cxcywh"])
@pytest.mark.parametrize("unit", ["pixels", "picture"])
def test_plain_boxes_of_every_form(told: Told, form: str, unit: str) -> None:
    rng = np.random.default_rng(0)
    c = centred(rng, 2, 50, 1.0)
    low, high = c[..., :2] - c[..., 2:] / 2, c[..., :2] + c[..., 2:] / 2
    share = {
        "xyxy": [low, high],
        "yxyx": [low[..., ::-1], high[..., ::-1]],
        "xywh": [low, c[..., 2:]],
        "cxcywh": [c[..., :2], c[..., 2:]],
    }[form]
    scale = np.float32([96, 64] if form != "yxyx" else [64, 96]) if unit == "pixels" else np.float32([1, 1])
    scores = stepped(rng, 2, 50, 3)
    raw = {"b": np.concatenate([part * scale for part in share], axis=2), "s": scores}
    reading = told(f'[boxes]\noutput = "b"\nformat = "{form}"\nunit = "{unit}"\n[scores]\noutput = "s"\n', raw)
    given = assert_same(raw, reading)
    place, best = (
        int(scores[0].max(axis=1).argmax()),
        np.concatenate([low, high], axis=2) * np.float32([96, 64, 96, 64]),
    )
    np.testing.assert_allclose(given["boxes"][0, 0], best[0, place], rtol=1e-4)


def test_offsets_of_anchors_with_background_last_and_every_class(told: Told) -> None:
    rng = np.random.default_rng(1)
    raw = {"loc": rng.normal(0, 1, (2, PLACES, 4)).astype(np.float32), "conf": stepped(rng, 2, PLACES, 5, high=4)}
    reading = told(
        f'[boxes]\noutput = "loc"\nformat = "deltas"\nstrides = [16, 32]\n{ANCHORS}\n'
        '[scores]\noutput = "conf"\nactivation = "softmax"\nbackground = "last"\nevery = true\n',
        raw,
    )
    assert reading.classes == 4
    raw["conf"][0, 2 * (4 * 6) + 2 * 4 + 1] = [0, 0, 60, 0, 0]  # the second grid's fifth cell, its second anchor
    given = assert_same(raw, reading)
    dx, dy, dw, dh = raw["loc"][0, 2 * 24 + 9]
    cx, cy, w, h = 48 + 0.1 * dx * 60, 48 + 0.1 * dy * 30, 60 * np.exp(0.2 * dw), 30 * np.exp(0.2 * dh)
    np.testing.assert_allclose(given["boxes"][0, 0], [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], rtol=1e-4)
    assert given["labels"][0, 0] == 2


@pytest.mark.parametrize("unit", ["pixels", "cells"])
def test_distances_from_the_middle_of_cells_in_maps_of_their_own(told: Told, unit: str) -> None:
    rng = np.random.default_rng(2)
    raw = {
        f"{kind}{i}": rng.uniform(-3, 6, (2, width, *side)).astype(np.float32)
        for i, side in enumerate([(8, 12), (4, 6)])
        for kind, width in (("box", 4), ("cls", 3), ("obj", 1))
    }
    reading = told(
        f'[boxes]\noutput = ["box0", "box1"]\naxis = "first"\nformat = "ltrb"\nunit = "{unit}"\nstrides = [8, 16]\n'
        '[scores]\noutput = ["cls0", "cls1"]\naxis = "first"\nactivation = "sigmoid"\n'
        '[objectness]\noutput = ["obj0", "obj1"]\nactivation = "sigmoid"\npowers = [0.5, 0.5]\n',
        raw,
    )
    raw["cls1"][1, 2, 1, 3] = raw["obj1"][1, 0, 1, 3] = 20
    given = assert_same(raw, reading)
    left, top, right, bottom = raw["box1"][1, :, 1, 3] * (16 if unit == "cells" else 1)
    np.testing.assert_allclose(given["boxes"][1, 0], [56 - left, 24 - top, 56 + right, 24 + bottom], rtol=1e-4)
    assert given["labels"][1, 0] == 2


def test_a_distribution_of_distances_from_the_corners_of_cells(told: Told) -> None:
    """NanoDet-Plus: [N, P, C + 32], eight bins a distance, and points at the cells' corners."""
    rng = np.random.default_rng(7)
    rows = rng.normal(0, 1, (2, 126, 32)).astype(np.float32)
    raw = {"output": np.concatenate([stepped(rng, 2, 126, 2), rows], axis=2)}
    raw["output"][0, 96 + 8, 0] = 3  # the best: the third cell of the second row of stride 16
    raw["output"][0, 96 + 8, 2:10] = [0, 0, 0, 9, 0, 9, 0, 0]  # left: half 3, half 5 cells
    reading = told(
        '[boxes]\noutput = "output"\ncolumns = [2, 34]\nformat = "ltrb"\nunit = "cells"\nstrides = [8, 16, 32]\n'
        'offset = 0.0\nbins = 8\n[scores]\noutput = "output"\ncolumns = [0, 2]\n',
        raw,
    )
    given = assert_same(raw, reading)
    assert given["boxes"][0, 0, 0] == pytest.approx(2 * 16 - 4 * 16, abs=0.1)


def test_yolox_can_be_described_too_with_axes_that_differ(told: Told) -> None:
    rng = np.random.default_rng(3)
    raw = {"box": rng.normal(0, 1, (2, 126, 4)).astype(np.float32), "rest": stepped(rng, 2, 6, 126)}
    reading = told(
        '[boxes]\noutput = "box"\nformat = "offsets"\nstrides = [8, 16, 32]\n'
        '[scores]\noutput = "rest"\naxis = "first"\ncolumns = [1, 6]\n'
        '[objectness]\noutput = "rest"\ncolumns = [0, 1]\n',
        raw,
    )
    given = assert_same(raw, reading)
    whole = {"output": np.concatenate([raw["box"], raw["rest"].transpose(0, 2, 1)], axis=2)}
    known = decoders.named("yolox", specs(whole), "detection", SIZE, {})
    for key, value in decoded(whole, known, SIZE, 12, 40, Suppression(0.451)).items():
        np.testing.assert_allclose(given[key], value, rtol=1e-5, atol=1e-4)


def test_labels_of_their_own(told: Told) -> None:
    rng = np.random.default_rng(4)
    raw = {
        "d": np.concatenate(
            [centred(rng, 2, 30, 60), stepped(rng, 2, 30, 1), stepped(rng, 2, 30, 1, high=8, steps=8)], axis=2
        )
    }
    reading = told(
        '[boxes]\noutput = "d"\ncolumns = [0, 4]\nformat = "cxcywh"\n[scores]\noutput = "d"\ncolumns = [4, 5]\n'
        '[labels]\noutput = "d"\ncolumns = [5, 6]\nfirst = 1\n',
        raw,
    )
    assert reading.classes == 0
    best = raw["d"][0, raw["d"][0, :, 4].argmax()]
    assert assert_same(raw, reading)["labels"][0, 0] == best[5].astype(int) - 1


@pytest.mark.parametrize("sizes", ["square", "exp"])
def test_heads_with_anchors_of_ones_own(told: Told, sizes: str) -> None:
    rng = np.random.default_rng(5)
    raw = {
        "a": rng.normal(0, 1, (2, 14, 4, 6)).astype(np.float32),
        "b": rng.normal(0, 1, (2, 14, 2, 3)).astype(np.float32),
    }
    reading = told(f'[heads]\noutputs = ["a", "b"]\nstrides = [16, 32]\n{ANCHORS}\nsizes = "{sizes}"\n', raw)
    assert (reading.classes, reading.settings["anchors"][1]) == (2, [[30, 60], [60, 30]])
    assert_same(raw, reading)


def test_other_tasks(told: Told) -> None:
    rng = np.random.default_rng(6)
    p = rng.uniform(0.1, 1, (2, 7)).astype(np.float32)
    raw = {"p": p / p.sum(axis=1, keepdims=True), "m": rng.normal(0, 1, (2, 8, 12, 4)).astype(np.float32)}
    classes = told('[classes]\noutput = "p"\nvalues = "probabilities"\nbackground = "first"\n', raw, "classification")
    assert classes.classes == 6
    np.testing.assert_allclose(assert_same(raw, classes)["logits"], np.log(raw["p"][:, 1:]), rtol=1e-5)
    mask = told('[mask]\noutput = "m"\nvalues = "logits"\naxis = "last"\n', raw, "segmentation")
    assert assert_same(raw, mask)["mask"].shape == (2, *SIZE)
    raw = {"t": rng.normal(0, 1, (2, 9, 5)).astype(np.float32)}
    features = told('[features]\noutput = "t"\nof = "mean"\n', raw, "features")
    assert assert_same(raw, features)["features"].shape == (2, 5)


PLAIN = '[boxes]\noutput = "b"\nformat = "xyxy"\n[scores]\noutput = "s"\n'


@pytest.mark.parametrize(
    ("text", "task", "said"),
    [
        (PLAIN.replace("format", "fromat"), "detection", "did you mean format?"),
        (PLAIN.replace('"xyxy"', '"xyyx"'), "detection", "boxes.format = 'xyyx'"),
        (PLAIN.replace('"b"', '"boxs"'), "detection", "There is no such output"),
        (PLAIN, "classification", r"[boxes], [scores]"),
        ("", "detection", "[boxes] and [scores] or [heads]"),
        (PLAIN.replace('"xyxy"', '"ltrb"'), "detection", "strides: the format ltrb starts from cells"),
        (PLAIN.replace('"xyxy"', '"xyxy"\nunit = "cells"'), "detection", "ltrb alone"),
        (PLAIN.replace('"xyxy"', '"xyxy"\nstrides = [16, 32]'), "detection", "the cells of the strides 30"),
        (PLAIN.replace('"xyxy"', '"xyxy"\naxis = "first"'), "detection", "columns 0 to 50 of 50 numbers a place"),
        (PLAIN + "columns = [0, 9]", "detection", "columns 0 to 9 of 3 numbers"),
        (PLAIN + 'columns = [0, 1]\nbackground = "first"', "detection", "No class is left"),
        (PLAIN + '[labels]\noutput = "l"', "detection", "one score"),
        (PLAIN + '[objectness]\noutput = "s"', "detection", "columns 0 to 3 of 3"),
        ('[classes]\noutput = "b"\nvalues = "logits"', "classification", "one vector"),
        ('[heads]\noutputs = ["b"]\nstrides = [16]\nanchors = [[[1, 1]]]', "detection", "no map of 1 anchors"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(told: Told, text: str, task: str, said: str) -> None:
    raw = {name: np.zeros((1, *sides), np.float32) for name, sides in (("b", (50, 4)), ("s", (50, 3)), ("l", (50,)))}
    with pytest.raises(UsageError) as error:
        told(text, raw, task)
    assert said in str(error.value), str(error.value)


def test_the_documented_files_are_read_and_every_decoder_is_in_the_table(told: Told) -> None:
    text = (Path(__file__).parents[3] / "docs" / "adopt.md").read_text()
    boxes, heads, classes = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    zeros = np.zeros((1, 60, 5), np.float32)
    raw = {"regression": zeros[..., :4], "classification": zeros, "objectness": zeros[..., :1]}
    assert told(boxes, raw).classes == 4
    maps = {
        name: np.zeros((1, 21, *side), np.float32) for name, side in (("p3", (8, 12)), ("p4", (4, 6)), ("p5", (2, 3)))
    }
    assert told(heads, maps).classes == 2
    assert told(classes, {"prob": np.zeros((1, 8), np.float32)}, "classification").classes == 7
    assert [name for name in decoders.DECODERS if f"`{name}`" not in text] == ["described"]
