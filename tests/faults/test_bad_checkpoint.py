"""Checkpoints that cannot be used: a clear error, its exit code, no code run from files, nothing written."""

from __future__ import annotations

import contextlib
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit import nets
from edgekit.checkpoints.tensors import read_tensors
from edgekit.errors import CheckpointError
from edgekit.spec import ModelSpec, PreprocessSpec
from tests.faults.room import Make, Room, assert_told, listing


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


def text_file(room: Room) -> list[object]:
    (room / "bad.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    return [room / "bad.pt"]


def someones_onnx(room: Room) -> list[object]:
    (room / "net.onnx").write_bytes(b"\x08\x06\x12\x07pytorch\x1a\x061.11.0")
    return [room / "net.onnx"]


def empty_file(room: Room) -> list[object]:
    (room / "bad.pt").touch()
    return [room / "bad.pt"]


def plain_pickle(room: Room) -> list[object]:
    (room / "bad.pt").write_bytes(pickle.dumps({"state_dict": Bomb(room / "ran")}))
    return [room / "bad.pt"]


def old_pickle(room: Room) -> list[object]:
    (room / "bad.pt").write_bytes(pickle.dumps(Bomb(room / "ran"), protocol=0))
    return [room / "bad.pt"]


def archive_with_code(room: Room) -> list[object]:
    torch.save({"state_dict": dict(room.state), "extra": Bomb(room / "ran")}, room / "bad.pt")
    return [room / "bad.pt"]


def archive_with_legacy_code(room: Room) -> list[object]:
    torch.save({"extra": Bomb(room / "ran")}, room / "bad.pt", _use_new_zipfile_serialization=False)
    return [room / "bad.pt"]


def zip_of_something_else(room: Room) -> list[object]:
    with zipfile.ZipFile(room / "bad.pt", "w") as archive:
        archive.writestr("readme.txt", "not a checkpoint")
    return [room / "bad.pt"]


def whole_module(room: Room) -> list[object]:
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), room / "bad.pt")
    return [room / "bad.pt"]


def unknown_net(room: Room) -> list[object]:
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2)).state_dict(), room / "bad.pt")
    return [room / "bad.pt", "--classes", room.classes()]


def just_a_tensor(room: Room) -> list[object]:
    torch.save(torch.zeros(3), room / "bad.pt")
    return [room / "bad.pt"]


def layer_missing(room: Room) -> list[object]:
    torch.save({k: v for k, v in room.state.items() if k != "layer2.0.bn1.running_var"}, room / "bad.pt")
    return [room / "bad.pt", "--classes", room.classes()]


def too_few_names(room: Room) -> list[object]:
    torch.save(dict(room.state), room / "bad.pt")
    return [room / "bad.pt", "--classes", room.classes(5)]


def no_names(room: Room) -> list[object]:
    torch.save(dict(room.state), room / "bad.pt")
    return [room / "bad.pt"]


def contradicting_names(room: Room) -> list[object]:
    return [room.checkpoint, "--classes", room.classes()]


def spoiled(value: float) -> Make:
    def make(room: Room) -> list[object]:
        state = {k: v.clone() for k, v in room.state.items()}
        state["layer3.0.conv2.weight"][0, 0, 0, 0] = value
        torch.save(state, room / "bad.pt")
        return [room / "bad.pt", "--classes", room.classes()]

    return make


def safetensors_cut(room: Room) -> list[object]:
    from safetensors.torch import save_file

    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, room / "whole.safetensors")
    return [room.cut(room / "whole.safetensors", 0.5, "bad.safetensors")]


def group_norm_unnamed(room: Room) -> list[object]:
    net = nets.build(ModelSpec("resnet18", ("a", "b"), PreprocessSpec(), {"norm": "group"}))
    torch.save(net.state_dict(), room / "bad.pt")
    return [room / "bad.pt", "--classes", room.classes(2)]


def norm_contradicted(room: Room) -> list[object]:
    torch.save(dict(room.state), room / "bad.pt")
    return [room / "bad.pt", "--classes", room.classes(), "--norm", "group"]


def cut_archive(share: float) -> Make:
    return lambda room: [room.cut(room.checkpoint, share, "bad.pt")]


