"""A calibration: the values of every tensor as histograms, what they were measured on, and the file that keeps them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnx

from edgekit.artifacts.atomic import write_bytes
from edgekit.artifacts.onnx_file import graph_digest
from edgekit.config.schemes import Grid
from edgekit.errors import ArtifactError
from edgekit.quantize.observers import HALF, Histogram, Method, choose_range
from edgekit.reading import load_json
from edgekit.reading.archive import read_npz
from edgekit.reading.limits import CALIBRATION
from edgekit.spec import PreprocessSpec, canonical_json

FORMAT = 1
AGAIN = "calibrate again, or remove the file"


@dataclass(frozen=True)
class Key:
    """What a calibration belongs to: sha256 (hex) of the graph, of the pictures and of the preprocessing."""

    graph: str
    data: str
    preprocess: str


@dataclass(frozen=True)
class Calibration:
    """The values of every float tensor of one graph on one set of pictures.

    Attributes:
        key: graph, pictures and preprocessing.
        pictures: how many.
        tensors: name -> histogram.
        notes: what a person should know, one sentence each.
    """

    key: Key
    pictures: int
    tensors: Mapping[str, Histogram]
    notes: tuple[str, ...] = ()
    _ranges: dict[tuple[str, str, Grid], tuple[float, float]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def range_of(self, tensor: str, method: Method, grid: Grid) -> tuple[float, float]:
        """`choose_range` of a tensor, once: a search quantizes a graph a hundred times with the same ranges.

        Raises:
            ArtifactError: nothing was seen of it.
        """
        if tensor not in self.tensors:
            raise ArtifactError(f"The calibration has no values of {tensor}.", fix="calibrate again")
        key = (tensor, method, grid)
        if key not in self._ranges:
            self._ranges[key] = choose_range(self.tensors[tensor], method, grid)
        return self._ranges[key]

    def require(self, model: onnx.ModelProto, spec: PreprocessSpec | None = None) -> None:
        """Raises ArtifactError unless this was measured on exactly this graph, and through `spec` where it is given."""
        found = graph_digest(model)
        if found != self.key.graph:
            raise ArtifactError(
                "The calibration was measured on another graph.",
                got=f"graph {self.key.graph[:12]} in the calibration",
                expected=f"graph {found[:12]}",
                fix=AGAIN,
            )
        if spec is not None and spec.digest != self.key.preprocess:
            raise ArtifactError(
                "The calibration was measured through another preprocessing.",
                got=f"preprocessing {self.key.preprocess[:12]} in the calibration",
                expected=f"preprocessing {spec.digest[:12]}",
                fix=AGAIN,
            )


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Writes a calibration as .npz, atomically; what was there is replaced. Raises OutputError."""
    names = sorted(calibration.tensors)
    about = {
        "format": FORMAT,
        "key": asdict(calibration.key),
        "pictures": calibration.pictures,
        "notes": list(calibration.notes),
        "names": names,
    }
    tensors = [calibration.tensors[name] for name in names]
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        about=np.frombuffer(canonical_json(about).encode(), np.uint8),
        counts=np.stack([t.counts for t in tensors]),
        zeros=np.array([t.zeros for t in tensors], np.int64),
        numbers=np.array([[t.limit, t.low, t.high] for t in tensors], np.float64),
    )
    write_bytes(path, stream.getvalue(), overwrite=True)


def load_calibration(path: Path, key: Key) -> Calibration:
    """Reads a calibration that must be of `key`.

    Raises:
        ArtifactError: not a calibration file, or one of another graph, set of pictures or preprocessing: it says which.
    """
    try:
        file = read_npz(path, CALIBRATION)
        about = load_json(file["about"].tobytes())
        counts, zeros, numbers = file["counts"], file["zeros"], file["numbers"]
        found = Key(**about["key"])
        names: Sequence[str] = about["names"]
        pictures, notes = int(about["pictures"]), tuple(map(str, about["notes"]))
        sound = about["format"] == FORMAT and counts.shape == (len(names), 2 * HALF)
        sound = sound and zeros.shape == (len(names),) and numbers.shape == (len(names), 3)
        sound = sound and all(a.dtype.kind in "iu" for a in (counts, zeros)) and bool(np.isfinite(numbers).all())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is not a calibration.", got=str(error), fix=AGAIN) from error
    if not sound:
        raise ArtifactError(f"{path} is not a calibration of this edgekit.", got="another format", fix=AGAIN)
    differ = [part for part in ("graph", "data", "preprocess") if getattr(found, part) != getattr(key, part)]
    if differ:
        words = {"graph": "another model", "data": "other pictures", "preprocess": "another preprocessing"}
        raise ArtifactError(
            f"{path} is the calibration of " + " and ".join(words[part] for part in differ) + ".",
            got=", ".join(f"{part} {getattr(found, part)[:12]}" for part in differ),
            expected=", ".join(f"{part} {getattr(key, part)[:12]}" for part in differ),
            fix=AGAIN,
        )
    tensors = {}
    for name, row, zero, (limit, low, high) in zip(names, counts, zeros, numbers, strict=True):
        seen = Histogram()
        seen.counts, seen.zeros = row.astype(np.int64), int(zero)
        seen.limit, seen.low, seen.high = float(limit), float(low), float(high)
        tensors[name] = seen
    return Calibration(found, pictures, tensors, notes)
