"""`edgekit.load`: pictures as people have them go in, results come out, in order and in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import edgekit
from edgekit.data import hive_pictures
from edgekit.errors import BackendError, PictureError, UsageError
from edgekit.predictor import Predictor
from edgekit.vision.results import Result
from tests.conftest import Cli


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three made pictures of a hive's entrance: 0.png, 1.png, 2.png."""
    folder = tmp_path_factory.mktemp("hive")
    for i, sample in enumerate(hive_pictures(3, seed=9).samples):
        Image.fromarray(np.ascontiguousarray(sample.read()[..., ::-1])).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def model() -> Iterator[edgekit.Model]:
    with edgekit.load("centernet-tiny") as model:
        yield model


def same(one: Any, other: Any) -> bool:
    return bool(one.to_dict() == other.to_dict())


def test_every_kind_of_picture_gives_the_same(model: edgekit.Model, hive: Path) -> None:
    path = hive / "0.png"
    found = model(path)
    assert isinstance(found, edgekit.Detections)
    assert len(found) > 0
    frame = edgekit.read_picture(path)
    with Image.open(path) as opened:
        for picture in (str(path), opened, frame, np.asfortranarray(frame)):
            assert same(model(picture), found)
    red_and_blue_swapped = model(np.ascontiguousarray(frame[..., ::-1]))
    assert not same(red_and_blue_swapped, found), "an array is BGR"


def test_a_list_of_mixed_kinds_is_answered_in_order(model: edgekit.Model, hive: Path) -> None:
    one_by_one = [model(hive / f"{i}.png") for i in range(3)]
    with Image.open(hive / "2.png") as third:
        mixed = [str(hive / "0.png"), edgekit.read_picture(hive / "1.png"), third]
        for given in (mixed, tuple(mixed)):
            answers = model(given)
            assert isinstance(answers, list)
            for answer, alone in zip(answers, one_by_one, strict=True):
                assert [one.name for one in answer] == [one.name for one in alone]
                np.testing.assert_allclose(answer.boxes, alone.boxes, atol=0.01)
    assert model([]) == []


def test_a_grey_a_palette_and_a_turned_picture_are_as_their_files(
    model: edgekit.Model, hive: Path, tmp_path: Path
) -> None:
    with Image.open(hive / "0.png") as opened:
        turned = Image.Exif()
        turned[0x0112] = 6
        for name, picture, told in (
            ("grey", opened.convert("L"), {}),
            ("palette", opened.convert("P"), {}),
            ("alpha", opened.convert("RGBA"), {}),
            ("turned", opened.convert("RGB"), {"exif": turned}),
        ):
            picture.save(tmp_path / f"{name}.png", **told)
            with Image.open(tmp_path / f"{name}.png") as again:
                assert same(model(again), model(tmp_path / f"{name}.png")), name


def test_no_more_than_a_batch_is_read_ahead(model: edgekit.Model, hive: Path) -> None:
    taken = []

    def endless() -> Iterator[Path]:
        while True:
            taken.append(1)
            yield hive / "0.png"

    results = model.stream(endless(), batch=2)
    for _ in range(3):
        assert isinstance(next(results), Result)
    assert len(taken) == 4