def cut_legacy(share: float) -> Make:
    def make(room: Room) -> list[object]:
        torch.save(dict(room.state), room / "whole.pt", _use_new_zipfile_serialization=False)
        return [room.cut(room / "whole.pt", share, "bad.pt"), "--classes", room.classes()]

    return make


CHECKPOINTS: tuple[tuple[str, Make, int, tuple[str, ...]], ...] = (
    ("missing", lambda room: [room / "none.pt"], 1, ("none.pt", "No such file")),
    ("a folder", lambda room: [room.folder], 1, ("room", "folder without weights")),
    ("empty", empty_file, 1, ("is empty", "0 bytes")),
    ("text", text_file, 1, ("not a checkpoint", "version https")),
    ("an ONNX", someones_onnx, 1, ("not a checkpoint", "edgekit adopt net.onnx --task")),
    ("pickle with code", plain_pickle, 1, ("does not run code", "system", "state_dict()")),
    ("pickle with code, protocol 0", old_pickle, 1, ("not a checkpoint", "posix")),
    ("archive with code", archive_with_code, 1, ("does not run code", "system", "state_dict()")),
    ("legacy archive with code", archive_with_legacy_code, 1, ("does not run code", "system", "state_dict()")),
    ("pickled module", whole_module, 1, ("does not run code", "torch.nn", "state_dict()")),
    ("zip of something else", zip_of_something_else, 1, ("bad.pt",)),
    *((f"archive cut at {s}", cut_archive(s), 1, ("broken or truncated",)) for s in (0.0001, 0.01, 0.3, 0.7, 0.999)),
    *((f"legacy cut at {s}", cut_legacy(s), 1, ("broken or truncated",)) for s in (0.00001, 0.0001, 0.3, 0.999)),
    ("safetensors cut", safetensors_cut, 1, ("not a whole safetensors file",)),
    ("unknown net", unknown_net, 1, ("not of a net that edgekit knows", "resnet18")),
    ("a tensor", just_a_tensor, 1, ("does not hold a state dict", "Tensor")),
    ("a layer missing", layer_missing, 1, ("do not fit resnet18", "layer2.0.bn1.running_var")),
    ("too few class names", too_few_names, 1, ("5 names", "7")),
    ("no class names", no_names, 1, ("7 classes", "--classes")),
    ("contradicting class names", contradicting_names, 2, ("contradict", "class 0", "wasp")),
    ("NaN weight", spoiled(float("nan")), 1, ("layer3.0.conv2.weight", "1 of", "NaN")),
    ("infinite weight", spoiled(float("inf")), 1, ("layer3.0.conv2.weight", "infinite")),
    ("group norm not named", group_norm_unnamed, 1, ("--norm group",)),
    ("norm contradicted", norm_contradicted, 2, ("--norm", "group")),
)


@pytest.mark.parametrize(("make", "code", "words"), [c[1:] for c in CHECKPOINTS], ids=[c[0] for c in CHECKPOINTS])
def test_export_refuses_the_checkpoint(make: Make, code: int, words: tuple[str, ...], cli: Any, room: Room) -> None:
    arguments = make(room)
    before = listing(room.folder)
    outcome = cli("export", *arguments, "--data", room.pictures, "--out", room / "out")
    assert_told(outcome, code, *words)
    assert listing(room.folder) == before  # no output folder, and no file that a pickle's code would have made


@pytest.mark.parametrize("make", [plain_pickle, old_pickle, archive_with_code, archive_with_legacy_code])
def test_the_code_in_these_files_would_run(make: Make, room: Room) -> None:
    (path,) = make(room)
    if make in (plain_pickle, old_pickle):
        pickle.loads(Path(str(path)).read_bytes())
    else:
        torch.load(str(path), weights_only=False)
    assert (room / "ran").exists()


@pytest.mark.parametrize("command", ["predict", "eval"])
def test_no_command_runs_code_from_a_checkpoint(command: str, cli: Any, room: Room) -> None:
    (path,) = archive_with_code(room)
    data = ["--data", room.pictures] if command == "eval" else [room.pictures]
    assert_told(cli(command, path, *data), 1, "does not run code")
    assert not (room / "ran").exists()


