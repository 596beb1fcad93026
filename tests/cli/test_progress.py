"""Each command that can take longer than 2 s counts what it does; here every step is told, as if it took so long."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from edgekit import nets
from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.data import made_pictures
from edgekit.spec import ModelSpec, PreprocessSpec
from tests.training.conftest import TINY, TINY_NET, TinyNet, write_pictures


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.cli.shared.teller.FIRST", 0.0)
    monkeypatch.setattr("edgekit.cli.shared.teller.EVERY", 0.0)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, spec: Any) -> Path:
    """Class folders of the session's net, two pictures each of two classes."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("labelled")
    for i, sample in enumerate(made_pictures(6, seed=4)):
        place = folder / spec.classes[i % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(np.ascontiguousarray(sample.read()[::2, ::2, ::-1])).save(place / f"{i}.png")
    return folder


def works(err: str) -> dict[str, list[str]]:
    """What was told, by work, innermost first in each line; an estimate or a time stands at its end."""
    found: dict[str, list[str]] = {}
    for line in err.splitlines():
        match = re.fullmatch(r"(.+), (about [0-9:]+ left|[0-9:]+ so far)", line)
        for part in match[1].split(": ") if match else ():
            found.setdefault(re.sub(r" \d+( of \d+)?( \(.*\))?$", "", part), []).append(line)
    return found


def test_export(cli: Any, checkpoint: Path, tmp_path: Path) -> None:
    done = cli("export", checkpoint, "--out", tmp_path, "--pictures", 4, "--format", "json")
    assert done.code == 0, done.text
    told = works(done.err)
    expected = {"making pictures", "reading the gate's pictures", "running the model", "running the file"}
    assert expected <= told.keys(), told.keys()
    assert not works(done.out)


def test_eval_predict_and_verify(cli: Any, good: Path, checkpoint: Path, labelled: Path) -> None:
    assert "looking at pictures" in works(cli("eval", good, "--data", labelled).err)
    assert "looking at pictures" in works(cli("predict", good, labelled).err)
    assert "comparing on pictures" in works(cli("verify", checkpoint, good, "--data", labelled).err)


def test_train(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nets.NETS, "resnet18", TINY_NET)
    write_pictures(tmp_path / "data" / "train", ("red", "green"), 6, 0)
    write_pictures(tmp_path / "data" / "val", ("red", "green"), 3, 1)
    (tmp_path / "tiny.toml").write_text(TINY)
    changes = ("--set", "schedule.epochs=2", "--set", "schedule.probe_views=2")
    done = cli("train", tmp_path / "tiny.toml", "--data", tmp_path / "data", "--out", tmp_path / "run", *changes)
    assert done.code == 0, done.text
    told = works(done.err)
    expected = {"decoding pictures", "reading the validation pictures", "comparing pictures for likeness", "training",
                "evaluating", "fitting the head, view 2 of 2"}  # fmt: skip
    assert expected - {"fitting the head, view 2 of 2"} <= told.keys(), told.keys()
    assert any(re.match(r"training \d of 6 \(epoch 2/2, loss [0-9.]+\)", line) for line in told["training"])


def test_bench_with_robustness_and_attacks(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was silent for minutes."""
    monkeypatch.setitem(nets.NETS, "resnet18", TINY_NET)
    write_pictures(tmp_path / "data", ("red", "green"), 3, 0)
    preprocess = PreprocessSpec(32, 32, shorter_side=32)
    spec = ModelSpec("resnet18", ("green", "red"), preprocess, {"norm": "batch"})
    save_checkpoint(tmp_path / "tiny.pt", Checkpoint(spec, TinyNet("resnet18", 2).state_dict()))
    done = cli(
        "bench", tmp_path / "tiny.pt", "--data", tmp_path / "data", "--robustness", 4, "--iterations", 4, "--turns", 2,
        "--warmup", 0.1, "--no-cold", "--out", tmp_path / "bench",
    )  # fmt: skip
    assert done.code == 0, done.text
    told = works(done.err)
    expected = {"looking at pictures", "warming up", "measuring", "crafting attacks", "robustness", "scoring attacks"}
    assert expected <= told.keys(), told.keys()
    for name in ("crafting attacks", "robustness", "measuring"):
        assert any("left" in line for line in told[name]), told[name]


def test_camera_on_a_film(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.cli.shared.teller._TICK", 0.01)  # a free machine is through with it in half a second
    source = "synthetic://hive?seed=1&fps=10&frames=60&height=180&width=320"
    done = cli("camera", "--source", source, "--model", "centernet-tiny", "--out", tmp_path)
    assert done.code == 0, done.text
    assert all(re.fullmatch(r"looking at frames \d* ?of 60, .*", line) for line in works(done.err)["looking at frames"])


def test_results_stay_results(cli: Any, good: Path, labelled: Path) -> None:
    """stdout is the same to the letter, whatever is told on stderr."""
    done = cli("predict", good, labelled, "--format", "json")
    assert len(done.out.splitlines()) == 6
    assert all(line.startswith("{") for line in done.out.splitlines())
