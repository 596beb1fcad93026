"""`edgekit doctor` tries versions, providers and imports, and each advice is a command that mends what it stands by.

What the advices do in real environments is in benchmarks/results/doctor-advice.md.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import tomllib

from edgekit.cli.shared import packages
from edgekit.cli.shared.extras import EXTRAS
from tests.backends.fake_tensorrt import FakeCuda, World
from tests.conftest import Cli

CPU_BUILD = ["AzureExecutionProvider", "CPUExecutionProvider"]
GPU_BUILD = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
BOTH = "pip uninstall -y torch torchvision && pip install 'torch>=2.6' 'torchvision>=0.21'"
Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Other versions than are installed here, other providers, modules that do not import."""
    real = metadata.version

    def made(
        versions: dict[str, str | None], providers: list[str] | None = None, broken: dict[str, str] | None = None
    ) -> None:
        def version(name: str) -> str:
            found = versions[name] if name in versions else real(name)
            if found is None:
                raise metadata.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(metadata, "version", version)
        if providers is not None:
            monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
        monkeypatch.setattr(packages, "import_error", lambda module: (broken or {}).get(module, ""))
        gone = {p.module for parts in EXTRAS.values() for p in parts if versions.get(p.name, "") is None}
        gone -= {p.module for parts in EXTRAS.values() for p in parts if versions.get(p.name)}
        found = util.find_spec
        monkeypatch.setattr(packages.util, "find_spec", lambda name: None if name in gone else found(name))
        monkeypatch.setattr(packages, "pip", lambda: "pip")

    return made


def examined(cli: Cli) -> tuple[int, dict[str, Any]]:
    done = cli("doctor", "--format", "json")
    content = json.loads(done.out)
    assert content["exit_code"] == done.code
    return done.code, content["extras"]


def test_here(cli: Cli) -> None:
    done = cli("doctor", "--format", "json")
    found = json.loads(done.out)
    assert done.code == 0
    assert found["extras"]["cpu"] == {**found["extras"]["cpu"], "ok": True, "missing": [], "wrong": [], "fix": None}
    assert found["machine"]["cores"] >= 1
    assert "CPUExecutionProvider" in found["onnxruntime_providers"]
    assert found["onnxruntime_refuses"] == ""
    text = cli("doctor").out
    assert "onnxruntime" in text
    assert text.splitlines()[-1] == "exit code 0: exported models run here"


