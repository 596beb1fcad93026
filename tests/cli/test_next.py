"""Every command ends with a `next:` line, and that line runs as it is pasted: words, quotes, folder and all."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from edgekit.artifacts.deployment import model_path
from edgekit.artifacts.onnx_file import embed, read_onnx
from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.cli import app
from edgekit.cli.shared import options
from edgekit.config import recipe
from edgekit.data import hive_pictures, made_pictures
from edgekit.labels.session import Session
from tests.conftest import NARROW, Cli, Outcome, lively
from tests.labels import folders as labelled
from tests.pipeline.adopting.small import classifier

HIVE = "synthetic://hive?n=8&val=4"
MEASURED = ("--iterations", "24", "--turns", "2", "--warmup", "0.1", "--no-cold")
# A pasted line is only made to end sooner. 4 of a comparison is its answer, about a machine that is not quiet now.
SOONER: dict[str, tuple[str, ...]] = {
    "bench": (*MEASURED, "--pictures", "4"),
    "camera": ("--seconds", "2", "--set", "web.port=0"),
    "export": ("--pictures", "3"),
    "label": ("--seconds", "0.3", "--port", "0"),
    "train": ("--set", "schedule.epochs=1", "--set", "data.cache_mb=0"),
}


@dataclass
class Terminal:
    """A folder in which commands are typed, with names that need quoting."""

    cli: Cli
    folder: Path

    def types(self, *words: object) -> Outcome:
        done = self.cli(*words)
        assert done.code == 0, done.text
        return done

    def pastes(self, done: Outcome) -> Outcome:
        """The next line of `done`, run; it must be the last one, and nothing in it may be left to fill in."""
        line = done.err.splitlines()[-1]
        assert line.startswith("next: "), done.err
        words = shlex.split(line.removeprefix("next: "))
        assert words[0] == "edgekit", line
        assert not [word for word in words if word in ("PICTURE", "DIR", "FILE", "MODEL", "CHECKPOINT")], line
        again = self.cli(*words[1:], *sooner(words))
        assert again.code == 0 or (again.code == 4 and "--compare" in words), f"{line}\n{again.text}"
        return again


def sooner(words: Sequence[str]) -> tuple[str, ...]:
    """What is added to a line; a comparison is only one with what was measured as long."""
    return () if "--compare" in words else SOONER.get(words[1], ())


@pytest.fixture
def terminal(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    folder = tmp_path / "the hive's"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Terminal(cli, folder)


@pytest.fixture(scope="module")
def things(checkpoint: Path, good: Path, spec: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and data under names that a shell would take apart, to be copied beside each command."""
    root = tmp_path_factory.mktemp("things")
    for name, content in (("my model.pt", checkpoint), ("it's.onnx", good), ("-o.onnx", good)):
        shutil.copy(content, root / name)
    classes = root / "my bees; all"
    for i, sample in enumerate(made_pictures(14, seed=4)):
        folder = classes / spec.classes[i % len(spec.classes)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(sample.read()[::2, ::2, ::-1])).save(folder / f"{i} a.png")
    table = root / "table"
    table.mkdir()
    rows = ["file,class_index", *(f"../my bees; all/{spec.classes[i % 7]}/{i} a.png,{i % 7}" for i in range(14))]
    (table / "labels.csv").write_text("\n".join(rows) + "\n")
    yolo = root / "only train"
    for kind in ("images", "labels"):
        (yolo / kind / "train").mkdir(parents=True)
    # 6 of them are trained on: oneDNN of torch 2.14 ends the process at odd batches of this net on two threads
    for i, sample in enumerate(hive_pictures(7, seed=1)):
        frame = sample.read()
        Image.fromarray(np.ascontiguousarray(frame[..., ::-1])).save(yolo / "images" / "train" / f"{i}.jpg")
        assert sample.boxes is not None
        assert sample.box_labels is not None
        size = np.array([frame.shape[1], frame.shape[0]] * 2, np.float32)
        centred = (
            np.concatenate(
                [sample.boxes[:, :2] + sample.boxes[:, 2:], 2 * np.diff(sample.boxes.reshape(-1, 2, 2), axis=1)[:, 0]],
                axis=1,
            )
            / 2
            / size
        )
        lines = [f"{c} {' '.join(f'{v:.6f}' for v in row)}" for c, row in zip(sample.box_labels, centred, strict=True)]
        (yolo / "labels" / "train" / f"{i}.txt").write_text("\n".join(lines) + "\n")
    (yolo / "data.yaml").write_text("train: images/train\nnames: [bee, hornet]\n")
    return root


