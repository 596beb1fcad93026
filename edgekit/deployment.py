"""deployment.json, which `edgekit tune` writes: a model file and how to run it on the machine that was tuned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.artifact import file_sha256
from edgekit.errors import ArtifactError, UsageError
from edgekit.reading import is_file, read_json
from edgekit.reading.limits import CARD

FORMAT = 1
SUFFIX = ".json"


@dataclass(frozen=True)
class Deployed:
    """What a deployment.json asks for.

    Attributes:
        path: the model file; in the file it is relative to the file's folder, so that both can be moved together.
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
        return Deployed(path, backend, provider, threads)
    found = read_deployment(path)
    if (backend, provider, threads) != ("onnxruntime", "cpu", 0):
        raise UsageError(
            f"{path} says itself how its model is run.",
            got=f"{backend}, {provider}, {threads} threads",
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
        found = Deployed(
            path.parent / str(name), str(runtime["backend"]), str(runtime["provider"]), int(runtime["threads"])
        )
        known = content["format"] == FORMAT
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path} is no deployment.json of edgekit tune.",
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
