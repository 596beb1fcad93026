"""A training that was killed goes on as if nothing had happened."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.config.recipe import Recipe, load_recipe
from edgekit.errors import CheckpointError, OutputError, UsageError
from edgekit.training.loop import state
from edgekit.training.loop.result import BEST, LAST, STATE
from edgekit.training.loop.run import train
from edgekit.training.loop.state import Progress, load_state, random_state, restore_random
from edgekit.training.tasks import make_task
from tests.training.conftest import MakeRecipe

RUNNER = Path(__file__).with_name("runner.py")
MEASURED = {"images_per_second"}  # the clock is not resumed


def runner(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUNNER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as stream:
        return [{k: v for k, v in row.items() if k not in MEASURED} for row in csv.DictReader(stream)]


def assert_same_run(one: Path, other: Path) -> None:
    for name in (LAST, BEST):
        a, b = load_checkpoint(one / name), load_checkpoint(other / name)
        assert a.spec == b.spec
        assert dict(a.metrics) == dict(b.metrics)
        assert set(a.state_dict) == set(b.state_dict)
        assert all(torch.equal(a.state_dict[k], b.state_dict[k]) for k in a.state_dict), name
    first, second = (torch.load(run / STATE, weights_only=True) for run in (one, other))
    assert all(torch.equal(first["net"][k], second["net"][k]) for k in first["net"])
    assert torch.equal(first["random"]["torch"], second["random"]["torch"])
    assert rows(one) == rows(other)


def train_here(pictures: Path, out: Path, recipe: Recipe, resume: bool = False) -> Path:
    train(make_task(recipe, pictures), recipe, out, resume=resume)
    return out


@pytest.fixture
def whole(pictures: Path, tmp_path: Path, recipe: MakeRecipe, tiny_net: None) -> Path:
    """A run of 3 epochs of 5 steps that nothing happened to; every second step is saved."""
    return train_here(pictures, tmp_path / "whole", recipe())


def test_killed_in_mid_epoch_and_resumed_the_final_weights_are_equal_bit_for_bit(
    pictures: Path, whole: Path, tmp_path: Path, recipe: MakeRecipe
) -> None:
    out = tmp_path / "killed"
    killed = runner(pictures, out, "--kill", 9)  # saved at 8, the third step of the second epoch
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert torch.load(out / STATE, weights_only=True)["progress"]["step"] == 8
    assert_same_run(whole, train_here(pictures, out, recipe(), resume=True))


def test_another_seed_gives_other_weights(pictures: Path, whole: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    """What the test above compares is not the same whatever one does."""
    other = train_here(pictures, tmp_path / "other", recipe("schedule.seed=1"))
    a, b = load_checkpoint(whole / LAST), load_checkpoint(other / LAST)
    assert not torch.equal(a.state_dict["conv1.weight"], b.state_dict["conv1.weight"])


def test_loader_processes_change_nothing(pictures: Path, whole: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    assert_same_run(whole, train_here(pictures, tmp_path / "other", recipe("data.workers=2")))


@pytest.mark.slow
def test_killed_twice_anywhere(pictures: Path, whole: Path, tmp_path: Path) -> None:
    """All of it in processes of their own, as it happens."""
    for first, second in ((2, 5), (6, 11), (10, 14)):
        out = tmp_path / str(first)
        assert runner(pictures, out, "--kill", first).returncode == -signal.SIGKILL
        assert runner(pictures, out, "--kill", second, "--resume").returncode == -signal.SIGKILL
        done = runner(pictures, out, "--resume")
        assert done.returncode == 0, done.stderr
        assert_same_run(whole, out)


def test_a_finished_run_resumes_to_itself(pictures: Path, tmp_path: Path, recipe: MakeRecipe, tiny_net: None) -> None:
    chosen = recipe("schedule.epochs=2")
    first = train(make_task(chosen, pictures), chosen, tmp_path)
    before = (tmp_path / LAST).read_bytes()
    second = train(make_task(chosen, pictures), chosen, tmp_path, resume=True)
    assert second.metrics == first.metrics
    assert (tmp_path / LAST).read_bytes() == before


def test_what_cannot_be_resumed_is_refused(pictures: Path, tmp_path: Path, recipe: MakeRecipe, tiny_net: None) -> None:
    chosen = recipe("schedule.epochs=1")
    task = make_task(chosen, pictures)
    with pytest.raises(OutputError, match="no training to go on with"):
        train(task, chosen, tmp_path, resume=True)
    train(task, chosen, tmp_path)
    with pytest.raises(OutputError, match="holds a training already"):
        train(task, chosen, tmp_path)
    other = recipe("schedule.epochs=1", "schedule.lr_head=0.5")
    with pytest.raises(UsageError, match=r"schedule.lr_head was 0.01, is 0.5"):
        train(make_task(other, pictures), other, tmp_path, resume=True)
    with pytest.raises(UsageError, match="pictures changed"):
        load_state(tmp_path / STATE, chosen.model_dump(mode="json"), "0" * 64)
    with pytest.raises(CheckpointError, match="not the state of a training"):
        load_state(tmp_path / LAST, chosen.model_dump(mode="json"), task.digest())
    state = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(state[: len(state) // 2])
    with pytest.raises(CheckpointError, match="broken or truncated"):
        train(make_task(chosen, pictures), chosen, tmp_path, resume=True)


def test_moving_the_data_or_saving_more_often_is_no_change(
    pictures: Path, tmp_path: Path, recipe: MakeRecipe, tiny_net: None
) -> None:
    chosen = recipe("schedule.epochs=1")
    train(make_task(chosen, pictures), chosen, tmp_path)
    moved = recipe("schedule.epochs=1", "schedule.save_steps=1", "data.path=elsewhere", "data.workers=1")
    train(make_task(moved, pictures), moved, tmp_path, resume=True)


def test_every_generator_is_restored() -> None:
    import random

    import numpy as np

    state = random_state()
    drawn = (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random())
    restore_random(state)
    assert (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()) == drawn
    assert Progress().step == 0


def test_a_run_begun_before_a_key_was_there_goes_on() -> None:
    old = load_recipe("centernet-tiny").model_dump(mode="json")
    for table, key in (("threshold", "false_alarms"), ("data", "also"), ("data", "credit"), ("augment", "paste")):
        del old[table][key]
    assert state._differences(old, load_recipe("centernet-tiny").model_dump(mode="json")) == []
    pasted = load_recipe("centernet-tiny", ["augment.paste=0.5"]).model_dump(mode="json")
    assert state._differences(old, pasted) == ["augment.paste was 0.0, is 0.5"]
