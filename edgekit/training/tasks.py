"""Which task a recipe names. A new one is one file beside this one and one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgekit.config.recipe import Recipe
from edgekit.data import by_pattern, split_by_group
from edgekit.data.classes.class_map import class_map
from edgekit.errors import UsageError
from edgekit.tasks import task_of
from edgekit.training.classification import ClassificationTraining
from edgekit.training.detection import DetectionTraining
from edgekit.training.loop.choice import Choice
from edgekit.training.loop.compete import competed
from edgekit.training.segmentation import SegmentationTraining
from edgekit.training.splits import counts, load_splits
from edgekit.training.task import Training


def make_task(recipe: Recipe, data: Path, say: Callable[[str], None] = lambda _: None) -> Training:
    """The task of `recipe` on the pictures in the folder `data`; `say` is told what was found there.

    Raises:
        DataError: pictures that cannot be trained on.
        CheckpointError: weights that do not fit.
        UsageError: a task that nothing trains.
    """
    if recipe.task not in TRAININGS:
        raise UsageError(
            "There is no training for this task.",
            got=f"task = {recipe.task!r}",
            expected="one of " + ", ".join(TRAININGS),
            fix="train it elsewhere and export its state_dict(): edgekit export FILE, with --multi-label where a "
            "picture may have several labels",
        )
    splits = load_splits(data, recipe.data, recipe.schedule.seed, class_map(recipe.map), task_of(recipe.task).truth)
    for note in splits.notes:
        say(note)
    return TRAININGS[recipe.task](recipe, splits.train, splits.val, say)


def compete(
    recipe: Recipe, data: Path, out: Path, *, resume: bool, say: Callable[[str], None]
) -> tuple[Recipe, Choice]:
    """The recipe of the way of fine-tuning that is worth it, and what it was chosen by (`competed`).

    Raises:
        DataError: pictures that cannot be trained on.
        UsageError, OutputError: as `competed`.
    """
    seed = recipe.schedule.seed
    train_on = load_splits(data, recipe.data, seed, class_map(recipe.map)).train
    group = by_pattern(recipe.data.group) if recipe.data.group else None
    kept, held = split_by_group(train_on, recipe.compete.share_of(len(train_on)), seed, group)
    say(f"competition: {counts(held)} of the training pictures are held out for it, {len(kept)} trained on")
    share = len(kept) / len(train_on)
    return competed(
        recipe, lambda way: TRAININGS[recipe.task](way, kept, held), out, share=share, resume=resume, say=say
    )


TRAININGS: dict[str, Callable[..., Training]] = {
    "classification": ClassificationTraining,
    "detection": DetectionTraining,
    "segmentation": SegmentationTraining,
}
