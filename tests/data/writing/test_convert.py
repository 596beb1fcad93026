"""Data sets written in each layout: read again they are what they were, and what a layout cannot hold is said."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data import load_dataset
from edgekit.data.classes.class_map import class_map
from edgekit.data.sample import Dataset, Sample
from edgekit.data.survey.sets import Sets, read_sets
from edgekit.data.writing.convert import LAYOUTS, convert_data, write_sets
from edgekit.errors import DataError, EdgekitError, OutputError, UsageError

CLASSES = ("bee", "hornet & <co>", "żądło: \"a\", 'b' #1")


def picture(path: Path, width: int, height: int, seed: int, orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def boxes_in(width: int, height: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Float32 boxes of all sizes above a pixel, some of them at the edges."""
    low = rng.random((n, 2)) * (width - 3, height - 3)
    high = low + 1.5 + rng.random((n, 2)) ** 3 * ((width, height) - low - 1.5)
    boxes = np.concatenate([low, np.minimum(high, (width, height))], axis=1).astype(np.float32)
    boxes[::5, :2] = 0
    boxes[::7, 2:] = (width, height)
    return boxes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    """Three splits of odd pictures: turned by EXIF, empty, in folders, of one name, with names to be quoted."""
    root, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(3)
    names = ["a/x.png", "b/x.png", "x.jpg", "X.png", "it's 1.png", "é & <b> 50%.png", "c/y 1.png", "z.PNG", "q.webp"]
    samples = []
    for i, name in enumerate(names):
        width, height = (97, 61) if i % 2 else (321, 183)
        path = picture(root / name, width, height, i, orientation=6 if name == "z.PNG" else 1)
        if name == "z.PNG":
            width, height = height, width
        n = 0 if i == 4 else 9
        boxes = boxes_in(width, height, n, rng)
        labels = rng.integers(0, 3, n) if i else np.arange(n) % 3
        samples.append(Sample(path, None, None, name, boxes=boxes, box_labels=labels))
    parts = {"train": samples[:5], "val": samples[5:8], "test": samples[8:]}
    return Sets("folder", CLASSES, {k: Dataset(tuple(v), CLASSES, "yolo") for k, v in parts.items()})


def table(sets: Sets) -> dict[str, dict[str, tuple[list[Any], list[Any]]]]:
    """Of each split, by the pixels of a picture: its boxes with their classes, and those set aside, sorted."""

    def rows(boxes: Any, labels: Any) -> list[Any]:
        pairs = [] if boxes is None else zip(labels.tolist(), boxes.tolist(), strict=True)
        found = [(sets.classes[label], *box) for label, box in pairs]  # type: ignore[index]
        return sorted(found, key=lambda row: (row[0], *(round(v, 3) for v in row[1:])))

    return {
        split: {s.content(): (rows(s.boxes, s.box_labels), rows(s.ignored_boxes, s.ignored_labels)) for s in part}
        for split, part in sets.parts.items()
    }


def assert_same(one: Sets, other: Sets, aside: bool = True) -> None:
    a, b = table(one), table(other)
    assert {k: set(v) for k, v in a.items()} == {k: set(v) for k, v in b.items()}
    count = 0
    for split, pictures in a.items():
        for content, (rows, more) in pictures.items():
            for mine, theirs in ((rows, b[split][content][0]), (more, b[split][content][1])):
                if mine is more and not aside:
                    continue
                assert [r[0] for r in mine] == [r[0] for r in theirs]
                assert np.abs(np.subtract([r[1:] for r in mine], [r[1:] for r in theirs])).max(initial=0) <= 1e-6
                count += len(mine)
    assert count > 50, "boxes were compared"


