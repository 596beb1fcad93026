"""Label files as YOLO has them, of the pictures that are done: beside the pictures, or a data set of its own elsewhere.

A picture without a label file is one without objects to whoever reads YOLO, so those that nobody has answered must not
be part of the set: beside the pictures `data.yaml` names a list of those that are done, elsewhere only those are there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from edgekit.artifacts.atomic import make_folder, sync_folder, write_bytes
from edgekit.data.layouts.yolo import label_file
from edgekit.data.orientation import Size
from edgekit.data.writing.yolo import yolo_rows
from edgekit.errors import OutputError, UsageError
from edgekit.labels.schema import Mark
from edgekit.labels.store import NAME
from edgekit.reading import is_file, read_text
from edgekit.reading.limits import SETTINGS

OURS = "# made by edgekit label"  # the first line of a data.yaml that may be written again
CONFIG = "data.yaml"
LIST = "edgekit-labelled.txt"
_IMAGES, _LABELS = "images", "labels"


class Files:
    """Where labels are written.

    Args:
        root: the folder of the pictures.
        out: `root` itself, or another folder, which becomes a data set of its own: pictures in images/ (hard links
            where the disk has them, else copies), texts in labels/.

    Raises:
        UsageError: `out` has a data set in it that is not ours, or lies where a reader would not look for labels.
    """

    def __init__(self, root: Path, out: Path) -> None:
        self.root, self.out, self.beside = root, out, _same(root, out)
        if self.beside and not label_file(root.absolute() / "x.jpg").is_relative_to(root.absolute()):
            raise UsageError(
                f"Labels beside the pictures in {root} would not be found.",
                got="a folder called images on the way to it: YOLO looks for the labels in one called labels instead",
                fix="--out DIR writes them elsewhere",
            )
        config = out / CONFIG
        if not is_ours(out) and (config.exists() or (not self.beside and out.is_dir() and _others(out))):
            raise UsageError(
                f"{out} has files that edgekit label did not write.", got=CONFIG if config.exists() else "other files",
                expected="an empty folder, or one of edgekit label", fix="--out DIR names another one",
            )  # fmt: skip

    def label_file(self, name: str) -> Path:
        """The text of the picture `name`, a path below `root` with slashes."""
        if self.beside:
            return label_file(self.root.absolute() / name)
        return (self.out / _LABELS / _inside(name)).with_suffix(".txt")

    def content(self, name: str) -> str:
        """The sha256 of a picture's label file as it is now, "" where there is none."""
        try:
            return hashlib.sha256(self.label_file(name).read_bytes()).hexdigest()
        except OSError:
            return ""

    def config(self, classes: Sequence[str]) -> None:
        """Writes data.yaml. Raises OutputError."""
        place = LIST if self.beside else _IMAGES
        names = ", ".join(json.dumps(name, ensure_ascii=False) for name in classes)
        text = f"{OURS}; only pictures that were called done are part of it\ntrain: {place}\nnames: [{names}]\n"
        if not is_file(self.out / CONFIG) or (self.out / CONFIG).read_bytes() != text.encode():
            make_folder(self.out)
            write_bytes(self.out / CONFIG, text.encode(), overwrite=True)

    def write(self, name: str, marks: Sequence[Mark], size: Size) -> str:
        """The label file of a picture that is done, then the picture. Returns the text's sha256. Raises OutputError.

        Beside the pictures `index` makes it part of the set.
        """
        boxes = np.array([mark.box for mark in marks], np.float64).reshape(-1, 4)
        text = yolo_rows(boxes, [mark.label for mark in marks], size.width, size.height).encode()
        file = self.label_file(name)
        make_folder(file.parent)
        write_bytes(file, text, overwrite=True)
        if not self.beside:
            self._bring(name)
        return hashlib.sha256(text).hexdigest()

    def remove(self, name: str) -> None:
        """Takes a picture that is not done any more out of the set; beside the pictures after `index`."""
        gone = [self.label_file(name)] if self.beside else [self._picture(name), self.label_file(name)]
        for path in gone:
            path.unlink(missing_ok=True)

    def index(self, names: Iterable[str]) -> None:
        """Which pictures are done, where labels lie beside them. Raises OutputError."""
        if self.beside:
            lines = "".join(f"./{name}\n" for name in names)
            write_bytes(self.out / LIST, lines.encode(), overwrite=True)

    def _picture(self, name: str) -> Path:
        return self.out / _IMAGES / _inside(name)

    def _bring(self, name: str) -> None:
        """The picture itself: another name of the same file, or a copy that appears whole."""
        path, source = self._picture(name), self.root / name
        if path.exists():
            return
        make_folder(path.parent)
        try:
            os.link(source.resolve(), path)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
                raise OutputError(f"{path} could not be written.", got=error.strerror or str(error)) from error
            hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            try:
                shutil.copyfile(source, hidden)
                hidden.replace(path)
            except OSError as failed:
                with contextlib.suppress(OSError):
                    hidden.unlink()
                raise OutputError(
                    f"{path} could not be written.", got=failed.strerror or str(failed), fix="free some space"
                ) from failed
        sync_folder(path.parent)


def is_ours(folder: Path) -> bool:
    """Whether `folder` has a data.yaml that edgekit label wrote."""
    try:
        return is_file(folder / CONFIG) and read_text(folder / CONFIG, SETTINGS).startswith(OURS)
    except (OSError, ValueError):
        return False


def _others(out: Path) -> bool:
    """Whether there is more than a store, in a folder where nothing is done yet."""
    return any(not path.name.startswith(NAME) for path in out.iterdir())


def _inside(name: str) -> Path:
    """A picture's place in a set of ours: a folder called images in it would send readers to other labels."""
    return Path(*(part for part in Path(name).parts if part.lower() != _IMAGES))


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve()
