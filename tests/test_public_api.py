"""The public names: complete, importable, documented, and only grown on purpose."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import edgekit

PUBLIC = [
    "BenchOptions",
    "CheckpointOptions",
    "Classification",
    "Detection",
    "Detections",
    "EdgekitError",
    "Features",
    "Label",
    "Labels",
    "Masks",
    "Model",
    "ModelSpec",
    "Predictor",
    "PreprocessSpec",
    "RunOptions",
    "Suppression",
    "TensorSpec",
    "__version__",
    "adopt",
    "bench",
    "convert_data",
    "data_report",
    "erasing",
    "evaluate",
    "export",
    "false_alarms",
    "fold_bn",
    "label",
    "latency",
    "load",
    "load_checkpoint",
    "open_predictor",
    "read_onnx",
    "read_picture",
    "save_checkpoint",
    "train",
    "verify",
]


def test_names_are_the_accepted_ones() -> None:
    assert edgekit.__all__ == PUBLIC  # a new one is added here and to the README


@pytest.mark.parametrize("name", [n for n in PUBLIC if n != "__version__"])
def test_each_name_is_there_and_documented(name: str) -> None:
    thing = getattr(edgekit, name)
    assert callable(thing)
    assert len(inspect.getdoc(thing) or "") > 30


def documented() -> list[tuple[str, Any]]:
    """Public functions, and the methods that public classes have of their own."""
    found = []
    for name in PUBLIC:
        thing = getattr(edgekit, name)
        if inspect.isfunction(thing):
            found.append((name, thing))
        elif inspect.isclass(thing) and not issubclass(thing, Exception):
            own = inspect.getmembers(thing, lambda v: inspect.isfunction(v) or inspect.ismethod(v))
            found += [(f"{name}.{key}", value) for key, value in own if not key.startswith("_") or key == "__call__"]
    return found


@pytest.mark.parametrize(("name", "function"), documented(), ids=[name for name, _ in documented()])
def test_each_function_is_typed_and_says_what_it_takes(name: str, function: Any) -> None:
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in parameters)
    told = inspect.getdoc(function) or ""
    assert told
    if "." not in name:
        assert "Raises" in told
        silent = [p.name for p in parameters if not re.search(rf"\b{p.name}\b", told)]
        assert not silent


def test_each_class_says_what_its_fields_are() -> None:
    for name in PUBLIC:
        thing = getattr(edgekit, name)
        if dataclasses.is_dataclass(thing) and inspect.isclass(thing):
            told = inspect.getdoc(thing) or ""
            assert not [f.name for f in dataclasses.fields(thing) if not re.search(rf"\b{f.name}\b", told)], name


def test_a_name_is_not_also_a_module() -> None:
    # importing a submodule would replace the function of the same name
    folder = Path(edgekit.__file__).parent
    assert not [name for name in PUBLIC if (folder / f"{name}.py").exists() or (folder / name).is_dir()]


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = edgekit.nothing_like_it


def test_every_public_function_of_the_package_has_a_docstring() -> None:
    bare = []
    for path in sorted(Path(edgekit.__file__).parent.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                short = len(node.body) <= 2 or path.name == "errors.py"
                if not ast.get_docstring(node) and not short:
                    bare.append(f"{path.name}:{node.name}")
    assert not bare
