"""What a keeper said of visits is kept with its picture, whatever becomes of the visit."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts import marks
from edgekit.artifacts.marks import Found, read_marks, remove_mark, write_mark
from edgekit.errors import OutputError, UsageError

ID = "0193b2a0-0000-7000-8000-00000000000{}"
AT = "2026-06-01T12:00:00+00:00"
OBJECT = {"label": "hornet", "score": 0.8, "box": [0.1, 0.2, 0.3, 0.4]}


def visit(store: Path, number: int = 1, picture: bytes = b"jpeg") -> dict[str, Any]:
    """A visit as the store has it, with its plain picture."""
    path = f"plain/2026-06-01/{ID.format(number)}.jpg"
    (store / path).parent.mkdir(parents=True, exist_ok=True)
    (store / path).write_bytes(picture)
    plain = {"path": path, "sha256": hashlib.sha256(picture).hexdigest(), "bytes": 4, "objects": [OBJECT]}
    return {"id": ID.format(number), "label": "hornet", "start": AT, "plain": plain, "model": {"name": "m"}}


def test_what_is_said_is_read_back(tmp_path: Path) -> None:
    written = write_mark(tmp_path, visit(tmp_path), "false", None, AT)
    (read,) = read_marks(tmp_path)
    assert read == written
    assert (read.verdict, read.label, read.meant, read.at) == ("false", "hornet", None, AT)
    assert read.objects == (Found("hornet", 0.8, (0.1, 0.2, 0.3, 0.4)),)
    assert read.model == {"name": "m"}
    assert read.picture is not None
    assert read.picture.read_bytes() == b"jpeg"
    assert read.to_dict() == {"visit": ID.format(1), "verdict": "false", "label": "hornet", "meant": None, "at": AT}


def test_right_means_the_label_and_other_another(tmp_path: Path) -> None:
    assert write_mark(tmp_path, visit(tmp_path), "right", "bee", AT).meant == "hornet"
    assert write_mark(tmp_path, visit(tmp_path), "other", "bee", AT).meant == "bee"
    assert len(read_marks(tmp_path)) == 1  # the later word counts


def test_the_picture_outlives_the_visits(tmp_path: Path) -> None:
    event = visit(tmp_path)
    write_mark(tmp_path, event, "false", None, AT)
    (tmp_path / event["plain"]["path"]).unlink()
    write_mark(tmp_path, event, "right", None, AT)
    (read,) = read_marks(tmp_path)
    assert read.picture is not None
    assert read.picture.read_bytes() == b"jpeg"
    assert len(read.objects) == 1


def test_a_better_picture_of_an_open_visit_takes_the_place_of_the_last(tmp_path: Path) -> None:
    write_mark(tmp_path, visit(tmp_path), "right", None, AT)
    other = visit(tmp_path, picture=b"better")
    (tmp_path / other["plain"]["path"]).replace(tmp_path / "x")  # written anew, as the store does it
    (tmp_path / other["plain"]["path"]).write_bytes(b"better")
    write_mark(tmp_path, other, "right", None, AT)
    (read,) = read_marks(tmp_path)
    assert read.picture is not None
    assert read.picture.read_bytes() == b"better"
    stale = {**other, "plain": {**other["plain"], "sha256": "0" * 64}}  # the row is a picture behind
    assert write_mark(tmp_path, stale, "right", None, AT).objects == ()


def test_without_a_plain_picture_the_word_is_kept(tmp_path: Path) -> None:
    mark = write_mark(tmp_path, {**visit(tmp_path), "plain": None}, "false", None, AT)
    assert (mark.picture, mark.objects) == (None, ())
    assert read_marks(tmp_path) == (mark,)


def test_a_disk_without_hard_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    mark = write_mark(tmp_path, visit(tmp_path), "false", None, AT)
    assert mark.picture is not None
    assert mark.picture.read_bytes() == b"jpeg"
    assert mark.picture.stat().st_mode & 0o077 == 0


def test_it_is_taken_back(tmp_path: Path) -> None:
    write_mark(tmp_path, visit(tmp_path), "false", None, AT)
    assert remove_mark(tmp_path, ID.format(1))
    assert not remove_mark(tmp_path, ID.format(1))
    assert read_marks(tmp_path) == ()
    assert list((tmp_path / "marks").iterdir()) == []


@pytest.mark.parametrize(
    ("verdict", "meant"), [("wrong", None), ("other", None), ("other", " "), ("other", "hornet"), ("other", "x" * 201)]
)
def test_what_says_nothing_is_refused(tmp_path: Path, verdict: str, meant: str | None) -> None:
    with pytest.raises(UsageError):
        write_mark(tmp_path, visit(tmp_path), verdict, meant, AT)
    assert read_marks(tmp_path) == ()


def test_an_id_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no visit's id"):
        write_mark(tmp_path, {**visit(tmp_path), "id": "../../../../../../../../../../etc/pass"}, "false", None, AT)
    with pytest.raises(UsageError, match="no visit's id"):
        remove_mark(tmp_path, "../x")


def test_there_is_an_end_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "MOST", 2)
    for number in (1, 2):
        write_mark(tmp_path, visit(tmp_path, number), "false", None, AT)
    with pytest.raises(UsageError, match="as many marks"):
        write_mark(tmp_path, visit(tmp_path, 3), "false", None, AT)
    write_mark(tmp_path, visit(tmp_path, 2), "right", None, AT)
    assert [mark.verdict for mark in read_marks(tmp_path)] == ["false", "right"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "marks").write_text("a file")
    with pytest.raises(OutputError):
        write_mark(tmp_path, visit(tmp_path), "false", None, AT)


@pytest.mark.parametrize(
    "damage",
    [b"", b"[]", b"{", b"\xff\xfe", json.dumps({"visit": ID.format(1)}).encode(), b"[" * 100_000],
    ids=["empty", "list", "half", "bytes", "keys", "deep"],
)
def test_damage_costs_one_mark(tmp_path: Path, damage: bytes) -> None:
    for number in (1, 2):
        write_mark(tmp_path, visit(tmp_path, number), "false", None, AT)
    (tmp_path / "marks" / f"{ID.format(1)}.json").write_bytes(damage)
    assert [mark.visit for mark in read_marks(tmp_path)] == [ID.format(2)]
