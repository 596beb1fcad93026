"""From a recipe and labelled pictures to a checkpoint that exports."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.config import recipe as recipes
from edgekit.config.recipe import Recipe
from edgekit.config.schemes import scheme_named
from edgekit.data.classes.class_map import ClassMapLike, class_map
from edgekit.data.made import is_made
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.training.loop.result import TrainResult
    from edgekit.training.task import Training


@dataclass(frozen=True)
class Plan:
    """What is to be trained: the recipe with its changes, on which pictures, into which folder.

    `quantize` names the int8 scheme with whose rounding the net of `resume_from` goes on learning.
    """

    recipe: Recipe
    data: Path
    out: Path
    resume_from: Path | None = None
    quantize: str | None = None


def plan_of(
    recipe: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    changes: Sequence[str] = (),
    classes_map: ClassMapLike | None = None,
    resume_from: str | os.PathLike[str] | None = None,
    quantize: str | None = None,
) -> Plan:
    """What `train` would do. Raises UsageError as `train`."""
    if (resume_from is None) != (quantize is None):
        raise UsageError(
            "A net goes on learning from a checkpoint, quantized.",
            got="only one of --resume-from and --quantize",
            expected="--resume-from runs/NAME/best.pt --quantize int8-x86",
            fix="--weights FILE starts a training from other weights, --resume goes on with an interrupted one",
        )
    chosen = recipes.load_recipe(recipe, changes)
    if quantize is not None:
        from edgekit.qat.training import shortened

        scheme_named(quantize)
        chosen = recipes.load_recipe(recipe, [*shortened(recipes.load_recipe(recipe)), *changes])
    names = class_map(classes_map)
    if names is not None:
        chosen = chosen.model_copy(update={"map": names.table()})
    folder = data or chosen.data.path
    if not folder:
        raise UsageError("There are no pictures to train on.", expected="--data DIR, or data.path in the recipe")
    name = chosen.name if quantize is None else f"{chosen.name}-{quantize}"
    start = None if resume_from is None else Path(resume_from)
    return Plan(chosen, Path(folder), Path("runs") / name if out is None else Path(out), start, quantize)


def train(
    recipe: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    changes: Sequence[str] = (),
    classes_map: ClassMapLike | None = None,
    resume: bool = False,
    resume_from: str | os.PathLike[str] | None = None,
    quantize: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> TrainResult:
    """Trains a net as a recipe says, as `edgekit train` does.

    Args:
        recipe: a shipped recipe's name, or a TOML of one's own.
        data: folder with train/ and val/, class folders to split, or a YOLO, Pascal VOC or COCO data set; default is
            the recipe's own.
        out: folder of the run; default is runs/RECIPE. It gets last.pt, best.pt, last.state.pt (for `resume`),
            metrics.csv, curves and other pictures, and TensorBoard's files.
        changes: `key=value` of the recipe, such as `schedule.epochs=20` or `net.weights=imagenet`.
        classes_map: instead of the recipe's table [map]: the names that classes of the data are trained under, several
            as one where they have one name, `-` for what is left out; see `edgekit.evaluate`.
        resume: go on with the interrupted run in `out`; its end equals that of a run that was never interrupted.
        resume_from: a checkpoint that this recipe trained, which goes on learning with the rounding of `quantize`, for
            a tenth of the recipe's epochs at a tenth of its rates unless `changes` say otherwise.
        quantize: the int8 scheme that it is to be exported in: `int8-x86`, `int8-arm` or `int8-trt`.
        say: called with a line for whatever is to be told.

    Returns:
        The checkpoints and their figures on the validation data; `best` is the one to export.

    Raises:
        UsageError: unknown recipe or key, no pictures, or a recipe that the machine contradicts.
        DataError: pictures or labels that cannot be trained on.
        OutputError: `out` holds a training already, or cannot be written to.
        KeyboardInterrupt: Ctrl-C; the state was saved.
        ImportError: torch is not installed.
    """
    plan = plan_of(recipe, data, out, changes, classes_map, resume_from, quantize)
    return run(plan, task_for(plan, say), resume=resume, say=say)


def task_for(plan: Plan, say: Callable[[str], None] = lambda line: None) -> Training:
    """The net and the pictures of a plan. Raises DataError for pictures that cannot be trained on."""
    from edgekit.training.tasks import make_task

    say = say if first_process() else lambda line: None
    task = make_task(plan.recipe, plan.data, say)
    if plan.quantize is None or plan.resume_from is None:
        return task
    from edgekit.checkpoints.checkpoint import load_checkpoint
    from edgekit.qat.training import QuantizedTraining

    return QuantizedTraining(task, load_checkpoint(plan.resume_from), plan.quantize, made=is_made(plan.data), say=say)


def run(
    plan: Plan, task: Training, *, resume: bool = False, say: Callable[[str], None] = lambda line: None
) -> TrainResult:
    """Trains, and draws what came of it; in several processes (torchrun) the first one tells and draws."""
    from edgekit.training.loop.result import STATE
    from edgekit.training.loop.run import train as train_loop
    from edgekit.training.tasks import compete

    say = say if first_process() else lambda line: None
    recipe, choice = plan.recipe, None
    if recipe.compete.share:
        recipe, choice = compete(recipe, plan.data, plan.out / "tries", resume=resume, say=say)
        resume = resume and (plan.out / STATE).is_file()  # it may have been interrupted before
    result = replace(train_loop(task, recipe, plan.out, resume=resume, say=say), choice=choice)
    if first_process():
        draw(task, result, plan.out, say)
    return result


def draw(task: Training, result: TrainResult, run: Path, say: Callable[[str], None]) -> Path | None:
    """Curves of the run, and what the best net does on the validation data, as pictures; where the curves are."""
    from edgekit.checkpoints.checkpoint import load_checkpoint

    try:
        from edgekit.training.measured import plots
    except ImportError as error:
        say(f"no pictures of the run: {error} (pip install 'edgekit[train]')")
        return None
    curves = run / "curves.png"
    plots.curves(curves, result.rows)
    best = load_checkpoint(result.best)
    for path in (curves, *task.draw(task.net_of(best), best.spec, run)):
        say(str(path))
    return curves


def first_process() -> bool:
    """Whether this process tells and draws, of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"
