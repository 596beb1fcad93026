"""What lies in a folder that is to be labelled: its pictures, and labels that are there already, of any layout."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.artifacts.marks import DATABASE
from edgekit.data.layouts.unread_labels import refuse_unread
from edgekit.data.layouts.yolo import label_file
from edgekit.data.load import has_boxes, load_dataset, suits
from edgekit.data.made import is_made
from edgekit.data.names import ALL
from edgekit.data.pictures import readable
from edgekit.data.sample import Dataset, Sample
from edgekit.errors import DataError, UsageError
from edgekit.labels.files import is_ours
from edgekit.labels.schema import Labels, Mark
from edgekit.labels.store import NAME
from edgekit.reading import is_file, is_folder
from edgekit.screen import count_of, some
from edgekit.vision.clutter import clutter_note
from edgekit.vision.find import SUFFIXES, scan


@dataclass(frozen=True)
class Found:
    """A folder of pictures.

    Attributes:
        root: names of pictures are paths below it, with slashes.
        names: sorted.
        known: by name, what labels that were there say; those with all their boxes are done.
        classes: of those labels.
        layout: of those labels, "" where there are none.
        notes: what is to be told, one sentence each.
    """

    root: Path
    names: tuple[str, ...]
    known: dict[str, Labels]
    classes: tuple[str, ...]
    layout: str
    notes: tuple[str, ...]


def find(path: Path) -> Found:
    """Looks at `path`: a folder of pictures, or the file or folder of a data set with boxes.

    Raises:
        DataError: nothing there, no picture, labels that cannot be read, or two pictures that would share one
            label file.
        UsageError: pictures that are made and lie nowhere.
    """
    if is_made(path):
        raise UsageError(
            "Made pictures have labels, and lie in no folder.", got=str(path), expected="a folder of pictures"
        )
    if is_file(path) and path.suffix.lower() in SUFFIXES:
        raise UsageError("Pictures are labelled by the folder.", got=str(path), fix=f"edgekit label {path.parent}")
    if not is_folder(path) and not is_file(path):
        raise DataError(f"{path} is not there.", got="no such folder", expected="a folder of pictures")
    root = path if is_folder(path) else path.parent
    for store in (root, root.parent):
        if is_file(store / DATABASE):  # its pictures have boxes drawn on them
            raise UsageError(
                f"{store} is a camera's store.", got=str(path), expected="a folder of pictures, or --from and a store",
                fix=shlex.join(["edgekit", "label", "--from", str(store)]),
            )  # fmt: skip
    pictures, _, clutter = scan(root)
    dataset = _labels(path, root)
    if suits(path, "masks") and dataset is not None:
        pictures = [sample.path for sample in dataset if sample.path is not None]
    names = {name: picture for picture in pictures if (name := _name(picture, root))}
    if not names:
        expected = "files ending in " + " ".join(sorted(SUFFIXES))
        raise DataError(f"{root} holds no pictures.", got="none", expected=expected)
    whole, unreadable = readable(Sample(picture, None, None, name) for name, picture in sorted(names.items()))
    names = {sample.name: names[sample.name] for sample in whole}
    _refuse_twins(root, list(names))
    odd = [repr(str(picture)) for picture in pictures if not _name(picture, root)]
    notes = [*clutter_note([file for file in clutter if not file.name.startswith(NAME)], root), *unreadable]
    notes += [f"{len(odd)} left out, with names that no list of pictures can hold: {some(odd)}"] if odd else []
    if dataset is None or not dataset.any_boxed:
        return Found(root, tuple(sorted(names)), {}, (), "", tuple(notes))
    known, unfinished = _known(dataset, root)
    notes += [f"{count_of(len(known), 'picture')} with labels, read as {dataset.layout}", *dataset.notes]
    if unfinished:
        notes.append(f"{len(unfinished)} not done yet, with boxes set aside or no label file: {some(unfinished)}")
    return Found(root, tuple(sorted(names)), known, dataset.classes or (), dataset.layout, tuple(notes))


def _labels(path: Path, root: Path) -> Dataset | None:
    if is_ours(root) and is_folder(path):
        try:
            return load_dataset(path, None, ALL)
        except DataError:  # nothing was done yet, or its pictures went
            return None
    if has_boxes(path):
        return load_dataset(path, None, ALL)
    if suits(path, "masks"):
        return load_dataset(path, None, ALL, truth="masks")
    refuse_unread(path, [p for p in path.iterdir() if p.is_dir()])
    return None


def _known(dataset: Dataset, root: Path) -> tuple[dict[str, Labels], list[str]]:
    """What the labels say, and which of them are not whole."""
    known, unfinished = {}, []
    for sample in dataset:
        name = "" if sample.path is None else _name(sample.path, root)
        if not name or sample.boxes is None:
            continue
        whole = _whole(sample, dataset.layout)
        if not whole:
            unfinished.append(name)
        known[name] = Labels(marks_of(sample), done=whole)
    return known, unfinished


def marks_of(sample: Sample) -> tuple[Mark, ...]:
    """The objects of a sample with boxes."""
    truth = sample.ground_truth()
    rows = zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True)
    return tuple(Mark((x1, y1, x2, y2), label, "file") for (x1, y1, x2, y2), label in rows)


def _whole(sample: Sample, layout: str) -> bool:
    """YOLO has no way to set a box aside, and a missing file may mean that nobody looked."""
    if sample.ignored_boxes is not None and len(sample.ignored_boxes):
        return False
    return layout != "yolo" or sample.path is None or is_file(label_file(sample.path))


def _name(picture: Path, root: Path) -> str:
    """As it is kept and listed; "" for one that cannot be."""
    if not picture.is_relative_to(root):
        return ""
    name = picture.relative_to(root).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        return ""
    return name if name.isprintable() and name == name.strip() else ""


def _refuse_twins(root: Path, names: Sequence[str]) -> None:
    """Raises DataError where two pictures differ in their suffix alone: YOLO's labels do not tell them apart."""
    count = Counter(name.rpartition(".")[0] for name in names)
    twins = sorted(name for name in names if count[name.rpartition(".")[0]] > 1)
    if twins:
        raise DataError(
            f"{count_of(len(twins), 'picture')} in {root} would share label files.", got=some(twins),
            expected="names that differ in more than their suffix", fix="rename one of each two, or move it elsewhere",
        )  # fmt: skip
