"""Which picture a label file means: by a path of another computer, an address, or a bare name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from edgekit.data.layouts.files.split_names import split_of_path
from edgekit.data.names import plain

# what Label Studio puts before the name of an uploaded picture: 8 digits of a UUID or a whole one
_UPLOADED = re.compile(r"^(?:[0-9a-f]{8}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-|__)(?=.)", re.IGNORECASE)
SEVERAL = "several pictures of this name"
_MASKS = re.compile(r"(?i)(?:.*_)?masks?|segmentation(?:class|object)|trimaps?|.*annot|.*_labels")


class Pictures:
    """The pictures of a data set, found again by what a label file calls them.

    Args:
        root: the data set's folder.
        pictures: all below it.
    """

    def __init__(self, root: Path, pictures: Sequence[Path]) -> None:
        self.root = root
        self.all = list(pictures)
        self._names: dict[str, list[Path]] = {}
        self._stems: dict[str, list[Path]] = {}
        self._frames: dict[int, list[Path]] = {}
        self._sorted = sorted(pictures)
        for picture in pictures:
            name = plain(picture.name).casefold()
            bare = _UPLOADED.sub("", name)
            for key in {name, bare}:
                self._names.setdefault(key, []).append(picture)
                self._stems.setdefault(key.rpartition(".")[0], []).append(picture)
            if digits := re.findall(r"\d+", picture.stem):
                self._frames.setdefault(int(digits[-1][-15:]), []).append(picture)

    def find(self, ways: Iterable[str], file: Path, split: str = "") -> Path | str:
        """The picture, by the first of `ways` (see `Entry.pictures`) that finds one; else why there is none.

        Args:
            file: the label file; of several pictures of one name the one that shares most folders with it is taken.
            split: what the label file is of; of several pictures those in a folder of it are taken.
        """
        why = ""
        for way in ways:
            found = self._find(way, file, split)
            if isinstance(found, Path):
                return found
            why = why or found
        return why or "no such picture"

    def _find(self, way: str, file: Path, split: str) -> Path | str:
        if re.fullmatch(r"#\d{1,9}", way):
            return self._frame(int(way[1:]), file, split)
        names = [file.name, *_inner(file.name)] if not way else [*_ways(way)]
        for name in names:
            for base in (file.parent, self.root):
                at = base / name
                if ".." not in Path(name).parts and not Path(name).is_absolute() and self._has(at):
                    return at
        for name in names:
            parts = [part for part in name.split("/") if part not in ("", ".", "..")]
            if not parts:
                continue
            key = plain(parts[-1]).casefold()
            stem = key.rpartition(".")[0]
            keys = ((self._names, key), (self._stems, key), (self._stems, stem))
            for table, tried in keys[1:] if name == file.name else keys:  # a label file's own name is no picture's
                for wanted in dict.fromkeys((tried, _UPLOADED.sub("", tried))):
                    if wanted and (candidates := table.get(wanted)):
                        return self._nearest(candidates, parts, file, split)
        return "no such picture"

    def _has(self, path: Path) -> bool:
        return path in self._names.get(plain(path.name).casefold(), ())

    def _frame(self, number: int, file: Path, split: str) -> Path | str:
        """The picture with this number at the end of its name; else, by their order, the one so far from the first."""
        if found := self._frames.get(number):
            return self._nearest(found, [], file, split)
        if not self._frames and number < len(self._sorted):
            return self._sorted[number]
        return f"no picture of frame {number}"

    def _nearest(self, candidates: Sequence[Path], parts: Sequence[str], file: Path, split: str) -> Path | str:
        if len(candidates) > 1:
            inside = [p for p in candidates if not any(_MASKS.fullmatch(part) for part in self._folders(p))]
            candidates = inside or candidates
            mine = [p for p in candidates if split and split_of_path(p, self.root, name_says=False) == split]
            candidates = mine or candidates
        scored = sorted(((self._score(p, parts, file), p) for p in candidates), reverse=True)
        if len(scored) > 1 and scored[0][0] == scored[1][0]:
            return f"{SEVERAL}: {self._name(scored[1][1])} and {self._name(scored[0][1])}"
        return scored[0][1]

    def _score(self, picture: Path, parts: Sequence[str], file: Path) -> tuple[int, bool, int, bool]:
        """How much its path is the written one, beside the label file, how many folders both share, equal in case."""
        own = [*self._folders(picture), picture.name]
        same = 0
        for mine, theirs in zip(reversed(own[:-1]), reversed(parts[:-1]), strict=False):
            if mine.casefold() != theirs.casefold():
                break
            same += 1
        folders = file.relative_to(self.root).parent.parts if file.is_relative_to(self.root) else ()
        shared = len({p.casefold() for p in own[:-1]} & {p.casefold() for p in folders})
        return same, picture.parent == file.parent, shared, bool(parts) and picture.name == parts[-1]

    def _folders(self, picture: Path) -> tuple[str, ...]:
        return picture.relative_to(self.root).parent.parts

    def _name(self, picture: Path) -> str:
        return picture.relative_to(self.root).as_posix()


def _inner(name: str) -> Iterator[str]:
    """`x.jpg` for `x.jpg.json`, as some programs call their labels."""
    stem = name.rpartition(".")[0]
    if "." in stem:
        yield stem


def _ways(written: str) -> Iterator[str]:
    """A picture as written, then without what addresses and other systems add to it."""
    text = plain(written).replace("\\", "/")
    yield text
    try:
        parts = urlsplit(text)
        local = parse_qs(parts.query).get("d", ())  # Label Studio's files of its own computer
    except ValueError:  # brackets, which are no address
        return
    yield from (unquote(path) for path in local)
    if "%" in text:
        yield unquote(text)
    if parts.scheme or parts.query:
        yield unquote(parts.path)
