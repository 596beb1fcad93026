"""Which layout a path has. A new layout is one file beside this one and one line here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edgekit.data.csv_ import load_csv
from edgekit.data.folder import has_class_folders, load_folder
from edgekit.data.pictures import load_pictures
from edgekit.data.sample import Dataset
from edgekit.errors import DataError

TABLE = "labels.csv"


def load_dataset(path: str | os.PathLike[str], classes: Sequence[str] | None = None) -> Dataset:
    """The pictures at `path`, labelled where their layout says how.

    A .csv file, or a folder with a labels.csv, is a table (`load_csv`); a folder with pictures in folders is one of
    class folders (`load_folder`); any other folder, or a picture, has no labels (`load_pictures`).

    Args:
        path: file or folder.
        classes: the model's names, in the order of its logits; labels then index into them.

    Raises:
        DataError: nothing there, no readable picture, or labels that do not fit `classes`.
    """
    path = Path(path)
    if path.is_file():
        return load_csv(path, classes) if path.suffix.lower() == ".csv" else load_pictures(path)
    if not path.is_dir():
        raise DataError(
            f"{path} is not there.",
            got="no such file or folder",
            expected=f"a folder of pictures, of class folders, or with a {TABLE}",
        )
    if (path / TABLE).is_file():
        return load_csv(path / TABLE, classes)
    return load_folder(path, classes) if has_class_folders(path) else load_pictures(path)
