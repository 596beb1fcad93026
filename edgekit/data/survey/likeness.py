"""Pictures of a data set that are nearly the same: in one split, where they are frames, and in two, where they leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgekit.data.looks import Looks, alike, looks
from edgekit.data.sample import Dataset
from edgekit.progress import track
from edgekit.screen import count_of, some

MOST = 10_000  # pictures that are compared with one another; 5,000 took 34 s of one core, twice as many take four times
_AT_ONCE = 50


@dataclass(frozen=True)
class Pair:
    """Two pictures of two splits that are nearly the same: split and name of each, and how their details correlate."""

    split: str
    name: str
    other_split: str
    other: str
    correlation: float


@dataclass(frozen=True)
class Alike:
    """Pictures that are nearly the same.

    Attributes:
        groups: how many groups of them lie within one split.
        pictures: how many pictures those have.
        between: those in two splits, the most alike first; the split that comes first, training, is `split`.
        unread: names of those that could not be decoded.
        compared, decoded: how many were compared with one another, of how many.
    """

    groups: int
    pictures: int
    between: tuple[Pair, ...]
    unread: tuple[str, ...]
    compared: int
    decoded: int


def look_alike(parts: Mapping[str, Dataset], most: int = MOST) -> Alike:
    """Decodes every picture, and compares up to `most` of them, spread evenly, as `near_duplicates` does."""
    flat = [(split, sample) for split, part in parts.items() for sample in part]
    every = looks([sample for _, sample in flat])
    seen = every if len(every.at) <= most else _some(every, np.arange(most) * len(every.at) // most)
    named = [(flat[i][0], flat[i][1].name) for i in seen.at.tolist()]
    group = list(range(len(named)))  # of each picture the lowest one that it is linked with, in its split
    between: dict[tuple[int, int], float] = {}
    for i, j, much in _pairs(seen):
        if named[i][0] != named[j][0]:
            between[i, j] = max(much, between.get((i, j), -1.0))
        else:
            one, other = _root(group, i), _root(group, j)
            group[max(one, other)] = min(one, other)
    pairs = [Pair(*named[i], *named[j], round(much, 4)) for (i, j), much in between.items()]
    pairs.sort(key=lambda pair: (-pair.correlation, pair.name, pair.other))
    sizes = [n for n in Counter(_root(group, i) for i in range(len(group))).values() if n > 1]
    return Alike(len(sizes), sum(sizes), tuple(pairs), every.unread, len(named), len(every.at))


def problems_of(found: Alike) -> tuple[str, ...]:
    """Warnings about pictures that cannot be decoded, or are in two splits, and what was not compared."""
    told: list[str] = []
    if found.unread:
        told.append(f"WARNING: {count_of(len(found.unread), 'picture')} that cannot be decoded: {some(found.unread)}")
    of: dict[tuple[str, str], dict[str, str]] = {}
    for pair in found.between:
        text = f"{pair.other} ~ {pair.name} ({pair.correlation:.2f})"
        of.setdefault((pair.split, pair.other_split), {}).setdefault(pair.other, text)
    for (split, other), pictures in of.items():
        told.append(
            f"WARNING: {count_of(len(pictures), 'picture')} of {other} nearly the same as one of {split}, copies or "
            f"frames of one view, so a figure measured there is too good: {some(list(pictures.values()))}"
        )
    if found.compared < found.decoded:
        told.append(
            f"{found.compared} of {count_of(found.decoded, 'picture')}, spread evenly, were compared for likeness"
        )
    return tuple(told)


def _pairs(seen: Looks) -> Iterator[tuple[int, int, float]]:
    """Which pictures are the same: i < j, and how much; a pair may come twice."""
    for start in track(range(0, len(seen.at), _AT_ONCE), "comparing pictures with one another"):
        some_of = _some(seen, np.arange(start, min(start + _AT_ONCE, len(seen.at))))
        for i, others, how in alike(some_of, seen):
            for j, much in zip(others.tolist(), how.tolist(), strict=True):
                if j != start + i:
                    yield min(start + i, j), max(start + i, j), much


def _some(seen: Looks, chosen: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Looks:
    return replace(seen, bits=seen.bits[chosen], small=seen.small[chosen], at=seen.at[chosen])


def _root(group: list[int], i: int) -> int:
    while group[i] != i:
        group[i] = group[group[i]]
        i = group[i]
    return i
