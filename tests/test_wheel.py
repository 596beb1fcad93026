"""The wheel in an environment of its own, outside the repository and without torch: what a device gets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("python", pythons(), ids=lambda p: Path(p).parent.parent.name)
def test_a_device_runs_an_exported_file(wheel: Path, python: str, good: Path, pictures: Path, tmp_path: Path) -> None:
    run(python, "-m", "venv", "env", cwd=tmp_path)
    bin_ = tmp_path / "env" / "bin"
    run(bin_ / "pip", "install", "--quiet", f"{wheel}[cpu]", cwd=tmp_path)
    assert "torch" not in run(bin_ / "pip", "list", cwd=tmp_path)
    for name in ("tiny.onnx",):
        shutil.copy2(good.with_name(name), tmp_path / name)
    doctor = json.loads(run(bin_ / "edgekit", "doctor", "--format", "json", cwd=tmp_path))
    assert doctor["extras"]["cpu"]["missing"] == []
    assert doctor["extras"]["train"]["missing"]
    lines = run(bin_ / "edgekit", "predict", "tiny.onnx", pictures, "--out", "o", "--format", "json", cwd=tmp_path)
    assert len(lines.splitlines()) == 8
    assert len(list((tmp_path / "o").iterdir())) == 8
    run(bin_ / "edgekit", "verify", "tiny.onnx", "tiny.onnx", "--pictures", "4", cwd=tmp_path)
    marked = run(bin_ / "edgekit", "predict", "centernet-tiny", pictures, "--out", "m", cwd=tmp_path)
    assert len(marked.splitlines()) == 8
    # exporting needs torch, and says so in words
    shutil.copy2(good.with_name("tiny.onnx"), tmp_path / "x.pt")
    done = subprocess.run([bin_ / "edgekit", "export", "x.pt"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 5
    assert "edgekit[train]" in done.stderr
