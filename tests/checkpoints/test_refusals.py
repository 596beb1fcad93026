"""What cannot be read as weights is called by its name, and the way out that is printed works when it is followed."""

from __future__ import annotations

import io
import pickle
import re
import struct
import sys
import tarfile
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.errors import CheckpointError
from edgekit.loading import open_predictor
from edgekit.nets.resnet import ResNet
from tests.checkpoints.states import CLASSES, light_of, loaded


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return resnet18(num_classes=3).eval()


def refused(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, classes=CLASSES)
    return caught.value


def followed(error: CheckpointError) -> Path:
    """Runs the code of an error's fix and gives the file that it names."""
    code = str(error.fix).split("in Python: ")[1].splitlines()[0]
    before = torch.serialization.get_safe_globals()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code, {})
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)
    return Path(re.findall(r"'([^']*\.pth)'\)", code)[-1])


def same_weights(path: Path, net: nn.Module) -> bool:
    state = load_checkpoint(path, classes=CLASSES).state_dict
    return all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())


def test_torchscript(net: nn.Module, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 64, 64)), tmp_path / "net.pt")
    error = refused(tmp_path / "net.pt")
    assert "TorchScript" in error.what
    assert same_weights(followed(error), net)


def test_a_program_of_torch_export(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.zeros(1, 3),)), tmp_path / "net.pt2")
    error = refused(tmp_path / "net.pt2")
    assert "torch.export" in error.what
    assert set(torch.load(followed(error))) == {"weight", "bias"}


@pytest.mark.parametrize("key", [None, "model", "ema"])
@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "legacy"])
def test_a_whole_module_of_a_known_library(key: str | None, legacy: bool, net: nn.Module, tmp_path: Path) -> None:
    content = net if key is None else {key: net, "epoch": 3}
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
    error = refused(tmp_path / "net.pth")
    assert "a whole pickled module" in error.what
    assert "torchvision.models.resnet.ResNet" in str(error.got)
    if legacy:  # torch's restricted unpickler takes no module of that time, whatever it is told
        assert "torch.save(net.state_dict(), 'weights.pt')" in str(error.fix)
    else:
        assert same_weights(followed(error), net)


def made_module(name: str, *bases: type, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A class in a module that is there only while it is pickled."""
    home, _, last = name.rpartition(".")
    kind = type(last, bases, {"__module__": home})
    parts = home.split(".")
    for i in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
    setattr(sys.modules[home], last, kind)
    return kind


def test_a_whole_module_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = made_module("my_nets.Net", nn.Linear, monkeypatch=monkeypatch)
    torch.save(kind(3, 2), tmp_path / "net.pt")
    error = refused(tmp_path / "net.pt")
    assert "a whole pickled module" in error.what
    assert "my_nets.Net" in str(error.got)
    assert "torch.save(net.state_dict(), 'weights.pt')" in str(error.fix)


def test_an_ultralytics_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = made_module("ultralytics.nn.tasks.DetectionModel", nn.Linear, monkeypatch=monkeypatch)
    content = {"epoch": -1, "model": kind(3, 2), "ema": None, "train_args": {"imgsz": 640}, "version": "8.4.0"}
    torch.save(content, tmp_path / "yolo11n.pt")
    error = refused(tmp_path / "yolo11n.pt")
    assert "a YOLO of Ultralytics" in error.what
    assert "edgekit train centernet-r18 --data" in str(error.fix)


def test_code_in_a_name_is_not_printed_as_a_way_out(tmp_path: Path) -> None:
    home, name = "torch.nn.modules.linear", "Linear]); import os; os.system('touch ran'); ([1"
    state = b"}(X\x08\x00\x00\x00_modules}X\x0b\x00\x00\x00_parameters}u"
    data = b"\x80\x02c" + f"{home}\n{name}\n".encode() + b")\x81" + state + b"b."
    (tmp_path / "net.pt").write_bytes(data)
    assert "os.system" not in str(refused(tmp_path / "net.pt").fix)


def old_tar(path: Path, state: dict[str, Tensor]) -> None:
    """As torch wrote it before 0.1.10: storages, tensors that view them, and a pickle that names the tensors."""
    storages, tensors, pickled = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pickle.dump(len(state), storages, protocol=2)
    pickle.dump(len(state), tensors, protocol=2)
    for key, tensor in enumerate(state.values()):
        pickle.dump((key, "cpu", torch.FloatStorage), storages, protocol=2)
        storages.write(struct.pack("<q", tensor.numel()) + tensor.numpy().tobytes())
        pickle.dump((key + 1000, key, torch.FloatTensor), tensors, protocol=2)
        shape, stride = tensor.shape, tensor.stride()
        tensors.write(struct.pack(f"<iI{2 * len(shape)}qq", len(shape), 0, *shape, *stride, 0))
    pickle.dump([], storages, protocol=2)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return str(1000 + list(state).index(value[1:])) if str(value).startswith("@") else None

    Pickler(pickled, protocol=2).dump({name: f"@{name}" for name in state})
    with tarfile.open(path, "w") as archive:
        for name, stream in (("storages", storages), ("tensors", tensors), ("pickle", pickled)):
            member = tarfile.TarInfo(name)
            member.size = stream.tell()
            stream.seek(0)
            archive.addfile(member, stream)


def test_torchs_first_format(tmp_path: Path) -> None:
    old_tar(tmp_path / "old.pth", {"conv1.weight": torch.rand(2, 3), "fc.bias": torch.rand(4)})
    error = refused(tmp_path / "old.pth")
    assert "torch's first format, a tar" in error.what
    state = torch.load(followed(error))
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {"conv1.weight": (2, 3), "fc.bias": (4,)}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_checkpoint_that_was_packed(mode: Any, net: nn.Module, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "inner.pth")
    with tarfile.open(tmp_path / "net.pth.tar", mode) as archive:
        archive.add(tmp_path / "inner.pth", "inner.pth")
    (tmp_path / "inner.pth").unlink()
    error = refused(tmp_path / "net.pth.tar")
    assert "inner.pth" in str(error.got)
    assert str(error.fix).startswith(f"tar -xf {tmp_path / 'net.pth.tar'}")
    with tarfile.open(tmp_path / "net.pth.tar") as archive:  # what that command does
        archive.extractall(tmp_path, filter="data")
    assert same_weights(tmp_path / "inner.pth", net)


def test_batch_norm_without_its_statistics(tmp_path: Path) -> None:
    net = ResNet("resnet18", 3)
    with pytest.raises(CheckpointError, match="which normalization") as caught:
        loaded(tmp_path / "net.pth", dict(net.named_parameters()))
    assert "batch norm saved without its running statistics" in str(caught.value.got)
    (line,) = re.findall(r"torch\.save\(.*?\.\.\.\)", str(caught.value.fix))
    exec(line.replace("...", "path"), {"torch": torch, "net": net, "path": tmp_path / "net.pth"})
    assert same_weights(tmp_path / "net.pth", net)


@pytest.mark.parametrize(
    "name", ["model_best.pth.tar", "last.ckpt", "net.pt", "NET.PTH", "pytorch_model.bin", "epoch9", "weights.pkl"]
)
def test_a_checkpoint_opens_by_any_of_its_names(name: str, tmp_path: Path) -> None:
    torch.save({"state_dict": light_of()}, tmp_path / name)
    said: list[str] = []
    with open_predictor(tmp_path / name, classes=CLASSES, say=said.append) as predictor:
        assert predictor.session.backend == "torch"
    assert any("a guess from keys and shapes" in line for line in said)
