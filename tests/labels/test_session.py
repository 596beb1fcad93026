"""A folder is labelled: what is stored, what is written, what `load_dataset` makes of it, and that it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data import load_dataset
from edgekit.errors import BusyError, DataError, EdgekitError, OutputError, UsageError
from edgekit.labels import files as files_module
from edgekit.labels.schema import Labels, Mark
from edgekit.labels.session import Session
from edgekit.labels.store import NAME, StaleError
from tests.labels.folders import BOX, HEIGHT, WIDTH, labels, pictures, yolo


def read(folder: Path) -> dict[str, list[tuple[int, list[float]]]]:
    """What `edgekit train` would read: the boxes of each picture by its file's name."""
    return {
        sample.path.name: [
            (int(c), [round(v, 5) for v in b.tolist()]) for b, c in zip(sample.boxes, sample.box_labels, strict=True)
        ]
        for sample in load_dataset(folder, split="train" if (folder / "data.yaml").exists() else None)
        if sample.path is not None and sample.boxes is not None and sample.box_labels is not None
    }


def opened(path: Path, out: Path | None = None, *classes: str) -> Session:
    return Session(path, out, classes or ("bee", "hornet"))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_done_is_what_is_trained_with(tmp_path: Path, elsewhere: bool) -> None:
    """And nothing else: to YOLO a picture without a label file is one without objects."""
    root = pictures(tmp_path / "hive")
    out = tmp_path / "out" if elsewhere else root
    session = opened(root, out)
    ids = session.ids
    session.edit(ids["sub/c.png"], 0, labels(BOX, (0, 0, 5, 5), label=1))
    session.edit(ids["a.png"], 0, labels())
    session.edit(ids["b.png"], 0, labels(BOX, done=False))
    session.close()
    assert read(out) == {"a.png": [], "c.png": [(1, list(BOX)), (1, [0, 0, 5, 5])]}
    assert (out / "images" / "sub" / "c.png").samefile(root / "sub" / "c.png") if elsewhere else True
    assert (root / "data.yaml").exists() is not elsewhere


@pytest.mark.parametrize("elsewhere", [False, True])
def test_it_goes_on_where_it_was_left(tmp_path: Path, elsewhere: bool) -> None:
    root = pictures(tmp_path / "hive")
    out = tmp_path / "out" if elsewhere else root
    session = opened(root, out)
    ids = dict(session.ids)
    session.edit(ids["a.png"], 0, labels(BOX))
    session.edit(ids["b.png"], 0, labels(BOX, done=False))
    session.close()
    pictures(root, "new.png")
    again = Session(root, out)
    assert again.classes == ("bee", "hornet")
    assert {name: again.ids[name] for name in ids} == ids
    known = again.get(ids["b.png"])
    assert known is not None
    assert (known.labels, known.revision, known.undo) == (labels(BOX, done=False), 1, True)
    assert again.tally().pictures == 4
    assert again.tally().boxes == {"bee": 1, "hornet": 0}
    again.close()


def test_it_goes_on_where_nothing_was_done_yet(tmp_path: Path) -> None:
    root = pictures(tmp_path / "hive")
    for _ in range(2):
        opened(root, tmp_path / "out").close()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [NAME]


def test_undo_and_redo_outlive_the_process_and_change_the_files(tmp_path: Path) -> None:
    root = pictures(tmp_path)
    session = opened(root)
    a = session.ids["a.png"]
    session.edit(a, 0, labels(BOX, done=False))
    session.edit(a, 1, labels(BOX))
    assert set(read(root)) == {"a.png"}
    session.close()
    session = opened(root)
    known = session.undo(a, 2)
    assert known.labels == labels(BOX, done=False)
    assert not (root / "a.txt").exists()
    assert (root / "edgekit-labelled.txt").read_text() == ""
    known = session.undo(a, known.revision)
    assert (known.labels, known.undo, known.redo) == (Labels(), False, True)
    assert session.undo(a, known.revision) == known
    for _ in range(2):
        known = session.redo(a, known.revision)
    assert (known.labels, known.redo) == (labels(BOX), False)
    session.undo(a, known.revision)
    known = session.edit(a, known.revision + 1, labels((1, 1, 9, 9)))
    assert known.redo is False
    assert read(root) == {"a.png": [(0, [1, 1, 9, 9])]}
    session.close()


def test_who_comes_second_does_not_overwrite(tmp_path: Path) -> None:
    session = opened(pictures(tmp_path))
    a = session.ids["a.png"]
    session.edit(a, 0, labels(BOX))
    for late in (lambda: session.edit(a, 0, labels()), lambda: session.undo(a, 0), lambda: session.redo(a, 2)):
        with pytest.raises(StaleError) as caught:
            late()
        assert caught.value.now.labels == labels(BOX)
    assert read(tmp_path) == {"a.png": [(0, list(BOX))]}
    session.close()


