"""Finding the library, and saying what is wrong with the one that is there; what a Jetson says about itself."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgekit.artifacts.engine_key import Place
from edgekit.backends.cuda.base import Device
from edgekit.backends.trt import library as library_module
from edgekit.backends.trt import place as place_module
from edgekit.backends.trt.library import Library, Message, first_error, load_library
from edgekit.backends.trt.place import this_place
from edgekit.backends.trt.progress import Progress
from edgekit.backends.trt.refusal import RefusedError, reason_of, refused_build
from edgekit.errors import BackendError
from tests.backends.fake_tensorrt import World, make


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "_loaded", {})


@pytest.fixture
def library() -> Library:
    return Library("tensorrt", make("10.3", World()), None)


@pytest.mark.parametrize(
    ("version", "good"),
    [("8.6.1", False), ("10.2.0", False), ("10.3.0", True), ("10.16.2.10", True), ("11.4.1", True)],
)
def test_versions(monkeypatch: pytest.MonkeyPatch, version: str, good: bool) -> None:
    module = make("10.3", World())
    module.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    if good:
        assert load_library("tensorrt").title == f"TensorRT {version}"
        return
    with pytest.raises(BackendError, match="TensorRT is too old") as caught:
        load_library("tensorrt")
    assert (caught.value.got, caught.value.expected) == (version, "10.3 or newer")
    assert "JetPack 6.1" in str(caught.value.fix)


@pytest.mark.parametrize(
    "error",
    [
        OSError("libnvinfer.so.10: cannot open shared object file"),
        ImportError("libcudart.so.12: no such file"),
        RuntimeError("x"),
    ],
)
def test_installed_and_broken(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(name: str) -> ModuleType:
        raise error

    monkeypatch.setattr(library_module, "import_module", fails)
    with pytest.raises(BackendError, match="installed but cannot be loaded") as caught:
        load_library("tensorrt")
    assert caught.value.got == str(error)


def test_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(BackendError, match="TensorRT-RTX is") as caught:
        load_library("tensorrt_rtx")
    assert "edgekit[rtx]" in str(caught.value.fix)


def test_one_is_never_taken_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", make("rtx", World()))
    with pytest.raises(BackendError):
        load_library("tensorrt")
    assert load_library("tensorrt_rtx").name == "tensorrt_rtx"


def test_the_first_error_that_says_something() -> None:
    noise = Message("ERROR", "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (...)")
    real = Message("ERROR", "IBuilder::build: Error Code 4: API Usage Error (no profile. In f at /_src/a.cpp:1)")
    assert first_error([Message("INFO", "a"), Message("WARNING", "b")]) is None
    assert first_error([noise, real, Message("ERROR", "later")]) == real.text
    assert first_error([noise]) == noise.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("IBuilder::build: Error Code 4: API Usage Error (no profile. In f at /_src/a.cpp:1)", "no profile."),
        (
            "[optimizer.cpp::computeCosts::3927] Error Code 10: Internal Error (Could not find any implementation for "
            "node conv1 + relu.)",
            "Could not find any implementation for node conv1 + relu.",
        ),
        ('convertDtype(a, &b) && "Unsupported data type!"', "Unsupported data type!"),
        ("plain words", "plain words"),
    ],
)  # fmt: skip
def test_reasons_without_the_places_in_their_source(text: str, said: str) -> None:
    assert reason_of(text) == said


KERNEL = (
    "IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Could not find any implementation for node "
    "layer1.0.conv1 + layer1.0.relu. In computeCosts at optimizer.cpp:4105)"
)


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        (KERNEL, RefusedError, "layer1.0.conv1: Could not find any implementation"),
        ("[x.cpp::f::1] Error Code 2: OutOfMemory (Requested size was 9.)", BackendError, "Requested size was 9."),
        ("IBuilder::f: Error Code 1: Cuda Runtime (cudaError 35: old)", BackendError, "cudaError 35: old"),
        (
            "IBuilder::f: Error Code 4: API Usage Error (ITopKLayer topk: topk: K too large)",
            RefusedError,
            "topk: K too",
        ),
    ],
)
def test_the_graphs_fault_or_the_machines(library: Library, text: str, kind: type[Exception], says: str) -> None:
    error = refused_build(library, [Message("ERROR", text)])
    assert type(error) is kind
    assert says in str(error.got)
    assert "cpp" not in str(error)


def test_nested_phases_make_one_fraction() -> None:
    told: list[tuple[float, str]] = []
    progress = Progress(lambda share, phase: told.append((round(share, 2), phase)))
    progress.start("all", None, 2)
    progress.start("first", "all", 4)
    progress.step("first", 1)
    progress.finish("first")
    progress.step("all", 0)
    progress.start("second", "all", 0)  # a phase without steps
    progress.finish("second")
    progress.finish("all")
    shares = dict.fromkeys(share for share, _ in told)
    assert list(shares) == [0.0, 0.25, 0.49, 0.99]  # 0.99 of each: the plan is still to be written
    assert progress.step("never started", 3)


def test_a_report_that_raises_stops_the_build_once() -> None:
    calls = []

    def report(share: float, phase: str) -> None:
        calls.append(phase)
        raise KeyboardInterrupt

    progress = Progress(report)
    progress.start("all", None, 2)
    assert not progress.step("all", 0)
    assert len(calls) == 1
    assert isinstance(progress.stopped, KeyboardInterrupt)


def test_a_jetson(monkeypatch: pytest.MonkeyPatch, library: Library, tmp_path: Path) -> None:
    release, packages = tmp_path / "release", tmp_path / "status"
    release.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n# KERNEL_VARIANT: oot\n")
    packages.write_text(
        "Package: nvidia-jetpack-dev\nStatus: install ok installed\nVersion: 9\n\n"
        "Package: nvidia-jetpack\nStatus: install ok installed\nArchitecture: arm64\nVersion: 6.2+b77\n\n"
        "Package: other\nVersion: 1\n"
    )
    monkeypatch.setattr(place_module, "RELEASE", release)
    monkeypatch.setattr(place_module, "PACKAGES", packages)
    expected: dict[str, Any] = {"l4t": "36.4.3", "jetpack": "JetPack 6.2+b77"}
    gpu = Device("Orin", "8.7", "12.6", True)
    assert this_place(library, gpu) == Place("tensorrt", "10.3.0", "8.7", "Orin", "12.6", **expected)
    packages.write_text("Package: nvidia-jetpack\nStatus: deinstalled\n\nPackage: other\nVersion: 1\n")
    assert this_place(library).jetpack == ""
    release.unlink()
    assert this_place(library) == Place("tensorrt", "10.3.0")


def test_a_folder_of_that_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python takes any folder on its path for a module, the one that a shell stands in too."""
    (tmp_path / "tensorrt").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setattr(library_module, "_loaded", {})
    if getattr(importlib.import_module("tensorrt"), "__file__", None):
        pytest.skip("TensorRT is installed")
    with pytest.raises(BackendError, match="TensorRT is not installed"):
        load_library("tensorrt")
