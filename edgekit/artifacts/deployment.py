"""deployment.json, which `edgekit tune` writes: a model file and how to run it on the machine that was tuned."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgekit.artifacts.onnx_file import file_sha256
from edgekit.errors import ArtifactError, UsageError
from edgekit.reading import exists, is_file, read_json
from edgekit.reading.limits import CARD
from edgekit.screen import count_of

FORMAT = 1
SUFFIX = ".json"
_SHIPPED = "edgekit.recipes"


def shipped_models() -> tuple[str, ...]:
    """Names of the models that edgekit ships; each stands for its file wherever a model is asked for."""
    found = (entry.name for entry in files(_SHIPPED).iterdir())
    return tuple(sorted(name.removesuffix(".onnx") for name in found if name.endswith(".onnx")))


def model_path(path: Path) -> Path:
    """`path`, or the file of the shipped model that it names."""
    if path.suffix or exists(path) or str(path) not in shipped_models():
        return path
    return Path(str(files(_SHIPPED).joinpath(f"{path}.onnx")))


def name_from(model: Path, folder: Path) -> str:
    """What a deployment.json in `folder` calls a model: the name of a shipped one, or the path from there.

    Links in the way to either are followed, since `..` is taken from where a link leads; one to the file itself stays.
    """
    place = model_path(model)
    for name in shipped_models():
        if place == Path(str(files(_SHIPPED).joinpath(f"{name}.onnx"))):
            return name
    return os.path.relpath(Path(os.path.realpath(place.parent)) / place.name, os.path.realpath(folder))


@dataclass(frozen=True)
class Deployed:
    """What a deployment.json asks for.

    Attributes:
        path: the model file; in the file it is relative to the file's folder, so that both can be moved together, or
            the name of a model that edgekit ships.
        backend, provider, threads: as `edgekit.loading.open_predictor` takes them.
    """

    path: Path
    backend: str
    provider: str
    threads: int


def resolve(path: Path, backend: str = "onnxruntime", provider: str = "cpu", threads: int = 0) -> Deployed:
    """What a model's path asks for: of a deployment.json what it says, of any other file what is given.

    Raises:
        ArtifactError: as `read_deployment`.
        UsageError: settings beside a deployment.json, which has its own.
    """
    if path.suffix != SUFFIX:
        return Deployed(model_path(path), backend, provider, threads)
    found = read_deployment(path)
    if (backend, provider, threads) != ("onnxruntime", "cpu", 0):
        raise UsageError(
            f"{path} says itself how its model is run.",
            got=f"{backend}, {provider}, {count_of(threads, 'thread')}",
            expected="no backend, provider or threads beside it",
            fix=f"give {found.path} instead",
        )
    return found


def read_deployment(path: Path) -> Deployed:
    """Reads a deployment.json and checks that its model is the one that was tuned.

    Raises:
        ArtifactError: it cannot be read, is something else, or its model is missing or another one.
    """
    try:
        content: Any = read_json(path, CARD)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} cannot be read.", got=str(error), expected="a deployment.json of edgekit tune"
        ) from error
    try:
        runtime, name, sha256 = content["runtime"], content["artifact"], content["sha256"]
        place = path.parent / str(name)
        found = Deployed(
            place if exists(place) else model_path(Path(str(name))) if name in shipped_models() else place,
            str(runtime["backend"]),
            str(runtime["provider"]),
            int(runtime["threads"]),
        )
        known = content["format"] == FORMAT
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path} is not a deployment.json of edgekit tune.",
            got=f"no {error}" if isinstance(error, KeyError) else str(error),
            expected="artifact, sha256 and runtime",
        ) from error
    if not known:
        raise ArtifactError(f"{path} has another format.", got=str(content["format"]), expected=str(FORMAT))
    if not is_file(found.path):
        raise ArtifactError(
            f"{path} names a model that is not there.",
            got=str(found.path),
            fix="move both together, or run edgekit tune again",
        )
    if (now := file_sha256(found.path)) != sha256:
        raise ArtifactError(
            f"{found.path} is not the file that was tuned.",
            got=f"sha256 {now[:12]}",
            expected=f"sha256 {str(sha256)[:12]}",
            fix="run edgekit tune again",
        )
    return found
