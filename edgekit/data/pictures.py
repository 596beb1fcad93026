"""A folder of pictures without labels, or one picture; and the check of headers every layout makes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgekit.data.sample import Dataset, Sample
from edgekit.errors import DataError
from edgekit.progress import track
from edgekit.screen import count_of, some
from edgekit.vision.clutter import clutter_note
from edgekit.vision.find import SUFFIXES, convertible, scan
from edgekit.vision.image import picture_problem


def load_pictures(path: Path) -> Dataset:
    """Every picture below the folder `path`, sorted, without labels. Raises DataError if there is none."""
    if path.is_file():
        samples, notes = readable([Sample(path, None, None)])
        return Dataset(samples, None, "pictures", notes)
    pictures, others, clutter = scan(path)
    if not pictures:
        raise DataError(
            f"{path} holds no pictures.",
            got=count_of(len(others), "other file"),
            expected="files ending in " + " ".join(sorted(SUFFIXES)),
            fix=convertible(others),
        )
    samples, notes = readable(Sample(p, None, None, p.relative_to(path).as_posix()) for p in pictures)
    notes = (*clutter_note(clutter, path), *notes, *no_pictures(others, path))
    return Dataset(samples, None, "pictures", notes)


def readable(samples: Iterable[Sample]) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """The samples whose file begins as a picture does, and a note that lists the others.

    Only headers are read, 0.1 ms a file: a picture that is cut off later on raises PictureError when it is read.

    Raises:
        DataError: none is left.
    """
    good: list[Sample] = []
    bad: list[str] = []
    for sample in track(samples, "looking at files"):
        problem = None if sample.path is None else picture_problem(sample.path)
        if problem is None:
            good.append(sample)
        else:
            bad.append(f"{sample.name} ({problem})")
    if not good:
        raise DataError(
            "None of the pictures can be read.",
            got=some(bad),
            expected="at least one picture",
            fix="copy them again",
        )
    return tuple(good), (f"{len(bad)} unreadable, left out: {some(bad)}",) if bad else ()


def left_out(files: Iterable[Path], root: Path, why: str) -> tuple[str, ...]:
    """The note about files that were not used, or none."""
    names = [f.relative_to(root).as_posix() if f.is_relative_to(root) else f.name for f in files]
    return (f"{len(names)} left out, {why}: {some(names)}",) if names else ()


def no_pictures(files: Sequence[Path], root: Path) -> tuple[str, ...]:
    """The note about files whose suffix is of no picture that is read, with what to do about those that are one."""
    fix = convertible(files)
    return tuple(
        note + f" ({fix})" * (fix is not None) for note in left_out(files, root, "not pictures by their suffix")
    )


def in_two_classes(samples: Sequence[Sample], names: Sequence[str] | None) -> tuple[str, ...]:
    """A warning about pictures whose files are equal, byte by byte, and labelled differently, or none.

    Only files of equal size are read.
    """
    sizes: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.path is not None and sample.label is not None:
            sizes.setdefault(sample.path.stat().st_size, []).append(sample)
    pairs = []
    for same in sizes.values():
        if len({s.label for s in same}) < 2:
            continue
        first: dict[str, Sample] = {}
        for sample in same:
            other = first.setdefault(sample.content(), sample)
            if other.label != sample.label:
                of = [str(s.label) if names is None else names[s.label or 0] for s in (other, sample)]
                pairs.append(f"{other.name} ({of[0]}) = {sample.name} ({of[1]})")
    if not pairs:
        return ()
    return (f"WARNING: {count_of(len(pairs), 'picture')} in two classes: {some(pairs)}. One of the labels is wrong",)