def test_what_can_compile_engines(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(cli("doctor", "--format", "json").out)["engines"]
    assert list(found) == ["TensorRT", "TensorRT-RTX", "CUDA"]
    monkeypatch.setattr("edgekit.backends.cuda.open.open_cuda", lambda: FakeCuda(World()))
    lines = [line.split(maxsplit=1) for line in cli("doctor").out.splitlines() if line]
    assert ["CUDA", "Fake Orin, SM 8.7, CUDA 12.6 through fake"] in lines
    assert ["TensorRT", found["TensorRT"]] in lines


def test_nothing_to_run_models_with(cli: Cli, machine: Machine) -> None:
    machine(dict.fromkeys(("onnxruntime", "opencv-python-headless", "torch")))
    done = cli("doctor")
    assert done.code == 5
    assert "missing onnxruntime, opencv-python-headless" in done.out
    assert "pip install 'onnxruntime>=1.18' 'opencv-python-headless>=4.8'" in done.out
    assert done.out.splitlines()[-1].startswith("exit code 5: no model runs here")
    assert "next:" not in done.err


def test_an_onnxruntime_that_refuses_our_files_is_too_old(cli: Cli, machine: Machine) -> None:
    """1.17 is there and imports, and opens no file of IR version 10."""
    machine({"onnxruntime": "1.17.3"})
    code, extras = examined(cli)
    assert code == 5
    assert extras["cpu"]["ok"] is False
    assert extras["cpu"]["wrong"] == ["onnxruntime 1.17.3 is too old, 1.18 or newer is needed"]
    assert extras["cpu"]["fix"] == "pip install 'onnxruntime>=1.18'"


def test_an_onnxruntime_that_refuses_our_files_whatever_its_number(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Unsupported model IR version: 10, max supported IR version: 9")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    done = cli("doctor")
    assert done.code == 5
    assert "IR version 10" in done.out
    assert "supports up to IR version 9" in done.out


@pytest.mark.parametrize(("providers", "ok"), [(CPU_BUILD, False), (GPU_BUILD, True)])
def test_two_builds_of_onnxruntime_share_one_folder(cli: Cli, machine: Machine, providers: list[str], ok: bool) -> None:
    """The last one that was installed is what imports: the CPU one leaves no CUDA provider, whatever pip lists."""
    machine({"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.32.0"}, providers)
    code, extras = examined(cli)
    assert code == 0  # on the CPU both of them run
    assert extras["gpu"]["ok"] is ok
    told = extras["gpu"]["doubts" if ok else "wrong"]
    assert told == [
        "onnxruntime 1.32.0 and onnxruntime-gpu 1.32.0 share one folder; "
        f"the one that imports has {', '.join(providers)}"
    ]
    # pip calls the half that an uninstall of the other leaves behind installed already: both go first
    assert extras["gpu"]["fix"] == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu>=1.18'"
    assert extras["cpu"]["ok"] is True
    assert extras["cpu"]["doubts"] == told
    assert extras["cpu"]["fix"] == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime>=1.18'"


def test_the_gpu_build_alone_serves_the_cpu_too(cli: Cli, machine: Machine) -> None:
    """Advice to install the CPU one over it would break it."""
    machine({"onnxruntime": None, "onnxruntime-gpu": "1.32.0"}, GPU_BUILD)
    code, extras = examined(cli)
    assert code == 0
    assert extras["cpu"]["ok"] is extras["gpu"]["ok"] is True
    assert extras["cpu"]["fix"] is extras["gpu"]["fix"] is None


def test_a_gpu_build_without_its_provider(cli: Cli, machine: Machine) -> None:
    machine({"onnxruntime": None, "onnxruntime-gpu": "1.32.0"}, CPU_BUILD)
    _, extras = examined(cli)
    assert extras["gpu"]["ok"] is False
    assert "no CUDA provider" in extras["gpu"]["wrong"][0]


def test_two_builds_of_opencv_share_one_folder(cli: Cli, machine: Machine) -> None:
    machine({"opencv-python": "4.10.0.84", "opencv-python-headless": "5.0.0.93"})
    code, extras = examined(cli)
    assert code == 0
    (doubt,) = extras["cpu"]["doubts"]
    assert doubt == "opencv-python-headless 5.0.0.93 and opencv-python 4.10.0.84 share one folder"
    assert extras["cpu"]["fix"] == (
        "pip uninstall -y opencv-python-headless opencv-python && pip install 'opencv-python-headless>=4.8'"
    )


def test_another_build_of_opencv_will_do(cli: Cli, machine: Machine) -> None:
    machine({"opencv-python": "4.10.0.84", "opencv-python-headless": None})
    code, extras = examined(cli)
    assert (code, extras["cpu"]["ok"]) == (0, True)
    machine({"opencv-python": "4.5.1", "opencv-python-headless": None})
    code, extras = examined(cli)
    assert (code, extras["cpu"]["fix"]) == (5, "pip install 'opencv-python>=4.8'")


@pytest.mark.parametrize(
    ("torch", "vision", "fix"),
    [
        ("2.14.1", "0.28.0", "pip install 'torchvision==0.29.*'"),
        (
            "2.14.1+cpu",
            "0.29.1",
            "pip uninstall -y torch torchvision && pip install 'torch>=2.6' 'torchvision>=0.21'",
        ),
        ("2.14.1", None, "pip install 'torchvision==0.29.*'"),
    ],
)
def test_a_pair_of_torch_and_torchvision_that_does_not_import(
    cli: Cli, machine: Machine, torch: str, vision: str | None, fix: str
) -> None:
    why = "RuntimeError: operator torchvision::nms does not exist"
    machine({"torch": torch, "torchvision": vision}, broken={"torchvision": why} if vision else None)
    code, extras = examined(cli)
    assert code == 0  # a device has neither
    assert extras["train"]["ok"] is False
    assert extras["train"]["fix"] == fix
    if vision:
        assert extras["train"]["wrong"] == [f"torchvision {vision} does not import beside torch {torch}: {why}"]


def test_of_two_ways_to_cuda_the_one_with_wheels_is_advised(cli: Cli, machine: Machine) -> None:
    machine(dict.fromkeys(("tensorrt", "pycuda", "cuda-bindings")))
    _, extras = examined(cli)
    assert extras["tensorrt"]["missing"] == ["tensorrt", "cuda-bindings"]
    assert extras["tensorrt"]["fix"] == "pip install 'tensorrt>=10.3' 'cuda-bindings>=12.6'"
    machine({"tensorrt": "10.3", "pycuda": "2024.1", "cuda-bindings": None})
    assert examined(cli)[1]["tensorrt"]["ok"] is True


def test_what_does_not_import_is_not_ok(cli: Cli, machine: Machine) -> None:
    machine({}, broken={"cv2": "ImportError: libGL.so.1: cannot open shared object file"})
    code, extras = examined(cli)
    assert code == 5
    assert "libGL.so.1" in extras["cpu"]["wrong"][0]


def test_a_module_that_ends_the_interpreter_is_one_that_does_not_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are still tried, each with its own reason."""
    (tmp_path / "dies.py").write_text("import os\nos._exit(7)\n")
    (tmp_path / "fails.py").write_text("raise OSError('no such\\nlibrary')\n")
    (tmp_path / "works.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(packages, "TRIED", ("fails", "dies", "works"))
    packages._tried.cache_clear()
    try:
        assert packages._tried() == {
            "fails": "OSError: no such library",
            "dies": "the interpreter ended with 7",
            "works": "",
        }
    finally:
        packages._tried.cache_clear()


def test_a_folder_that_an_uninstall_left_behind_is_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "left_behind" / "__pycache__").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    assert util.find_spec("left_behind") is not None
    assert not packages.has_module("left_behind")


@pytest.mark.parametrize(
    ("version", "floor", "older"),
    [
        ("1.17.3", "1.18", True),
        ("1.18", "1.18.0", False),
        ("1.18.0rc1", "1.18", False),
        ("2.14.1+cu130", "2.6", False),
        ("10.0", "9.5", False),
        ("4.10.0.84", "4.8", False),
        ("unknown", "1.0", False),
    ],
)
def test_versions(version: str, floor: str, older: bool) -> None:
    assert packages.older(version, floor) is older


def test_pip_is_that_of_this_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert packages.pip() == f"{shlex.quote(sys.executable)} -m pip"
    other = tmp_path / "pip"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert packages.pip() == f"{shlex.quote(sys.executable)} -m pip"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert packages.pip() == "pip"


def test_the_floors_are_those_of_the_extras() -> None:
    """One list for pip and one for doctor: they say the same."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    wanted = {"base": project["dependencies"], **project["optional-dependencies"]}
    del wanted["dev"]
    assert set(wanted) == set(EXTRAS)
    for name, requirements in wanted.items():
        floors = dict(re.match(r"([\w-]+)>=([\d.]+)", r).groups() for r in requirements)  # type: ignore[union-attr]
        if sys.version_info >= (3, 11):
            floors.pop("tomli", None)
        assert {part.name: part.floor for part in EXTRAS[name]} == floors, name
