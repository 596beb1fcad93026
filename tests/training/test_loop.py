"""The loop does what the recipe says and leaves what it promises."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.config.recipe import Recipe
from edgekit.spec import ModelSpec
from edgekit.training.loop.result import BEST, LAST, STATE, TrainResult
from edgekit.training.loop.run import train
from edgekit.training.loop.steps.batches import Feed, Order, order_for
from edgekit.training.loop.steps.sync_norm import SharedBatchNorm2d
from edgekit.training.task import normalised
from edgekit.training.tasks import make_task
from edgekit.vision.preprocess import normalise
from tests.training.conftest import MakeRecipe, TinyNet

RUNNER = Path(__file__).with_name("runner.py")
pytestmark = pytest.mark.usefixtures("tiny_net")


def run(recipe: Recipe, pictures: Path, out: Path, lines: list[str] | None = None) -> TrainResult:
    say = (lambda _: None) if lines is None else lines.append
    return train(make_task(recipe, pictures, say), recipe, out, say=say)


def table(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_it_learns_and_leaves_a_checkpoint_that_is_whole(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    lines: list[str] = []
    result = run(recipe("schedule.epochs=12"), pictures, tmp_path, lines)
    assert result.metrics["top1"] >= 0.9
    assert result.epochs == 12
    best = load_checkpoint(result.best)
    assert best.spec.classes == ("green", "red")
    assert best.spec.temperature == result.metrics["temperature"] != 1.0
    assert best.metrics["top1"] == result.metrics["top1"]
    assert best.recipe["schedule"]["epochs"] == 12
    assert isinstance(best.net(), nn.Module)
    assert {p.name for p in tmp_path.iterdir()} == {BEST, LAST, STATE, "metrics.csv", "tensorboard"}
    assert list((tmp_path / "tensorboard").iterdir())
    rows = table(tmp_path)
    assert [row["epoch"] for row in rows] == [str(i) for i in range(1, 13)]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    text = "\n".join(lines)
    assert "training: 20 pictures (green 10, red 10)" in text
    assert "20 of 20 decoded pictures kept in memory" in text
    assert "\r" not in text


def test_best_is_the_epoch_with_the_best_score_of_the_mean(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    chosen = recipe("schedule.epochs=6")
    task = make_task(chosen, pictures)
    result = train(task, chosen, tmp_path)
    keys = [(float(row["top1"]), -float(row["nll_calibrated"])) for row in table(tmp_path)]
    assert result.best_epoch == 1 + max(range(6), key=lambda i: keys[i])
    again = task.evaluate(load_checkpoint(result.best).net())
    assert again.metrics["top1"] == result.metrics["top1"]
    assert again.metrics["nll"] == pytest.approx(result.metrics["nll"], abs=1e-5)
    last = task.evaluate(load_checkpoint(result.last).net())
    assert last.metrics["nll"] == pytest.approx(result.final["nll"], abs=1e-5)


def test_on_a_cpu_it_keeps_freed_memory_until_it_ends(
    pictures: Path, tmp_path: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping: list[bool] = []

    @contextlib.contextmanager
    def kept_when_freed() -> Iterator[bool]:
        keeping.append(True)
        yield True
        keeping.clear()

    monkeypatch.setattr("edgekit.training.loop.run.kept_when_freed", kept_when_freed)
    chosen, seen = recipe("schedule.epochs=2"), []
    train(make_task(chosen, pictures), chosen, tmp_path, say=lambda _: seen.append(bool(keeping)))
    assert seen
    assert all(seen)
    assert not keeping


def test_it_stops_when_nothing_gets_better(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    chosen = recipe("schedule.epochs=9", "schedule.patience=2")
    task = make_task(chosen, pictures)
    values = iter([0.5, 0.7, 0.6, 0.6, 0.9, 0.9, 0.9, 0.9, 0.9])
    honest = task.evaluate

    def evaluate(net: nn.Module) -> object:
        value = next(values)
        score = honest(net)
        return replace(score, key=(value,), metrics={**score.metrics, "top1": value})

    task.evaluate = evaluate  # type: ignore[method-assign, assignment]
    lines: list[str] = []
    result = train(task, chosen, tmp_path, say=lines.append)
    assert (result.epochs, result.best_epoch) == (4, 2)
    assert "stopped: nothing better for 2 epochs" in lines


def test_evaluating_every_third_epoch_and_always_the_last(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    run(recipe("schedule.epochs=4", "schedule.evaluate_every=3"), pictures, tmp_path)
    assert [bool(row["top1"]) for row in table(tmp_path)] == [False, False, True, True]


def test_head_first_then_everything(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    frozen = recipe("schedule.epochs=1", "schedule.freeze_epochs=1", "schedule.ema=0")
    task = make_task(frozen, pictures)
    before = {k: v.clone() for k, v in task.net.state_dict().items()}
    train(task, frozen, tmp_path / "a")
    after = load_checkpoint(tmp_path / "a" / LAST).state_dict
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed == {"fc.weight", "fc.bias"}
    run(recipe("schedule.epochs=2", "schedule.freeze_epochs=1"), pictures, tmp_path / "b")
    after = load_checkpoint(tmp_path / "b" / LAST).state_dict
    assert all(not torch.equal(before[k], after[k]) for k in before)


def test_fine_tuning_keeps_the_trunk_and_replaces_the_head(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    torch.manual_seed(9)
    source = TinyNet("resnet18", 7)
    spec = ModelSpec("resnet18", tuple("abcdefg"), recipe().input.preprocess(), {"norm": "batch"})
    save_checkpoint(tmp_path / "seven.pt", Checkpoint(spec, source.state_dict()))
    task = make_task(recipe(f"net.weights={tmp_path / 'seven.pt'}"), pictures)
    state = task.net.state_dict()
    assert state["fc.weight"].shape == (2, 16)
    assert all(torch.equal(v, state[k]) for k, v in source.state_dict().items() if not k.startswith("fc."))


def test_a_probe_fits_the_head_before_the_first_step(pictures: Path, recipe: MakeRecipe) -> None:
    task = make_task(recipe("schedule.probe_views=3"), pictures)
    before = {k: v.clone() for k, v in task.net.state_dict().items()}
    first = task.evaluate(task.net.eval()).metrics
    task.start(task.net)
    second = task.evaluate(task.net.eval()).metrics
    assert second["top1"] >= 0.9 > first["top1"]
    assert {k for k, v in task.net.state_dict().items() if not torch.equal(v, before[k])} == {"fc.weight", "fc.bias"}


def test_the_fitted_head_alone_is_row_0_and_training_must_beat_it(
    pictures: Path, tmp_path: Path, recipe: MakeRecipe
) -> None:
    chosen = recipe("schedule.probe_views=2", "schedule.epochs=2")
    task = make_task(chosen, pictures)
    honest, values = task.evaluate, iter([0.9, 0.8, 0.7])
    task.evaluate = lambda net: replace(honest(net), key=(next(values),))  # type: ignore[method-assign]
    before = {k: v.clone() for k, v in task.net.state_dict().items()}
    result = train(task, chosen, tmp_path)
    assert (result.epochs, result.best_epoch) == (2, 0)
    assert [row["epoch"] for row in table(tmp_path)] == ["0", "1", "2"]
    best, last = load_checkpoint(result.best).state_dict, load_checkpoint(result.last).state_dict
    assert torch.equal(best["conv1.weight"], before["conv1.weight"])
    assert not torch.equal(last["conv1.weight"], before["conv1.weight"])


def test_the_head_is_fitted_again_at_the_end(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    changes = ("schedule.probe_views=2", "schedule.epochs=2")
    plain = run(recipe(*changes), pictures, tmp_path / "plain")
    again = run(recipe(*changes, "schedule.refit_head=true"), pictures, tmp_path / "again")
    a, b = load_checkpoint(plain.last), load_checkpoint(again.last)
    assert {k for k in a.state_dict if not torch.equal(a.state_dict[k], b.state_dict[k])} == {"fc.weight", "fc.bias"}
    chosen = recipe(*changes, "schedule.refit_head=true")
    fitted = b.net()
    make_task(chosen, pictures).start(fitted)
    torch.testing.assert_close(fitted.fc.weight, b.state_dict["fc.weight"], rtol=1e-3, atol=1e-4)
    assert table(tmp_path / "again")[-1]["refitted"] == "1"
    task = make_task(chosen, pictures)
    assert train(task, chosen, tmp_path / "again", resume=True).final == again.final


def test_class_balance_by_sampling_and_by_loss(tmp_path: Path, recipe: MakeRecipe) -> None:
    from tests.training.conftest import write_pictures

    write_pictures(tmp_path / "train", ("red",), 30, 0)
    write_pictures(tmp_path / "train", ("green",), 10, 1)
    write_pictures(tmp_path / "val", ("red", "green"), 3, 2)
    task = make_task(recipe("schedule.class_balance=sample"), tmp_path)
    order = order_for(task, 20, 1, 0)
    drawn = [task.sample(i, 0)["label"].item() for e in range(20) for batch in order.epoch(e) for i in batch]
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.05)  # 0.75 without
    weighted = make_task(recipe("schedule.class_balance=loss"), tmp_path)
    plain = make_task(recipe(), tmp_path)
    batches = [t.collate([t.sample(i, 0) for i in range(40)]) for t in (weighted, plain)]

    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[2.0, 0.0]]).expand(len(x), 2)  # always green

    wrong, right = torch.log1p(torch.exp(torch.tensor(2.0))), torch.log1p(torch.exp(torch.tensor(-2.0)))
    assert float(weighted.loss(Constant(), batches[0])["loss"]) == pytest.approx(float(wrong + right) / 2, rel=1e-5)
    expected = float(0.75 * wrong + 0.25 * right)
    assert float(plain.loss(Constant(), batches[1])["loss"]) == pytest.approx(expected, rel=1e-5)


def test_bf16_and_sgd_train_too(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    changes = ["precision=bf16", "schedule.optimizer=sgd", "schedule.lr_head=0.1", "schedule.lr_trunk=0.1"]
    result = run(recipe("schedule.epochs=12", *changes), pictures, tmp_path)
    assert result.metrics["top1"] >= 0.9
    assert all(v.dtype != torch.bfloat16 for v in load_checkpoint(result.best).state_dict.values())


def test_what_the_loss_sees_is_what_the_device_computes() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 20, 24, 3), dtype=np.uint8)
    images = torch.from_numpy(np.ascontiguousarray(frames[..., ::-1].transpose(0, 3, 1, 2)))
    for color in ("rgb", "bgr"):
        spec = replace(ModelSpec("resnet18", ("a",), _preprocess(color)).preprocess)
        ours = normalised(images, spec).numpy()
        np.testing.assert_array_equal(ours, normalise(frames, spec))


def _preprocess(color: str):  # type: ignore[no-untyped-def]
    from edgekit.spec import PreprocessSpec

    return PreprocessSpec(20, 24, "stretch", None, color=color, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def test_the_order_uses_each_sample_once_and_shares_it_out(pictures: Path, recipe: MakeRecipe) -> None:
    order = Order(samples=11, batch=4, seed=3)
    batches = order.epoch(0)
    assert [len(b) for b in batches] == [4, 4]
    assert len({i for b in batches for i in b}) == 8
    assert batches == Order(11, 4, 3).epoch(0)
    assert batches != order.epoch(1)
    assert batches != Order(11, 4, 4).epoch(0)
    task = make_task(recipe(), pictures)
    whole = order_for(task, 4, 1, 0)
    one = [part.indices for part in Feed(task, whole, epochs=4, rank=0, processes=1, workers=0).epoch(2, 1)]
    halves = [
        [part.indices for part in Feed(task, whole, epochs=4, rank=rank, processes=2, workers=0).epoch(2, 1)]
        for rank in (0, 1)
    ]
    assert one == [tuple(b) for b in whole.epoch(2)[1:]]
    assert one == [a + b for a, b in zip(*halves, strict=True)]


def test_workers_stay_over_epochs_and_give_what_this_process_gives(pictures: Path, recipe: MakeRecipe) -> None:
    task = make_task(recipe(), pictures)
    whole = order_for(task, 4, 1, 0)
    alone = Feed(task, whole, epochs=4, rank=0, processes=1, workers=0)
    helped = Feed(task, whole, epochs=4, rank=0, processes=1, workers=2)
    pids = set()
    for epoch, first in ((1, 1), (2, 0), (3, 0)):
        wanted, given = list(alone.epoch(epoch, first)), list(helped.epoch(epoch, first))
        assert [part.indices for part in given] == [part.indices for part in wanted]
        for a, b in zip(wanted, given, strict=True):
            assert a.batch is not None
            assert b.batch is not None
            assert all(torch.equal(values, b.batch[name]) for name, values in a.batch.items())
        pids.add(id(helped._stream))
    assert len(pids) == 1
    assert [part.indices for part in helped.epoch(1, 0)] == [part.indices for part in alone.epoch(1, 0)]
    helped.close()


@pytest.mark.slow
@pytest.mark.parametrize("changes", [(), ("net.norm=group",), ("schedule.freeze_epochs=1",)], ids=str)
def test_two_processes_learn_what_one_does(pictures: Path, tmp_path: Path, changes: tuple[str, ...]) -> None:
    """With BatchNorm too: its statistics are shared. Without dropout, which draws differently in each process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "EDGEKIT_TEST_NO_DROPOUT": "1"}
    options = ["schedule.epochs=4", *changes]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for command, out in (([sys.executable], tmp_path / "one"), (torchrun, tmp_path / "two")):
        done = subprocess.run(
            [*command, str(RUNNER), str(pictures), str(out), *options],
            capture_output=True, text=True, timeout=300, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = table(tmp_path / "one"), table(tmp_path / "two")
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), abs=1e-4)
        assert float(a["nll"]) == pytest.approx(float(b["nll"]), abs=1e-3)
    first, second = (load_checkpoint(tmp_path / n / LAST).state_dict for n in ("one", "two"))
    assert first.keys() == second.keys()
    assert float(one[0]["loss"]) - float(one[-1]["loss"]) > 1e-3  # something was learned at all


