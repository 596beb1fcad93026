"""Is a model right for the right reason? It is asked again with the objects erased, and about the objects alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from edgekit.api.model import Model, load
from edgekit.artifacts.atomic import write_bytes
from edgekit.benchmark.quality.erasing import VARIANTS, Case, Erasing, ask
from edgekit.data import load_dataset, without_near_duplicates
from edgekit.data.classes.class_map import ClassMapLike, class_map
from edgekit.vision.draw import ascii_only
from edgekit.vision.image import Frame, encode_picture

_ROWS = 12  # pictures on a sheet
_SIDE = 320  # pixels, the longer side of a picture on it
_LINE = 22  # pixels, of the words below one
_WORDS = {
    "whole": "whole",
    "erased": "objects erased",
    "elsewhere": "as much erased elsewhere",
    "alone": "objects alone",
}


def erasing(
    model: str | os.PathLike[str] | Model,
    data: str | os.PathLike[str],
    *,
    split: str | None = None,
    apart_from: str | None = None,
    classes_map: ClassMapLike | None = None,
    sheet: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Erasing:
    """Asks a model about labelled objects' pictures without the objects, as `edgekit eval --erase` does.

    A classifier that still says "hornet" where every hornet is erased has learnt the scene. Each picture is asked about
    as it is, with the boxes of one class filled from around, with as much filled where no object is (what the filling
    does by itself), and with nothing but those boxes.

    Args:
        model: a path, as `edgekit.load` takes it, or what that opened, which stays open; a classifier is meant, and
            a detector is asked for any box of the class.
        data: pictures with boxes: YOLO, Pascal VOC, COCO, or synthetic://hive?n=60.
        split, apart_from, classes_map: as in `edgekit.evaluate`; `hornet=Hornets,-=*` erases Hornets alone.
        sheet: a .png or .jpg to write, with twelve pictures in all their variants, those first that say the most
            against the model; replaced if it exists.
        say: called with a line for whatever is to be told.

    Raises:
        UsageError: a map that does not fit, or a model that names no classes.
        DataError: pictures without boxes, or none with an object.
        EdgekitError: as `edgekit.load`.
    """
    with ExitStack() as opened:
        if not isinstance(model, Model):
            model = opened.enter_context(load(model, say=say))
        names, classes = class_map(classes_map), model.classes or ()
        dataset = load_dataset(data, classes, split, names, truth="boxes")
        if apart_from is not None:
            others = load_dataset(data, None if names else classes, apart_from, truth="boxes")
            dataset = without_near_duplicates(dataset, others)
        for note in dataset.notes:
            say(note)
        found, kept = ask(model.predictor, dataset, keep=0 if sheet is None else _ROWS)
    if sheet is not None:
        path = Path(sheet)
        write_bytes(path, encode_picture(draw_sheet(kept), path.suffix), overwrite=True)
    return found


def draw_sheet(cases: Sequence[tuple[Case, dict[str, Frame]]]) -> Frame:
    """uint8 [h, w, 3] BGR: a row for each picture, its variants side by side and below each what the model says."""
    import cv2

    rows = []
    for case, frames in cases:
        height, width = frames["whole"].shape[:2]
        scale = _SIDE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        cells = []
        for variant in VARIANTS:
            made = np.full((size[1] + _LINE, _SIDE, 3), 255, np.uint8)
            frame = frames.get(variant)
            text = f"{_WORDS[variant]}: no room"
            if frame is not None:
                made[: size[1], : size[0]] = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
                text = f"{_WORDS[variant]}: {'' if case.says[variant] else 'not '}{ascii_only(case.label)}"
            colour = (0, 0, 180) if variant == "erased" and case.says[variant] else (40, 40, 40)
            cv2.putText(made, text, (4, size[1] + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
            cells.append(made)
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows)