def test_a_list_runs_in_batches(model: edgekit.Model, hive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    answers = Predictor.answers

    def counted(self: Predictor, pixels: Any, batch: int = 16) -> Any:
        sizes.append(len(pixels))
        return answers(self, pixels, batch)

    monkeypatch.setattr(Predictor, "answers", counted)
    assert len(model([hive / "0.png"] * 20)) == 20
    assert sizes == [16, 4]


def test_threshold_and_top(good: Path, hive: Path, pictures: Path) -> None:
    path = hive / "0.png"
    with edgekit.load("centernet-tiny", threshold=0.0) as everything:
        whole = everything(path)
        assert isinstance(whole, edgekit.Detections)
        assert len(everything(path, threshold=0.5)) == (whole.scores >= 0.5).sum()  # type: ignore[arg-type]
        assert len(whole) > (whole.scores >= 0.5).sum()
        for wrong in (-0.1, 1.5):
            with pytest.raises(UsageError, match="0 to 1"):
                everything(path, threshold=wrong)
    with pytest.raises(UsageError, match="0 to 1"):
        edgekit.load("centernet-tiny", threshold=2)
    with edgekit.load(good) as classifier:
        answer = classifier(pictures / "0.png", top=2)
        assert isinstance(answer, edgekit.Classification)
        assert len(answer) == 2
        with pytest.raises(UsageError, match="top"):
            classifier(pictures / "0.png", top=0)
        with pytest.raises(UsageError, match="batch"):
            classifier.stream([], batch=0)


@pytest.mark.parametrize(
    ("picture", "error", "told"),
    [
        (np.zeros((4, 4, 3), np.float32), PictureError, "0 to 255"),
        (np.zeros((2, 4, 4, 3), np.uint8), PictureError, r"list\(array\)"),
        (np.zeros((4, 4), np.uint8), PictureError, "three times"),
        (np.zeros((4, 4, 1), np.uint8), PictureError, "three times"),
        (np.zeros((4, 4, 4), np.uint8), PictureError, r"\.\.\., :3"),
        (np.zeros((3, 4, 5), np.uint8), PictureError, "channels last"),
        (np.zeros((0, 4, 3), np.uint8), PictureError, "not empty"),
        (torch.zeros(3, 4, 4), UsageError, r"torch\.Tensor.*\[3, 4, 4\](.|\n)*made from"),
        (b"\xff\xd8", UsageError, "BytesIO"),
        (None, UsageError, "unread camera frame"),
        (3, UsageError, "a path, a PIL image, or uint8"),
        (iter(["a.png"]), UsageError, r"model\.stream"),
        ("gone.png", PictureError, "gone.png"),
    ],
    ids=lambda v: getattr(v, "__name__", type(v).__name__),
)
def test_what_is_no_picture_is_refused_with_a_way_out(
    model: edgekit.Model, picture: Any, error: Any, told: str
) -> None:
    with pytest.raises(error, match=told):
        model(picture)
    with pytest.raises(error, match=told if isinstance(picture, str) else "Picture 1 of"):
        model([np.zeros((8, 8, 3), np.uint8), picture])


def test_a_folder_is_refused_and_the_fix_works(model: edgekit.Model, hive: Path) -> None:
    with pytest.raises(UsageError, match="is a folder") as caught:
        model(hive)
    fix = str(caught.value.fix).replace("*.jpg", "*.png")
    assert len(eval(fix, {"Path": Path, "model": model})) == 3


def test_it_says_what_it_is(model: edgekit.Model, good: Path, checkpoint: Path) -> None:
    assert (model.task, model.classes, model.name) == ("detection", ("bee", "hornet"), "centernet-tiny.onnx")
    assert model.spec.preprocess.width > 0
    assert "detection of 2 classes (bee, hornet)" in repr(model)
    for path, backend in ((good, "onnxruntime"), (checkpoint, "torch")):
        with edgekit.load(path) as other:
            assert repr(other).startswith(f"<Model {path.name}: classification of 7 classes (wasp, bee, ")
            assert backend in repr(other)


def test_a_closed_one_says_so(good: Path, pictures: Path) -> None:
    with edgekit.load(good) as model:
        pass
    with pytest.raises(BackendError, match="closed"):
        model(pictures / "0.png")


def test_the_command_prints_the_same(cli: Cli, model: edgekit.Model, good: Path, hive: Path, pictures: Path) -> None:
    for path, picture in (("centernet-tiny", hive / "0.png"), (good, pictures / "0.png")):
        with edgekit.load(path) as opened:
            result = opened(picture, top=3)
        told = json.loads(cli("predict", path, picture, "--format", "json").out)
        assert told == {"file": str(picture), **result.to_dict()}
        assert cli("predict", path, picture).out == f"{picture}  {result}\n"