def test_the_shared_norm_is_batchnorm_where_there_is_one_process() -> None:
    """Its own formula against torch's, with a sum over one process instead of several."""
    import edgekit.training.loop.steps.sync_norm as module

    torch.manual_seed(0)
    x = torch.randn(6, 5, 7, 7) * 3 + 1
    honest = nn.BatchNorm2d(5)
    nn.init.normal_(honest.weight)
    shared = SharedBatchNorm2d(5)
    shared.load_state_dict(honest.state_dict())
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "all_reduce", lambda tensor: tensor)
        outputs = [norm(value) for norm, value in zip((honest, shared), inputs, strict=True)]
    for output in outputs:
        (output.pow(2) * torch.linspace(0, 1, 49).view(7, 7)).sum().backward()
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-3, atol=1e-4)
    for name, value in honest.state_dict().items():
        torch.testing.assert_close(value, shared.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_gradients_are_clipped_to_the_recipes_norm(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    """SGD without momentum moves the weights by the learning rate times the gradient, so the step's length is known."""
    changes = ["schedule.optimizer=sgd", "schedule.momentum=0", "schedule.weight_decay=0", "schedule.ema=0"]
    changes += ["schedule.epochs=1", "schedule.warmup=0", "schedule.cosine=false", "schedule.batch=20"]
    changes += ["schedule.lr_head=0.5", "schedule.lr_trunk=0.5"]
    lengths = {}
    for clip in (0.0, 0.01, 1e6):
        chosen = recipe(*changes, f"schedule.clip={clip}")
        task = make_task(chosen, pictures)
        before = [p.detach().clone() for p in task.net.parameters()]
        train(task, chosen, tmp_path / str(clip))
        moved = [(p.detach() - b).square().sum() for p, b in zip(task.net.parameters(), before, strict=True)]
        lengths[clip] = float(torch.stack(moved).sum().sqrt()) / 0.5
    assert lengths[0.01] == pytest.approx(0.01, rel=1e-3)
    assert lengths[0.0] == pytest.approx(lengths[1e6], rel=1e-5)
    assert lengths[0.0] > 0.05
