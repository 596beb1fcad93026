"""A folder being labelled: what the page asks for and changes, and the files that follow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.artifacts.atomic import make_folder
from edgekit.data.names import plain
from edgekit.data.orientation import Size, picture_size
from edgekit.data.sample import class_index
from edgekit.errors import EdgekitError, UsageError
from edgekit.labels.files import Files, is_ours
from edgekit.labels.opening import Found, find
from edgekit.labels.resume import resume
from edgekit.labels.schema import Box, Labels, Mark
from edgekit.labels.store import NAME, Brief, Known, Store

Say = Callable[[str], None]
_LONGEST = 80  # characters of a class name
_LEAST = 0.5  # pixels of a box's side
_MOST = 200  # classes


@dataclass(frozen=True)
class Tally:
    """How far it is: pictures, those that are done, and objects in these by class."""

    pictures: int
    done: int
    boxes: dict[str, int]


class Session:
    """Opens `path` to be labelled, or goes on where it was left.

    Args:
        path: a folder of pictures, or a data set with boxes of any layout; or what was found already.
        out: where labels are written; None is beside the pictures.
        classes: names; those that are not in use yet come after those that are.
        say: takes lines for people.
        empty: pictures that are known to have no objects: they are done, unless something else was said already.

    Raises:
        EdgekitError: as `find`, `Files`, `Store` and `resume`; UsageError too for labels of others without `out`.
    """

    def __init__(
        self,
        path: Path | Found,
        out: Path | None = None,
        classes: Sequence[str] = (),
        say: Say = lambda line: None,
        empty: Collection[Path] = (),
    ) -> None:
        found = find(path) if isinstance(path, Path) else path
        nothing = {name: Labels(done=True) for name in found.names if found.root / name in empty}
        found = replace(found, known={**nothing, **found.known})
        out = found.root if out is None else out
        if found.layout and _same(out, found.root) and not is_ours(out):
            raise UsageError(
                f"{found.root} has labels already, and edgekit label did not write them.",
                got=f"labels read as {found.layout}",
                expected="another folder for the labels: these stay as they are",
                fix=f"--out {found.root.absolute().name}-labelled",
            )
        self.root, self.out, self._say = found.root, out, say
        self.files = Files(found.root, out)
        make_folder(out)
        self.store = Store(out / NAME)
        try:
            self._lock = threading.Lock()
            self._sizes: dict[int, Size] = {}
            self.behind = ""
            for note in found.notes:
                say(note)
            self.ids = resume(self.store, self.files, found, classes, say)
            self._present = set(self.ids.values())
            self.classes = self.store.classes
            self.settle()
        except BaseException:
            self.store.close()
            raise

    def close(self) -> None:
        self.store.close()

    def briefs(self, after: int = -1) -> list[Brief]:
        """The pictures that are there, or those of them that changed after number `after`."""
        return [brief for brief in self.store.briefs(after) if brief.id in self._present]

    def get(self, ident: int) -> Known | None:
        """A picture, or None where there is none of this number."""
        return self.store.get(ident) if ident in self._present else None

    def path(self, known: Known) -> Path:
        return self.root / known.name

    def size(self, known: Known) -> Size:
        """Of the upright picture. Raises PictureError."""
        if known.id not in self._sizes:
            self._sizes[known.id] = picture_size(self.path(known))
        return self._sizes[known.id]

    def edit(self, ident: int, revision: int, labels: Labels) -> Known:
        """What a person says now. It is on the disk when this returns; the label file too, or `behind` says why not.

        Boxes are cut at the picture's edge.

        Raises:
            StaleError: somebody else was quicker.
            UsageError: a class that is not there, or a box that is not in the picture.
            PictureError: the picture cannot be read.
            OutputError: it cannot be stored.
        """
        with self._lock:
            known = self.store.get(ident)
            assert known is not None
            size = self.size(known)
            marks = tuple(replace(mark, box=_cut(mark.box, size), label=self._class(mark)) for mark in labels.marks)
            return self._follow(self.store.edit(ident, revision, replace(labels, marks=marks)))

    def undo(self, ident: int, revision: int) -> Known:
        """One step back. Raises as `edit`."""
        with self._lock:
            return self._follow(self.store.undo(ident, revision))

    def redo(self, ident: int, revision: int) -> Known:
        """One step forth. Raises as `edit`."""
        with self._lock:
            return self._follow(self.store.redo(ident, revision))

    def name_class(self, name: str) -> int:
        """Adds a class, or finds it. Raises UsageError for what is no name, OutputError where it cannot be stored."""
        name = plain(name)
        if not name or len(name) > _LONGEST or not name.isprintable():
            raise UsageError(
                "This is no name of a class.", got=repr(name[:100]), expected=f"1 to {_LONGEST} characters"
            )
        with self._lock:
            there = class_index(name, self.classes)
            if there is not None:
                return there
            if len(self.classes) >= _MOST:
                raise UsageError(
                    "There are too many classes.", got=str(len(self.classes) + 1), expected=f"up to {_MOST}"
                )
            self.store.classes = self.classes = (*self.classes, name)
            self._settle()
            return len(self.classes) - 1

    def tally(self) -> Tally:
        briefs = self.briefs()
        counted = dict.fromkeys(self.classes, 0)
        for brief in briefs:
            known = self.store.get(brief.id) if brief.done and brief.marks else None
            for mark in known.labels.marks if known else ():
                counted[self.classes[mark.label]] += 1
        return Tally(len(briefs), sum(brief.done for brief in briefs), counted)

    def settle(self) -> None:
        """Writes the files that are older than the store, after a kill or once the disk has room again."""
        with self._lock:
            self._settle()

    def _follow(self, known: Known) -> Known:
        self._settle()
        return known

    def _settle(self) -> None:
        try:
            late = [known for ident in self.store.unwritten() if (known := self.get(ident)) is not None]
            if late or is_ours(self.out):
                self.files.config(self.classes)
            if late:
                self._write(late)
            self.behind = ""
        except (EdgekitError, OSError) as error:
            self.behind = str(error)
            self._say(f"error: {error}")

    def _write(self, late: Sequence[Known]) -> None:
        """Labels of those that are done, then which those are, then away with those that are not done any more."""
        contents = {}
        for known in late:
            if known.labels.done:
                contents[known.id] = self.files.write(known.name, known.labels.marks, self.size(known))
        self.files.index(brief.name for brief in self.briefs() if brief.done)
        for known in late:
            if not known.labels.done:
                self.files.remove(known.name)
            self.store.wrote(known.id, known.revision, contents.get(known.id, ""))

    def _class(self, mark: Mark) -> int:
        if mark.label >= len(self.classes):
            raise UsageError("There is no such class.", got=str(mark.label), expected=f"below {len(self.classes)}")
        return mark.label


def _cut(box: Box, size: Size) -> Box:
    """The part of a box that is in the picture. Raises UsageError where there is none."""
    x1, x2 = (min(max(x, 0.0), float(size.width)) for x in sorted((box[0], box[2])))
    y1, y2 = (min(max(y, 0.0), float(size.height)) for y in sorted((box[1], box[3])))
    if x2 - x1 < _LEAST or y2 - y1 < _LEAST:
        raise UsageError(
            "A box is not in the picture.", got=" ".join(f"{value:g}" for value in box),
            expected=f"at least {_LEAST:g} pixels each way, of {size.width} x {size.height}",
        )  # fmt: skip
    return x1, y1, x2, y2


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve()
