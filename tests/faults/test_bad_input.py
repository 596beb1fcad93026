"""Input that cannot be used: a clear error, its exit code, no traceback, no code run from files, nothing written."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.external_data_helper import convert_model_to_external_data
from PIL import Image
from torch import Tensor, nn

from edgekit import nets
from edgekit.artifacts import atomic
from edgekit.artifacts.onnx_file import read_onnx
from edgekit.checkpoints.tensors import read_tensors
from edgekit.data import made_pictures
from edgekit.errors import CheckpointError
from edgekit.spec import ModelSpec, PreprocessSpec

Make = Callable[["Room"], list[object]]
EDGEKIT = (sys.executable, "-c", "from edgekit.cli.app import main; main()")


@dataclass(frozen=True)
class Room:
    """What a case can build its bad input from, and the empty folder to build it in."""

    folder: Path
    checkpoint: Path
    state: Mapping[str, Tensor]
    good: Path
    pictures: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def classes(self, count: int = 7) -> Path:
        path = self.folder / "classes.txt"
        path.write_text("\n".join(f"class {i}" for i in range(count)))
        return path

    def cut(self, source: Path, share: float, name: str) -> Path:
        data = source.read_bytes()
        (self / name).write_bytes(data[: int(len(data) * share)])
        return self / name


@pytest.fixture
def room(tmp_path: Path, checkpoint: Path, net: nn.Module, good: Path, pictures: Path) -> Room:
    folder = tmp_path / "room"
    folder.mkdir()
    return Room(folder, checkpoint, net.state_dict(), good, pictures)


def listing(folder: Path) -> dict[str, bytes | None]:
    """Every path below `folder` with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def assert_told(outcome: Any, code: int, *words: str, fix: bool = True) -> None:
    """Asserts on the exit code and that the message says what, what was got or expected, and what to do now."""
    assert outcome.code == code, outcome.text
    assert "Traceback" not in outcome.text
    assert "Unexpected" not in outcome.text
    assert "weights_only" not in outcome.text  # torch's own text advises to run a file's code
    assert "error: " in outcome.err
    for word in (*words, "got:", *(["fix:"] if fix else [])):
        assert word in outcome.err, f"{word!r} is not in:\n{outcome.err}"
    assert "expected:" in outcome.err or "fix:" in outcome.err


# -- checkpoints --------------------------------------------------------------------------------------------------


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


