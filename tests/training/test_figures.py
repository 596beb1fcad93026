"""Every figure that `edgekit train` gives of a file is what `edgekit eval` finds of that file."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from edgekit.benchmark.quality.accuracy import evaluate
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.data import load_dataset
from edgekit.loading import open_predictor
from edgekit.training.classification import ClassificationTraining
from edgekit.training.loop.result import BEST, LAST
from edgekit.training.task import Score
from edgekit.training.temperature import nll
from tests.training.conftest import TINY, write_pictures

pytestmark = pytest.mark.usefixtures("tiny_net")
PROBED = ("--set", "schedule.probe_views=2", "--set", "schedule.refit_head=true")


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `pictures`, with a third of the validation labels wrong, so that no net is always right."""
    folder = tmp_path_factory.mktemp("hard")
    write_pictures(folder / "train", ("red", "green"), 10, 0)
    write_pictures(folder / "val", ("red", "green"), 9, 1)
    for i in range(3):
        red, green = (folder / "val" / name / f"{i}.png" for name in ("red", "green"))
        kept = red.read_bytes()
        red.write_bytes(green.read_bytes())
        green.write_bytes(kept)
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def evaluated(cli: Any, model: Path, data: Path) -> dict[str, float]:
    """What `edgekit eval` says of the file, under train's names."""
    done = cli("eval", model, "--data", data, "--split", "val", "--format", "json")
    assert done.code == 0, done.text
    found = json.loads(done.out)
    if "mean" in found:
        return {name: found["mean"][name] for name in ("ap50", "ap", "voc07")}
    low, high = found["top1_interval"]
    balanced = float(np.mean([c["top1"] for c in found["classes"].values()]))
    with open_predictor(model) as predictor:  # what `eval` computes, with the logits: they tell nets apart
        answers = evaluate(predictor, load_dataset(data / "val", predictor.spec.classes))
    labels = [sample.label for sample in load_dataset(data / "val", predictor.spec.classes)]
    rates = {"top1": found["top1"], "top1_low": low, "top1_high": high, "balanced": balanced}
    return {**rates, "nll_calibrated": nll(answers.logits, labels)}


