"""Every path that the Python API takes may be text or any os.PathLike, as Python's own open() has it."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgekit
from edgekit.data import load_dataset

# parameters that are paths, by name, wherever they come; `target`, `recipe` and `decoder` may be a name too
PATHS = {
    "path",
    "checkpoint",
    "out",
    "data",
    "expect",
    "target",
    "recipe",
    "reference",
    "resume_from",
    "candidate",
    "model",
    "models",
    "mask",
    "store",
    "attack",
    "decoder",
    "places",
    "sam",
    "sheet",
}


class Other:
    """An os.PathLike that is no Path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


FORMS: dict[str, Callable[[Path], Any]] = {"str": str, "Path": Path, "PathLike": Other}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    return FORMS[request.param]


def public() -> list[tuple[str, Any]]:
    """The functions of the public API, and the methods of its classes that make an object."""
    found = []
    for name in edgekit.__all__:
        thing = getattr(edgekit, name)
        if inspect.isclass(thing):
            found += [(f"{name}.{key}", getattr(thing, key)) for key in ("open",) if hasattr(thing, key)]
        elif callable(thing):
            found.append((name, thing))
    return [*found, ("load_dataset", load_dataset)]


@pytest.mark.parametrize(("name", "function"), public(), ids=lambda v: v if isinstance(v, str) else "")
def test_paths_are_said_to_be_str_or_pathlike(name: str, function: Any) -> None:
    for parameter in inspect.signature(function).parameters.values():
        said = str(parameter.annotation)
        if parameter.name in PATHS and said not in ("Checkpoint", "CheckpointOptions"):
            assert "str" in said, f"{name}({parameter})"
            assert "os.PathLike[str]" in said, f"{name}({parameter})"
        else:
            assert "Path" not in said, f"{name}({parameter})"


def test_models_are_read(form: Callable[[Path], Any], good: Path, checkpoint: Path) -> None:
    assert edgekit.read_onnx(form(good)).metadata.model.task == "classification"
    assert edgekit.load_checkpoint(form(checkpoint)).spec.task == "classification"
    for path in (good, checkpoint, Path("centernet-tiny")):
        with edgekit.open_predictor(form(path)) as predictor:
            assert predictor.spec.classes
    with edgekit.Predictor.open(form(good)) as predictor:
        assert predictor.name == "tiny.onnx"


def test_checkpoints_are_saved(form: Callable[[Path], Any], checkpoint: Path, tmp_path: Path) -> None:
    edgekit.save_checkpoint(form(tmp_path / "again.pt"), edgekit.load_checkpoint(str(checkpoint)))
    assert edgekit.load_checkpoint(str(tmp_path / "again.pt")).spec.classes


def test_a_checkpoint_is_exported(checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    target = tmp_path / "own.toml"
    shutil.copy2(Path(__file__).parents[1] / "export" / "targets" / "x86-cpu.toml", target)
    result = edgekit.export(
        str(checkpoint), Other(tmp_path / "out"), data=str(pictures), pictures=2, target=Other(target)
    )
    assert result.passed
    assert result.model == tmp_path / "out" / "tiny.onnx"
    for expect in (str(tmp_path / "pairs.npz"), Other(tmp_path / "pairs.npz")):
        with pytest.raises(edgekit.EdgekitError, match="pairs"):
            edgekit.export(Other(checkpoint), str(tmp_path / "other"), data=Other(pictures), expect=expect)


def test_pictures_are_read(form: Callable[[Path], Any], pictures: Path) -> None:
    assert edgekit.read_picture(form(pictures / "0.png")).ndim == 3
    assert len(load_dataset(form(pictures))) == 8


def test_bytes_and_numbers_are_no_paths(good: Path) -> None:
    for wrong in (os.fsencode(good), 3, None):
        with pytest.raises(TypeError):
            edgekit.read_onnx(wrong)  # type: ignore[arg-type]
