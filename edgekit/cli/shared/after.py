"""The command that comes next: whole, with real values, so that it runs as it is pasted.

What a command was told and the next one needs too (`--classes`, `--provider` ...) travels along; what is not known is
never a placeholder: another command is named then, one that needs no more than what is here.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from edgekit.cli.shared.options import next_command, pasted

# what a foreign checkpoint does not say of itself
DESCRIBED = ("classes", "preprocess", "norm", "arch", "weights_key", "multi_label")


def given(context: typer.Context, *names: str) -> list[str]:
    """Those of the options `names` that were typed, as words; a command may not have all of them."""
    typed = [p for p in context.command.params if p.name in names and was_typed(context, str(p.name))]
    return [word for parameter in typed for word in _words(parameter, context.params[str(parameter.name)])]


def again(context: typer.Context, **changes: object) -> list[str]:
    """The command line once more, with other values of some parameters; None leaves one out."""
    words = ["edgekit", str(context.info_name)]
    options = []
    for parameter in context.command.params:
        name = str(parameter.name)
        value = changes[name] if name in changes else context.params.get(name) if was_typed(context, name) else None
        if parameter.param_type_name == "argument":
            words += _words(parameter, value)
        else:
            options += _words(parameter, value)
    return [*words, *options]


def fresh(wanted: str | Path) -> Path:
    """`wanted`, or the first of folder-2, folder-3 ... or file-2.jpg ... that is not there: nothing is in the way."""
    path = Path(wanted)
    while path.exists() or path.is_symlink():
        stem, suffix = (path.name, "") if path.is_dir() else (path.stem, path.suffix)
        name, _, n = stem.rpartition("-")
        path = path.with_name((f"{name}-{int(n) + 1}" if name and n.isdecimal() else f"{stem}-2") + suffix)
    return path


def look(context: typer.Context, model: Path, data: Path | None = None) -> None:
    """Ends a command that has a model: it on the pictures of `data`; without such, how quick it is on made ones.

    A checkpoint without pictures is exported: that needs none, and `edgekit bench` cannot be told what a foreign one
    does not say.
    """
    from edgekit.artifacts.kinds import is_checkpoint

    checkpoint = is_checkpoint(model)
    told = given(context, *DESCRIBED) if checkpoint else []
    run = given(context, "provider", "threads")
    unproven = not checkpoint and not _proven(model)
    pictures = None if unproven else pictures_of(data)
    if pictures is not None:
        next_command("edgekit", "predict", model, pictures, *told, *run)
        return
    made: list[str | Path] = [] if data is None or not _is_made(data) else ["--data", data]
    if checkpoint:
        next_command("edgekit", "export", model, *made, *told, "--out", fresh("exported"))
        return
    batch = _fixed_batch(model)
    only = [] if batch in (None, 1) else ["--batch", str(batch)]
    looking = ["--unverified"] if unproven else []
    next_command("edgekit", "bench", model, *made, *run, *only, *looking, "--out", fresh("bench"))


def pictures_of(data: Path | None) -> Path | None:
    """What `edgekit predict` takes of a data set: itself, its folder, or its first picture; None where it is made."""
    from edgekit.data import load_dataset
    from edgekit.data.load import suits
    from edgekit.data.names import ALL
    from edgekit.errors import DataError, EdgekitError
    from edgekit.vision.find import SUFFIXES, find_pictures

    if data is None or _is_made(data):
        return None
    if data.is_file() and data.suffix.lower() in SUFFIXES:
        return data
    masked = suits(data, "masks")  # masks are pictures too, and none to be asked about
    try:
        if not masked and data.is_dir() and find_pictures(data):
            return data
    except DataError:  # they lie elsewhere
        pass
    try:
        known = load_dataset(data, split=None if masked else ALL)
    except EdgekitError:
        return None
    found = [s.path for s in known if s.path is not None and s.path.is_file()]
    return Path(os.path.commonpath(found)) if found else None  # of one picture itself


def _is_made(data: Path) -> bool:
    from edgekit.data.made import is_made

    return is_made(data)


def _proven(model: Path) -> bool:
    """Whether an exported file or an engine passed what it has to pass before it is run."""
    from edgekit import loading
    from edgekit.artifacts.deployment import resolve

    path = resolve(model).path
    if path.suffix == loading.ENGINE:
        from edgekit.artifacts.engine import read_engine

        return read_engine(path).card.proof.get("passed") is True
    described = loading.metadata_of(path)
    return described is None or described.verification.get("passed") is True


def _fixed_batch(model: Path) -> int | None:
    """The one batch size of an exported file or the smallest of an engine; None for any."""
    from edgekit import loading
    from edgekit.artifacts.deployment import resolve
    from edgekit.artifacts.onnx_file import read_onnx

    path = resolve(model).path
    if path.suffix == loading.ENGINE:
        from edgekit.artifacts.engine import read_engine

        batch = read_engine(path).card.options.batch
        return None if batch is None else batch.minimum
    size = read_onnx(path).model.graph.input[0].type.tensor_type.shape.dim[0]
    return int(size.dim_value) if size.HasField("dim_value") else None


def was_typed(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _words(parameter: Any, value: object) -> list[str]:
    """A parameter with its value as it is typed."""
    if value is None or value == ():
        return []
    if parameter.param_type_name == "argument":
        values = value if isinstance(value, (list, tuple)) else [value]
        return [_safe(_text(v)) for v in values]
    long = [name for name in parameter.opts if name.startswith("--")] or parameter.opts
    if isinstance(value, bool):
        return [long[0]] if value else parameter.secondary_opts[:1]
    values = value if isinstance(value, (list, tuple)) else [value]
    return [word for v in values for word in (long[0], _text(v))]


def _text(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else pasted(value)


def _safe(word: str) -> str:
    """A file's name that begins as an option does."""
    return f"./{word}" if word.startswith("-") else word
