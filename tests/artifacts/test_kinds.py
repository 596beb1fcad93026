"""One table says what a checkpoint is and what is named after it, in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.api.benching.parts import case
from edgekit.artifacts.kinds import checkpoint_stem, is_checkpoint


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("model_best.pth.tar", "model_best"), ("epoch=3-step=9.ckpt", "epoch=3-step=9"), ("net.v2.pt", "net.v2"),
        ("NET.PTH", "NET"), ("model.safetensors", "model"), ("epoch9", "epoch9"), ("a.b", "a"), (".pt", ".pt"),
    ],
)  # fmt: skip
def test_what_is_named_after_a_checkpoint(name: str, stem: str) -> None:
    assert checkpoint_stem(Path("folder") / name) == stem


def test_a_checkpoint_is_known_by_its_name_or_else_by_how_it_begins(tmp_path: Path) -> None:
    assert is_checkpoint(Path("nowhere/model.pth.tar"))
    assert not is_checkpoint(Path("nowhere/model"))
    for legacy in (False, True):
        torch.save({"a": torch.ones(1)}, tmp_path / "model", _use_new_zipfile_serialization=not legacy)
        assert is_checkpoint(tmp_path / "model")
    for name in ("a.onnx", "a.engine", "deployment.json", "a.onnx.rejected"):
        (tmp_path / name).write_bytes((tmp_path / "model").read_bytes())
        assert not is_checkpoint(tmp_path / name)
    (tmp_path / "model").write_text("text")
    assert not is_checkpoint(tmp_path / "model")


def test_every_command_opens_the_same_names(
    cli: Any, checkpoint: Path, good: Path, pictures: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model_best.pth.tar"
    path.write_bytes(checkpoint.read_bytes())
    (tmp_path / "data" / "bee").mkdir(parents=True)
    for i in range(3):
        (tmp_path / "data" / "bee" / f"{i}.png").write_bytes((pictures / f"{i}.png").read_bytes())
    for words in (
        ("export", path, "--data", pictures, "--out", tmp_path / "out", "--pictures", 2),
        ("predict", path, pictures / "0.png"),
        ("verify", path, good, "--data", pictures, "--pictures", 2),
        ("eval", path, "--data", tmp_path / "data"),
    ):
        done = cli(*words)
        assert done.code == 0, done.text
    assert (tmp_path / "out" / "model_best.onnx").is_file()
    assert case(str(path), "onnxruntime", "cpu", 0, 1, 1).backend == "torch"  # what bench and tune run it with
