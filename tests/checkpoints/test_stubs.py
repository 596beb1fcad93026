"""Plain data of harmless classes beside the weights is read as what it holds; a class that could do more is refused."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import pathlib
import subprocess
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.checkpoints.pickles.stubs import DEPTH
from edgekit.checkpoints.tensors import read_tensors
from edgekit.errors import CheckpointError

HARMLESS: dict[str, tuple[Any, Any]] = {
    "Namespace": (argparse.Namespace(model="resnet18", lr=0.1), {"model": "resnet18", "lr": 0.1}),
    "Namespace in one": (argparse.Namespace(a=[argparse.Namespace(b=(1, 2))]), {"a": [{"b": (1, 2)}]}),
    "SimpleNamespace": (types.SimpleNamespace(epochs=3), {"epochs": 3}),
    "numpy number": (np.float64(0.93), 0.93),
    "numpy integer": (np.int64(-7), -7),
    "numpy truth": (np.bool_(True), True),
    "numpy array": (np.arange(6, dtype=np.float32).reshape(2, 3), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]),
    "big-endian array": (np.arange(3, dtype=">i4"), [0, 1, 2]),
    "array of texts": (np.array(["ants", "bees"], dtype=object), ["ants", "bees"]),
    "defaultdict": (collections.defaultdict(list, loss=[1.0]), {"loss": [1.0]}),
    "OrderedDict": (collections.OrderedDict(a=1), {"a": 1}),
    "Path": (pathlib.PurePosixPath("/data/pictures"), "/data/pictures"),
    "date and time": (datetime.datetime(2026, 1, 31, 23, 59, 1), "2026-01-31 23:59:01"),
    "date": (datetime.date(2026, 1, 31), "2026-01-31"),
    "duration": (datetime.timedelta(days=1, seconds=2), 86402),
    "decimal": (decimal.Decimal("0.5"), "0.5"),
    "torch's version": (torch.__version__, str(torch.__version__)),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "legacy"])
@pytest.mark.parametrize("name", HARMLESS)
def test_plain_data_is_read_as_what_it_holds(name: str, legacy: bool, tmp_path: Path) -> None:
    held, want = HARMLESS[name]
    content = {"state_dict": {"a": torch.ones(2)}, "more": held}
    torch.save(content, tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    found = read_tensors(tmp_path / "net.pt")
    assert found["more"] == want
    assert torch.equal(found["state_dict"]["a"], torch.ones(2))


class Call:
    """Unpickling this calls something."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.called = (function, args)

    def __reduce__(self) -> Any:
        return self.called


@pytest.mark.parametrize(
    "call",
    [
        Call(subprocess.Popen, ["touch", "ran"]),
        Call(eval, "open('ran', 'w')"),
        Call(getattr, argparse.Namespace, "__init__"),
        Call(np.load, "ran"),
        Call(Path.touch, Path("ran")),
        collections.UserDict(a=1),
    ],
    ids=["Popen", "eval", "getattr", "numpy.load", "Path.touch", "an unknown class"],
)
def test_what_is_not_in_the_table_is_refused(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": torch.ones(2)}, "more": call}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="does not run code"):
        read_tensors(tmp_path / "net.pt")
    assert not (tmp_path / "ran").exists()


def test_arrays_that_lie_about_themselves_are_nothing(tmp_path: Path) -> None:
    class Lying(np.ndarray):
        def __reduce__(self) -> Any:
            make, args, state = super().__reduce__()
            return make, (np.ndarray, *args[1:]), (state[0], (1 << 40,), *state[2:])

    torch.save({"a": torch.ones(2), "more": {"x": np.arange(4.0).view(Lying)}}, tmp_path / "net.pt")
    assert read_tensors(tmp_path / "net.pt")["more"] == {"x": None}


def test_one_list_in_many_places_is_refused_before_it_is_looked_into(tmp_path: Path) -> None:
    bomb: Any = [argparse.Namespace(a=1)]
    for _ in range(DEPTH):
        bomb = [bomb] * 50
    torch.save({"a": torch.ones(2), "more": bomb}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="asks for more"):  # 50 to the 12th
        read_tensors(tmp_path / "net.pt")
