"""What is wrong with a data set beyond what reading it said: copies, leaks, classes without objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from edgekit.data import clips
from edgekit.data.names import split_of
from edgekit.data.sample import Dataset, Sample
from edgekit.data.survey.measures import Counts
from edgekit.progress import track
from edgekit.screen import count_of, some

_RARE = 20  # times as many of one class as of another are worth a word


def copies(parts: Mapping[str, Dataset]) -> tuple[str, ...]:
    """Warnings about files that are equal, byte by byte: in two splits, or labelled differently; else a count."""
    flat = [(split, sample) for split, part in parts.items() for sample in part]
    between: list[str] = []
    within: list[str] = []
    other: list[str] = []
    for same in _equal(flat):
        (split, first), *rest = same
        for where, sample in rest:
            text = f"{_called(where, sample, parts)} = {_called(split, first, parts)}"
            (within if where == split else between).append(text)
            if not _labelled_alike(first, sample):
                other.append(text)
    found: list[str] = []
    if between:
        found.append(
            f"WARNING: {count_of(len(between), 'picture')} in two splits, byte by byte, so a figure measured on one of "
            f"them is too good: {some(between)}"
        )
    if other:
        found.append(f"WARNING: {count_of(len(other), 'picture')} there twice with different labels: {some(other)}")
    if within:
        found.append(f"{count_of(len(within), 'picture')} there again in the same split, byte by byte: {some(within)}")
    return tuple(found)


def class_problems(parts: Mapping[str, Dataset], counts: Mapping[str, Counts]) -> tuple[str, ...]:
    """Warnings about classes that have nothing, that are absent from a split, or rare."""
    total: Counter[str] = Counter()
    for one in counts.values():
        total.update(one.classes)
    if not any(total.values()):
        return ()
    boxed = all(part.any_boxed for part in parts.values())
    unit = "objects" if boxed else "pictures"
    names = list(dict.fromkeys(name for one in counts.values() for name in one.classes))
    empty = [name for name in names if not total[name]]
    found = []
    if empty:
        found.append(f"WARNING: {len(empty)} of {len(names)} classes have no {unit}: {some(empty, 10)}")
    for split, one in counts.items():
        absent = [name for name in names if total[name] and not one.classes.get(name)]
        if absent and len(counts) > 1:
            train = split_of(split) == "train"
            why = "nothing is learnt of them" if train else "how well they are recognised is not measured there"
            found.append(f"WARNING: {split} has no {unit} of {some(absent)}: {why}")
    there = sorted((n, name) for name, n in total.items() if n)
    many, common = there[-1]
    rare = [f"{name} {n}" for n, name in there if _RARE * n <= many]
    if rare:
        found.append(
            f"WARNING: {count_of(len(rare), 'class')} with a twentieth of the {many} {unit} of {common} or fewer: "
            f"{some(rare)}"
        )
    return tuple(found)


def clips_between(parts: Mapping[str, Dataset]) -> tuple[str, ...]:
    """The warning about clips, by names of files, that training shares with a held-out split, or none."""
    train = next((part for split, part in parts.items() if split_of(split) == "train"), None)
    held = next((part for split, part in parts.items() if split_of(split) in ("val", "test")), None)
    return () if train is None or held is None else clips.shared(train, held)


def _equal(flat: Sequence[tuple[str, Sample]]) -> list[list[tuple[str, Sample]]]:
    """Groups of two or more whose files are equal; only files of equal size are read."""
    sizes: dict[int, list[tuple[str, Sample]]] = {}
    for split, sample in flat:
        if sample.path is not None:
            sizes.setdefault(sample.path.stat().st_size, []).append((split, sample))
    groups: dict[str, list[tuple[str, Sample]]] = {}
    for same in track(list(sizes.values()), "looking for copies"):
        if len(same) > 1:
            for split, sample in same:
                groups.setdefault(sample.content(), []).append((split, sample))
    return [group for group in groups.values() if len(group) > 1]


def _labelled_alike(one: Sample, other: Sample) -> bool:
    if (one.label, one.labels) != (other.label, other.labels):
        return False
    if one.boxes is None or other.boxes is None or one.box_labels is None or other.box_labels is None:
        return (one.boxes is None) == (other.boxes is None)
    mine, theirs = (
        sorted(zip(s.box_labels.tolist(), s.boxes.round(1).tolist(), strict=True))  # type: ignore[union-attr]
        for s in (one, other)
    )
    return mine == theirs


def _called(split: str, sample: Sample, parts: Mapping[str, Dataset]) -> str:
    """A picture's name, with its split where the name does not begin with it."""
    said = len(parts) < 2 or (split_of(split) or split) in [split_of(p) or p for p in sample.name.split("/")]
    return sample.name if said else f"{split}: {sample.name}"
