"""`edgekit train`: from a recipe and labelled pictures to a checkpoint that exports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.shared import after
from edgekit.cli.shared.helptext import DATA, OUTPUT, Group, argument
from edgekit.cli.shared.options import Format, FormatOption, MapOption, next_command, print_json, say
from edgekit.screen import count_of

if TYPE_CHECKING:
    from edgekit.training.loop.result import TrainResult
    from edgekit.training.task import Training

SHEET = 32
CHANGES = Group("Changes to the recipe")
QUANTIZED = Group("Training quantized")


def train(
    recipe: Annotated[str, argument("RECIPE", "A recipe's name, or a .toml of your own.")],
    data: Annotated[
        Path | None,
        DATA("-d, --data DIR", "Folder with train/ and val/, class folders to split, or a YOLO, VOC or COCO data set."),
    ] = None,
    out: Annotated[Path | None, OUTPUT("-o, --out DIR", "Folder of the run; default: runs/RECIPE.")] = None,
    weights: Annotated[
        str | None,
        CHANGES("--weights START", "A checkpoint, an exported file, hornet-mobile, imagenet (fetched) or none."),
    ] = None,
    changes: Annotated[
        list[str] | None, CHANGES("--set KEY=VALUE", "key=value of the recipe, e.g. schedule.epochs=20; repeatable.")
    ] = None,
    classes_map: MapOption = None,
    seed: Annotated[int | None, CHANGES("--seed N", "Instead of the recipe's.", min=0)] = None,
    resume: Annotated[bool, OUTPUT("--resume", "Go on with the interrupted run in --out.")] = False,
    resume_from: Annotated[
        Path | None,
        QUANTIZED("--resume-from CHECKPOINT", "What this recipe trained, to go on learning with int8's rounding."),
    ] = None,
    quantize: Annotated[
        str | None, QUANTIZED("--quantize SCHEME", "Whose rounding: int8-x86, int8-arm or int8-trt.")
    ] = None,
    sheet: Annotated[
        Path | None, DATA("--sheet FILE", "Only write a sheet of augmented pictures here, to look at.")
    ] = None,
    output_format: FormatOption = Format.text,
) -> int:
    """Train a net as a recipe says.

    Writes last.pt, best.pt, last.state.pt (for --resume), metrics.csv, curves and other pictures, and TensorBoard to
    the run's folder. For several GPUs or processes: torchrun --nproc-per-node N --no-python edgekit train ...

    Examples:
        edgekit train resnet18-finetune --data pictures/
        edgekit train centernet-r18 -d hornets/ -o runs/first
        edgekit train demo --set schedule.epochs=20
    """
    from edgekit.api import train as training
    from edgekit.config.target import load_target, target_names
    from edgekit.tasks import task_of

    settings = list(changes or [])
    if weights is not None:
        settings.append(f"net.weights={weights}")
    if seed is not None:
        settings.append(f"schedule.seed={seed}")
    plan = training.plan_of(recipe, data, out, settings, classes_map, resume_from, quantize)
    task = training.task_for(plan, say)
    chosen = plan.recipe
    if sheet is not None:
        _write_sheet(sheet, task, chosen.schedule.seed)
        typer.echo(str(sheet))
        return 0
    result = training.run(plan, task, resume=resume, say=say)
    if not training.first_process():
        return 0
    names = task_of(chosen.task).training_figures
    if output_format is Format.json:
        print_json({"recipe": chosen.name, "seed": chosen.schedule.seed, **_content(result, names)})
    else:
        _print(result, names)
    used = any(result.best.with_suffix(end).exists() for end in (".onnx", ".verify.json"))
    beside: list[str | Path] = (
        ["--out", after.fresh(plan.out / "exported")] if used else []
    )  # of an earlier run: it may be in use
    if plan.quantize is not None:
        boards = [name for name in target_names() if load_target(name).scheme == plan.quantize]
        beside = ["--precision", "int8", *(["--target", boards[0]] if "x86-cpu" not in boards else []), *beside]
    next_command("edgekit", "export", result.best, "--data", plan.data, *beside)
    return 0


def _content(result: TrainResult, names: Sequence[str]) -> dict[str, Any]:
    unmeasured = dict.fromkeys(names)  # null
    return {
        "best": str(result.best),
        "last": str(result.last),
        "best_epoch": result.best_epoch,
        "epochs": result.epochs,
        "metrics": {**unmeasured, **result.metrics},
        "final": {**unmeasured, **result.final},
        "seconds": round(result.seconds, 1),
        "images_per_second": round(result.images_per_second, 1) if result.images_per_second else None,
        "skipped": list(result.skipped),
        "competition": result.choice.to_dict() if result.choice else None,
    }


def _print(result: TrainResult, names: Sequence[str]) -> None:
    if result.choice is not None:
        typer.echo(f"{result.choice.why()} (training pictures held out for it)")
    for path, figures, number, why in (
        (
            result.best,
            result.metrics,
            result.best_epoch,
            "chosen on the validation data" if result.chosen else "the last",
        ),
        (result.last, result.final, int(result.final.get("epoch", result.epochs)), "the last"),
    ):
        shown = "  ".join(f"{k} {figures[k]:.4f}" if k in figures else f"{k} not measured" for k in names)
        low, high = figures.get("top1_low"), figures.get("top1_high")
        interval = f"  95 % [{low:.2%}, {high:.2%}]" if low is not None and high is not None else ""
        typer.echo(f"{path}  {shown}{interval}  ({_row(number, result)}, {why})")
    pace = f", {result.images_per_second:.1f} pictures/s while training" if result.images_per_second else ""
    typer.echo(f"{result.seconds / 60:.1f} minutes{pace}")
    if result.skipped:
        typer.echo(f"{count_of(len(result.skipped), 'picture')} skipped: {', '.join(result.skipped[:5])}")


def _row(number: int, result: TrainResult) -> str:
    if number == 0:
        return "the fitted head alone"
    if number <= result.epochs:
        return f"epoch {number}"
    mixed = any(row.get("mixed") for row in result.rows if row["epoch"] == number)
    done = "the starting weights mixed in" if mixed else "the head fitted again"
    return f"{done} after epoch {result.epochs}"


def _write_sheet(path: Path, task: Training, seed: int) -> None:
    from edgekit.artifacts.atomic import make_folder
    from edgekit.data.survey.sheet import Cell, write_sheet
    from edgekit.training.augment.variations import frame_of, mixed_seed

    make_folder(path.parent)
    cells = []
    for i in range(SHEET):
        index = i * len(task) // SHEET if len(task) >= SHEET else i % len(task)
        image, drawn = task.shown(index, mixed_seed(seed, 0, 2, i))
        cells.append(Cell(frame_of(image), task.name(index)[-32:], [(box, (255, 64, 0)) for box in drawn]))
    write_sheet(path, cells)
