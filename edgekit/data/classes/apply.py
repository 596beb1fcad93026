"""A data set with the classes of a model: labels and boxes under the model's indices, what is left out counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.classes.class_map import ClassMap, Places, proposal
from edgekit.data.drawn_mask import DrawnMask
from edgekit.data.mask_file import VOID, MaskFile, MaskStack
from edgekit.data.sample import Dataset, Sample
from edgekit.errors import UsageError
from edgekit.progress import track
from edgekit.screen import count_of, some


def mapped(dataset: Dataset, classes: Sequence[str], given: ClassMap, strict: bool = True) -> Dataset:
    """`dataset` as if its labels were those of a model with `classes`.

    What is left out: of a detection set the objects, while their picture stays; of masks the pixels, which are void
    then; of a set with one label a picture the picture; of several labels a picture those labels. Labels of the model's
    that no class of the set is, are unknown where a picture has several. Boxes that were two classes and are one now
    are taken once.

    Args:
        dataset: with its own classes; where they have numbers alone, those are their names.
        classes: the model's names, in the order of its logits.
        given: the map.
        strict: refuse a map that names what neither side has.

    Raises:
        UsageError: a class with pictures or objects that is mapped onto nothing, nothing left, no labels at all, or
            as `ClassMap.places`.
    """
    names = dataset.classes or _numbers(dataset)
    if not classes:
        raise UsageError("The model has no classes that a map could name.", got=given.text(), fix="leave --map out")
    if not names:
        raise UsageError("The data has no labels that a map could name.", got=f"layout {dataset.layout!r}")
    places = given.places(names, classes, strict)
    counts = Counter[int]()
    masks = any(sample.mask is not None for sample in dataset)
    for sample in track(dataset, "counting pixels") if masks else dataset:
        counts.update(_pixels_of(sample) if masks else _labels_of(sample))
    unit = "pixels" if masks else "objects" if dataset.any_boxed else "pictures"
    nowhere = [i for i in places.nowhere if counts[i]]
    if nowhere:
        unknown = [names[i] for i in nowhere]
        raise UsageError(
            "The data has classes that are none of the model's.",
            got=f"{len(nowhere)} of {len(names)}: "
            + some([f"{names[i]} ({count_of(counts[i], unit.removesuffix('s'))})" for i in nowhere], 10),
            expected="one of " + some(classes, 10),
            fix=proposal(unknown, classes, given),
        )
    samples, twice = [], 0
    for sample in dataset:
        moved, doubled = _moved(sample, places, len(names), len(classes))
        twice += doubled
        samples += [moved] if moved is not None else []
    if not samples:
        raise UsageError("The map leaves no picture.", got=given.text(), expected="a class of the data that is kept")
    notes = (*dataset.notes, *_notes(names, classes, places, counts, unit))
    if twice:
        notes += (f"{count_of(twice, 'box')} dropped: classes that are one now have the same box",)
    return replace(dataset, samples=tuple(samples), classes=tuple(classes), notes=notes)


def _numbers(dataset: Dataset) -> tuple[str, ...]:
    """Class indices as names, of a set that has nothing else; those that do not occur are in nobody's way."""
    highest = max((i for sample in dataset for i in _labels_of(sample)), default=-1)
    return tuple(map(str, range(highest + 1)))


def _labels_of(sample: Sample) -> list[int]:
    arrays = [a.tolist() for a in (sample.box_labels, sample.ignored_labels) if a is not None]
    single = [] if sample.label is None else [sample.label]
    return [*single, *(sample.labels or ()), *(i for part in arrays for i in part)]


def _pixels_of(sample: Sample) -> dict[int, int]:
    """How many pixels of a mask each class has; void is none."""
    if sample.mask is None:
        return {}
    found, counted = np.unique(sample.read_mask(), return_counts=True)
    return {int(i): int(n) for i, n in zip(found, counted, strict=True) if i != VOID}


Mask = MaskFile | MaskStack | DrawnMask | NDArray[np.int16]


