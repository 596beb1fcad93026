"""Splits that keep together what was taken together: by site, clip, day or likeness, never by single frame.

Frames of one clip are nearly the same picture. With some of them in training, validation measures memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekit.data.likeness import components
from edgekit.data.looks import ALIKE, looks
from edgekit.data.sample import Dataset, Sample
from edgekit.errors import DataError, UsageError
from edgekit.screen import count_of, some

Group = Callable[[Sample], str]


def by_folder(sample: Sample) -> str:
    """The folder that the sample lies in, for data kept as one folder a site, day or clip."""
    return sample.name.rpartition("/")[0]


def by_pattern(pattern: str) -> Group:
    """What `pattern` (a regular expression) finds in a sample's name: its first group, else all that matches.

    `by_pattern(r"site(\\d+)")` groups by site, `by_pattern(r"^(.*?)_\\d+\\.")` by what stands before a frame's number.

    Raises:
        UsageError: no regular expression. The group raises DataError for a name that it does not fit.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError("The pattern is not a regular expression.", got=f"{pattern!r}: {error}") from error

    def group(sample: Sample) -> str:
        match = compiled.search(sample.name)
        if match is None:
            raise DataError("A picture's name does not fit the pattern.", got=sample.name, expected=pattern)
        found = match.group(1) if compiled.groups else match.group(0)
        return found if found is not None else ""

    return group


def split_by_group(
    dataset: Dataset, fraction: float, seed: int, group: Group | None = None, least: float | None = ALIKE
) -> tuple[Dataset, Dataset]:
    """(kept, held out), with about `fraction` of the pictures held out and no group on both sides.

    Pictures with the same `group` stay together, and so do pictures that look alike (see `near_duplicates`), also
    across groups. As far as the groups allow it both sides have the same share of every class (objects for
    detection, pictures for classification) and of pictures without objects. The same arguments give the same split.

    Args:
        fraction: 0..1 exclusive.
        seed: 0 or more.
        group: `by_folder`, `by_pattern(...)` or any function of a sample.
        least: how alike two pictures must be to stay together, or None to go by `group` alone: no picture is read.

    Raises:
        UsageError: a fraction, seed or likeness out of range, or neither a group nor a likeness.
        DataError: all pictures are one group.
    """
    if not 0 < fraction < 1 or seed < 0 or (least is not None and not 0 < least <= 1):
        got = f"fraction={fraction}, seed={seed}, least={least}"
        raise UsageError(
            "The split cannot be made with these values.",
            got=got,
            expected="0 < fraction < 1, seed >= 0, 0 < least <= 1",
        )
    if group is None and least is None:
        raise UsageError("Nothing says what belongs together.", expected="a group function, a likeness, or both")
    groups, notes = _groups(dataset, group, least)
    sizes = np.bincount(groups)
    if len(sizes) < 2:
        raise DataError(
            "All pictures belong together, so none can be held out.",
            got=f"one group of {count_of(len(dataset), 'picture')}",
            expected="at least two groups",
            fix="use a finer group, or a likeness nearer to 1",
        )
    held = _choose(_counts(dataset), groups, fraction, np.random.default_rng(seed))[groups]
    largest = f"{count_of(len(sizes), 'group')}, the largest of {count_of(sizes.max(), 'picture')}"
    result = []
    for side, what in ((~held, "kept"), (held, "held out")):
        samples = tuple(s for s, mine in zip(dataset.samples, side, strict=True) if mine)
        part = replace(dataset, samples=samples)
        said = f"{len(samples)} of {len(dataset)} pictures {what} by group (seed {seed}; {largest}): {_classes(part)}"
        result.append(replace(part, notes=(*dataset.notes, *notes, said)))
    return result[0], result[1]


