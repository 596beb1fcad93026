"""A model that goes by the object, one that goes by the scene, and one that goes by the filling are told apart."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.api.erasing import draw_sheet
from edgekit.benchmark.quality.erasing import VARIANTS, ask
from edgekit.data.sample import Dataset, Sample
from edgekit.errors import DataError, UsageError
from edgekit.vision.image import Frame
from edgekit.vision.results import Classification
from edgekit.vision.vector import Features
from tests.conftest import Cli

CLASSES = ("none", "hornet")


class Says:
    """A predictor that says "hornet" of a frame by a rule of the test's."""

    spec = SimpleNamespace(classes=CLASSES)

    def __init__(self, rule: Callable[[Frame], bool]) -> None:
        self.rule = rule

    def results(self, frames: Iterable[Frame], batch: int) -> Iterator[Any]:
        for frame in frames:
            index = int(self.rule(frame))
            yield Classification(index, CLASSES[index], 1.0, ((CLASSES[index], 1.0),), np.zeros(2, np.float32))


def picture(number: int, size: int = 30) -> Sample:
    """A red object on grey, with a green stripe at the top in every picture."""
    frame = np.full((120, 160, 3), 90, np.uint8)
    frame[:10] = (0, 200, 0)
    frame[40 : 40 + size, 30 : 30 + size] = (0, 0, 255)
    box = np.array([[30, 40, 30 + size, 40 + size]], np.float32)
    return Sample(None, frame, None, f"{number}.png", boxes=box, box_labels=np.array([1]))


def dataset(n: int = 12, **more: Any) -> Dataset:
    return Dataset(tuple(picture(i, **more) for i in range(n)), CLASSES, "yolo")


def red(frame: Frame) -> bool:
    return bool((frame == (0, 0, 255)).all(axis=2).any())


def green(frame: Frame) -> bool:
    return bool((frame == (0, 200, 0)).all(axis=2).any())


def rates(rule: Callable[[Frame], bool]) -> tuple[list[int], list[int], list[str]]:
    found, _ = ask(Says(rule), dataset())  # type: ignore[arg-type]
    (one,) = found.classes
    parts = (one.whole, one.still, one.elsewhere, one.alone)
    return [p.hits for p in parts], [p.n for p in parts], found.lines("m")


def test_a_model_that_goes_by_the_object() -> None:
    hits, of, lines = rates(red)
    assert hits == [12, 0, 12, 12]
    assert of == [12, 12, 12, 12]
    assert any("depend on the object" in line for line in lines)


def test_a_model_that_goes_by_the_scene() -> None:
    hits, of, lines = rates(green)
    assert hits == [12, 12, 12, 0]
    assert of == [12, 12, 12, 12]
    assert any("goes by something else than the object" in line for line in lines)
    assert "      and 4 more (--format json has all)" in lines


def test_a_model_that_minds_the_filling_is_seen_in_what_stands_elsewhere() -> None:
    plain = {picture(0).frame.tobytes()}  # type: ignore[union-attr]
    hits, _, _ = rates(lambda frame: frame.tobytes() in plain)
    assert hits == [12, 0, 0, 0]


def test_one_that_never_says_so_is_not_judged() -> None:
    hits, of, lines = rates(lambda frame: False)
    assert (hits, of) == ([0, 0, 0, 0], [12, 0, 0, 12])
    assert any("nothing can be told" in line for line in lines)


def test_few_pictures_are_no_finding() -> None:
    found, _ = ask(Says(green), dataset(3))  # type: ignore[arg-type]
    assert any("too few pictures" in line for line in found.lines("m"))


def test_only_the_class_in_question_is_erased() -> None:
    frame = picture(0).frame
    assert frame is not None
    frame = frame.copy()
    frame[80:100, 100:130] = (255, 0, 0)
    boxes = np.array([[30, 40, 60, 70], [100, 80, 130, 100]], np.float32)
    both = Sample(None, frame, None, "both.png", boxes=boxes, box_labels=np.array([1, 0]))
    seen: list[Frame] = []
    ask(Says(lambda frame: bool(seen.append(frame)) or True), Dataset((both,), CLASSES, "yolo"))  # type: ignore[arg-type]
    blue = [bool((frame == (255, 0, 0)).all(axis=2).any()) for frame in seen]
    # of class none: whole, erased, alone, elsewhere; then of class hornet
    assert blue == [True, False, True, True, True, True, False, True]
    assert [red(frame) for frame in seen] == [True, True, False, True, True, False, True, True]


def test_an_object_that_is_the_picture_is_left_out_and_said() -> None:
    mixed = Dataset((picture(0), picture(1, size=118), picture(2)), CLASSES, "yolo")
    frame = np.full((120, 120, 3), 90, np.uint8)
    whole = Sample(None, frame, None, "near.png", np.array([[0, 0, 115, 115]], np.float32), np.array([1]))
    found, _ = ask(Says(red), Dataset((*mixed.samples, whole), CLASSES, "yolo"))  # type: ignore[arg-type]
    assert [case.name for case in found.cases] == ["0.png", "2.png"]
    assert found.covered == ("1.png (hornet)", "near.png (hornet)")
    assert "left out" in found.lines("m")[-1]


