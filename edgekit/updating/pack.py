"""Signing a model for cameras, on its maker's machine: it answers golden pictures there, and must answer so again."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.atomic import make_folder
from edgekit.artifacts.deployment import resolve
from edgekit.artifacts.opening import RunOptions
from edgekit.config.target import load_target, target_names
from edgekit.errors import UsageError
from edgekit.loading import ENGINE, metadata_of, open_model
from edgekit.updating.keys import SigningKey
from edgekit.updating.package import MOST_PICTURES, write_package
from edgekit.vision.find import find_pictures
from edgekit.vision.image import read_picture
from edgekit.vision.preprocess import preprocess

SUFFIX = ".update"
_ANY_BOARD = "x86-cpu"  # whose limits count for a model of a target that is not known here


@dataclass(frozen=True)
class Packed:
    """A package that was written: its path, what the model is called, how many pictures, and the key's public half."""

    path: Path
    model: str
    pictures: int
    public: str


def pack(model: Path, golden: Path, key: Path, out: Path) -> Packed:
    """Signs a model with its answers to golden pictures, as `NAME.update` in a folder.

    Args:
        model: an exported .onnx or an .engine, which this machine must be able to run.
        golden: a picture or a folder of them; of more than 64 every n-th is taken.
        key: a private ed25519 key, a PEM file.
        out: the folder.

    Raises:
        EdgekitError: the model did not pass its gate or cannot be run, there are no pictures, or the key is none.
    """
    signing = SigningKey(key)
    found = resolve(model)
    if found.path.suffix not in (".onnx", ENGINE):
        raise UsageError(
            f"{found.path.name} is no model that a camera takes.",
            got=found.path.suffix or "no suffix",
            expected="an exported .onnx, or an .engine",
            fix=f"edgekit export {found.path}",
        )
    pictures = find_pictures(golden)
    step = -(-len(pictures) // MOST_PICTURES)
    pictures = pictures[::step]
    with open_model(found.path, RunOptions(found.backend, found.provider, found.threads)) as predictor:
        spec = predictor.spec
        rows = [predictor.answers([preprocess(read_picture(file), spec.preprocess)]) for file in pictures]
    answers = io.BytesIO()
    given: dict[str, Any] = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    np.savez_compressed(answers, **given)
    described = metadata_of(found.path)
    described = metadata_of(found.path)
    assert described is not None, "an exported file says what it is"
    board = described.target if described.target in target_names() else _ANY_BOARD
    limits = load_target(board).limits(described.precision)
    make_folder(out)
    path = out / f"{found.path.stem}{SUFFIX}"
    write_package(path, found.path, pictures, answers.getvalue(), limits, signing, int(time.time()))
    return Packed(path, found.path.name, len(pictures), signing.public)
