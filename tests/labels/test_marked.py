"""Frames that were marked on a camera's page become a data set: opened, proposed as marked, labelled, loaded again."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.artifacts.marks import DATABASE, remove_mark, write_mark
from edgekit.data.load import load_dataset
from edgekit.errors import DataError, UsageError
from edgekit.labels.assistant import Assistant, Help
from edgekit.labels.marked import find_marked
from edgekit.labels.schema import Labels, Mark
from edgekit.labels.session import Session
from edgekit.labels.store import NAME
from tests.labels.folders import HEIGHT, WIDTH, pictures

AT = "2026-09-01T12:00:00+02:00"
OBJECTS = [
    {"label": "hornet", "score": 0.9, "box": [0.25, 0.25, 0.5, 0.75]},
    {"label": "bee", "score": 0.95, "box": [-0.1, 0.0, 0.5, 0.5]},
]


def visit(store: Path, number: int, *, objects: Any = OBJECTS, plain: bool = True) -> dict[str, Any]:
    """The last event of a visit of hornets, with its frame in the store."""
    ident = f"{number:08d}-0000-7000-8000-000000000000"
    event: dict[str, Any] = {"id": ident, "label": "hornet", "start": AT, "model": {"name": "m", "sha256": "0" * 64}}
    if plain:
        pictures(store / "plain", f"{ident}.jpg")
        (store / DATABASE).touch()
        digest = hashlib.sha256((store / "plain" / f"{ident}.jpg").read_bytes()).hexdigest()
        event["plain"] = {"path": f"plain/{ident}.jpg", "sha256": digest, "objects": list(objects)}
    return event


def test_the_models_finds_are_proposed_as_the_keeper_put_them_right(tmp_path: Path) -> None:
    for number, (verdict, meant) in enumerate((("right", None), ("false", None), ("other", "wasp"))):
        write_mark(tmp_path, visit(tmp_path, number), verdict, meant, AT)
    marked = find_marked(tmp_path)
    right, false, other = (marked.proposals[name] for name in marked.found.names)
    assert [(p.label, p.score) for p in right] == [("bee", 0.95), ("hornet", 0.9)]
    assert right[1].box == (0.25 * WIDTH, 0.25 * HEIGHT, 0.5 * WIDTH, 0.75 * HEIGHT)
    assert right[0].box == (0, 0, 0.5 * WIDTH, 0.5 * HEIGHT)  # cut at the edge
    assert [p.label for p in false] == ["bee"]
    assert [p.label for p in other] == ["bee", "wasp"]
    assert marked.classes == ("bee", "hornet", "wasp")


def test_a_boxes_edge_that_is_no_box_is_not_proposed(tmp_path: Path) -> None:
    thin = [{"label": "hornet", "score": 0.9, "box": [1.0, 0.2, 1.4, 0.8]}]
    write_mark(tmp_path, visit(tmp_path, 1, objects=thin), "right", None, AT)
    assert list(find_marked(tmp_path).proposals.values()) == [()]


def test_what_is_labelled_is_a_data_set_to_train_on(tmp_path: Path) -> None:
    store = tmp_path / "store"
    write_mark(store, visit(store, 1), "right", None, AT)
    write_mark(store, visit(store, 2), "false", None, AT)
    marked = find_marked(store)
    session = Session(marked.found, tmp_path / "set", marked.classes)
    assistant = Assistant(session, Help(given=marked.proposals, name=marked.name))
    known = session.get(1)
    assert known is not None
    shown = assistant.shown(known)
    assert shown is not None
    assert [session.classes[row["label"]] for row in shown] == ["bee", "hornet"]
    box, label = shown[1]["box"], shown[1]["label"]
    session.edit(1, 0, Labels((Mark(box, label, "proposal"),), done=True))
    session.edit(2, 0, Labels(done=True))
    session.close()
    dataset = load_dataset(tmp_path / "set", None, "all")
    assert dataset.classes == ("hornet", "bee")  # as often as they occur
    truths = [sample.ground_truth() for sample in dataset]
    np.testing.assert_allclose(truths[0].boxes, [box], atol=1e-6)
    assert (truths[0].labels.tolist(), len(truths[1].boxes)) == ([0], 0)
    assert {path.name for path in store.iterdir()} == {DATABASE, "marks", "plain"}  # nothing is written there


def test_later_marks_are_there_the_next_time_and_what_was_said_stays(tmp_path: Path) -> None:
    store = tmp_path / "store"
    write_mark(store, visit(store, 1), "right", None, AT)
    Session(find_marked(store).found, tmp_path / "set", ("bee", "hornet")).close()
    write_mark(store, visit(store, 2), "false", None, AT)
    session = Session(find_marked(store).found, tmp_path / "set")
    assert len(session.briefs()) == 2
    session.edit(1, 0, Labels(done=True))
    session.close()
    remove_mark(store, visit(store, 1)["id"])
    said: list[str] = []
    session = Session(find_marked(store).found, tmp_path / "set", say=said.append)
    assert len(session.briefs()) == 1
    assert any("gone from" in line for line in said)
    session.close()
    assert len(list(load_dataset(tmp_path / "set", None, "all"))) == 1  # a frame that was labelled stays labelled


def test_the_whole_command_with_a_store_beside_which_the_set_comes(tmp_path: Path) -> None:
    store = tmp_path / "store"
    write_mark(store, visit(store, 1), "right", None, AT)
    over = threading.Event()
    over.set()
    done = edgekit.label(store=store, port=0, until=over)
    assert (done.out, done.pictures, done.done) == (tmp_path / "store-labelled", 1, 0)
    assert (done.out / NAME).is_file()


@pytest.mark.parametrize("inside", ["", "plain", "marks"])
def test_a_store_is_not_labelled_as_a_folder_of_pictures(tmp_path: Path, inside: str) -> None:
    write_mark(tmp_path, visit(tmp_path, 1), "right", None, AT)
    with pytest.raises(UsageError, match="--from"):
        edgekit.label(tmp_path / inside, seconds=0)


def test_what_is_no_store_or_has_nothing_marked_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not there"):
        edgekit.label(store=tmp_path / "none")
    with pytest.raises(DataError, match="Nothing is marked"):
        edgekit.label(store=tmp_path)
    write_mark(tmp_path, visit(tmp_path, 1, plain=False), "right", None, AT)
    with pytest.raises(DataError, match="No marked visit"):
        edgekit.label(store=tmp_path)


def test_one_place_has_the_pictures(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="One place"):
        edgekit.label()
    with pytest.raises(UsageError, match="One place"):
        edgekit.label(tmp_path, store=tmp_path)
    write_mark(tmp_path, visit(tmp_path, 1), "right", None, AT)
    with pytest.raises(UsageError, match="class folders"):
        edgekit.label(store=tmp_path, folders=True)
