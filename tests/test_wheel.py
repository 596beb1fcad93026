"""The wheel in an environment of its own, outside the repository and without torch: what a device gets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command_lines import calls, spans
from tests.test_bare_import import modules
from tests.test_python_walk import blocks

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def run(*words: object, cwd: Path) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=cwd, env=clean, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    tracked = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    for name in filter(None, tracked):  # a copy of what is committed, so that nothing lying about gets in
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", out, source, cwd=out)
    return next(out.glob("*.whl"))


def pythons() -> list[str]:
    """This Python, and the oldest one that a board has (JetPack 6), where there is one."""
    installed = [str(p) for p in Path.home().glob(".pyenv/versions/3.10.*/bin/python")]
    for oldest in filter(None, [shutil.which("python3.10"), *installed]):
        # a version manager's shim is there but does not run when its version is not the chosen one
        if subprocess.run([oldest, "-c", "import venv, ssl"], capture_output=True).returncode == 0:
            return [sys.executable, oldest]
    return [sys.executable]


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("edgekit/targets/x86-cpu.toml", "edgekit/recipes/centernet-tiny.onnx", "edgekit/py.typed"):
        assert wanted in names
    assert not [n for n in names if not n.startswith(("edgekit/", "edgekit-"))]


class Device(NamedTuple):
    """A folder outside the repository with an environment that holds the wheel and its extra `cpu`, and no torch."""

    folder: Path

    def python(self, *words: object) -> str:
        return run(self.folder / "env" / "bin" / "python", *words, cwd=self.folder)

    def edgekit(self, *words: object) -> str:
        return run(self.folder / "env" / "bin" / "edgekit", *words, cwd=self.folder)


@pytest.fixture(scope="module", params=pythons(), ids=lambda p: Path(p).parent.parent.name)
def device(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Device:
    folder = tmp_path_factory.mktemp("device")
    run(request.param, "-m", "venv", "env", cwd=folder)
    run(folder / "env" / "bin" / "pip", "install", "--quiet", f"{wheel}[cpu]", cwd=folder)
    assert "torch" not in run(folder / "env" / "bin" / "pip", "list", cwd=folder)
    return Device(folder)


def test_a_device_runs_an_exported_file(device: Device, good: Path, pictures: Path) -> None:
    shutil.copy2(good, device.folder / "tiny.onnx")
    doctor = json.loads(device.edgekit("doctor", "--format", "json"))
    assert doctor["extras"]["cpu"]["missing"] == []
    assert doctor["extras"]["train"]["missing"]
    lines = device.edgekit("predict", "tiny.onnx", pictures, "--out", "o", "--format", "json")
    assert len(lines.splitlines()) == 8
    assert len(list((device.folder / "o").iterdir())) == 8
    device.edgekit("verify", "tiny.onnx", "tiny.onnx", "--pictures", "4")
    marked = device.edgekit("predict", "centernet-tiny", pictures, "--out", "m")
    assert len(marked.splitlines()) == 8
    # exporting needs torch, and says so in words
    shutil.copy2(good, device.folder / "x.pt")
    command = [device.folder / "env" / "bin" / "edgekit", "export", "x.pt"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=device.folder)
    assert done.returncode == 5
    assert "edgekit[train]" in done.stderr


def test_every_room_is_in_the_wheel(device: Device) -> None:
    """Each module imports, but those that need torch."""
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    device.python("-c", code, *modules())


def test_the_walk_through_python_runs(device: Device) -> None:
    device.python("-c", "".join(code for code, _ in blocks("")))


SHORT = ("--iterations", 24, "--turns", 2, "--warmup", 0.1, "--no-cold", "--pictures", 4)
CLIP = "synthetic://hive?seed=1&fps=10&height=120&width=160&frames=12"
SOONER: dict[str, tuple[object, ...]] = {"bench": SHORT, "tune": ("--seconds", 0.1, "--max-drop", 100)}


# what stands in for the pictures and the clip that the README has
MADE = {"hornets/": "synthetic://hive?n=8&val=4", "winter.mp4": f"{CLIP}&hornets=0"}


def readme() -> list[list[str]]:
    """The command lines of the README's table that a device without torch can run."""
    table = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `edgekit ")]
    found = [words for line in table for words in calls(spans(line)[0])]
    return [words for words in found if words[0] in ("eval", "bench", "tune", "predict", "camera", "doctor")]


def test_the_readmes_lines_run(device: Device, pictures: Path) -> None:
    """With a small detector and a made hive entrance under the names that the README has."""
    assert len(readme()) == 9
    place = device.python("-c", "from edgekit.recipes import __path__ as p; print(*p)").strip()
    for name in ("hornets.onnx", "hornets.int8-x86.onnx"):
        shutil.copy2(Path(place) / "centernet-tiny.onnx", device.folder / name)
    (device.folder / "hive.toml").write_text(
        f'[source]\nuri = "{CLIP}"\n[model]\npath = "hornets.onnx"\n[store]\nfolder = "visits"\n'
    )
    (device.folder / "pictures").symlink_to(pictures)
    for command, *words in readme():
        there = [MADE.get(word, word) for word in words]
        assert device.edgekit(command, *there, *SOONER.get(command, ())), command