def test_boxes_are_cut_at_the_edge_and_must_be_in_the_picture(tmp_path: Path) -> None:
    session = opened(pictures(tmp_path))
    a = session.ids["a.png"]
    known = session.edit(a, 0, labels((50, 30, 1000, -20)))
    assert known.labels.marks[0].box == (50, 0, WIDTH, 30)
    for wrong in (labels((70, 0, 80, 10)), labels((5, 5, 5.1, 9)), labels(BOX, label=2)):
        with pytest.raises(UsageError):
            session.edit(a, 1, wrong)
    assert session.store.get(a) == known
    session.close()


def test_a_picture_that_is_stored_on_its_side_is_labelled_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "phone.jpg", exif=exif)
    session = opened(tmp_path)
    ident = session.ids["phone.jpg"]
    session.edit(ident, 0, labels((0, 50, 40, 60)))
    session.close()
    assert read(tmp_path) == {"phone.jpg": [(0, [0, 50, 40, 60])]}


KILLED = """
import os, signal, sys
from pathlib import Path
from edgekit.labels import files
from edgekit.labels.session import Session
from tests.labels.folders import BOX, labels
session = Session(Path(sys.argv[1]), None, ("bee",))
def kill(*_): os.kill(os.getpid(), signal.SIGKILL)
where = sys.argv[2]
if where != "answered": setattr(files.Files, where, kill)
known = session.edit(session.ids["a.png"], 0, labels(BOX))
kill()
"""