@pytest.mark.parametrize(("first", "second"), list(itertools.product(LAYOUTS, LAYOUTS)))
def test_a_round_trip_through_each_pair_of_layouts_gives_the_same_boxes(
    made: Sets, first: str, second: str, tmp_path: Path
) -> None:
    write_sets(made, tmp_path / "one", first)
    once = read_sets(tmp_path / "one")
    assert once.layout == first
    assert_same(made, once)
    write_sets(once, tmp_path / "two", second)
    twice = read_sets(tmp_path / "two")
    assert twice.layout == second
    assert_same(made, twice)
    write_sets(twice, tmp_path / "three", first)
    assert_same(made, read_sets(tmp_path / "three"))


@pytest.mark.parametrize("to", LAYOUTS)
def test_nothing_is_left_out_or_clipped_on_reading(made: Sets, to: str, tmp_path: Path) -> None:
    write_sets(made, tmp_path / "out", to)
    notes = [note for part in read_sets(tmp_path / "out").parts.values() for note in part.notes]
    assert not [note for note in notes if "left out" in note or "clipped" in note or "another size" in note]


@pytest.mark.parametrize("through", LAYOUTS)
def test_numbers_with_more_digits_than_float32_come_back(through: str, tmp_path: Path) -> None:
    """As the file has them: 2473.0712345 in float32 is 2e-5 away."""
    picture(tmp_path / "first" / "val" / "a.png", 3001, 1999, 1)
    boxes = [[2473.0712345, 395.9345678, 38.6512345, 28.6787654], [0.1, 1.1 / 3, 2999.9999, 1998.12345]]
    items = [
        {"id": i, "image_id": 1, "category_id": 7, "bbox": box, "area": 702.1057499999998, "iscrowd": i % 2}
        for i, box in enumerate([*boxes, *boxes] if through != "yolo" else [boxes[0]])
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 3001, "height": 1999}]
    content = {"images": images, "annotations": items, "categories": [{"id": 7, "name": "bee"}]}
    (tmp_path / "first" / "annotations").mkdir()
    (tmp_path / "first" / "annotations" / "instances_val.json").write_text(json.dumps(content))
    write_sets(read_sets(tmp_path / "first", names=class_map("bug=bee")), tmp_path / "second", through)
    write_sets(read_sets(tmp_path / "second"), tmp_path / "third", "coco")
    again = json.loads((tmp_path / "third" / "annotations" / "instances_val.json").read_text())["annotations"]
    for crowd in {item["iscrowd"] for item in items}:
        mine, theirs = ([i["bbox"] for i in one if i["iscrowd"] == crowd] for one in (items, again))
        assert np.abs(np.subtract(mine, theirs)).max() <= 1e-8
    if through == "coco":
        assert again[0]["area"] == pytest.approx(702.10575, abs=1e-4)


@pytest.mark.parametrize("through", [None, *LAYOUTS])
def test_outlines_are_carried_by_coco_and_said_elsewhere(through: str | None, tmp_path: Path) -> None:
    first = tmp_path / "first"
    picture(first / "val" / "a.png", 60, 40, 1)
    picture(first / "val" / "b.png", 60, 40, 2)
    runs = {"size": [40, 60], "counts": [410, 10, 30, 12, 1938]}  # columns 10 and 11, rows 10 to 21
    drawn = [
        [[5, 5, 20.5, 6, 12, 30]],
        [[30, 10, 50, 10, 50, 30, 30, 30]],
        runs,
        [[1, 1, 9, 1, 5, 9], [6, 20, 9, 20, 9, 25]],
    ]
    bounds = [[5, 5, 15.5, 25], [30, 10, 20, 20], [10, 10, 2, 12], [1, 1, 8, 24]]
    items = [
        {
            "id": i,
            "image_id": 1 + i % 2,
            "category_id": 1,
            "bbox": box,
            "area": 9,
            "iscrowd": int(i == 2),
            "segmentation": one,
        }
        for i, (one, box) in enumerate(zip(drawn, bounds, strict=True))
    ]
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    content = {"images": images, "annotations": items, "categories": [{"id": 1, "name": "bee"}]}
    (first / "annotations").mkdir()
    (first / "annotations" / "instances_val.json").write_text(json.dumps(content))
    written = convert_data(first, tmp_path / "second", to=through or "coco")
    if through not in (None, "coco"):
        assert "the outlines of 3 objects are not held" in " ".join(written.lost)
        return
    assert written.lost == ()
    convert_data(tmp_path / "second", tmp_path / "third", to="coco")
    again = json.loads((tmp_path / "third" / "annotations" / "instances_val.json").read_text())["annotations"]
    segments = {tuple(item["bbox"]): item["segmentation"] for item in again}
    wanted = {tuple(box): one for box, one in zip(bounds, drawn, strict=True)}
    assert segments == {**wanted, (30, 10, 20, 20): []}, "a rectangle says no more than its box"


