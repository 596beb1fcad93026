"""Which pictures of two data sets are the same picture, saved, sized, lit or cut differently."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.data.looks import ALIKE, Looks, alike, looks
from edgekit.data.sample import Dataset
from edgekit.errors import DataError
from edgekit.screen import count_of, some


@dataclass(frozen=True)
class Likeness:
    """Pairs of pictures of two data sets that look alike.

    Attributes:
        pairs: (name in a, name in b, correlation of their details), the most alike first.
        a, b: how many pictures of each are in a pair.
        unread: pictures that could not be decoded, and so were not compared.
    """

    pairs: tuple[tuple[str, str, float], ...]
    a: int
    b: int
    unread: tuple[str, ...] = ()

    def warning(self, held: str = "validation", kept: str = "training") -> str | None:
        """One sentence for people, or None where nothing looks alike."""
        if not self.pairs:
            return None
        best: dict[str, str] = {}
        for x, y, how in self.pairs:
            best.setdefault(y, f"{y} ~ {x} ({how:.2f})")
        return (
            f"WARNING: {count_of(self.b, f'{held} picture')} nearly the same as one of {kept}, copies or frames of one "
            f"view, so the estimate is too good: {some(list(best.values()))}. "
            "Split by group: edgekit.data.split_by_group"
        )


def near_duplicates(a: Dataset, b: Dataset, least: float = ALIKE) -> Likeness:
    """The pictures of `b` that are nearly the same as one of `a`: details that correlate by `least` or more.

    Found are copies that were compressed, sized, lit or cut (up to a tenth) differently, and frames of one still view
    in which little moved. Not found are mirrored and turned copies, and frames of one clip that differ more: those
    only a group by name keeps apart (`split_by_group`). docs/data.md has how often it errs.
    """
    looks_a, looks_b = looks(a.samples), looks(b.samples)
    found: dict[tuple[int, int], float] = {}
    for x, y, turned in ((looks_a, looks_b, False), (looks_b, looks_a, True)):
        for i, others, how in alike(x, y, least):
            for j, much in zip(others.tolist(), how.tolist(), strict=True):
                pair = (j, i) if turned else (i, j)
                found[pair] = max(much, found.get(pair, -1.0))
    pairs = [(a.samples[looks_a.at[i]].name, b.samples[looks_b.at[j]].name, m) for (i, j), m in found.items()]
    pairs.sort(key=lambda pair: (-pair[2], pair[1], pair[0]))
    return Likeness(
        tuple(pairs), len({i for i, _ in found}), len({j for _, j in found}), (*looks_a.unread, *looks_b.unread)
    )


def without_near_duplicates(dataset: Dataset, other: Dataset, least: float = ALIKE) -> Dataset:
    """`dataset` without the pictures that look like one of `other`, as `near_duplicates` has it.

    Raises:
        DataError: none is left.
    """
    same = {name for _, name, _ in near_duplicates(other, dataset, least).pairs}
    samples = tuple(s for s in dataset if s.name not in same)
    if not samples:
        raise DataError(
            "Every picture looks like one of the split to keep apart from.",
            got=f"{len(dataset)} of {len(dataset)}",
            expected="some that do not",
        )
    note = f"{len(same)} of {len(dataset)} pictures look like one of the other split, left out: {some(sorted(same))}"
    return replace(dataset, samples=samples, notes=(*dataset.notes, note))


def components(seen: Looks, least: float = ALIKE) -> NDArray[np.intp]:
    """int [H]: the lowest index of those that each picture is linked with, from one like it to the next."""
    parent = np.arange(len(seen.bits))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for i, others, _ in alike(seen, seen, least):
        for j in others.tolist():
            one, other = root(i), root(j)
            parent[max(one, other)] = min(one, other)
    return np.array([root(i) for i in range(len(parent))], dtype=np.intp)