@pytest.mark.parametrize("where", ["write", "index", "answered"])
def test_killed_at_any_moment_it_has_all_that_was_stored(tmp_path: Path, where: str) -> None:
    """The store has it first; the files follow when it is opened again."""
    root = pictures(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", KILLED, str(root), where], env=environment, check=False)
    assert done.returncode == -9
    session = Session(root)
    assert session.get(session.ids["a.png"]).labels == labels(BOX)
    session.close()
    assert read(root) == {"a.png": [(0, list(BOX))]}


def test_a_full_disk_is_told_and_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    session = Session(pictures(tmp_path), None, ["bee"], said.append)

    def full(*_: object, **__: object) -> None:
        raise OutputError("a.txt could not be written: the disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(files_module, "write_bytes", full)
        session.edit(session.ids["a.png"], 0, labels(BOX))
        assert "the disk is full" in session.behind
        assert "the disk is full" in said[-1]
    session.edit(session.ids["b.png"], 0, labels())
    assert session.behind == ""
    assert set(read(tmp_path)) == {"a.png", "b.png"}
    session.close()


def test_one_process_a_folder(tmp_path: Path) -> None:
    session = opened(pictures(tmp_path))
    with pytest.raises(BusyError, match="another process"):
        opened(tmp_path)
    session.close()
    opened(tmp_path).close()


def test_labels_of_others_are_opened_and_stay_as_they_are(tmp_path: Path) -> None:
    theirs = yolo(
        tmp_path / "theirs", ("a.png", "1 0.5 0.5 0.25 0.5\n"), ("b.png", ""), ("c.png", "0 0.5 0.5 0.5 0.5\n")
    )
    (theirs / "labels" / "b.txt").unlink()
    before = {p: p.read_bytes() for p in theirs.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match="labels already") as caught:
        Session(theirs)
    assert "--out theirs-labelled" in str(caught.value)
    said: list[str] = []
    session = Session(theirs, tmp_path / "out", ["hornet"], said.append)
    assert session.classes == ("hornet", "bee")
    assert session.tally().done == 2  # nobody said that b shows nothing
    assert read(tmp_path / "out") == {"a.png": [(0, [22.5, 10, 37.5, 30])], "c.png": [(1, [15, 10, 45, 30])]}
    session.edit(session.ids["images/c.png"], 0, labels())
    session.close()
    assert read(tmp_path / "out")["c.png"] == []
    assert {p: p.read_bytes() for p in theirs.rglob("*") if p.is_file()} == before
    assert any("without a label file" in line for line in said)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_set_of_ours_without_its_store_is_opened_by_its_label_files(tmp_path: Path, elsewhere: bool) -> None:
    root = pictures(tmp_path / "hive")
    out = tmp_path / "out" if elsewhere else root
    session = opened(root, out)
    session.edit(session.ids["a.png"], 0, labels(BOX, label=1))
    session.edit(session.ids["b.png"], 0, labels())
    session.close()
    for file in out.glob(f"{NAME}*"):
        file.unlink()
    session = Session(root, out)
    assert session.tally().done == 2
    assert session.get(session.ids["a.png"]).labels.marks == (Mark(BOX, 1, "file"),)
    assert not session.get(session.ids["sub/c.png"]).labels.done
    session.close()


def test_the_set_that_was_made_is_opened_by_where_it_came_from(tmp_path: Path) -> None:
    root, out = pictures(tmp_path / "hive"), tmp_path / "out"
    session = opened(root, out)
    session.edit(session.ids["a.png"], 0, labels(BOX))
    session.close()
    with pytest.raises(UsageError, match="other pictures") as caught:
        Session(out)
    assert f"edgekit label {root} --out {out}" in str(caught.value)
    for file in out.glob(f"{NAME}*"):
        file.unlink()
    session = Session(out)
    session.edit(session.ids["images/a.png"], 0, labels(BOX, (1, 2, 3, 4)))
    session.close()
    assert read(out) == {"a.png": [(0, list(BOX)), (0, [1, 2, 3, 4])]}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_was_changed_in_the_files_counts(tmp_path: Path, elsewhere: bool) -> None:
    root = pictures(tmp_path / "hive")
    out = tmp_path / "out" if elsewhere else root
    session = opened(root, out)
    for name in ("a.png", "b.png"):
        session.edit(session.ids[name], 0, labels(BOX))
    a, b = (session.files.label_file(name) for name in ("a.png", "b.png"))
    session.close()
    a.write_text("1 0.5 0.5 0.25 0.5\n")
    b.unlink()
    said: list[str] = []
    session = Session(root, out, (), said.append)
    assert session.get(session.ids["a.png"]).labels.marks == (Mark((22.5, 10, 37.5, 30), 1, "file"),)
    session.close()
    assert a.read_text() == "1 0.5 0.5 0.25 0.5\n"
    assert read(out)["b.png"] == [(0, list(BOX))]
    assert any("changed elsewhere" in line for line in said)
    assert any("gone and are written again" in line for line in said)


def test_folders_that_are_somebody_elses_are_left_alone(tmp_path: Path) -> None:
    root = pictures(tmp_path / "hive")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.md").write_text("mine")
    with pytest.raises(UsageError, match="did not write"):
        opened(root, tmp_path / "notes")
    session = opened(root, tmp_path / "out")
    session.edit(session.ids["a.png"], 0, labels())
    session.close()
    other = pictures(tmp_path / "other", "x.png")
    with pytest.raises(UsageError, match="labels of other pictures"):
        opened(other, tmp_path / "out")


def test_labels_that_nobody_would_find_are_not_written(tmp_path: Path) -> None:
    """YOLO looks for the labels of images/hive/a.png in labels/hive/a.txt."""
    root = pictures(tmp_path / "images" / "hive")
    with pytest.raises(UsageError, match="would not be found"):
        opened(root)
    session = opened(root, tmp_path / "out")
    session.edit(session.ids["a.png"], 0, labels(BOX))
    session.close()
    assert set(read(tmp_path / "out")) == {"a.png"}


def test_a_text_that_lies_beside_a_picture_is_not_replaced(tmp_path: Path) -> None:
    root = pictures(tmp_path)
    (root / "a.txt").write_text("the queen was here")
    with pytest.raises(UsageError, match=r"a\.txt"):
        opened(root)
    assert (root / "a.txt").read_text() == "the queen was here"


def test_two_pictures_of_one_label_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="share label files"):
        opened(pictures(tmp_path, "a.png", "a.jpg"))


def test_what_is_no_folder_of_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (pictures(tmp_path / "boxes", "a.png") / "a.xml").write_text("<annotation></annotation>")
    for wrong in (tmp_path / "gone", tmp_path / "empty", Path("synthetic://hive"), tmp_path / "boxes" / "a.png"):
        with pytest.raises(EdgekitError):
            opened(wrong)


def test_classes_are_added_and_keep_their_numbers(tmp_path: Path) -> None:
    session = opened(pictures(tmp_path), None, "bee")
    assert session.name_class(" Bee ") == 0
    assert session.name_class("Asian hornet") == 1
    session.edit(session.ids["a.png"], 0, labels(BOX, label=1))
    for wrong in ("", "a\nb", "x" * 81):
        with pytest.raises(UsageError):
            session.name_class(wrong)
    session.close()
    session = opened(tmp_path, None, "wasp")
    assert session.classes == ("bee", "Asian hornet", "wasp")
    session.close()
    assert load_dataset(tmp_path, split="train").classes == ("bee", "Asian hornet", "wasp")


def test_pictures_that_cannot_be_read_or_named_are_told(tmp_path: Path) -> None:
    root = pictures(tmp_path, "a.png", "line\nbreak.png")
    (root / "broken.jpg").write_bytes(b"no picture")
    said: list[str] = []
    session = Session(root, None, ["bee"], said.append)
    assert list(session.ids) == ["a.png"]
    session.close()
    assert any("broken.jpg" in line for line in said)
    assert any("names that no list" in line for line in said)


def test_boxes_come_back_to_a_millionth_of_a_pixel(tmp_path: Path) -> None:
    session = opened(pictures(tmp_path))
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 19, (50, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 20, (50, 2))], axis=1)
    session.edit(session.ids["a.png"], 0, labels(*map(tuple, boxes.tolist())))
    session.close()
    (sample,) = load_dataset(tmp_path, split="train")
    np.testing.assert_allclose(sample.boxes, boxes.astype(np.float32), atol=1e-6)  # a data set has float32
