"""What pictures are called where they are written: each otherwise, in characters that every layout holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from edgekit.data.names import plain
from edgekit.data.sample import Sample


def file_names(samples: Sequence[Sample]) -> list[str]:
    """A file name for each sample, in their order: its own where no other has it.

    Names that are the same but for case or suffix, which label files and other systems do not tell apart, get the
    folders before them (`a/x.jpg` becomes `a_x.jpg`), then a number. A sample without a file becomes a PNG.
    """
    wishes = [_clean(PurePosixPath(sample.name).name) for sample in samples]
    counts: dict[str, int] = {}
    for wish in wishes:
        counts[_key(wish)] = counts.get(_key(wish), 0) + 1
    taken: set[str] = {_key(wish) for wish in wishes if counts[_key(wish)] == 1}
    found = []
    for i, (sample, wish) in enumerate(zip(samples, wishes, strict=True)):
        suffix = ".png" if sample.path is None else sample.path.suffix
        name = wish if PurePosixPath(wish).suffix.lower() == suffix.lower() else f"{wish}{suffix}"
        if counts[_key(wish)] > 1:
            parts = [p for p in PurePosixPath(sample.name).parts if p not in ("/", "..", "images", "JPEGImages")]
            name = _clean("_".join(parts)) if parts else name
            if not name.lower().endswith(suffix.lower()):
                name += suffix
            stem = PurePosixPath(name).stem
            number = 1
            while _key(name) in taken:
                number += 1
                name = f"{stem}-{number}{suffix}"
            taken.add(_key(name))
        found.append(name or f"{i}{suffix}")
    return found


def _key(name: str) -> str:
    return PurePosixPath(name).stem.casefold()


def _clean(name: str) -> str:
    """Composed (NFC), without blanks around its stem, and `_` for what lists, XML or other systems cannot hold."""
    kept = "".join(c if c.isprintable() and c not in '\\/:*?"<>|' else "_" for c in plain(name))
    stem, dot, suffix = kept.rpartition(".")
    return f"{stem.strip()}{dot}{suffix}" if dot else kept
