"""`edgekit train`, from its options to what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import edgekit
from edgekit.cli.making.train import train
from edgekit.errors import OutputError, UsageError
from edgekit.vision.image import read_picture
from tests.training.conftest import TINY, write_pictures

pytestmark = pytest.mark.usefixtures("tiny_net")
app = typer.Typer()
app.command("train")(train)


def call(*arguments: object) -> tuple[str, str]:
    """stdout and stderr of a run that succeeds; what it raises is raised."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    assert not result.return_value
    return result.stdout, result.stderr


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def test_it_trains_and_ends_with_the_export(tiny: Path, pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--set", "schedule.epochs=1", "--seed", 3, "--weights", "none", "--format", "json"]
    out, err = call(tiny, "--data", pictures, "--out", run, *options)
    content = json.loads(out)
    assert content["seed"] == 3
    assert content["epochs"] == 1
    assert Path(content["best"]) == run / "best.pt"
    assert 0 <= content["metrics"]["top1_low"] <= content["metrics"]["top1"] <= 1
    assert "training: 20 pictures (green 10, red 10)" in err
    assert err.rstrip().splitlines()[-1] == f"next: edgekit export {run / 'best.pt'} --data {pictures}"
    with pytest.raises(OutputError, match="holds a training already"):
        call(tiny, "--data", pictures, "--out", run)
    text, _ = call(tiny, "--data", pictures, "--out", run, *options[:-2], "--resume")
    assert "best.pt  top1" in text
    assert "chosen on the validation data" in text


def test_python_trains_as_the_command_does(tiny: Path, pictures: Path, tmp_path: Path) -> None:
    changes = ["schedule.epochs=1", "net.weights=none", "schedule.seed=3"]
    told: list[str] = []
    result = edgekit.train(str(tiny), str(pictures), str(tmp_path / "a"), changes=changes, say=told.append)
    call(tiny, "--data", pictures, "--out", tmp_path / "b", *(word for c in changes for word in ("--set", c)))
    with edgekit.load(tmp_path / "a" / "best.pt") as one, edgekit.load(str(tmp_path / "b" / "best.pt")) as other:
        frame = np.full((40, 40, 3), 90, np.uint8)
        np.testing.assert_array_equal(one(frame).logits, other(frame).logits)
    assert result.best == tmp_path / "a" / "best.pt"
    assert str(tmp_path / "a" / "curves.png") in told


def test_balanced_accuracy_without_a_picture_of_a_class_is_not_measured(tiny: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "data" / "train", ("red", "green"), 3, 0)
    write_pictures(tmp_path / "data" / "val", ("red",), 3, 1)
    options = ["--data", tmp_path / "data", "--weights", "none", "--set", "schedule.epochs=1"]
    out, err = call(tiny, *options, "--out", tmp_path / "a", "--set", "schedule.class_balance=loss", "--format", "json")
    assert json.loads(out)["metrics"]["balanced"] is None
    assert "WARNING: validation has no picture of green" in err
    assert "the best epoch is chosen by the mean recall of red" in err
    text, _ = call(tiny, *options, "--out", tmp_path / "b")
    assert "balanced not measured" in text
    assert "balanced" not in (tmp_path / "b" / "metrics.csv").read_text()


def test_it_only_writes_a_sheet_if_asked(tiny: Path, pictures: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "new" / "sheet.jpg"
    out, _ = call(tiny, "--data", pictures, "--out", tmp_path / "run", "--sheet", sheet)
    assert out.strip() == str(sheet)
    assert read_picture(sheet).shape == (4 * 48, 8 * 34, 3)
    assert not (tmp_path / "run").exists()


def test_what_is_missing_or_unknown_is_named(tiny: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data DIR"):
        call(tiny, "--out", tmp_path / "run")
    with pytest.raises(UsageError, match="did you mean epochs"):
        call(tiny, "--data", pictures, "--out", tmp_path / "run", "--set", "schedule.epoch=3")
