"""A step asks nothing of the device that it would have to wait for; what it gave is read later, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.config.recipe import Recipe, parse_recipe
from edgekit.data import hive_pictures
from edgekit.errors import EdgekitError
from edgekit.training.detection import DetectionTraining
from edgekit.training.loop import run as run_module
from edgekit.training.loop.result import BEST, LAST, STATE
from edgekit.training.loop.run import train
from edgekit.training.loop.schedule import make_optimizer
from edgekit.training.loop.steps.batches import Feed, order_for
from edgekit.training.loop.steps.ema import Ema
from edgekit.training.loop.steps.pending import Pending, Step
from edgekit.training.loop.steps.step import Stepper, make_accelerator
from edgekit.training.task import Training
from edgekit.training.tasks import make_task
from tests.training.conftest import TINY, MakeRecipe
from tests.training.test_finetune_errors import poisoned

pytestmark = pytest.mark.usefixtures("tiny_net")
DETECTOR = """
name = "tiny"
task = "detection"
[net]
arch = "centernet-resnet18"
neck = "fpn"
head = "HEAD"
width = 0.125
weights = "none"
[input]
train_size = 64
size = 64
resize = "letterbox"
[schedule]
epochs = 2
batch = 2
clip = 10.0
ema = 0.9
"""


class Waits(TorchDispatchMode):
    """Notes what a GPU would make the host wait for: its numbers, how many of something there are, new constants."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        indices = args[1] if name.startswith("index") and len(args) > 1 and isinstance(args[1], (list, tuple)) else ()
        masked = any(isinstance(index, Tensor) and index.dtype is torch.bool for index in indices)
        if masked or name in ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "unique_dim", "equal"):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def task_of(what: str, pictures: Path) -> tuple[Training, Recipe]:
    if what == "classifier":
        changes = ["schedule.class_balance=loss", "schedule.clip=0.01", "schedule.label_smoothing=0.1"]
        recipe = parse_recipe(TINY, "tiny", changes)
        return make_task(recipe, pictures), recipe
    made, recipe = hive_pictures(8, 0, 96, 96), parse_recipe(DETECTOR.replace("HEAD", what), "tiny", [])
    return DetectionTraining(recipe, made, made), recipe


@pytest.mark.parametrize("what", ["ltrb", "offset_size", "classifier"])
def test_a_step_never_waits(pictures: Path, what: str) -> None:
    task, recipe = task_of(what, pictures)
    schedule = recipe.schedule
    accelerator = make_accelerator("fp32")
    optimizer = accelerator.prepare_optimizer(make_optimizer(task.net, schedule, task.heads), device_placement=False)
    step, ema = Stepper(task, task.net, optimizer, accelerator, schedule.clip), Ema(task.net, schedule.ema)
    feed = Feed(task, order_for(task, 2, 1, 0), epochs=1, rank=0, processes=1, workers=0)
    first, second = list(feed.epoch(0))[:2]
    pending = Pending(2)
    task.net.train()
    for number, part in enumerate((first, second)):
        waits = Waits()
        with waits:
            values = step(task.net, part)
            ema.update(task.net)
            assert not pending.due
            pending.add(Step(number, "1/1", "epoch 1", part.indices, (0.0, 0.0)), values)
        if number:  # the first makes what all have in common
            assert waits.seen == []
    assert pending.due
    read = list(pending.read())
    assert [one.number for one, _ in read] == [0, 1]
    assert all({"loss", "gradient"} <= values.keys() for _, values in read)
    assert list(pending.read()) == []


def test_waits_are_noticed() -> None:
    x, mask = torch.arange(4.0), torch.tensor([True, False, True, False])
    for wait in (lambda: float(x.sum()), lambda: x[mask], lambda: x.nonzero(), lambda: x.new_tensor([1.0])):
        with Waits() as waits:
            wait()
        assert waits.seen


