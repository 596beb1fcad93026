"""What a shell is offered for a word: models in the box, recipes, targets, runtimes, splits; files it completes itself.

Where none of the names fits, nothing is offered, and the shell completes files and folders.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

_ASKED = "_EDGEKIT_COMPLETE"  # what a shell sets when it asks
_MODELS = (".onnx", ".engine", ".pt", ".pth", ".ckpt", ".safetensors", ".json")
_SPLITS = ("train", "val", "test", "all")


class Shell(str, Enum):
    """What can be made to complete."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def prepare() -> None:
    """Lets typer answer a shell that asks; else it does nothing."""
    if _ASKED in os.environ:
        _typers().completion_init()


def show(shell: Shell | None) -> None:
    """Prints the script that makes a shell ask, and exits."""
    if shell is not None:
        typer.echo(_typers().get_completion_script(prog_name="edgekit", complete_var=_ASKED, shell=shell.value))
        raise typer.Exit


def install(shell: Shell | None) -> None:
    """Puts it where the shell looks, and a line into .bashrc or .zshrc; exits."""
    if shell is not None:
        _, path = _typers().install(shell=shell.value, prog_name="edgekit", complete_var=_ASKED)
        typer.echo(f"{path}: {shell.value} completes edgekit in every shell that is started from now on")
        raise typer.Exit


def _typers() -> Any:
    return import_module("typer.completion")  # which exports nothing by name


def models(incomplete: str) -> list[str]:
    """Shipped models by name, and model files and folders here that begin alike."""
    from edgekit.artifacts.deployment import shipped_models

    return _beside(shipped_models(), incomplete, _MODELS)


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes, and TOML files here."""
    from edgekit.config.recipe import recipe_names

    return _beside(recipe_names(), incomplete, (".toml",))


def targets(incomplete: str) -> list[str]:
    """Boards, and TOML files here."""
    from edgekit.config.target import target_names

    return _beside(target_names(), incomplete, (".toml",))


def backends(incomplete: str) -> list[str]:
    """Runtimes by name."""
    from edgekit.config.backends import BACKENDS

    return _fitting(BACKENDS, incomplete)


def splits(incomplete: str) -> list[str]:
    """Parts of a data set."""
    return _fitting(_SPLITS, incomplete)


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _beside(names: Iterable[str], incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Names that fit, with what lies here and could be meant as well; nothing where no name does."""
    found = _fitting(names, incomplete)
    if not found or os.sep in incomplete:
        return []
    here = [f"{path.name}/" if path.is_dir() else path.name for path in sorted(Path().iterdir())]
    files = [name for name in here if name.endswith((*suffixes, "/")) and not name.startswith(".")]
    return [
        *found,
        *(name for name in _fitting(files, incomplete) if name.rstrip("/").isprintable() and " " not in name),
    ]


# by the word that stands in the help
COMPLETED: dict[str, Callable[[str], list[str]]] = {
    "MODEL": models,
    "RECIPE": recipes,
    "BOARD": targets,
    "RUNTIME": backends,
    "SPLIT": splits,
}
