"""Ctrl-C leaves a state that --resume takes, whenever it comes; the run then ends as if it had not come."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.training.classification import ClassificationTraining
from edgekit.training.loop.interrupt import Interrupt, Stopped
from edgekit.training.loop.result import LAST, STATE
from edgekit.training.loop.run import _Run, train
from edgekit.training.tasks import make_task
from tests.training.conftest import TINY, MakeRecipe
from tests.training.test_resume import assert_same_run

pytestmark = pytest.mark.usefixtures("tiny_net", "ctrl_c")
CHANGES = ("epochs=2", "probe_views=2", "refit_head=true", "mix=0.3", "save_steps=1000")


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt: a shell's background jobs are born with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def pressed_at(patch: pytest.MonkeyPatch, kind: type, name: str, call: int) -> None:
    """Ctrl-C in the middle of the `call`-th call of a method, counted from 1."""
    honest, calls = getattr(kind, name), []

    def method(self: Any, *values: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            press()
        return honest(self, *values)

    patch.setattr(kind, name, method)


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"out": tmp_path_factory.mktemp("whole") / "run"}


@pytest.mark.parametrize(
    ("kind", "name", "call", "step"),
    [
        (ClassificationTraining, "start", 1, 0),  # the head is being fitted
        (ClassificationTraining, "evaluate", 1, 0),  # row 0
        (_Run, "_step", 1, 1),
        (_Run, "_step", 3, 3),
        (ClassificationTraining, "evaluate", 2, 5),  # the first epoch's
        (_Run, "_step", 10, 10),  # the last step of all
        (ClassificationTraining, "start", 2, 10),  # the refit
        (ClassificationTraining, "evaluate", 4, 10),
        (ClassificationTraining, "evaluate", 5, 10),  # the starting weights were mixed in
    ],
)
def test_ctrl_c_at_any_moment_and_resumed_the_run_is_the_same(
    kind: type, name: str, call: int, step: int, pictures: Path, tmp_path: Path, recipe: MakeRecipe,
    whole: dict[str, Path], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    chosen = recipe(*(f"schedule.{change}" for change in CHANGES))
    if not whole["out"].exists():
        train(make_task(chosen, pictures), chosen, whole["out"])
    lines: list[str] = []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        pressed_at(patch, kind, name, call)
        train(make_task(chosen, pictures), chosen, tmp_path, say=lines.append)
    assert lines[-1] == f"stopped at step {step} of 10; the same command with --resume goes on"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert torch.load(tmp_path / STATE, weights_only=True)["progress"]["step"] == step
    train(make_task(chosen, pictures), chosen, tmp_path, resume=True)
    assert_same_run(whole["out"], tmp_path)


def test_the_command_ends_with_130_and_resumes(cli: Any, pictures: Path, tmp_path: Path) -> None:
    recipe, run = tmp_path / "tiny.toml", tmp_path / "run"
    recipe.write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        pressed_at(patch, _Run, "_step", 2)
        done = cli("train", recipe, "--data", pictures, "--out", run)
    assert done.code == 130
    assert "--resume goes on" in done.err
    assert {p.name for p in run.iterdir()} == {LAST, STATE, "tensorboard"}
    again = cli("train", recipe, "--data", pictures, "--out", run, "--resume")
    assert again.code == 0, again.text
    assert "going on at step 2 of 15" in again.err


def test_the_second_one_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt) as raised, Interrupt():
        press()
        press()
    assert raised.type is KeyboardInterrupt


def test_it_is_put_off_to_the_next_check() -> None:
    with Interrupt() as interrupt:
        interrupt.check()
        press()
        with pytest.raises(Stopped):
            interrupt.check()
    with pytest.raises(Stopped), Interrupt() as interrupt, interrupt.harmless():
        press()


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupt() as interrupt:
        press()
        interrupt.check()