@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "legacy"])
def test_a_checkpoint_broken_anywhere_is_told_in_words(legacy: bool, tmp_path: Path) -> None:
    content = {"fc.weight": torch.ones(3, 4), "more": {"epoch": 3, "names": ["a", "b"]}}
    torch.save(content, tmp_path / "whole.pt", _use_new_zipfile_serialization=not legacy)
    whole = (tmp_path / "whole.pt").read_bytes()
    rng = np.random.default_rng(0)
    whole_after_all = 0
    for i in range(300):
        data = bytearray(whole)
        if i % 3 == 0:
            del data[int(rng.integers(1, len(data))) :]
        else:
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        (tmp_path / "bad.pt").write_bytes(data)
        with contextlib.suppress(CheckpointError):  # any other exception fails the test
            read_tensors(tmp_path / "bad.pt")
            whole_after_all += 1
    assert whole_after_all < 150


def wrapped(key: str, prefix: str = "") -> Callable[[Room], Any]:
    return lambda room: {key: {prefix + k: v for k, v in room.state.items()}, "epoch": 3, "arch": "resnet18"}


WRAPPED: dict[str, Callable[[Room], Any]] = {
    "plain": lambda room: dict(room.state),
    "module.": lambda room: {f"module.{k}": v for k, v in room.state.items()},
    "state_dict": wrapped("state_dict"),
    "state_dict, module.": wrapped("state_dict", "module."),
    "model": wrapped("model"),
    "model_ema": wrapped("model_ema"),
    "compiled": wrapped("model", "_orig_mod."),
}


@pytest.mark.parametrize("make", WRAPPED.values(), ids=WRAPPED)
def test_state_dicts_are_found_where_trainers_put_them(make: Any, cli: Any, room: Room, preprocess_toml: Path) -> None:
    torch.save(make(room), room / "net.pth")
    arguments = ("--classes", room.classes(), "--preprocess", preprocess_toml, "--format", "json")
    outcome = cli("predict", room / "net.pth", room.pictures / "0.png", *arguments)
    assert outcome.code == 0, outcome.text
    assert '"label": "class ' in outcome.out


def test_ema_weights_are_preferred(cli: Any, room: Room, preprocess_toml: Path) -> None:
    other = {k: torch.zeros_like(v) for k, v in room.state.items()}
    arguments = ("--classes", room.classes(), "--preprocess", preprocess_toml, "--format", "json")
    answers = []
    for name, content in (("a", dict(room.state)), ("b", {"state_dict": other, "state_dict_ema": dict(room.state)})):
        torch.save(content, room / f"{name}.pth")
        outcome = cli("predict", room / f"{name}.pth", room.pictures / "0.png", *arguments)
        assert outcome.code == 0, outcome.text
        answers.append(outcome.out)
    assert answers[0] == answers[1]


def test_safetensors_and_a_named_norm_are_taken(cli: Any, room: Room, preprocess_toml: Path) -> None:
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in room.state.items()}, room / "net.safetensors")
    arguments = ("--classes", room.classes(), "--preprocess", preprocess_toml)
    outcome = cli("predict", room / "net.safetensors", room.pictures / "0.png", *arguments)
    assert outcome.code == 0, outcome.text
    path, _, _ = group_norm_unnamed(room)
    arguments = ("--classes", room.classes(2), "--preprocess", preprocess_toml, "--norm", "group")
    outcome = cli("predict", path, room.pictures / "0.png", *arguments)
    assert outcome.code == 0, outcome.text


def test_a_byte_order_mark_is_not_part_of_the_first_class(cli: Any, room: Room, preprocess_toml: Path) -> None:
    torch.save(dict(room.state), room / "net.pth")
    room.classes().write_bytes(b"\xef\xbb\xbf" + room.classes().read_bytes())
    arguments = ("--classes", room / "classes.txt", "--preprocess", preprocess_toml, "--top", 7)
    outcome = cli("predict", room / "net.pth", room.pictures / "0.png", *arguments)
    assert outcome.code == 0, outcome.text
    assert "  class 0 " in outcome.out