def with_more(made: Sets) -> Sets:
    """Crowds or difficult objects in the first picture, areas of masks in the second, a thin box in the third."""
    first, second, third, *rest = made.parts["train"].samples
    aside = np.array([[1, 2, 30.25, 40.5]], np.float32)
    first = replace(first, ignored_boxes=aside, ignored_labels=np.array([1]))
    assert second.boxes is not None
    second = replace(second, box_areas=np.full(len(second.boxes), 7.25))
    third = replace(third, boxes=np.array([[5, 5, 5.25, 30]], np.float32), box_labels=np.array([0]))
    train = replace(made.parts["train"], samples=(first, second, third, *rest))
    return replace(made, parts={**made.parts, "train": train})


def test_coco_holds_everything(made: Sets, tmp_path: Path) -> None:
    more = with_more(made)
    assert write_sets(more, tmp_path / "out", "coco").lost == ()
    again = read_sets(tmp_path / "out")
    assert again.classes == CLASSES
    assert_same(more, again)
    areas = [s.box_areas for s in again.parts["train"] if s.name.endswith("b_x.png")]
    assert (areas[0] == 7.25).all()


def test_voc_says_what_it_does_not_hold(made: Sets, tmp_path: Path) -> None:
    more = replace(with_more(made), classes=(*CLASSES, "wasp"))
    lost = write_sets(more, tmp_path / "out", "voc").lost
    assert [line.split(":")[0][:40] for line in lost] == [
        "the areas of the masks of 9 objects are ",
        "1 box of a pixel or less in width or hei",
        "1 class without objects not held by Pasc",
    ]
    assert "wasp" in lost[2]
    samples = {s.name: s for s in read_sets(tmp_path / "out").parts["train"]}
    (wide,) = (s.boxes for s in samples.values() if s.boxes is not None and len(s.boxes) == 1)
    assert wide[0] == pytest.approx([4.6245, 5, 5.6255, 30], abs=1e-5)
    assert sum(0 if s.ignored_boxes is None else len(s.ignored_boxes) for s in samples.values()) == 1
    backwards = replace(made, classes=CLASSES[::-1])
    assert any("alphabet" in line for line in write_sets(backwards, tmp_path / "back", "voc").lost)


def test_yolo_says_what_it_does_not_hold(made: Sets, tmp_path: Path) -> None:
    more = with_more(made)
    lost = write_sets(more, tmp_path / "out", "yolo").lost
    assert [("areas" in lost[0], "set aside" in lost[1], len(lost))] == [(True, True, 2)]
    assert_same(more, read_sets(tmp_path / "out"), aside=False)


def test_names_that_label_files_cannot_tell_apart_are_changed_and_said(made: Sets, tmp_path: Path) -> None:
    written = write_sets(made, tmp_path / "out", "voc")
    files = sorted(p.name for p in (tmp_path / "out" / "JPEGImages").iterdir())
    assert len({Path(f).stem.casefold() for f in files}) == len(files) == 9
    assert {"a_x.png", "b_x.png", "x.jpg", "X-2.png", "it's 1.png", "é & _b_ 50%.png", "y 1.png"} <= set(files)
    assert written.notes[0].startswith("4 pictures renamed")