def _moved_mask(mask: Mask, places: Places, names: int) -> Mask:
    """The mask under the model's indices; what is left out is void."""
    if isinstance(mask, MaskFile):
        own = mask.classes if mask.classes is not None else {**{i: i for i in range(names)}, 255: VOID}
        return replace(mask, classes={value: places.found.get(index, VOID) for value, index in own.items()})
    table = np.array([places.found.get(i, VOID) for i in range(names)] + [VOID], np.int16)  # the last is void's
    return table[mask] if isinstance(mask, np.ndarray) else mask.moved(table.tolist())


def _moved(sample: Sample, places: Places, names: int, count: int) -> tuple[Sample | None, int]:
    """The sample under the model's indices, None where it is left out, and how many boxes were the same."""
    found = places.found
    if sample.mask is not None:
        return replace(sample, mask=_moved_mask(sample.mask, places, names)), 0
    if sample.label is not None:
        return (replace(sample, label=found[sample.label]) if sample.label in found else None), 0
    if sample.labels is not None:
        there = {found[i] for i in sample.labels if i in found}
        told = set(found.values()) - {found[i] for i in sample.unknown_labels if i in found}
        unknown = set(range(count)) - told - there
        return replace(sample, labels=tuple(sorted(there)), unknown_labels=tuple(sorted(unknown))), 0
    if sample.boxes is None or sample.box_labels is None:
        return sample, 0
    kept, labels, twice = _kept(sample.boxes, sample.box_labels, places)
    new: dict[str, Any] = {"boxes": sample.boxes[kept], "box_labels": labels}
    if sample.box_areas is not None:
        new["box_areas"] = sample.box_areas[kept]
    if sample.exact_boxes is not None:
        new["exact_boxes"] = sample.exact_boxes[kept]
    if sample.ignored_boxes is not None and sample.ignored_labels is not None:
        aside, aside_labels, _ = _kept(sample.ignored_boxes, sample.ignored_labels, places)
        none = not len(aside)
        new["ignored_boxes"] = None if none else sample.ignored_boxes[aside]
        new["ignored_labels"] = None if none else aside_labels
        new["exact_ignored"] = None if sample.exact_ignored is None else sample.exact_ignored[aside]
    return replace(sample, **new), twice


def _kept(
    boxes: NDArray[np.float32], labels: NDArray[np.int64], places: Places
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Which boxes stay, under which labels, and how many of the others were the same as one that stays."""
    seen: dict[tuple[int, bytes], int] = {}
    doubled = 0
    for i, label in enumerate(labels.tolist()):
        if label in places.found:
            key = (places.found[label], boxes[i].tobytes())
            doubled += key in seen
            seen.setdefault(key, i)
    kept = np.array(list(seen.values()), dtype=np.int64)
    return kept, np.array([label for label, _ in seen], dtype=np.int64), doubled


def _notes(
    names: Sequence[str], classes: Sequence[str], places: Places, counts: Counter[int], unit: str
) -> tuple[str, ...]:
    """What is called differently, what was left out with how much, and which of the model's classes the set lacks."""
    other = [f"{names[i]} as {classes[place]}" for i, place in places.found.items() if names[i] != classes[place]]
    notes: tuple[str, ...] = (f"classes by the map: {some(other, 20)}",) if other else ()
    left = sorted((i for i in places.left if counts[i]), key=lambda i: -counts[i])
    if left:
        of = f"{sum(counts[i] for i in left)} of {sum(counts.values())} {unit}"
        told = some([f"{names[i]} {counts[i]}" for i in left], 10)
        notes += (f"left out by the map: {of}, of {len(left)} of {count_of(len(names), 'class')}: {told}",)
    there = {place for i, place in places.found.items() if counts[i]}
    absent = [name for i, name in enumerate(classes) if i not in there]
    if absent:
        notes += (f"{len(absent)} of the model's {len(classes)} classes have no {unit}: {some(absent)}",)
    return notes
