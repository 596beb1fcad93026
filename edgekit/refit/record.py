"""Which fit was made last, and which one is in use: `learnt.json` and `current.json` beside the files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.artifacts.atomic import write_json
from edgekit.artifacts.onnx_file import file_sha256
from edgekit.reading import load_json

LAST, CURRENT = "learnt.json", "current.json"


def record(folder: Path, digest: str, of: str, file: Path, found: Mapping[str, Any]) -> None:
    """Keeps what came of a fit; one that passed is the one in use from now on. The files are there already.

    Args:
        digest: of what it depends on.
        of: sha256 of the model that it was made from.
        file: the fitted model.
        found: `passed` and whatever else is to be read back.
    """
    if found["passed"]:
        write_json(folder / CURRENT, {"of": of, "file": file.name, "sha256": file_sha256(file)}, mode=0o600)
    write_json(folder / LAST, {**found, "digest": digest}, mode=0o600)


def recorded(folder: Path, digest: str) -> dict[str, Any] | None:
    """What came of the last fit, where it depended on the same."""
    found = _read(folder / LAST)
    return found if found.get("digest") == digest and isinstance(found.get("passed"), bool) else None


def current(folder: Path, of: str) -> Path | None:
    """The fitted model in use, made from the model with this sha256; None: there is none, or its bytes are others."""
    found = _read(folder / CURRENT)
    file = folder / str(found.get("file", ""))
    if found.get("of") != of or file.parent != folder or not file.is_file():
        return None
    return file if file_sha256(file) == found.get("sha256") else None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = load_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
