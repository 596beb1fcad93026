"""A device has no torch: everything but training and export must import, and run, without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "onnxruntime", "cv2", "tensorrt", "onnxscript", "safetensors", "scipy")
NEEDS_TORCH = (
    "edgekit.nets",
    "edgekit.checkpoints",
    "edgekit.training",
    "edgekit.qat",
    "edgekit.graph.fold.",
    "edgekit.graph.fold_bn",
    "edgekit.graph.to_onnx",
)
NEEDS_TORCH_FILES = ("edgekit.backends.torch_",)


def modules() -> list[str]:
    paths = sorted((ROOT / "edgekit").rglob("*.py"))
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in paths]
    return [n for n in names if not n.startswith(NEEDS_TORCH) and n not in NEEDS_TORCH_FILES]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_edgekit_imports_nothing_heavy() -> None:
    loaded = python("import edgekit, sys; print(*sys.modules)").split()
    assert not set(loaded) & {*HEAVY, "numpy", "onnx", "pydantic", "PIL", "typer"}


def test_every_device_module_imports_without_the_optional_packages() -> None:
    found = modules()
    assert len(found) > 25
    python(
        "import sys, importlib\n"
        f"for name in {HEAVY!r}: sys.modules[name] = None\n"  # an import of it raises ImportError
        f"for name in {found!r}: importlib.import_module(name)\n"
    )


@pytest.mark.parametrize("name", ["torch", "onnxruntime", "cv2", "rich", "pydantic", "onnx", "numpy"])
def test_the_command_line_loads_without(name: str) -> None:
    python(f"import sys; sys.modules[{name!r}] = None; import edgekit.cli.app")