def _groups(dataset: Dataset, group: Group | None, least: float | None) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """int [N], 0..G-1 in the order of first appearance; and what was done, in sentences."""
    keys = np.arange(len(dataset))
    if group is not None:
        first: dict[str, int] = {}
        keys = np.array([first.setdefault(group(s), i) for i, s in enumerate(dataset)], dtype=np.intp)
    said = [] if group is None else [f"by the group in their names {count_of(len(set(keys.tolist())), 'group')}"]
    notes: tuple[str, ...] = ()
    if least is not None:
        seen = looks(dataset.samples)
        if seen.unread:
            notes = (f"{len(seen.unread)} could not be decoded, and were not compared: {some(seen.unread)}",)
        # both kinds of bond are edges of one graph; the lowest index travels along them until nothing changes
        linked = np.arange(len(dataset))
        if len(seen.at):
            linked[seen.at] = seen.at[components(seen, least)]
        sizes = np.bincount(linked)
        said.append(
            f"{count_of(int(sizes[sizes > 1].sum()), 'picture')} nearly the same as another in "
            f"{count_of(int((sizes > 1).sum()), 'group')}"
        )
        keys = _joined(keys, linked)
    nothing = "; frames of one clip or place that differ more were not, no group says which they are"
    notes = (f"kept together: {', '.join(said)}{nothing if group is None else ''}", *notes)
    return np.unique(keys, return_inverse=True)[1].reshape(-1), notes


def _joined(a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.intp]:
    """The lowest index of each set of pictures that either partition, alone or in turn, keeps together."""
    lowest = np.arange(len(a))
    while True:
        before = lowest
        for part in (a, b):
            least = np.full(len(lowest), len(lowest))
            np.minimum.at(least, part, lowest)
            lowest = least[part]
        if (lowest == before).all():
            return lowest


def _counts(dataset: Dataset) -> NDArray[np.float64]:
    """float64 [N, F]: what should be spread evenly, a column each: classes, and pictures without objects."""
    labels = [np.array([s.label]) if s.box_labels is None and s.label is not None else s.box_labels for s in dataset]
    largest = max((int(x.max()) for x in labels if x is not None and len(x)), default=0)
    rows = np.zeros((len(dataset), largest + 2))
    for row, mine in zip(rows, labels, strict=True):
        if mine is None or not len(mine):
            row[-1] = 1
        else:
            row[:-1] = np.bincount(mine, minlength=largest + 1)
    return rows[:, rows.any(axis=0)]


def _choose(
    counts: NDArray[np.float64], groups: NDArray[np.intp], fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """bool [G], held out. The largest group first, each to the side that leaves both filled most alike.

    Source: the idea of scikit-learn's StratifiedGroupKFold, for two sides of unequal size.
    """
    features = np.hstack([counts, np.ones((len(counts), 1))])
    of_group = np.zeros((int(groups.max()) + 1, features.shape[1]))
    np.add.at(of_group, groups, features)
    of_group /= features.sum(axis=0)  # parts of the whole, per feature
    weight = np.ones(features.shape[1])
    weight[-1] = max(1, features.shape[1] - 1)  # the number of pictures counts as much as all classes together
    held = np.zeros(len(of_group), dtype=np.bool_)
    filled = np.zeros((2, features.shape[1]))  # kept, held: how much of its share each side has
    shares = np.array([1 - fraction, fraction])
    shuffled = rng.permutation(len(of_group))
    for g in shuffled[np.argsort(-of_group[shuffled, -1], kind="stable")]:
        apart = filled[1] - filled[0]
        if_held, if_kept = apart + of_group[g] / fraction, apart - of_group[g] / (1 - fraction)
        held[g] = (weight * if_held**2).sum() < (weight * if_kept**2).sum()
        filled[int(held[g])] += of_group[g] / shares[int(held[g])]
    if held.all() or not held.any():
        held[shuffled[np.argmin(of_group[shuffled, -1])]] ^= True  # both sides need one: the smallest group
    return held


def _classes(dataset: Dataset) -> str:
    if dataset.any_boxed:
        counted = dict(enumerate(dataset.box_counts))
    else:
        counted = dict(sorted(Counter(s.label for s in dataset if s.label is not None).items()))
    names = dataset.classes
    parts = [f"{names[i] if names else i} {n}" for i, n in counted.items()]
    return some(parts, 12) or "no labels"
