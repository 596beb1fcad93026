"""Hostile ONNX files are refused in words; nothing outside their folder is opened, and nothing of them takes long."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgekit.errors import ArtifactError, EdgekitError
from edgekit.graph.foreign import clean, read_foreign, refuse_bombs
from edgekit.graph.foreign import run as run_module
from tests.graph.foreign.hostile import HIDDEN, OUTSIDE, REFUSED, SECRET, net, outside, whole, written

_watched: list[set[str]] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched:
        _watched[-1].add(str(arguments[0]))


sys.addaudithook(_hook)  # for good: Python has no way to take one out


@pytest.fixture
def opened() -> Iterator[set[str]]:
    """Names of all files that Python opens; the same parts of paths for those opened below a folder's descriptor."""
    _watched.append(set())
    yield _watched[-1]
    _watched.pop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("head", "fix"),
    [
        (b"PK\x03\x04", "edgekit export net.pth"),
        (b"\x80\x02", "edgekit export net.pth"),
        (b'\x40\0\0\0\0\0\0\0{"', "edgekit export net.pth"),
        (b"version https", "copy it again"),
    ],
)
def test_weights_are_sent_to_export(head: bytes, fix: str, folder: Path) -> None:
    (folder / "net.pth").write_bytes(head + b"\xff" * 99)
    with pytest.raises(ArtifactError, match="is not an ONNX file") as caught:
        read_foreign(folder / "net.pth")
    assert fix in str(caught.value.fix)


@pytest.mark.parametrize("name", OUTSIDE)
def test_weights_in_other_places(name: str, folder: Path, opened: set[str]) -> None:
    prepare, make = OUTSIDE[name]
    prepare(folder)
    path = written(make(folder), folder)
    opened.clear()
    with pytest.raises(ArtifactError) as caught:
        read_foreign(path)
    assert caught.value.got
    assert caught.value.expected
    assert caught.value.fix
    assert SECRET.decode() not in str(caught.value)
    assert opened <= {str(path), str(folder), "w.bin", "net.onnx", "a", "sub"}, "nothing else was opened"
    if name in ("a link", "a pipe", "a folder"):
        assert "w.bin" not in opened


@pytest.mark.parametrize("name", HIDDEN)
def test_weights_in_other_places_wherever_they_are_named(name: str, folder: Path) -> None:
    path = written(HIDDEN[name](folder), folder)
    with pytest.raises(ArtifactError, match="outside the file"):
        read_foreign(path)


def test_weights_beside_the_file_are_read(folder: Path) -> None:
    """Else nothing would be proven by the refusals."""
    (folder / "sub").mkdir()
    (folder / "sub" / "w.bin").write_bytes(b"front" + SECRET)
    found = read_foreign(written(outside("sub/w.bin", "5"), folder))
    assert found.model.graph.initializer[0].raw_data == SECRET
    assert not found.model.graph.initializer[0].external_data
    other = read_foreign(written(outside("sub/w.bin", "4"), folder))
    assert other.sha256 != found.sha256
    (folder / "sub" / "w.bin").write_bytes(b"FRONT" + SECRET)
    changed = read_foreign(written(outside("sub/w.bin", "5"), folder))
    assert changed.sha256 != found.sha256, "the hash is of all files"


def test_a_hard_link_to_a_file_of_another_owner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.link(folder.parent / "secret", folder / "w.bin")
    path = written(outside("w.bin"), folder)
    assert read_foreign(path).model.graph.initializer[0].raw_data == SECRET, "one's own may have two names"
    real = Path.stat

    def stranger(self: Path, **options: bool) -> os.stat_result:
        found = real(self, **options)
        if self != path:
            return found
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:]))

    monkeypatch.setattr(Path, "stat", stranger)
    with pytest.raises(ArtifactError, match="hard link"):
        read_foreign(path)


def test_one_range_for_many_tensors(folder: Path) -> None:
    """100 MB in the file become no 10 GB in memory."""
    count = 25_000_000
    with (folder / "w.bin").open("wb") as stream:
        stream.truncate(4 * count)
    model = outside("w.bin", None, None)
    tensor = model.graph.initializer[0]
    del tensor.dims[:]
    tensor.dims.append(count)
    for i in range(100):
        model.graph.initializer.add().CopyFrom(tensor)
        model.graph.initializer[-1].name = f"w{i}"
    with pytest.raises(ArtifactError, match="limit"):
        read_foreign(written(model, folder))


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_in_words(name: str, folder: Path) -> None:
    make, word = REFUSED[name]
    path = written(make(), folder)
    start = time.monotonic()
    with pytest.raises(EdgekitError) as caught:
        clean(read_foreign(path), opset=20)
    assert word in str(caught.value)
    assert caught.value.got
    assert caught.value.expected
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("name", [name for name in REFUSED if "10**" in name or "larger" in name])
def test_a_bomb_is_refused_before_anything_is_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the original itself would be run first."""
    ran: list[onnx.ModelProto] = []

    def watched(model: onnx.ModelProto, *rest: Any) -> Any:
        ran.append(model)
        return real(model, *rest)

    real = run_module.runs
    monkeypatch.setattr(run_module, "runs", watched)
    make, word = REFUSED[name]
    foreign = read_foreign(written(make(), folder))
    with pytest.raises(EdgekitError, match=word):
        refuse_bombs(foreign)
    assert all(len(model.graph.node) == 1 for model in ran), "constants of one node at most"


@pytest.mark.parametrize("kind", ["nothing", "a picture", "half", "a text", "a pipe", "a folder", "not there"])
def test_is_no_onnx(kind: str, folder: Path) -> None:
    path = folder / "net.onnx"
    right = net().SerializeToString()
    content = {"nothing": b"", "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100), "half": right[: len(right) // 2],
               "a text": b"class Net(nn.Module): pass"}  # fmt: skip
    if kind in content:
        path.write_bytes(content[kind])
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    with pytest.raises(ArtifactError):
        read_foreign(path)


def test_damaged_files_end_in_words(folder: Path) -> None:
    """Bytes changed, cut out and doubled: whatever is wrong is an error of edgekit's, and nothing crashes."""
    rng = random.Random(0)
    right = [REFUSED["two functions that call each other"][0](), whole(), whole()]
    outcomes = {"read": 0, "refused": 0}
    for i in range(300):
        data = bytearray(right[i % len(right)].SerializeToString())
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            if rng.random() < 0.7:
                data[at] = rng.randrange(256)
            elif rng.random() < 0.5:
                del data[at : at + rng.randint(1, 8)]
            else:
                data[at:at] = data[at : at + rng.randint(1, 8)]
        path = folder / "net.onnx"
        path.write_bytes(data)
        try:
            clean(read_foreign(path), opset=20)
            outcomes["read"] += 1
        except EdgekitError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 5, outcomes


def test_a_model_of_two_gigabytes_is_not_read(folder: Path) -> None:
    with (folder / "net.onnx").open("wb") as stream:
        stream.truncate(2**31)
    with pytest.raises(ArtifactError, match="limit"):
        read_foreign(folder / "net.onnx")


def test_the_good_net_is_cleaned(folder: Path) -> None:
    found = clean(read_foreign(written(whole(), folder)), opset=20)
    onnx.checker.check_model(found.model, full_check=True)
    assert found.batch == "N"
