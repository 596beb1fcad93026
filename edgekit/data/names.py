"""Names of classes and of splits, as people write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from edgekit.reading import exists
from edgekit.screen import count_of

# What layouts call their splits, in the order in which a held-out one is looked for
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_SPLIT = re.compile(rf"({'|'.join(n for names in SPLITS.values() for n in names)})(?:[ _-]?(?:set|data|split))?")
ALL = "all"


def plain(name: str) -> str:
    """A class name without spaces around it, in Unicode's composed form (NFC): macOS hands out the other one."""
    return unicodedata.normalize("NFC", name).strip()


def split_of(name: str) -> str | None:
    """`train`, `val` or `test`, if a folder or list of this name is one: Train, VALIDATION, valid, test_set."""
    match = _SPLIT.fullmatch(plain(name).casefold())
    return next(split for split, names in SPLITS.items() if match.group(1) in names) if match else None


def alike(names: Iterable[str]) -> tuple[str, ...]:
    """A warning for each set of different class names that differ in case alone."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(plain(name).casefold(), []).append(name)
    return tuple(
        f"WARNING: the classes {' and '.join(repr(n) for n in group)} differ in case alone and count as "
        f"{count_of(len(group), 'class')}: give them one name if they are one"
        for group in groups.values()
        if len(group) > 1
    )


def written_differently(written: Iterable[str]) -> tuple[str, ...]:
    """A warning about class names that `plain` changes, with those that it makes one, or none."""
    changed = [f"{name!a} is taken as {plain(name)!r}" for name in dict.fromkeys(written) if plain(name) != name]
    if not changed:
        return ()
    return ("WARNING: class names in another Unicode form than NFC, or with spaces around them: " + ", ".join(changed),)


def existing(path: Path) -> Path:
    """`path`, or the file whose name is the same in another Unicode form, where only that is there."""
    if path.name.isascii() or exists(path):
        return path
    forms = (path.with_name(unicodedata.normalize(form, path.name)) for form in ("NFC", "NFD"))
    return next((other for other in forms if exists(other)), path)
