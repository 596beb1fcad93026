"""Going on where it was left: what the store has, what lies in the files now, and what of both counts."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.data.layouts.yolo import label_file
from edgekit.data.load import load_dataset
from edgekit.data.names import ALL, plain
from edgekit.data.sample import Dataset, Sample, class_index
from edgekit.errors import DataError, UsageError
from edgekit.labels.files import Files, is_ours
from edgekit.labels.opening import Found, marks_of
from edgekit.labels.schema import Labels
from edgekit.labels.store import Known, Store
from edgekit.screen import count_of, some

Say = Callable[[str], None]
_ROOT = "root"


def resume(store: Store, files: Files, found: Found, classes: Sequence[str], say: Say) -> dict[str, int]:
    """Brings the pictures that were found into the store. Returns their numbers by name.

    Labels of the files count where the store has none (it was lost, or the labels are somebody else's), and where a
    label file is not as it was written. New class names come after those in use.

    Raises:
        UsageError: the store is of other pictures, or a text that is no label file of ours lies where one would.
        DataError: label files of ours that cannot be read any more.
    """
    if not store.briefs() and not files.beside and is_ours(files.out):
        found = _without_store(files, found)
    there = [brief.name for brief in store.briefs()]
    if there and not set(there) & set(found.names):
        raise _of_others(store, files, there, found.names)
    store.tell(_ROOT, str(files.root.absolute()))
    store.classes = names = _joined(store.classes, classes, found.classes)
    place = {i: class_index(name, names) or 0 for i, name in enumerate(found.classes)}
    known = {
        name: replace(labels, marks=tuple(replace(mark, label=place[mark.label]) for mark in labels.marks))
        for name, labels in found.known.items()
    }
    store.enter(found.names, known)
    present = set(found.names)
    gone = [name for name in there if name not in present]
    if gone:
        say(f"gone from {files.root}: {count_of(len(gone), 'picture')}, {some(gone)}")
    ids = {brief.name: brief.id for brief in store.briefs() if brief.name in present}
    _take_back(store, files, ids, say)
    return ids


def _of_others(store: Store, files: Files, there: Sequence[str], names: Sequence[str]) -> UsageError:
    root = Path(store.about(_ROOT) or "")
    again = shlex.join(["edgekit", "label", str(root), "--out", str(files.out)])
    return UsageError(
        f"{files.out} has the labels of other pictures, those of {root}.",
        got=some(names),
        expected=some(there),
        fix=again
        if root.is_dir()
        else f"--out DIR names another folder; or remove {store.path} to begin with the files",
    )


def _without_store(files: Files, found: Found) -> Found:
    """What the label files of a set of ours say, where they are all that is left of it."""
    try:
        dataset = load_dataset(files.out, None, ALL)
    except DataError:  # nothing was done yet
        return found
    read = _by_label_file(dataset)
    said = {name: read[file] for name in found.names if (file := files.label_file(name).absolute()) in read}
    known = {name: Labels(marks_of(sample), done=True) for name, sample in said.items()}
    return replace(found, known=known, classes=dataset.classes or ())


def _take_back(store: Store, files: Files, ids: Mapping[str, int], say: Say) -> None:
    """What was changed in label files since they were written counts: another tool was used, or an editor."""
    noted, late = store.contents(), set(store.unwritten())
    strangers = [n for n, i in ids.items() if i not in noted and i not in late and files.label_file(n).exists()]
    if strangers:
        raise UsageError(
            f"{len(strangers)} label files would be written over texts that are none of edgekit label's.",
            got=some([files.label_file(name).name for name in strangers]),
            fix="--out DIR writes the labels elsewhere",
        )
    other = {
        name: known
        for name, i in ids.items()
        if i in noted and i not in late and files.content(name) != noted[i] and (known := store.get(i)) is not None
    }
    lost = [name for name in other if not files.label_file(name).exists()]
    for name in lost:
        store.wrote(other.pop(name).id, -1, "")  # and it is written again
    if lost:
        say(f"{len(lost)} label files were gone and are written again: {some(lost)}")
    if other:
        _read_again(store, files, other, say)


def _read_again(store: Store, files: Files, other: Mapping[str, Known], say: Say) -> None:
    read = _by_label_file(load_dataset(files.out, store.classes, ALL))
    taken, left = [], []
    for name, known in other.items():
        sample = read.get(files.label_file(name).absolute())
        if sample is None:
            left.append(name)
            continue
        now = store.edit(known.id, known.revision, Labels(marks_of(sample), done=True))
        store.wrote(known.id, now.revision, files.content(name))
        taken.append(name)
    if taken:
        say(f"{len(taken)} label files were changed elsewhere, and count as they are: {some(taken)}")
    if left:
        say(f"{len(left)} label files were changed elsewhere and cannot be read: {some(left)}")


def _by_label_file(dataset: Dataset) -> dict[Path, Sample]:
    return {label_file(sample.path.absolute()): sample for sample in dataset if sample.path is not None}


def _joined(*names: Sequence[str]) -> tuple[str, ...]:
    """Class names one after the other, each once."""
    joined: list[str] = []
    for name in (plain(name) for these in names for name in these):
        if class_index(name, joined) is None:
            joined.append(name)
    return tuple(joined)