def test_a_set_without_splits_is_all_training(made: Sets, tmp_path: Path) -> None:
    whole = replace(made, parts={"": made.parts["train"]})
    written = write_sets(whole, tmp_path / "out", "yolo")
    assert written.pictures == {"train": 5}
    assert list(read_sets(tmp_path / "out").parts) == ["train"]


def test_pictures_made_in_code_become_pngs_of_the_same_pixels(tmp_path: Path) -> None:
    sets = read_sets("synthetic://hive?n=3&val=2&height=96&width=160")
    assert list(sets.parts) == ["train", "val"]
    write_sets(sets, tmp_path / "out", "yolo")
    again = load_dataset(tmp_path / "out", split="val")
    for one, other in zip(sets.parts["val"], again, strict=True):
        assert (one.read() == other.read()).all()
        assert one.boxes is not None
        assert (one.boxes == other.boxes).all()


def test_links_are_hard_links_and_copies_are_not(made: Sets, tmp_path: Path) -> None:
    write_sets(made, tmp_path / "linked", "yolo", link=True)
    write_sets(made, tmp_path / "copied", "yolo")
    source = made.parts["test"].samples[0].path
    assert source is not None
    assert (tmp_path / "linked/images/test/q.webp").samefile(source)
    assert not (tmp_path / "copied/images/test/q.webp").samefile(source)


def test_nothing_is_written_over_what_is_there(made: Sets, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    write_sets(made, tmp_path / "mine", "coco")  # an empty folder is filled
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    with pytest.raises(OutputError, match="exists already"):
        write_sets(made, tmp_path / "mine", "yolo")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        write_sets(made, tmp_path / "gone", "yolo")
    (tmp_path / "gone").unlink()
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}.keys() == before.keys()


def test_an_error_on_the_way_leaves_nothing_behind(made: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = replace(made.parts["test"].samples[0], path=picture(tmp_path / "away.png", 9, 9, 1))
    sets = replace(made, parts={"train": replace(made.parts["train"], samples=(lost,))})
    real = shutil.copyfile

    def broken(source: Path, target: Path) -> None:
        real(source, target)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", broken)
    with pytest.raises(OutputError, match="No space left"):
        write_sets(sets, tmp_path / "out", "yolo")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["away.png"]


def test_what_a_killed_process_left_is_removed(made: Sets, tmp_path: Path) -> None:
    (tmp_path / ".out.999999999-abcd.tmp").mkdir()
    (tmp_path / f".out.{os.getpid()}-abcd.tmp").mkdir()
    write_sets(made, tmp_path / "out", "voc")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".out.{os.getpid()}-abcd.tmp", "out"]


def test_what_cannot_be_converted_is_refused_before_anything_is_written(made: Sets, tmp_path: Path) -> None:
    def refused(sets: Sets, to: str, error: type[EdgekitError], said: str) -> None:
        with pytest.raises(error, match=said):
            write_sets(sets, tmp_path / "out", to)
        assert not (tmp_path / "out").exists()

    refused(made, "voc2012", UsageError, "no such layout")
    bare = replace(made.parts["train"], samples=(replace(made.parts["val"].samples[0], boxes=None, box_labels=None),))
    refused(replace(made, parts={"train": bare}), "coco", DataError, "Only boxes are converted")
    refused(replace(made, parts={"day": made.parts["train"]}), "yolo", UsageError, "no such splits")
    two = {"val2014": made.parts["train"], "val2017": made.parts["val"]}
    refused(replace(made, parts=two), "yolo", UsageError, "val2014")
    refused(replace(made, classes=("a\x01", "b", "c")), "voc", DataError, "control characters")
    write_sets(replace(made, parts=two), tmp_path / "out", "coco")
    assert json.loads((tmp_path / "out/annotations/instances_val2014.json").read_text())["images"]
