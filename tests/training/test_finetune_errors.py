"""Bad input and bad luck: a clear error, and nothing lost."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import edgekit.artifacts.atomic as files
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.config.recipe import Recipe
from edgekit.errors import CheckpointError, DataError, EdgekitError, OutputError, PictureError, UsageError
from edgekit.training.loop import run
from edgekit.training.loop.result import BEST, LAST, STATE
from edgekit.training.loop.run import train
from edgekit.training.loop.steps.batches import order_for
from edgekit.training.pictures import Pictures
from edgekit.training.splits import load_splits
from edgekit.training.task import Training
from edgekit.training.tasks import make_task
from tests.training.conftest import MakeRecipe, write_pictures

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture
def copied(pictures: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pictures, tmp_path / "pictures"))


def test_no_pictures(tmp_path: Path, recipe: MakeRecipe) -> None:
    with pytest.raises(DataError, match="is not there"):
        make_task(recipe(), tmp_path / "none")
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        make_task(recipe(), tmp_path)


def test_no_validation_pictures(copied: Path, recipe: MakeRecipe) -> None:
    shutil.rmtree(copied / "val")
    with pytest.raises(DataError) as caught:
        make_task(recipe(), copied)
    assert "val/" in str(caught.value)
    assert str(copied / "train") in str(caught.value)


def test_one_class_only(tmp_path: Path, recipe: MakeRecipe) -> None:
    for split in ("train", "val"):
        write_pictures(tmp_path / split, ("red",), 4, 0)
    with pytest.raises(DataError, match="only one class has training pictures"):
        make_task(recipe(), tmp_path)


def test_a_validation_folder_of_an_unknown_class(copied: Path, recipe: MakeRecipe) -> None:
    (copied / "val" / "red").rename(copied / "val" / "blue")
    with pytest.raises(DataError, match="blue"):
        make_task(recipe(), copied)


def test_no_labels(tmp_path: Path, recipe: MakeRecipe) -> None:
    write_pictures(tmp_path, ("train", "val"), 3, 0)
    with pytest.raises(DataError, match="no labels"):
        make_task(recipe(), tmp_path)


def test_class_folders_without_splits_are_split_by_likeness_and_class_and_it_says_so(
    tmp_path: Path, recipe: MakeRecipe
) -> None:
    write_pictures(tmp_path, ("red", "green"), 10, 0)
    chosen = recipe()
    splits = load_splits(tmp_path, chosen.data, 0)
    assert [sum(s.label == c for s in splits.val) for c in (0, 1)] == [2, 2]
    assert {s.name for s in splits.val}.isdisjoint(s.name for s in splits.train)
    assert len(splits.train) + len(splits.val) == 20
    assert load_splits(tmp_path, chosen.data, 0).val.samples[0].name == splits.val.samples[0].name
    assert any("4 of 20 pictures held out by group" in note for note in splits.notes)


def test_a_picture_on_both_sides_is_told(copied: Path, recipe: MakeRecipe) -> None:
    shutil.copy(copied / "train" / "red" / "3.png", copied / "val" / "red" / "again.png")
    notes = load_splits(copied, recipe().data, 0).notes
    assert any("WARNING: 1 validation pictures" in n and "red/again.png = red/3.png" in n for n in notes)


def truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_cut_off_pictures_are_found_at_the_start_and_named(copied: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    truncate(copied / "train" / "red" / "4.png")
    truncate(copied / "val" / "green" / "2.png")
    lines: list[str] = []
    chosen = recipe("schedule.epochs=1")
    task = make_task(chosen, copied, lines.append)
    assert len(task) == 19
    assert any("1 unreadable, left out: red/4.png" in line for line in lines)
    assert any("1 unreadable in validation, left out: green/2.png" in line for line in lines)
    train(task, chosen, tmp_path / "run")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_breaks_in_mid_epoch_is_skipped_and_listed(
    copied: Path, tmp_path: Path, recipe: MakeRecipe, workers: int
) -> None:
    lines: list[str] = []
    chosen = recipe("schedule.epochs=2", "data.cache_mb=0", f"data.workers={workers}")
    task = make_task(chosen, copied, lines.append)
    assert any("0 of 20 decoded pictures kept" in line for line in lines)
    (copied / "train" / "green" / "7.png").unlink()
    result = train(task, chosen, tmp_path / "run", say=lines.append)
    assert len(result.skipped) == 1
    assert "green/7.png" in result.skipped[0]
    assert sum("skipped, cannot be read any more: green/7.png" in line for line in lines) == 1


def test_a_disk_that_is_gone_stops_it(copied: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    chosen = recipe("schedule.epochs=1", "data.cache_mb=0")
    task = make_task(chosen, copied)
    shutil.rmtree(copied / "train")
    with pytest.raises(DataError, match="Not one picture of a batch"):
        train(task, chosen, tmp_path / "run")


def test_the_memory_for_pictures_is_bounded(copied: Path) -> None:
    samples = load_splits(copied, Recipe(name="x").data, 0).train.samples
    lines: list[str] = []
    one = 40 * 48 * 3
    some = Pictures(samples, shorter_side=64, limit=3 * one + 5, say=lines.append)
    assert lines == ["3 of 20 decoded pictures kept in memory, 0 MB; 17 are decoded every epoch (data.cache_mb is 0)"]
    every = Pictures(samples, shorter_side=64, limit=2**20)
    assert all(torch.equal(some[i], every[i]) for i in range(20))
    frame = samples[5].read()
    np.testing.assert_array_equal(every[5].permute(1, 2, 0).numpy(), frame[..., ::-1])
    assert Pictures(samples, shorter_side=20, limit=0)[0].shape == (3, 20, 24)


def test_not_one_readable_picture(tmp_path: Path) -> None:
    from edgekit.data import Sample

    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    truncate(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"None of the pictures can be read"):
        Pictures([Sample(tmp_path / "a.png", None, 0)], shorter_side=8, limit=0)


def poisoned(task: Training, step: int, poison: Callable[[Tensor], Tensor]) -> Training:
    honest, count = task.loss, iter(range(10**6))

    def loss(net: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        losses = honest(net, batch)
        return {**losses, "loss": poison(losses["loss"])} if next(count) == step else losses

    task.loss = loss  # type: ignore[method-assign, assignment]
    return task


@pytest.mark.parametrize(
    ("what", "poison"),
    [
        ("loss", lambda loss: loss * float("nan")),
        ("loss", lambda loss: loss * float("inf")),
        ("gradient", lambda loss: loss + (loss.detach() - loss).sqrt()),  # 0 with the slope of infinity
    ],
)
def test_a_loss_that_is_not_a_number_stops_and_the_last_good_checkpoint_stays(
    pictures: Path, tmp_path: Path, recipe: MakeRecipe, what: str, poison: Callable[[Tensor], Tensor]
) -> None:
    chosen = recipe()
    task = poisoned(make_task(chosen, pictures), 8, poison)  # the fourth of the second epoch's five
    saved: dict[str, bytes] = {}
    with pytest.raises(EdgekitError) as caught:
        train(task, chosen, tmp_path)
    message = str(caught.value)
    assert f"The {what} is not a number any more, in epoch 2, batch 4 of 5." in message
    assert ".png" in message
    assert "best.pt and last.pt" in message
    assert load_checkpoint(tmp_path / LAST).metrics["step"] == 8
    assert load_checkpoint(tmp_path / BEST).metrics["step"] == 5
    saved = {name: (tmp_path / name).read_bytes() for name in (LAST, BEST)}
    train(make_task(chosen, pictures), chosen, tmp_path, resume=True)  # and can go on
    assert saved[LAST] != (tmp_path / LAST).read_bytes()


def test_a_net_that_only_answers_nan_is_never_the_best(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    task = make_task(recipe(), pictures)
    good = task.evaluate(task.net.eval())
    nn.init.constant_(task.net.fc.weight, float("nan"))
    assert task.evaluate(task.net).key < good.key


class _FullDisk:
    """A stream that takes `room` bytes and then says what a full disk says."""

    def __init__(self, stream: IO[bytes], room: int) -> None:
        self._stream, self._room = stream, room

    def write(self, data: Any) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._stream.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@pytest.mark.parametrize("name", [STATE, LAST, BEST])
def test_a_full_disk_is_told_and_earlier_files_stay(
    pictures: Path, tmp_path: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import contextlib
    from collections.abc import Iterator

    chosen = recipe("schedule.epochs=6")
    honest, written = files.atomic, [0]

    @contextlib.contextmanager
    def atomic(path: Path, *, overwrite: bool = False) -> Iterator[IO[bytes]]:
        with honest(path, overwrite=overwrite) as stream:
            written[0] += path.name == name
            full = path.name == name and written[0] == 2
            yield _FullDisk(stream, 1500) if full else stream  # type: ignore[misc]

    monkeypatch.setattr("edgekit.training.loop.state.atomic", atomic)
    monkeypatch.setattr("edgekit.checkpoints.checkpoint.atomic", atomic)
    task = make_task(chosen, pictures)
    if name == BEST:
        task = _ever_better(task)
    with pytest.raises(OutputError) as caught:
        train(task, chosen, tmp_path)
    assert f"{name} could not be written" in str(caught.value)
    assert "the disk is full" in str(caught.value)
    assert not list(tmp_path.glob(".*.tmp"))
    load_checkpoint(tmp_path / name) if name != STATE else None
    monkeypatch.undo()
    assert torch.load(tmp_path / STATE, weights_only=True)["progress"]["step"] >= 2


def _ever_better(task: Training) -> Training:
    from dataclasses import replace

    honest, count = task.evaluate, iter(range(100))
    task.evaluate = lambda net: replace(honest(net), key=(float(next(count)),))  # type: ignore[method-assign]
    return task


def test_weights_that_do_not_fit(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        make_task(recipe(f"net.weights={tmp_path / 'none.pth'}"), pictures)
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not of a net that edgekit knows"):
        make_task(recipe(f"net.weights={tmp_path / 'other.pth'}"), pictures)
    with pytest.raises(UsageError, match="no ImageNet weights with this norm"):
        make_task(recipe("net.weights=imagenet", "net.norm=group"), pictures)


def test_a_batch_that_processes_cannot_share(pictures: Path, recipe: MakeRecipe) -> None:
    task = make_task(recipe(), pictures)
    with pytest.raises(UsageError, match="multiple of 3"):
        order_for(task, 4, 3, 0)
    assert order_for(task, 64, 2, 0).batch == 20  # a batch larger than the data shrinks


def test_fp16_on_a_cpu_and_a_part_that_is_not_there(pictures: Path, tmp_path: Path, recipe: MakeRecipe) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="needs a GPU"):
            train(make_task(recipe("precision=fp16"), pictures), recipe("precision=fp16"), tmp_path)
    chosen = recipe('schedule.frozen=["layer1"]')
    with pytest.raises(UsageError, match="no such part"):
        train(make_task(chosen, pictures), chosen, tmp_path)


def test_a_sample_that_raises_names_its_file(copied: Path, recipe: MakeRecipe) -> None:
    task = make_task(recipe("data.cache_mb=0"), copied)
    truncate(copied / "train" / "green" / "0.png")
    index = next(i for i in range(len(task)) if task.name(i) == "green/0.png")
    with pytest.raises(PictureError, match=r"green/0\.png"):
        task.sample(index, 0)
    assert run.STATE == STATE