def assert_true(cli: Any, run: Path, data: Path, content: dict[str, Any], text: str) -> None:
    """json, metrics.csv and the two lines of text against the two files."""
    with (run / "metrics.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["scored"]]
    (marked,) = [row for row in rows if row["best"]]
    (of_epoch,) = [row for row in rows if float(row["epoch"]) == content["best_epoch"]]
    assert of_epoch is marked
    for name, told, row in ((BEST, content["metrics"], marked), (LAST, content["final"], rows[-1])):
        found = evaluated(cli, run / name, data)
        (line,) = [line for line in text.splitlines() if line.startswith(str(run / name))]
        for metric, value in found.items():
            close = pytest.approx(value, abs=1e-5 if metric == "nll_calibrated" else 1e-7)
            assert told[metric] == close, (name, metric)
            assert float(row[metric]) == close, (name, metric)
            if not metric.startswith("top1_"):
                (shown,) = re.findall(rf"\b{metric} ([0-9.]+)", line)
                assert float(shown) == pytest.approx(value, abs=6e-5), (name, metric)
        stored = load_checkpoint(run / name)
        assert {k: stored.metrics[k] for k in found} == {k: told[k] for k in found}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets a test say how good each evaluation finds the net; its figures stay what they are."""

    def judge(*values: float) -> None:
        left = iter(values)
        honest = ClassificationTraining.evaluate

        def evaluate(self: ClassificationTraining, net: nn.Module) -> Score:
            return replace(honest(self, net), key=(next(left),))

        monkeypatch.setattr(ClassificationTraining, "evaluate", evaluate)

    return judge


def trained(cli: Any, tiny: Path, data: Path, run: Path, *options: str) -> tuple[dict[str, Any], str]:
    """json of a training and text of the same, asked for again with --resume."""
    done = cli("train", tiny, "--data", data, "--out", run, *options, "--format", "json")
    assert done.code == 0, done.text
    again = cli("train", tiny, "--data", data, "--out", run, *options, "--resume")
    assert again.code == 0, again.text
    return json.loads(done.out), again.out


def test_of_both_files_of_a_classifier(cli: Any, tiny: Path, hard: Path, tmp_path: Path) -> None:
    content, text = trained(cli, tiny, hard, tmp_path / "run")
    assert_true(cli, tmp_path / "run", hard, content, text)
    assert load_checkpoint(tmp_path / "run" / BEST).spec.temperature != 1


@pytest.mark.parametrize("better", ["head", "epoch", "refit"])
def test_of_both_files_where_the_head_was_fitted_again(
    better: str, cli: Any, tiny: Path, hard: Path, tmp_path: Path, judged: Any
) -> None:
    """The row of the epoch before the refit was overwritten: train printed the refitted net's figure of best.pt."""
    judged(*{"head": (9, 1, 2, 3), "epoch": (0, 1, 9, 3), "refit": (0, 1, 2, 9)}[better])
    changes = ("--set", "schedule.epochs=2", "--set", "schedule.lr_trunk=0.05", *PROBED)
    content, text = trained(cli, tiny, hard, tmp_path / "run", *changes)
    assert content["epochs"] == 2
    assert content["best_epoch"] == {"head": 0, "epoch": 2, "refit": 3}[better]
    assert_true(cli, tmp_path / "run", hard, content, text)
    assert ("fitted again" in text.splitlines()[0]) == (better == "refit")
    assert "fitted again" in text.splitlines()[1]


def test_of_a_run_that_was_cut_off_before_its_refit(
    cli: Any, tiny: Path, hard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state lay on the disk, the refit was done and its figures printed, and last.pt stayed as it was."""
    run, changes = tmp_path / "run", ("--set", "schedule.epochs=2", "--set", "schedule.save_steps=1", *PROBED)
    with monkeypatch.context() as patch:
        patch.setattr("edgekit.training.loop.run._Run._refit", lambda self: (_ for _ in ()).throw(MemoryError()))
        assert cli("train", tiny, "--data", hard, "--out", run, *changes).code == 1
    done = cli("train", tiny, "--data", hard, "--out", run, *changes, "--resume", "--format", "json")
    assert done.code == 0, done.text
    text = cli("train", tiny, "--data", hard, "--out", run, *changes, "--resume").out
    assert_true(cli, run, hard, json.loads(done.out), text)


def test_last_pt_in_mid_epoch_has_no_figures_of_other_weights(
    cli: Any, tiny: Path, hard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.training.loop.run import _Run

    run, honest = tmp_path / "run", _Run._step

    def step(self: _Run, *values: Any) -> dict[str, float]:
        if self.progress.step == 8:
            raise MemoryError
        return honest(self, *values)

    monkeypatch.setattr(_Run, "_step", step)
    assert cli("train", tiny, "--data", hard, "--out", run).code == 1
    assert "top1" in load_checkpoint(run / BEST).metrics
    assert load_checkpoint(run / LAST).metrics == {"step": 8}  # two steps after it was evaluated


@pytest.mark.slow
def test_of_both_files_of_a_detector(cli: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = ("epochs=2", "batch=8", "lr_head=2e-3", "lr_trunk=2e-3", "save_steps=3")
    options = [word for change in changes for word in ("--set", f"schedule.{change}")]
    options += ["--set", "input.train_size=[96, 160]", "--set", "input.size=[96, 160]", "--set", "precision=fp32"]
    data = "synthetic://hive?n=24&val=10&height=180&width=320"
    done = cli("train", "demo", "--data", data, "--out", run, *options, "--format", "json")
    assert done.code == 0, done.text
    text = cli("train", "demo", "--data", data, "--out", run, *options, "--resume")
    assert_true(cli, run, Path(data), json.loads(done.out), text.out)
