"""Hostile pickles in every place where training scripts keep data: nothing of them runs, and nothing is imported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.checkpoints.tensors import read_tensors
from edgekit.errors import CheckpointError, EdgekitError
from tests.checkpoints.hostile import PROBE, WRAPPERS, payloads, write
from tests.checkpoints.states import CLASSES, light_of
from tests.conftest import Cli

NAMES = tuple(payloads(Path("x")))
WEIGHTS = {"a": torch.ones(2)}


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is there when something ran; a module on the path leaves it behind too when it is imported."""
    made = tmp_path / "it-ran"
    (tmp_path / "modules").mkdir()
    script = f"open({str(made)!r}, 'w').close()\nclass Config: pass\ndef run(): pass\n"
    (tmp_path / "modules" / f"{PROBE}.py").write_text(script)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": WEIGHTS}, tmp_path / "honest.pt")
    "a".encode("cp437")  # of zip archives
    read_tensors(tmp_path / "honest.pt")  # whatever torch imports when it first loads is there then
    return made


def test_the_payloads_would_run(mark: Path) -> None:
    """Python's own unpickler runs them: else nothing would be proven by their not running."""
    import pickle

    for name in (
        "os.system",
        "eval",
        "import",
        "getattr chain",
        "a pickle in a pickle",
        "subprocess.Popen",
        "importlib",
    ):
        sys.modules.pop(PROBE, None)
        found: Any = pickle.loads(b"\x80\x02" + payloads(mark)[name] + b".")
        if hasattr(found, "wait"):
            found.wait()
        assert mark.exists(), name
        mark.unlink()
    sys.modules.pop(PROBE, None)


DEEP = {"tuples 20,000 deep", "lists 20,000 deep"}  # seconds; test_the_commands_say_so has one of them


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in DEEP else n for n in NAMES])
def test_nothing_runs(name: str, mark: Path, tmp_path: Path) -> None:
    payload = payloads(mark)[name]
    before, limit = set(sys.modules), sys.getrecursionlimit()
    for legacy in (False, True):
        for place, wrap in WRAPPERS.items():
            path = tmp_path / "net.pt"
            write(path, wrap(WEIGHTS), payload, legacy=legacy)
            try:
                content = read_tensors(path)
            except CheckpointError:  # and no other kind
                pass
            else:
                _assert_inert(content, place)
            assert not mark.exists(), place
            assert set(sys.modules) == before, place
    assert PROBE not in sys.modules
    assert sys.getrecursionlimit() == limit


def _assert_inert(content: Any, place: str, depth: int = 0) -> None:
    """Plain data, tensors, or a stand-in: no object of a class of the file's, and no function of anybody's but ours."""
    if depth > 40:
        return
    kind = type(content)
    assert kind.__module__.startswith(("builtins", "collections", "torch", "edgekit.checkpoints.pickles")), (
        place,
        kind,
    )
    if callable(content) and not isinstance(content, torch.dtype):
        assert getattr(content, "__module__", "").startswith(("edgekit.checkpoints.pickles", "torch", "collections")), (
            place
        )
    if isinstance(content, dict):
        for value in content.values():
            _assert_inert(value, place, depth + 1)
    elif isinstance(content, (list, tuple, set)):
        for value in list(content)[:100]:
            _assert_inert(value, place, depth + 1)


# what is read although a class in it is nobody's: the weights are there, and the rest is inert
READ = ("a class of another module", "a class of another module with attributes", "Namespace of a surprise",
        "datetime of wrong things", "datetime of no such day", "Path of wrong things", "timedelta of wrong things",
        "Namespace with names of its own")  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_the_weights_beside_inert_things_are_read(name: str, mark: Path, tmp_path: Path) -> None:
    write(tmp_path / "net.pt", WRAPPERS["beside the weights"](light_of()), payloads(mark)[name], legacy=False)
    found = load_checkpoint(tmp_path / "net.pt", classes=CLASSES)
    assert found.spec.arch == "resnet18"
    assert not mark.exists()


@pytest.mark.parametrize("name", ["os.system", "getattr chain", "torch's storage loader", "defaultdict of os.system",
                                  "tuples 20,000 deep", "a tensor built by os.system"])  # fmt: skip
@pytest.mark.parametrize("place", ["in args", "among the weights"])
def test_the_commands_say_so(name: str, place: str, mark: Path, cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "net.pt", WRAPPERS[place](WEIGHTS), payloads(mark)[name], legacy=False)
    outcome = cli("export", tmp_path / "net.pt", "--out", tmp_path / "out")
    assert outcome.code == 1, outcome.text
    assert "fix:" in outcome.err
    assert not mark.exists()


CONFIGS = {
    "a number of 5,000 digits": '{"num_classes": 1' + "0" * 5000 + "}",
    "100,000 lists": "[" * 100_000,
    "100,000 tables": '{"a":' * 100_000,
    "a key twice": '{"num_classes": 3, "num_classes": 4}',
    "not a number": '{"mean": [NaN, 0.5, 0.5]}',
    "infinity": '{"crop_pct": Infinity}',
    "a list": "[1, 2]",
    "a text": '"os.system"',
    "nothing": "",
    "half of it": '{"num_classes": ',
    "another encoding": b'\xff\xfe{"a": 1}',
    "a class to make": '{"_target_": "os.system", "model": {"_target_": "os.system"}, "label2id": {"__reduce__": 1}}',
    "a size of everything": '{"input_size": [3, 1000000000, 1000000000]}',
    "a size below nothing": '{"input_size": [-1, -1, -1], "num_classes": -5}',
    "names that are none": '{"id2label": {"0": {"a": 1}, "1": []}}',
    "a billion names": '{"id2label": {"999999999": "x"}}',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_beside_safetensors_is_only_text(name: str, mark: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in light_of().items()}, tmp_path / "model.safetensors")
    text = CONFIGS[name]
    (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    before = set(sys.modules)
    try:
        found = load_checkpoint(tmp_path / "model.safetensors", classes=CLASSES)
    except EdgekitError:
        pass
    else:
        assert found.spec.classes == CLASSES
        assert found.spec.preprocess.height <= 4096
    assert not mark.exists()
    assert not {module for module in set(sys.modules) - before if PROBE in module}
