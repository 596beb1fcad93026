"""A verdict says what was compared, who says that it is the net that was trained, and what is only guessed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.config.target import Limits
from edgekit.data import made_pictures
from edgekit.gate.compare import Gate
from edgekit.pipeline.verdict import Basis, basis_of
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks.stage import Stage

USUAL = ("--pictures", 2)


@pytest.fixture(scope="module")
def plain(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny's weights alone, with names.txt beside them."""
    folder = tmp_path_factory.mktemp("plain")
    torch.save(net.state_dict(), folder / "net.pth")
    (folder / "names.txt").write_text("".join(f"class {i}\n" for i in range(7)))
    return folder / "net.pth"


@pytest.fixture(scope="module")
def words(plain: Path, preprocess_toml: Path) -> tuple[object, ...]:
    return ("--classes", plain.with_name("names.txt"), "--preprocess", preprocess_toml, *USUAL)


def verdicts(out: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """In the report and inside the file."""
    report = json.loads((out / f"{name}.verify.json").read_text())
    return report["verdict"], dict(read_onnx(out / f"{name}.onnx").metadata.verification["verdict"])


def test_of_its_own_checkpoint(good: Path) -> None:
    for verdict in verdicts(good.parent, "tiny"):
        assert verdict["equal_to"] == ["our net from its own checkpoint"]
        assert (verdict["relation"], verdict["guessed"]) == ("equal", [])
        assert verdict["text"] == "equal to our net from its own checkpoint, on 8 pictures"


def test_of_a_net_that_only_its_keys_speak_for(cli: Any, plain: Path, words: Any, tmp_path: Path) -> None:
    done = cli("export", plain, "--out", tmp_path, *words)
    assert done.code == 0, done.text
    assert "verified: equal to torchvision's resnet18 with these weights, on 2 pictures" in done.out
    assert "guessed: the net: its keys and shapes fit a resnet18" in done.out
    assert "--arch resnet18 states it, --expect PAIRS.npz proves it" in done.out
    for verdict in verdicts(tmp_path, "net"):
        assert verdict["named_by"] == "nobody: a guess from keys and shapes"
        assert any("--expect PAIRS.npz" in guess for guess in verdict["guessed"])


def test_of_a_net_that_is_named(cli: Any, plain: Path, words: Any, tmp_path: Path) -> None:
    options = {"classes": [f"class {i}" for i in range(7)], "preprocess": PreprocessSpec()}
    named = basis_of(load_checkpoint(plain, arch="resnet18", **options))
    assert named.equal_to == ("torchvision's resnet18 with these weights, as named by --arch",)
    assert named.guesses == ()
    content = {"args": argparse.Namespace(model="resnet18"), "model": torch.load(plain)}
    torch.save(content, tmp_path / "said.pth")
    said = basis_of(load_checkpoint(tmp_path / "said.pth", **options))
    assert said.equal_to == ("torchvision's resnet18 with these weights, as named by the file (args.model)",)
    wrong = cli("export", plain, "--out", tmp_path / "o", *words, "--arch", "resnet34")
    assert wrong.code == 2
    assert not (tmp_path / "o").exists()


def test_pairs_prove_what_was_guessed(spec: ModelSpec) -> None:
    guess = Basis("torchvision's resnet18 with these weights", "", "resnet18", ("the net", "preprocessing"))
    proven = guess.proven(4)
    assert proven.guesses == ("preprocessing",)
    gate = Gate(made_pictures(2), Limits(max_abs=4.0, top1_agreement=0.96), spec, lambda line: None)
    gate.add(Stage("file", True, 0.81, 0.1, 0.984, 0, 2))
    both = "torchvision's resnet18 with these weights and 4 recorded pairs of input and output"
    assert proven.verdict(gate, "fp32")["text"] == f"equal to {both}, on 2 pictures"
    limits = "max|d| 0.81 of at most 4, agreement 98.40% of at least 96.00%"
    assert proven.verdict(gate, "int8-x86")["text"] == f"within the limits ({limits}) of {both}, on 2 pictures"
    gate.add(Stage("expect-file", False, 9.0, 0.1, 0.5, 0, 4, ("max|d| 9",)))
    assert proven.verdict(gate, "fp32")["text"] == "not equal to 4 recorded pairs of input and output, on 2 pictures"


def test_what_predict_was_told_by_a_file_or_guessed_is_said(cli: Any, plain: Path, words: Any, pictures: Path) -> None:
    done = cli("predict", plain, pictures / "0.png", *words[:4])
    assert done.code == 0, done.text
    assert "the net is a guess from keys and shapes" in done.err


def test_verify_says_with_what_it_compared(cli: Any, checkpoint: Path, good: Path) -> None:
    done = cli("verify", checkpoint, good, *USUAL)
    assert "equal to tiny.pt (our net from its own checkpoint, run by torch) on 2 pictures: max|d|" in done.out
    done = cli("verify", good, good, *USUAL)
    assert "equal to tiny.onnx (this ONNX, run by onnxruntime) on 2 pictures" in done.out


def test_verify_takes_the_weights_that_were_exported(cli: Any, net: nn.Module, words: Any, tmp_path: Path) -> None:
    content = {"model": net.state_dict(), "ema": {k: v * 0.5 for k, v in net.state_dict().items()}}
    torch.save(content, tmp_path / "two.pth")
    done = cli("export", tmp_path / "two.pth", *words, "--weights-key", "model")
    assert done.code == 0, done.text
    files = (tmp_path / "two.pth", tmp_path / "two.onnx")
    assert cli("verify", *files, *USUAL, "--weights-key", "model").code == 0
    averaged = cli("verify", *files, *USUAL)
    assert averaged.code == 3
    assert "ema, the averaged ones, is taken" in averaged.err