@pytest.mark.gpu
@pytest.mark.parametrize("what", ["ltrb", "offset_size", "classifier"])
def test_a_gpu_says_so_too(pictures: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    task, recipe = task_of(what, pictures)
    honest, count = run_module.Stepper.__call__, iter(range(10**6))

    def strict(self: Stepper, *given: Any) -> dict[str, Tensor]:
        torch.cuda.set_sync_debug_mode("error" if next(count) else "default")
        try:
            return honest(self, *given)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(run_module.Stepper, "__call__", strict)
    train(task, recipe, tmp_path)
    assert next(count) > 2


def weights(path: Path) -> dict[str, Tensor]:
    return dict(load_checkpoint(path).state_dict)


@pytest.mark.parametrize("every", [3, 1000])
def test_reading_later_changes_nothing(
    pictures: Path, tmp_path: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    chosen = recipe("schedule.save_steps=100")
    train(make_task(chosen, pictures), chosen, tmp_path / "now")
    monkeypatch.setattr(run_module, "Pending", lambda _: Pending(every))
    train(make_task(chosen, pictures), chosen, tmp_path / "later")
    now, later = (weights(tmp_path / name / LAST) for name in ("now", "later"))
    assert all(torch.equal(now[name], later[name]) for name in now)
    tables = [(tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("now", "later")]
    speed = tables[0][0].split(",").index("images_per_second")
    rows = [[[v for i, v in enumerate(row.split(",")) if i != speed] for row in table] for table in tables]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("every", [3, 1000])
@pytest.mark.parametrize(
    ("what", "poison"),
    [
        ("loss", lambda loss: loss * float("nan")),
        ("gradient", lambda loss: loss + (loss.detach() - loss).sqrt()),  # 0 with the slope of infinity
    ],
)
def test_a_broken_step_is_named_exactly_and_nothing_after_it_is_saved(
    pictures: Path,
    tmp_path: Path,
    recipe: MakeRecipe,
    monkeypatch: pytest.MonkeyPatch,
    every: int,
    what: str,
    poison: Callable[[Tensor], Tensor],
) -> None:
    monkeypatch.setattr(run_module, "Pending", lambda _: Pending(every))
    chosen = recipe("schedule.save_steps=4")
    task = poisoned(make_task(chosen, pictures), 6, poison)  # the second of the second epoch's five
    with pytest.raises(EdgekitError) as caught:
        train(task, chosen, tmp_path)
    assert f"The {what} is not a number any more, in epoch 2, batch 2 of 5." in str(caught.value)
    assert load_checkpoint(tmp_path / LAST).metrics["step"] == 4
    assert load_checkpoint(tmp_path / BEST).metrics["step"] == 5
    saved = torch.load(tmp_path / STATE, weights_only=True)
    assert saved["progress"]["step"] == 4
    assert all(torch.isfinite(value).all() for value in saved["net"].values())


def test_what_is_compiled_is_saved_under_plain_names_and_goes_on(
    pictures: Path, tmp_path: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, honest = [], torch.compile

    def eager(net: nn.Module) -> Any:
        compiled.append(net)
        return honest(net, backend="eager")

    monkeypatch.setattr(torch, "compile", eager)
    few = recipe("schedule.compile=true", "schedule.epochs=1")
    train(make_task(few, pictures), few, tmp_path / "whole")
    plain = recipe("schedule.epochs=1")
    train(make_task(plain, pictures), plain, tmp_path / "plain")
    assert len(compiled) == 1
    whole, usual = weights(tmp_path / "whole" / LAST), weights(tmp_path / "plain" / LAST)
    assert whole.keys() == usual.keys()
    assert all(torch.equal(whole[name], usual[name]) for name in usual)
    again = train(make_task(few, pictures), few, tmp_path / "whole", resume=True)
    assert again.epochs == 1


def test_what_cannot_be_compiled_says_how_to_do_without(
    pictures: Path, tmp_path: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("no compiler found")

    honest = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net: honest(net, backend=broken))
    chosen = recipe("schedule.compile=true", "schedule.epochs=1")
    with pytest.raises(EdgekitError, match="schedule.compile=false"):
        train(make_task(chosen, pictures), chosen, tmp_path)