def test_no_room_elsewhere_is_not_counted() -> None:
    found, _ = ask(Says(red), dataset(2, size=79))  # type: ignore[arg-type]
    assert [case.says["elsewhere"] for case in found.cases] == [None, None]
    assert found.classes[0].elsewhere.n == 0
    assert found.to_dict()["classes"][0]["elsewhere"]["value"] is None


def test_what_says_the_most_against_the_model_is_kept_for_the_sheet() -> None:
    mixed = Dataset((picture(0), *(picture(i) for i in range(1, 4))), CLASSES, "yolo")
    third = mixed.samples[2].frame
    assert third is not None
    scene = lambda frame: bool((frame[:10] == third[:10]).all()) and not (frame == 90).all()  # noqa: E731
    _, kept = ask(Says(scene), mixed, keep=2)  # type: ignore[arg-type]
    assert len(kept) == 2
    assert all(case.says["erased"] for case, _ in kept)
    sheet = draw_sheet(kept)
    assert sheet.shape == (2 * (240 + 22), len(VARIANTS) * 320, 3)
    assert (sheet[:262] != sheet[:262, :1]).any()


def test_pictures_without_boxes_are_refused() -> None:
    bare = Dataset((Sample(None, np.zeros((8, 8, 3), np.uint8), 1, "a.png"),), CLASSES, "folder")
    with pytest.raises(DataError, match="no boxes"):
        ask(Says(red), bare)  # type: ignore[arg-type]
    empty = Sample(None, np.zeros((8, 8, 3), np.uint8), None, "a.png", np.zeros((0, 4)), np.zeros(0))
    with pytest.raises(DataError, match="No picture has an object"):
        ask(Says(red), Dataset((empty,), CLASSES, "yolo"))  # type: ignore[arg-type]


def test_features_say_nothing() -> None:
    with pytest.raises(UsageError, match="names no class"):
        Features(np.zeros(3, np.float32)).says("hornet")


def test_the_function_and_the_command_say_the_same(tmp_path: Path, cli: Cli) -> None:
    made = "synthetic://hive?n=4&val=4&seed=3"
    sheet = tmp_path / "sheet.png"
    found = edgekit.erasing("centernet-tiny", made, sheet=sheet)
    assert edgekit.read_picture(sheet).shape[1] == len(VARIANTS) * 320
    done = cli("eval", "centernet-tiny", "--data", made, "--erase", "--format", "json")
    assert json.loads(done.out)["erasing"] == json.loads(json.dumps(found.to_dict()))
    assert {one.label for one in found.classes} <= {"bee", "hornet"}
    for one in found.classes:  # a detector's boxes go with their insects; it has false ones too
        assert one.whole.hits == one.elsewhere.hits > one.still.hits


def test_a_bench_tells_it_of_each_file_with_pictures(tmp_path: Path, cli: Cli) -> None:
    made = "synthetic://hive?n=4&val=4&seed=3"
    wanted = edgekit.erasing("centernet-tiny", made, split="val").classes
    plan = ("--seconds", "0.1", "--turns", "1", "--warmup", "0", "--no-cold", "--pictures", "0", "--split", "val")
    done = cli("bench", "centernet-tiny", "--data", made, "--erase", "4", *plan, "--out", str(tmp_path / "bench"))
    assert done.code == 0, done.text
    (row,) = json.loads((tmp_path / "bench" / "bench.json").read_text())["rows"]
    told = row["erased"]
    assert [one["label"] for one in told["classes"]] == [one.label for one in wanted]
    for one, right in zip(told["classes"], wanted, strict=True):
        assert (one["said"], one["n"]) == (right.whole.hits, right.whole.n)
        assert one["still"]["value"] == right.still.value
        assert one["reading"] == right.reading
    assert 0 < len(told["examples"]) <= 3
    page = (tmp_path / "bench" / "bench.html").read_text()
    assert "Right for the right reason?" in page
    for example in told["examples"]:
        assert len({example[k] for k in ("whole", "erased", "alone")}) == 3
        assert all(f'src="data:image/jpeg;base64,{example[k]}"' in page for k in ("whole", "erased", "alone"))
    assert f"bee: {wanted[0].reading}" in done.out


def test_a_bench_without_boxes_has_nothing_to_erase(tmp_path: Path, cli: Cli) -> None:
    out = ("--out", str(tmp_path / "bench"))
    done = cli("bench", "centernet-tiny", "--erase", "4", *out)
    assert done.code == UsageError.exit_code
    assert "nothing that could be erased" in done.err
    assert (
        cli("bench", "centernet-tiny", "--erase", "4", "--pack", str(tmp_path / "p.zip")).code == UsageError.exit_code
    )