@pytest.fixture
def there(terminal: Terminal, things: Path) -> Path:
    """The things, beside the command: relative names reach them. Linked: no command changes a file in its place."""
    shutil.copytree(things, terminal.folder, copy_function=os.link, dirs_exist_ok=True)
    return terminal.folder


@pytest.mark.slow
def test_export_without_pictures_to_one_batch_size(terminal: Terminal, there: Path) -> None:
    done = terminal.types("export", "my model.pt", "--batch", 2, "--pictures", 3)
    assert "--batch 2" in done.err.splitlines()[-1]
    terminal.pastes(done)


def test_export_with_pictures_to_another_folder(terminal: Terminal, there: Path) -> None:
    words = ("--pictures", 3, "--data", "table/labels.csv", "--out", "out of it")
    terminal.pastes(terminal.types("export", "my model.pt", *words))


def test_adopt(terminal: Terminal, there: Path) -> None:
    classifier(there / "their net.onnx")
    words = ("--task", "classification", "--preprocess", "unit", "--pictures", 3, "--data", "table/labels.csv")
    terminal.pastes(terminal.types("adopt", "their net.onnx", *words, "--out", "out of it"))


def test_verify(terminal: Terminal, there: Path) -> None:
    terminal.pastes(terminal.types("verify", "my model.pt", "it's.onnx", "--data", "table"))


@pytest.mark.parametrize("name", ["x.onnx", "x.onnx.rejected"])
def test_verify_of_a_rejected_file(terminal: Terminal, there: Path, name: str) -> None:
    """It equals itself, and is still not one that predict runs."""
    read = read_onnx(there / "it's.onnx")
    embed(read.model, replace(read.metadata, verification={"passed": False}))
    onnx.save(read.model, there / name)
    done = terminal.types("verify", "it's.onnx", name, "--pictures", 3, "--data", "my bees; all")
    assert "--unverified" in done.err.splitlines()[-1]
    if name == "x.onnx":
        terminal.pastes(done)


@pytest.mark.parametrize(
    ("model", "data"), [("it's.onnx", "my bees; all"), ("./-o.onnx", "table/labels.csv"), ("my model.pt", "table")]
)
def test_eval(terminal: Terminal, there: Path, model: str, data: str) -> None:
    terminal.pastes(terminal.types("eval", model, "--data", data))


def test_eval_of_alarms_alone(terminal: Terminal, there: Path) -> None:
    done = terminal.types("eval", "centernet-tiny", "--alarms", "only train/images", "--without", "hornet")
    assert "edgekit predict centernet-tiny 'only train/images'" in done.err.splitlines()[-1]
    terminal.pastes(done)


def test_eval_with_absolute_paths(terminal: Terminal, things: Path) -> None:
    terminal.pastes(terminal.types("eval", things / "it's.onnx", "--data", things / "my bees; all", "--threads", 1))


@pytest.mark.slow
def test_what_a_foreign_checkpoint_does_not_say_is_said_again(
    terminal: Terminal, there: Path, net: Any, preprocess_toml: Path, spec: Any
) -> None:
    import torch

    torch.save(net.state_dict(), there / "foreign net.pth")
    shutil.copy(preprocess_toml, there / "spec it.toml")
    (there / "names.txt").write_text("\n".join(spec.classes))
    told = ("--preprocess", "spec it.toml", "--classes", "names.txt")
    done = terminal.types("eval", "foreign net.pth", "--data", "my bees; all", *told)
    for name in told:
        assert name in shlex.split(done.err.splitlines()[-1])
    done = terminal.pastes(terminal.pastes(done))  # predict, and with marks
    words = shlex.split(done.err.splitlines()[-1])
    assert words[1:4] == ["edgekit", "export", "foreign net.pth"]
    assert {*told} < {*words}
    terminal.pastes(done)


