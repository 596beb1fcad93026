"""Frames that a keeper marked on a camera's page, to be labelled: the pictures, and the model's finds to begin with."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from edgekit.artifacts.marks import FOLDER, Mark, read_marks
from edgekit.data.orientation import picture_size
from edgekit.data.pictures import readable
from edgekit.data.sample import Sample
from edgekit.errors import DataError
from edgekit.labels.opening import Found
from edgekit.labels.proposals.base import Proposal

_LEAST = 1.0  # pixels of a proposed box's side


@dataclass(frozen=True)
class Marked:
    """What was marked in a camera's store.

    Attributes:
        found: the frames without anything drawn on them.
        proposals: by the picture's name, what the model found in it, put right by the keeper's word: of a `false` visit
            its label's finds are left out, of an `other` one they have the label that was meant.
        classes: all labels that occur, the most frequent ones first.
        name: another one for other marks.
    """

    found: Found
    proposals: dict[str, tuple[Proposal, ...]]
    classes: tuple[str, ...]
    name: str


def find_marked(store: Path) -> Marked:
    """Reads the marks of a camera's store; the camera may be running.

    Raises:
        DataError: no store, nothing marked in it, or no mark with a picture that can be read.
    """
    if not store.is_dir():
        raise DataError(f"{store} is not there.", got="no such folder", expected="the folder of a camera's store")
    marks = read_marks(store)
    if not marks:
        raise DataError(
            f"Nothing is marked in {store}.", got="no visit that was called right, false or another insect",
            expected="marks, made on the camera's page", fix="edgekit camera --web shows the page",
        )  # fmt: skip
    pictured = {mark.picture.name: mark for mark in marks if mark.picture is not None}
    if not pictured:
        raise DataError(
            f"No marked visit in {store} has its frame.", got=f"{len(marks)} marks without a picture",
            expected="visits.plain = true in the camera's TOML, while it watches",
        )  # fmt: skip
    samples, notes = readable(Sample(mark.picture, None, None, name) for name, mark in sorted(pictured.items()))
    names = tuple(sample.name for sample in samples)
    bare = len(marks) - len(pictured)
    notes += (f"{bare} marked visits left out, whose frames were not kept",) if bare else ()
    proposals = {name: _proposals(pictured[name]) for name in names}
    known = Counter(p.label for rows in proposals.values() for p in rows)
    known.update(mark.meant or mark.label for mark in marks)
    labels = tuple(label for label, _ in sorted(known.items(), key=lambda row: (-row[1], str(row[0]))) if label)
    found = Found(store / FOLDER, names, {}, (), "", notes)
    return Marked(found, proposals, labels, hashlib.sha256(repr(sorted(proposals.items())).encode()).hexdigest())


def _proposals(mark: Mark) -> tuple[Proposal, ...]:
    """The finds in a mark's frame, the most certain first."""
    assert mark.picture is not None
    size = picture_size(mark.picture)
    proposals = []
    for one in mark.objects:
        label = mark.meant if one.label == mark.label else one.label
        x1, x2 = (min(max(x, 0.0), 1.0) * size.width for x in (one.box[0], one.box[2]))
        y1, y2 = (min(max(y, 0.0), 1.0) * size.height for y in (one.box[1], one.box[3]))
        if label is not None and x2 - x1 >= _LEAST and y2 - y1 >= _LEAST:
            proposals.append(Proposal((x1, y1, x2, y2), label, one.score))
    return tuple(sorted(proposals, key=lambda p: -p.score))
