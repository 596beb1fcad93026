"""One picture with many small ones in rows, with what is known of each drawn on it, to look at. Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from edgekit.artifacts.atomic import make_folder, write_bytes
from edgekit.data.mask_file import VOID
from edgekit.data.sample import Sample
from edgekit.data.survey.sets import Sets
from edgekit.errors import InputError
from edgekit.progress import track
from edgekit.vision.draw import ascii_only
from edgekit.vision.image import Frame, encode_picture

PICTURES = 30
_CELL = (320, 240)  # pixels that a picture is scaled into
# Okabe and Ito 2008, apart for the colour-blind; RGB
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178))
ASIDE = (255, 255, 255)
_TITLE = 14  # pixels, of the line below a picture


@dataclass(frozen=True)
class Cell:
    """A picture of the sheet, uint8 [h, w, 3] BGR, its title, and boxes x1 y1 x2 y2 in its pixels with RGB colours."""

    frame: Frame
    title: str
    boxes: Sequence[tuple[tuple[float, float, float, float], tuple[int, int, int]]] = ()


def write_sheet(path: Path, cells: Sequence[Cell], columns: int = 8) -> None:
    """Writes `cells` row by row to `path`, a .jpg or .png; replaced if it exists. Raises as `encode_picture`."""
    height = max(cell.frame.shape[0] for cell in cells)
    width = max(cell.frame.shape[1] for cell in cells)
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (width + 2), rows * (height + _TITLE + 2)), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for i, cell in enumerate(cells):
        x, y = (i % columns) * (width + 2), (i // columns) * (height + _TITLE + 2)
        sheet.paste(Image.fromarray(np.ascontiguousarray(cell.frame[..., ::-1])), (x, y))
        for box, colour in cell.boxes:
            pen.rectangle((x + box[0], y + box[1], x + box[2], y + box[3]), outline=colour, width=2)
        pen.text((x + 2, y + height + 1), _fitted(cell.title, pen, width - 4), fill=(0, 0, 0))
    frame = np.ascontiguousarray(np.asarray(sheet)[..., ::-1])
    write_bytes(path, encode_picture(frame, path.suffix), overwrite=True)


def data_sheet(path: Path, sets: Sets, pictures: int = PICTURES) -> None:
    """Writes a sheet of `pictures` samples, spread evenly over every split, those with objects first.

    Boxes have a colour a class, named below the picture; white are those set aside. Masks are laid over.

    Args:
        path: .jpg or .png; replaced if it exists, its folder made.
    """
    make_folder(path.parent)
    cells = []
    for split, sample in track(_chosen(sets, pictures), "drawing"):
        try:
            cells.append(_cell(split, sample, sets.classes or ()))
        except InputError as error:
            cells.append(Cell(np.full((_CELL[1], _CELL[0], 3), 200, np.uint8), f"{sample.name}: {error.got}"))
    write_sheet(path, cells, columns=5)


def _chosen(sets: Sets, n: int) -> list[tuple[str, Sample]]:
    found = []
    share = max(1, n // len(sets.parts))
    for split, part in sets.parts.items():
        full = [s for s in part if s.boxes is None or len(s.boxes)]
        empty = [s for s in part if s.boxes is not None and not len(s.boxes)]
        few = min(len(empty), max(1, share // 6)) if full else share  # some without objects, to see that they are
        for samples, count in ((full, share - few), (empty, few)):
            size = len(samples)
            count = min(count, size)
            found += [(split, samples[(2 * i + 1) * size // (2 * count)]) for i in range(count)]
    return found


def _cell(split: str, sample: Sample, classes: Sequence[str]) -> Cell:
    frame = sample.read()
    if sample.mask is not None:
        frame = _with_mask(frame, sample)
    height, width = frame.shape[:2]
    scale = min(_CELL[0] / width, _CELL[1] / height)
    small = Image.fromarray(np.ascontiguousarray(frame[..., ::-1])).resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX
    )
    cell = Image.new("RGB", _CELL, (235, 235, 235))
    cell.paste(small, (0, 0))
    boxes = []
    told: dict[str, int] = {}
    for some_boxes, labels, aside in (
        (sample.boxes, sample.box_labels, False),
        (sample.ignored_boxes, sample.ignored_labels, True),
    ):
        if some_boxes is not None and labels is not None:
            for box, label in zip((some_boxes * scale).tolist(), labels.tolist(), strict=True):
                x1, y1, x2, y2 = box
                boxes.append(((x1, y1, x2, y2), ASIDE if aside else COLOURS[label % len(COLOURS)]))
                told[_name(label, classes)] = told.get(_name(label, classes), 0) + 1
    labels_of = sample.labels if sample.labels is not None else (() if sample.label is None else (sample.label,))
    named = [f"{name} {n}" for name, n in told.items()] or [_name(i, classes) for i in labels_of]
    if sample.boxes is not None and not told:
        named = ["nothing"]
    title = " ".join(part for part in (split, ", ".join(named), sample.name) if part)
    return Cell(np.ascontiguousarray(np.asarray(cell)[..., ::-1]), title, boxes)


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label] if label < len(classes) else str(label)


def _with_mask(frame: Frame, sample: Sample) -> Frame:
    """Half of each pixel is its class's colour; void stays as it is."""
    mask = sample.read_mask()
    table = np.array(COLOURS, np.uint8)[:, ::-1]
    mixed = (frame.astype(np.uint16) + table[mask % len(table)]) // 2
    return np.asarray(np.where((mask == VOID)[..., None], frame, mixed.astype(np.uint8)), dtype=np.uint8)


def _fitted(text: str, pen: ImageDraw.ImageDraw, room: int) -> str:
    """The beginning of a title that fits, in characters that the font has."""
    text = ascii_only(text)
    while text and pen.textlength(text) > room:
        text = text[:-1]
    return text