def test_predict_and_the_copies(terminal: Terminal, there: Path) -> None:
    done = terminal.pastes(terminal.types("predict", "it's.onnx", "my bees; all", "--top", 2))
    assert len(list((there / "marked").rglob("*.jpg"))) == 14
    terminal.pastes(done)
    done = terminal.pastes(terminal.types("predict", "centernet-tiny", "my bees; all", "--threshold", 0.2))
    assert len(list((there / "marked-2").rglob("*.jpg"))) == 14


def test_predict_where_two_copies_would_have_one_name(terminal: Terminal, there: Path) -> None:
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (64, 64), "red").save(there / name)
    terminal.pastes(terminal.types("predict", "it's.onnx", "a.png", "a.jpg"))


def test_a_made_data_set(terminal: Terminal) -> None:
    done = terminal.types("eval", "centernet-tiny", "--data", HIVE)
    assert HIVE in shlex.split(done.err.splitlines()[-1])
    terminal.pastes(done)


def test_bench(terminal: Terminal, there: Path) -> None:
    words = ("it's.onnx", "--data", "my bees; all", "--threads", 1, *MEASURED)
    terminal.pastes(terminal.types("bench", *words))


def test_a_comparison_goes_on_with_what_it_was_compared_with(terminal: Terminal, there: Path) -> None:
    words = ("bench", "it's.onnx", "--data", "my bees; all", "--pictures", 4, *MEASURED)
    terminal.types(*words)
    # accuracy alone is limited: a busy machine's latency would end it with 4, and no next line
    compared = ("--compare", "bench/bench.json", "--fail-on", "top1<-0.5")
    done = terminal.types(*words, *compared, "--out", "bench-2")
    line = shlex.split(done.err.splitlines()[-1])
    assert line[line.index("--compare") + 1] == "bench/bench.json"
    assert line[line.index("--out") + 1] == "bench-3"


@pytest.mark.slow
def test_bench_of_a_shipped_model(terminal: Terminal) -> None:
    terminal.pastes(terminal.types("bench", "centernet-tiny", "--pictures", 0, *MEASURED, "--out", "my report"))


@pytest.mark.slow
def test_bench_of_a_suite(terminal: Terminal, there: Path) -> None:
    (there / "my suite.toml").write_text(
        'title = "one"\nseconds = 0.1\nturns = 2\nwarmup = 0.1\ncold = false\n[[matrix]]\nmodels = ["it\'s.onnx"]\n'
    )
    terminal.pastes(terminal.types("bench", "--suite", "my suite.toml", "--models", "."))


@pytest.mark.slow
def test_tune(terminal: Terminal) -> None:
    terminal.pastes(terminal.types("tune", "centernet-tiny", "--data", HIVE, "--seconds", 0.1, "-b", "onnxruntime"))


