"""How good is a model on pictures of which the answer is known?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from edgekit.api.model import Model, load
from edgekit.artifacts.atomic import make_folder
from edgekit.benchmark.quality.accuracy import evaluate as measure
from edgekit.benchmark.quality.wrong import PICTURES, draw_wrong
from edgekit.data import Sample, load_dataset, without_near_duplicates
from edgekit.data.classes.class_map import ClassMapLike, class_map
from edgekit.errors import UsageError
from edgekit.screen import count_of
from edgekit.tasks import Task
from edgekit.tasks.evaluation import Evaluation, WrongAnswer
from edgekit.vision.image import check_suffix


def evaluate(
    model: str | os.PathLike[str] | Model,
    data: str | os.PathLike[str],
    *,
    split: str | None = None,
    apart_from: str | None = None,
    classes_map: ClassMapLike | None = None,
    sheet: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Measures a model on labelled pictures, as `edgekit eval` does.

    Args:
        model: a path, as `edgekit.load` takes it, or what that opened, which stays open.
        data: class folders or a csv; for a detector YOLO, Pascal VOC or COCO; for a multi-label classifier any of
            them, best a csv with several labels a picture; for a segmentation model images/ with masks/, or Pascal
            VOC's SegmentationClass/; or synthetic://hive?n=60.
        split: `train`, `val`, `test`, what the layout calls it, or `all`; default is the held-out one.
        apart_from: leave out what looks like a picture of this split, such as `train`.
        classes_map: where the data calls classes differently: a mapping of the model's names to one or several of the
            data's, `{"bee": ["Bees", "drones"], "-": "wasp"}`, or what `--map` takes. `-` leaves a class of the data
            out (its objects, or its pictures where they have one label), and `*` among the data's is all the others.
        sheet: a .png or .jpg to write, replaced if it exists: the 24 surest wrong answers, each cut out of its picture.
            Of a detector those are boxes at the threshold with objects not found, white what the labels say; of a
            classifier whole pictures. Some will be the labels' mistakes. Nothing is written where nothing is wrong.
        say: called with a line for whatever is to be told, such as files that are passed over.

    Returns:
        The evaluation: `main` (top-1, AP50, mAP of labels, mIoU, or how often the nearest neighbour has the same label,
        0..1), `lines(name)` for people, `to_dict()` as plain data, and `unread`, the pictures that could not be read.
        Shares come with 95 % Clopper-Pearson intervals; AP is COCO's (Lin et al. 2014) and Pascal VOC's.

    Raises:
        UsageError: a map that names what is not there, or that leaves a class of the data without one of the model's;
            a sheet with another ending, or of masks or features, which have none.
        DataError: nothing there, no such split, labels that do not fit the model, or no readable picture.
        EdgekitError: as `edgekit.load`.
    """
    with ExitStack() as opened:
        if not isinstance(model, Model):
            model = opened.enter_context(load(model, say=say))
        classes = model.classes or None  # a net that gives features has none
        names, truth = class_map(classes_map), model.predictor.task.truth
        path = None if sheet is None else _checked(Path(sheet), model.predictor.task)
        dataset = load_dataset(data, (classes or ()) if names else classes, split, names, truth=truth)
        if apart_from is not None:  # its labels play no part
            others = load_dataset(data, None if names else classes, apart_from, truth=truth)
            dataset = without_near_duplicates(dataset, others)
        for note in dataset.notes:
            say(note)
        known: list[Sample] = []
        evaluation = measure(model.predictor, dataset, known)
    if path is not None:
        _draw(path, known, evaluation.wrong(PICTURES), say)
    return evaluation


def _checked(sheet: Path, task: Task) -> Path:
    """The same, its folder made; raises UsageError for what cannot be drawn, before anything is measured."""
    if not task.shows_wrong:
        raise UsageError(
            f"There is no sheet of what {task.noun} gets wrong.",
            got=str(sheet),
            expected="a detector or a classifier",
            fix="edgekit predict --out DIR draws its answers onto the pictures",
        )
    check_suffix(sheet.suffix)
    make_folder(sheet.parent)
    return sheet


def _draw(sheet: Path, known: Sequence[Sample], wrong: Sequence[WrongAnswer], say: Callable[[str], None]) -> None:
    if not wrong:
        say(f"nothing is wrong: {sheet.name} is not written")
        return
    draw_wrong(sheet, known, wrong)
    say(f"{count_of(len(wrong), 'wrong answer')}, the surest, drawn: {sheet}")