def text_file(room: Room) -> list[object]:
    (room / "bad.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    return [room / "bad.pt"]


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


# -- options ------------------------------------------------------------------------------------------------------


def classes_file(text: bytes) -> Make:
    def make(room: Room) -> list[object]:
        (room / "names.txt").write_bytes(text)
        return ["--classes", room / "names.txt"]

    return make


def target_file(text: str) -> Make:
    def make(room: Room) -> list[object]:
        (room / "board.toml").write_text(text)
        return ["--target", room / "board.toml"]

    return make


def preprocess_file(text: str) -> Make:
    def make(room: Room) -> list[object]:
        (room / "preprocess.toml").write_text(text)
        return ["--preprocess", room / "preprocess.toml"]

    return make


BOARD = """
name = "mine"
description = "a board"
opset = 20
runtimes = ["onnxruntime"]

[gate.fp32]
max_abs = 1e-3
top1_agreement = 1.0
"""

OPTIONS: tuple[tuple[str, Make, int, tuple[str, ...]], ...] = (
    ("no names in the file", classes_file(b""), 2, ("not a list of class names", "no names")),
    ("a name twice", classes_file(b"a\nb\na\n"), 2, ("twice: a",)),
    ("an empty line", classes_file(b"a\n\nb\n"), 2, ("empty line",)),
    ("names that are not text", classes_file(b"\xff\xfe\x00\x01"), 2, ("cannot be read as class names",)),
    ("names that are not there", lambda room: ["--classes", room / "none.txt"], 2, ("none.txt", "No such file")),
    ("unknown target", lambda room: ["--target", "jetson-orin-nanu"], 2, ("did you mean jetson-orin-nano?",)),
    ("target file not there", lambda room: ["--target", room / "none.toml"], 2, ("none.toml",)),
    ("target file not TOML", target_file("opset = = 3"), 2, ("not TOML",)),
    ("unknown key", target_file(BOARD.replace("opset", "opsett")), 2, ("opsett", "did you mean opset?")),
    ("unknown key in a table", target_file(BOARD.replace("max_abs", "maxabs")), 2, ("did you mean max_abs?",)),
    ("value out of range", target_file(BOARD.replace("20", "3")), 2, ("opset = 3", "18")),
    ("unknown key of preprocessing", preprocess_file("colour = 'rgb'"), 2, ("colour", "color")),
    ("wrong value of preprocessing", preprocess_file("color = 'grey'"), 2, ("grey", "rgb")),
    ("data not there", lambda room: ["--data", room / "none"], 1, ("none", "is not there")),
    ("data without pictures", lambda room: ["--data", room.folder], 1, ("holds no pictures",)),
)


@pytest.mark.parametrize(("make", "code", "words"), [c[1:] for c in OPTIONS], ids=[c[0] for c in OPTIONS])
def test_export_refuses_the_option(make: Make, code: int, words: tuple[str, ...], cli: Any, room: Room) -> None:
    options = make(room)
    before = listing(room.folder)
    outcome = cli("export", room.checkpoint, "--out", room / "out", *options)
    assert_told(outcome, code, *words, fix=False)
    assert listing(room.folder) == before


@pytest.mark.parametrize(
    "arguments",
    [("--provider", "cudaa"), ("--threads", "-1"), ("--format", "xml"), ("--topp", "3")],
    ids=lambda a: a[0],
)
def test_options_that_do_not_exist_are_a_usage_error(arguments: tuple[str, str], cli: Any, room: Room) -> None:
    outcome = cli("predict", room.good, room.pictures, *arguments)
    assert outcome.code == 2
    assert arguments[0] in outcome.err or arguments[1] in outcome.err
    assert "Traceback" not in outcome.text


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_there_is_an_error_and_not_the_cpu(provider: str, cli: Any, room: Room) -> None:
    import onnxruntime

    if any(provider in name.lower() for name in onnxruntime.get_available_providers()):
        pytest.skip(f"this onnxruntime has {provider}")
    outcome = cli("predict", room.good, room.pictures, "--provider", provider)
    assert_told(outcome, 5, provider, "onnxruntime-gpu")
    assert outcome.out == ""


# -- where the output goes ----------------------------------------------------------------------------------------


def test_a_file_cannot_be_the_output_folder(cli: Any, room: Room) -> None:
    (room / "file").write_text("mine")
    for out in (room / "file", room / "file" / "below"):
        before = listing(room.folder)
        outcome = cli("export", room.checkpoint, "--data", room.pictures, "--out", out)
        assert_told(outcome, 1, "cannot be written to", "--out")
        assert listing(room.folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the case below a file stands for it")
def test_a_folder_without_permission(cli: Any, room: Room) -> None:
    (room / "out").mkdir(mode=0o500)
    assert_told(cli("export", room.checkpoint, "--data", room.pictures, "--out", room / "out"), 1, "Permission denied")


@pytest.mark.slow
def test_an_existing_output_is_kept_without_force_and_replaced_with_it(cli: Any, room: Room) -> None:
    out = room / "out"
    out.mkdir()
    for name in ("tiny.onnx", "tiny.verify.json"):
        (out / name).write_text("old")
        before = listing(room.folder)
        outcome = cli("export", room.checkpoint, "--data", room.pictures, "--out", out)
        assert outcome.code == 1
        assert f"{name} exists already" in outcome.err
        assert "--force" in outcome.err
        assert listing(room.folder) == before
        (out / name).unlink()
    (out / "tiny.onnx").write_text("old")
    outcome = cli("export", room.checkpoint, "--data", room.pictures, "--out", out, "--force")
    assert outcome.code == 0, outcome.text
    assert read_onnx(out / "tiny.onnx").metadata.verification["passed"] is True


@pytest.fixture
def no_torch_export(monkeypatch: pytest.MonkeyPatch, good_graph: Callable[[], onnx.ModelProto]) -> None:
    """The graph of the good export instead of a new one: what happens afterwards is under test."""
    from edgekit.graph import to_onnx

    monkeypatch.setattr(to_onnx, "onnx_from_torch", lambda *a, **k: good_graph())


@pytest.mark.usefixtures("no_torch_export")
@pytest.mark.parametrize("moment", ["write", "fsync"])
def test_a_full_disk_leaves_nothing(moment: str, cli: Any, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if moment == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:

        class FullFile(io.FileIO):
            write = full  # type: ignore[assignment]

        def opened(path: Path, mode: str = "r", **named: Any) -> Any:
            return FullFile(path, "x") if mode == "xb" else Path(path).open(mode)

        monkeypatch.setattr(atomic, "open", opened, raising=False)  # what writes a file there
    out = room / "out"
    out.mkdir()
    (out / "tiny.onnx").write_text("old")
    outcome = cli("export", room.checkpoint, "--data", room.pictures, "--out", out, "--force")
    monkeypatch.undo()
    assert_told(outcome, 1, "the disk is full", "No space left", "free some space")
    assert listing(out) == {"tiny.onnx": b"old"}


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not _can_unshare(), reason="needs unshare -Urm to mount a small disk")
def test_a_disk_that_is_really_full_leaves_nothing(room: Room) -> None:
    out = room / "disk"
    out.mkdir()
    script = (
        'mount -t tmpfs -o size=1m none "$1" && echo old > "$1/tiny.onnx" && '
        '"$2" -c "from edgekit.cli.app import main; main()" export "$3" --data "$4" --out "$1" --force; '
        'echo "code $?"; ls -A "$1"; cat "$1/tiny.onnx"'
    )
    arguments = [str(out), sys.executable, str(room.checkpoint), str(room.pictures)]
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines() == ["code 1", "tiny.onnx", "old"], done.stdout + done.stderr
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_result_that_cannot_be_printed_is_an_error(room: Room) -> None:
    command = [*EDGEKIT, "predict", str(room.good), str(room.pictures), "--format", "json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["predict", "--help"])
def test_a_reader_that_stops_reading_is_not_an_error(command: str, room: Room) -> None:
    read, write = os.pipe()
    os.close(read)
    process = [*EDGEKIT, command]
    if command == "predict":
        process += [str(room.good), str(room.pictures), "--format", "json"]
    done = subprocess.run(process, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(write)
    told = [line for line in done.stderr.splitlines() if not line.startswith("still at it")]  # on a busy machine
    assert (done.returncode, told) == (0, [])


# -- pictures -----------------------------------------------------------------------------------------------------


def jpeg(path: Path, seed: int = 8) -> Path:
    Image.fromarray(made_pictures(1, seed=seed).samples[0].read()[::2, ::2, ::-1].copy()).save(path, quality=95)
    return path


@pytest.fixture
def bad_pictures(room: Room) -> Path:
    """Two good pictures among five that cannot be read."""
    folder = room / "pictures"
    folder.mkdir()
    whole = jpeg(folder / "a.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "c.jpg").touch()
    (folder / "d.png").write_text("not a picture")
    (folder / "e.png").write_bytes(whole[:10])
    jpeg(folder / "f.jpg", 9)
    # a header that claims a size of 0 x 0
    png = bytearray(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(8) + b"\x08\x02\x00\x00\x00")
    (folder / "g.png").write_bytes(bytes(png) + bytes(4))
    return folder


def test_predict_reports_bad_pictures_and_goes_on(cli: Any, room: Room, bad_pictures: Path) -> None:
    outcome = cli("predict", room.good, bad_pictures, "--out", room / "out")
    assert outcome.code == 1
    assert "Traceback" not in outcome.text
    assert [line.split("  ")[0] for line in outcome.out.splitlines()] == [
        str(bad_pictures / "a.jpg"),
        str(bad_pictures / "f.jpg"),
    ]
    for name in ("b.jpg", "c.jpg", "d.png", "e.png", "g.png"):
        assert f"{bad_pictures / name} cannot be read as a picture." in outcome.err
    assert "5 of 7 pictures could not be labelled" in outcome.err
    assert sorted(p.name for p in (room / "out").iterdir()) == ["a.jpg", "f.jpg"]


def test_eval_reports_bad_pictures_and_counts_the_others(cli: Any, room: Room, bad_pictures: Path) -> None:
    rows = [f"{p.name},0" for p in sorted(bad_pictures.iterdir())]
    (bad_pictures / "labels.csv").write_text("\n".join(["file,class_index", *rows]))
    outcome = cli("eval", room.good, "--data", bad_pictures, "--format", "json")
    assert outcome.code == 1
    assert '"n": 2' in outcome.out
    for name in ("b.jpg", "c.jpg", "d.png", "e.png", "g.png"):
        assert name in outcome.err


def test_export_does_not_verify_on_pictures_it_cannot_read(cli: Any, room: Room, bad_pictures: Path) -> None:
    outcome = cli("export", room.checkpoint, "--data", bad_pictures, "--out", room / "out")
    assert_told(outcome, 1, "b.jpg", "cannot be read as a picture")
    assert not (room / "out").exists()


def test_only_bad_pictures(cli: Any, room: Room, bad_pictures: Path) -> None:
    for name in ("a.jpg", "b.jpg", "f.jpg"):
        (bad_pictures / name).unlink()
    outcome = cli("export", room.checkpoint, "--data", bad_pictures, "--out", room / "out")
    assert_told(outcome, 1, "None of the pictures can be read")
    assert not (room / "out").exists()


def grey(image: Image.Image) -> Image.Image:
    return image.convert("L")


def rgba(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(40)
    return image


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


@pytest.mark.parametrize("kind", [grey, rgba, sixteen_bits])
def test_other_kinds_of_pictures_are_handled(kind: Any, cli: Any, room: Room) -> None:
    picture = Image.open(room.pictures / "0.png")
    same = picture if kind is rgba else picture.convert("L").convert("RGB")
    kind(picture).save(room / "kind.png")
    same.save(room / "same.png")
    outcome = cli("predict", room.good, room / "kind.png", room / "same.png", "--format", "json")
    assert outcome.code == 0, outcome.text
    assert_same_answers(outcome.out)
    (room / "labels.csv").write_text("file,class_index\nkind.png,0\nsame.png,0\n")
    outcome = cli("eval", room.good, "--data", room / "labels.csv", "--format", "json")
    assert outcome.code == 0, outcome.text
    assert '"n": 2' in outcome.out


def assert_same_answers(lines: str) -> None:
    first, second = ("".join(line.split('"label"', 1)[1]) for line in lines.splitlines())
    assert first == second


def test_a_rotated_photograph_is_turned_upright(cli: Any, room: Room) -> None:
    picture = Image.open(room.pictures / "1.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it
    picture.transpose(Image.Transpose.ROTATE_90).save(room / "phone.png", exif=exif)
    picture.transpose(Image.Transpose.ROTATE_90).save(room / "lying.png")
    outcome = cli("predict", room.good, room / "phone.png", room.pictures / "1.png", "--format", "json")
    assert outcome.code == 0, outcome.text
    assert_same_answers(outcome.out)
    outcome = cli("predict", room.good, room / "lying.png", room.pictures / "1.png", "--format", "json")
    with pytest.raises(AssertionError):
        assert_same_answers(outcome.out)  # so the first comparison could have failed


# -- ONNX files ---------------------------------------------------------------------------------------------------


def external_data(room: Room) -> Path:
    model = onnx.load(room.good)
    convert_model_to_external_data(model, location="weights.bin")
    onnx.save(model, room / "bad.onnx")
    return room / "bad.onnx"


def external_secret(room: Room) -> Path:
    """A weight that points at a file of the machine."""
    model = onnx.load(room.good)
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    (room / "bad.onnx").write_bytes(model.SerializeToString())
    return room / "bad.onnx"


def someone_elses(room: Room) -> Path:
    model = onnx.load(room.good)
    del model.metadata_props[:]
    model.producer_name = "pytorch"
    onnx.save(model, room / "bad.onnx")
    return room / "bad.onnx"


def foreign_operator(room: Room) -> Path:
    model = onnx.load(room.good)
    model.graph.node[5].domain = "com.someone"
    onnx.save(model, room / "bad.onnx")
    return room / "bad.onnx"


def written(data: bytes) -> Callable[[Room], Path]:
    def make(room: Room) -> Path:
        (room / "bad.onnx").write_bytes(data)
        return room / "bad.onnx"

    return make


def cut_onnx(share: float) -> Callable[[Room], Path]:
    return lambda room: room.cut(room.good, share, "bad.onnx")


ONNX: tuple[tuple[str, Callable[[Room], Path], tuple[str, ...]], ...] = (
    ("missing", lambda room: room / "none.onnx", ("none.onnx", "No such file")),
    ("empty", written(b""), ("is empty", "0 bytes")),
    ("text", written(b"not an onnx file\n" * 20), ("bad.onnx",)),
    *(
        (f"cut at {s}", lambda room, s=s: room.cut(room.good, s, "bad.onnx"), ("bad.onnx",))
        for s in (0.001, 0.5, 0.999)
    ),
    ("external data", external_data, ("keeps weights outside the file",)),
    ("external data elsewhere", external_secret, ("keeps weights outside the file",)),
    ("someone else's", someone_elses, ("was not written by edgekit", "pytorch")),
    ("someone else's operator", foreign_operator, ("com.someone",)),
)


@pytest.mark.parametrize("command", ["predict", "eval", "verify"])
@pytest.mark.parametrize(("make", "words"), [c[1:] for c in ONNX], ids=[c[0] for c in ONNX])
def test_an_onnx_file_is_refused(command: str, make: Any, words: tuple[str, ...], cli: Any, room: Room) -> None:
    path = make(room)
    before = listing(room.folder)
    arguments = {
        "predict": (path, room.pictures, "--out", room / "out"),
        "eval": (path, "--data", room.pictures),
        "verify": (room.checkpoint, path, "--data", room.pictures),
    }[command]
    outcome = cli(command, *arguments)
    assert_told(outcome, 5, *words)
    assert outcome.out == ""
    assert listing(room.folder) == before


def test_the_same_commands_take_the_good_file(cli: Any, room: Room) -> None:
    assert cli("predict", room.good, room.pictures).code == 0
    assert cli("verify", room.checkpoint, room.good, "--data", room.pictures).code == 0


def test_a_file_of_another_kind(cli: Any, room: Room) -> None:
    outcome = cli("predict", room.pictures / "0.png", room.pictures)
    assert_told(outcome, 2, "0.png", ".onnx", fix=False)


@pytest.mark.parametrize("arguments", [["predict", "centernet-tiny"], ["eval", "centernet-tiny", "--data"], ["bench"]])
def test_a_path_of_5000_letters(arguments: list[str], cli: Any) -> None:
    outcome = cli(*arguments, "x" * 5000)
    assert "Unexpected" not in outcome.text
    assert outcome.code in (1, 2, 5)
    assert "error: " in outcome.err
    assert len(outcome.err) < 9000