@pytest.mark.slow
def test_a_deployment_lies_anywhere(terminal: Terminal, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a link to a folder elsewhere, from which `..` leads to another place; and used from another folder."""
    deep = there / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (there / "linked").symlink_to(deep)
    shutil.copy(model_path(Path("centernet-tiny")), "it's small.onnx")
    words = ("--data", HIVE, "--seconds", 0.1, "-b", "onnxruntime", "--max-drop", 100)
    terminal.types("tune", "it's small.onnx", *words, "--out", "linked/tuned")
    monkeypatch.chdir(deep)
    terminal.types("predict", deep / "tuned" / "deployment.json", there / "my bees; all")


def test_build(terminal: Terminal, there: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    words = ("--target", "rtx-ada", "--cpu-only", "--data", "my bees; all", "--out", "my engines")
    terminal.pastes(terminal.types("build", "it's.onnx", *words))


def test_build_of_a_shipped_model_is_written_here(terminal: Terminal) -> None:
    pytest.importorskip("tensorrt_rtx")
    done = terminal.types("build", "centernet-tiny", "--target", "rtx-ada", "--cpu-only")
    assert len(list(terminal.folder.glob("centernet-tiny.*.engine"))) == 1
    assert "next: edgekit bench centernet-tiny" in done.err


def test_label(terminal: Terminal) -> None:
    """Where nothing is done yet it is the same again, and then what was made is looked at."""
    pytest.importorskip("uvicorn")
    labelled.pictures(terminal.folder / "my bees; all")
    words = ("my bees; all", "--out", "my labels", "--classes", "bee,hornet", "--seconds", 0.1, "--port", 0)
    done = terminal.types("label", *words, "--token", "abcdefgh12345678")
    assert "abcdefgh" not in done.text
    terminal.pastes(done)
    session = Session(terminal.folder / "my bees; all", terminal.folder / "my labels")
    session.edit(session.ids["a.png"], 0, labelled.labels(labelled.BOX))
    session.close()
    terminal.pastes(terminal.types("label", *words))


CAMERA = ("camera", "--source", "synthetic://hive?seed=1&fps=10&height=120&width=160&frames=12")


@pytest.mark.parametrize("out", [(), ("--out", "what came")])
def test_camera(terminal: Terminal, there: Path, out: Sequence[str]) -> None:
    done = terminal.pastes(terminal.types(*CAMERA, "--model", "it's.onnx", *out))
    terminal.pastes(done)


def test_camera_of_a_file_of_settings(terminal: Terminal, there: Path) -> None:
    (there / "my hive.toml").write_text(
        f'[source]\nuri = "{CAMERA[2]}"\n[model]\npath = "it\'s.onnx"\n[store]\nfolder = "kept here"\n'
    )
    done = terminal.types("camera", "my hive.toml", "--set", "visits.cooldown=1")
    assert "--set visits.cooldown=1" in done.err.splitlines()[-1]
    terminal.pastes(done)
    terminal.pastes(terminal.types("camera", "my hive.toml", "--check"))


@pytest.mark.parametrize("how", [("--source", "{}"), ("--set", "source.uri={}")])
def test_a_password_is_not_in_a_next_line(
    terminal: Terminal, there: Path, how: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sentence says what to put where, and then the line runs."""
    address = "rtsp://me:hunter2@10.0.0.9/a"
    words = ("--model", "it's.onnx", "--set", "visits.cooldown=1", "--check")
    done = terminal.types("camera", how[0], how[1].format(address), *words)
    assert "hunter2" not in done.text
    assert "environment as HIVE_SOURCE" in done.err.splitlines()[-2]
    assert "--set visits.cooldown=1" in done.err.splitlines()[-1]
    monkeypatch.setenv("HIVE_SOURCE", "synthetic://hive?frames=3")
    terminal.pastes(done)


def test_a_token_is_not_in_a_next_line(terminal: Terminal, there: Path) -> None:
    words = ("--source", "rtsp://10.0.0.9/a", "--model", "it's.onnx", "--set", "web.token=abcdefgh12345678", "--check")
    done = terminal.types("camera", *words)
    assert "abcdefgh" not in done.text
    assert "next: edgekit bench" in done.err


def test_data(terminal: Terminal, there: Path) -> None:
    """The set, its sheet, and a training on it; and a set that was written."""
    done = terminal.pastes(terminal.types("data", "only train"))
    assert (there / "sheet.jpg").is_file()
    terminal.pastes(done)
    terminal.pastes(terminal.types("data", "only train", "--to", "coco", "--out", "it's coco", "--link"))
    assert (there / "it's coco.jpg").is_file()


def test_a_sheet_that_is_there_is_not_in_the_way(terminal: Terminal, there: Path) -> None:
    for name in ("sheet.jpg", "sheet-2.jpg"):
        (there / name).write_bytes(b"")
    terminal.pastes(terminal.types("data", "only train"))
    assert (there / "sheet-3.jpg").stat().st_size > 0


@pytest.mark.parametrize(
    ("folder", "then"), [("my bees; all", "train resnet18-finetune"), ("only train/images", "label")]
)
def test_data_without_boxes(terminal: Terminal, there: Path, folder: str, then: str) -> None:
    done = terminal.types("data", folder, "--sheet", "a.png")
    assert f"next: edgekit {then}" in done.err


@pytest.mark.slow
def test_train(terminal: Terminal, there: Path) -> None:
    """By a recipe's name, on pictures with no held-out split; and again, when the export of the first is in use."""
    words = ("train", "demo", "--data", "only train", "--set", "schedule.epochs=1", "--set", "data.cache_mb=0")
    terminal.pastes(terminal.types(*words, "--out", "my run"))
    done = terminal.types(*words, "--out", "my run", "--resume")
    assert "--out 'my run/exported'" in done.err
    terminal.pastes(done)


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo with one epoch of few pictures, and a short scene."""
    load = recipe.load_recipe
    small = ["schedule.epochs=1", "data.path=synthetic://hive?n=8&val=4"]
    monkeypatch.setattr(recipe, "load_recipe", lambda name, changes=(): load(name, [*changes, *small]))
    monkeypatch.setattr("edgekit.cli.demo.WATCHED", "synthetic://hive?seed=1&fps=20&frames=20")


def test_doctor(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch is not installed the demo cannot run."""
    version = metadata.version

    def without(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    done = terminal.types("doctor")
    assert "edgekit camera" in done.err
    terminal.pastes(done)


@pytest.mark.slow
def test_doctor_with_torch_and_the_demo(terminal: Terminal, small_demo: None) -> None:
    done = terminal.types("doctor")
    assert "edgekit demo" in done.err
    terminal.pastes(terminal.pastes(done))


def test_the_program_is_called_as_it_can_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of an environment that is not on PATH by its path; two of that name are two programs."""
    here, there = tmp_path / "here" / "edgekit", tmp_path / "my there" / "edgekit"
    for place in (here, there):
        place.parent.mkdir()
        place.write_text("#!/bin/sh\n")
        place.chmod(0o755)
    monkeypatch.setenv("PATH", str(here.parent))

    def called(argv0: object) -> list[str]:
        monkeypatch.setattr("sys.argv", [str(argv0), "doctor"])
        return options.program()

    assert called(here) == ["edgekit"]
    assert called(there) == [str(there)]
    monkeypatch.setenv("PATH", "")
    assert called(here) == [str(here)]
    assert called("/usr/bin/pytest") == ["edgekit"]
    assert called("/x/edgekit/__main__.py")[1:] == ["-m", "edgekit"]


def test_the_fix_of_an_error_is_pasted_too(terminal: Terminal, there: Path) -> None:
    """Where it is a whole command: the export that belongs to a checkpoint that was trained on."""
    export = there / "my model.onnx"
    shutil.copy(there / "it's.onnx", export)
    weights = {k: v * 1.01 if k == "fc.bias" else v for k, v in lively(NARROW).state_dict().items()}
    (there / "my model.pt").unlink()
    save_checkpoint(there / "my model.pt", Checkpoint(NARROW, weights))
    done = terminal.cli("verify", "my model.pt", "my model.onnx")
    assert done.code == 5, done.text
    fix = next(line.split("fix:")[1] for line in done.err.splitlines() if "fix:" in line)
    assert terminal.cli(*shlex.split(fix)[1:], "--pictures", "3").code == 0
    terminal.types("verify", "my model.pt", "my model.onnx", "--pictures", 3)


def test_every_command_is_here() -> None:
    """A new command without a test above, and so without a next line that works, fails here."""
    assert {command.name for command in app.app.registered_commands} == set(TRIED)


TRIED = {
    "data": test_data,
    "train": test_train,
    "export": test_export_with_pictures_to_another_folder,
    "adopt": test_adopt,
    "build": test_build,
    "verify": test_verify,
    "eval": test_eval,
    "bench": test_bench,
    "tune": test_tune,
    "predict": test_predict_and_the_copies,
    "label": test_label,
    "camera": test_camera,
    "doctor": test_doctor,
    "demo": test_doctor_with_torch_and_the_demo,
}
