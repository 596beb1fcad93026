"""What a keeper said of visits: a folder `marks/` in a camera's store, a JSON and a picture for each.

They are files of their own and not rows of the store's database: another process writes them, and they outlive the
visits, whose rows and pictures make room for newer ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from edgekit.artifacts.atomic import reason, write_bytes
from edgekit.errors import OutputError, UsageError
from edgekit.reading import load_json

Verdict = Literal["right", "false", "other"]

FOLDER = "marks"
DATABASE = "visits.db"  # in every camera's store
MOST = 5000  # marks in a store: each keeps a picture of some 200 KB that no quota removes
_MODE, _FOLDER_MODE = 0o600, 0o700
_ID = re.compile(r"[0-9a-f-]{36}")
_LONGEST = 200  # characters of a label


@dataclass(frozen=True)
class Found:
    """What the model found in a marked picture: a label, its score, and the box as shares of width and height."""

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """One visit, and what a person says of it.

    Attributes:
        visit: its id.
        verdict: `right`; `false`, there is no such insect; `other`, it is one of another label.
        label: of the visit.
        meant: the label that is right; None where the verdict is `false`.
        at: when it was said, ISO 8601.
        start: when the visit began, ISO 8601.
        picture: the frame without anything drawn on it, or None where the store had none.
        objects: what the model found in that frame, of any label.
        model: name and sha256 of the model that found it, as events have them.
    """

    visit: str
    verdict: Verdict
    label: str
    meant: str | None
    at: str
    start: str
    picture: Path | None
    objects: tuple[Found, ...] = ()
    model: Mapping[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the page is told."""
        return {"visit": self.visit, "verdict": self.verdict, "label": self.label, "meant": self.meant, "at": self.at}


def write_mark(store: Path, event: Mapping[str, Any], verdict: str, meant: str | None, at: str) -> Mark:
    """Keeps what is said of a visit, instead of what was said before, with a copy of its plain picture.

    Args:
        store: the folder of the camera's store.
        event: the visit's last event, as the store has it.
        verdict: one of `Verdict`.
        meant: with `other` the label that is right.
        at: now, ISO 8601.

    Raises:
        UsageError: no such verdict, `other` without another label, or as many marks as there may be.
        OutputError: the disk is full or read-only.
    """
    label = str(event["label"])
    if verdict not in get_args(Verdict):
        raise UsageError("There is no such verdict.", got=repr(verdict), expected="right, false or other")
    if verdict == "other" and (not meant or not meant.strip() or meant == label or len(meant) > _LONGEST):
        got = repr(meant)[: _LONGEST + 2]
        raise UsageError("Another label is missing.", got=got, expected=f"a label that is not {label!r}")
    folder = _folder(store)
    path = folder / f"{_checked(event['id'])}.json"
    if not path.exists() and sum(1 for _ in folder.glob("*.json")) >= MOST:
        raise UsageError("There are as many marks as a store keeps.", got=str(MOST), fix="label them and remove some")
    plain = event.get("plain") or {}
    picture = path.with_suffix(".jpg") if _copied(store, path.with_suffix(".jpg"), plain) else None
    same = picture is not None and hashlib.sha256(picture.read_bytes()).hexdigest() == plain.get("sha256")
    content = {
        "visit": event["id"],
        "verdict": verdict,
        "label": label,
        "meant": {"right": label, "false": None, "other": meant}[verdict],
        "at": at,
        "start": event.get("start", ""),
        "objects": plain.get("objects", []) if same else [],  # of an open visit a better picture may have come
        "model": event.get("model"),
    }
    write_bytes(path, json.dumps(content).encode(), overwrite=True, mode=_MODE)
    return _mark(content, picture)


def remove_mark(store: Path, visit: str) -> bool:
    """Takes back what was said of a visit; whether anything was.

    Raises:
        OutputError: it cannot be removed.
    """
    path = store / FOLDER / f"{_checked(visit)}.json"
    try:
        there = path.exists()
        path.unlink(missing_ok=True)  # the words first: a picture without them is no mark
        path.with_suffix(".jpg").unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be removed.", got=reason(error)) from error
    return there


def read_marks(store: Path) -> tuple[Mark, ...]:
    """All that was said, in the order of the visits; files that are none of ours are passed over."""
    found = []
    for path in sorted((store / FOLDER).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = load_json(path.read_text(encoding="utf-8"))
            picture = path.with_suffix(".jpg")
            if _ID.fullmatch(path.stem) and content["visit"] == path.stem:
                found.append(_mark(content, picture if picture.is_file() else None))
    return tuple(found)


def _mark(content: Mapping[str, Any], picture: Path | None) -> Mark:
    """Raises ValueError, KeyError or TypeError for what is no mark."""
    verdict, meant, label = content["verdict"], content["meant"], content["label"]
    if verdict not in get_args(Verdict) or not isinstance(label, str) or not isinstance(meant, (str, type(None))):
        raise ValueError("no mark")
    objects = tuple(
        Found(str(one["label"]), float(one["score"]), cast(Any, tuple(float(v) for v in one["box"])))
        for one in content["objects"]
    )
    if any(len(one.box) != 4 for one in objects):
        raise ValueError("no box")
    model = content.get("model")
    return Mark(
        visit=str(content["visit"]),
        verdict=verdict,
        label=label,
        meant=meant,
        at=str(content["at"]),
        start=str(content["start"]),
        picture=picture,
        objects=objects,
        model=model if isinstance(model, dict) else None,
    )


def _folder(store: Path) -> Path:
    folder = store / FOLDER
    try:
        folder.mkdir(_FOLDER_MODE, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made.", got=reason(error)) from error
    return folder


def _checked(visit: str) -> str:
    if not _ID.fullmatch(visit):
        raise UsageError("This is no visit's id.", got=repr(visit)[:60], expected="36 hexadecimal digits and dashes")
    return visit


def _copied(store: Path, picture: Path, plain: Mapping[str, Any]) -> bool:
    """Whether a visit's plain picture is at `picture` now: a second name of the same file where the disk has that."""
    if not plain.get("path"):
        return picture.is_file()
    source = store / str(plain["path"])
    try:
        if not source.is_file():  # it made room for newer ones
            return picture.is_file()
        picture.unlink(missing_ok=True)
        try:
            os.link(source, picture)
        except OSError:  # vfat
            write_bytes(picture, source.read_bytes(), overwrite=True, mode=_MODE)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(f"{picture} cannot be written.", got=reason(error)) from error
    return True
