"""What values every tensor of a model takes on real pictures, measured once for all schemes and kept in a file."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.artifacts.atomic import write_bytes
from edgekit.artifacts.onnx_file import graph_digest
from edgekit.backends import Arrays
from edgekit.backends.onnxruntime_ import OnnxRuntimeSession
from edgekit.data import Dataset
from edgekit.errors import ArtifactError, DataError, InputError
from edgekit.graph import passes
from edgekit.graph.lint.graph import Graph
from edgekit.quantize.observers import HALF, Histogram
from edgekit.reading import load_json
from edgekit.reading.archive import read_npz
from edgekit.reading.limits import CALIBRATION
from edgekit.spec import PreprocessSpec, canonical_json
from edgekit.vision.preprocess import normalise, preprocess

FORMAT = 1
FEWEST = 32  # pictures; fewer leave ranges to chance
AT_ONCE = 256 << 20  # bytes of tensors held at the same time
AGAIN = "calibrate again, or remove the file"

Progress = Callable[[int, int], None]


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


def calibrate(
    model: onnx.ModelProto,
    dataset: Dataset,
    spec: PreprocessSpec,
    *,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
    threads: int = 0,
) -> Calibration:
    """Runs the folded float32 model on every picture, through the preprocessing it was trained with.

    Args:
        model: with the input `image`, uint8 NHWC or float NCHW; runs in onnxruntime on the CPU.
        dataset: real pictures; labels are read only to say which class is missing.
        cache: file to take the result from where graph, pictures and preprocessing are the same, and to write it to.
        progress: called with pictures done and their number.
        threads: of onnxruntime; 0 for one per physical core.

    Raises:
        DataError: pictures made in code, fewer than 32, all alike, or a tensor that is not finite.
        ArtifactError: the model does not run.
    """
    refuse_unfit(dataset)
    key = Key(graph_digest(model), dataset.digest, spec.digest)
    if cache is not None and cache.is_file():
        try:
            return load_calibration(cache, key)
        except ArtifactError:  # of another model, set or format: measured again and replaced
            pass
    tensors: dict[str, Histogram] = {}
    digests: set[int] = set()
    noise = 0
    with ActivationTap(model, threads) as exposed:
        for done, sample in enumerate(dataset):
            frame = sample.read()
            noise += is_noise(frame)
            pixels = preprocess(frame, spec)
            digests.add(hash(pixels.tobytes()))
            for name, values, matter in exposed.run(pixels, spec):
                try:
                    tensors.setdefault(name, Histogram()).add(values, matter)
                except DataError as error:
                    raise DataError(
                        f"{name} has values that are NaN or infinite on {sample.name}.",
                        expected="finite numbers in every tensor",
                        fix="edgekit verify shows whether the model is sound; leave the picture out if it is not",
                    ) from error
            progress(done + 1, len(dataset))
    if len(digests) < FEWEST:
        raise DataError(
            "Too many of the pictures are the same to calibrate on.",
            got=f"{len(digests)} different ones of {len(dataset)}",
            expected=f"at least {FEWEST}",
            fix="give real pictures of what the camera will see",
        )
    if 2 * noise > len(dataset):
        raise DataError(
            "The pictures are noise: their neighbouring pixels have nothing to do with each other.",
            got=f"{noise} of {len(dataset)} pictures",
            expected="real pictures of what the camera will see",
        )
    result = Calibration(key, len(dataset), tensors, _missing(dataset))
    if cache is not None:
        save_calibration(cache, result)
    return result


def refuse_unfit(dataset: Dataset) -> None:
    """Raises DataError for pictures made in code, or fewer than `FEWEST`."""
    if dataset.layout == "made":
        raise DataError(
            "Pictures made in code do not show what values a model takes.",
            got="a made data set",
            expected="real pictures of what the camera will see",
            fix="--data FOLDER names them",
        )
    if len(dataset) < FEWEST:
        raise DataError(
            "There are too few pictures to calibrate on.",
            got=str(len(dataset)),
            expected=f"at least {FEWEST}, 64 to 256 are usual",
            fix="add pictures of what the camera will see",
        )


def is_noise(frame: NDArray[np.uint8]) -> bool:
    """Whether neighbours along a row differ as much as any two pixels do; for independent ones it is 1.13 to 1.16."""
    grey = frame.astype(np.float32).mean(axis=2)
    return bool(grey.shape[1] > 1 and np.abs(np.diff(grey, axis=1)).mean() > 0.9 * grey.std() > 0)


def _missing(dataset: Dataset) -> tuple[str, ...]:
    """The warning about classes without a picture, or none."""
    if dataset.classes is None or not (dataset.labelled or dataset.boxed):
        return ()
    if dataset.boxed:
        have = {i for i, n in enumerate(dataset.box_counts) if n}
    else:
        have = set(Counter(s.label for s in dataset if s.label is not None))
    names = [name for i, name in enumerate(dataset.classes) if i not in have]
    if not names:
        return ()
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (f"no picture of {len(names)} of {len(dataset.classes)} classes to calibrate on: {shown}",)


class ActivationTap:
    """The model with its float tensors as outputs, in as many sessions as keep those of one run below `AT_ONCE`.

    Args:
        only: names of the tensors that are wanted; None for all.
    """

    def __init__(self, model: onnx.ModelProto, threads: int, only: Collection[str] | None = None) -> None:
        full = passes.expose(model)
        self.relu_masks = relu_masks(model)
        # in the order of execution: the first that is not finite is where it came from
        order = {name: i for i, node in enumerate(model.graph.node) for name in node.output}
        values = sorted(full.graph.output, key=lambda value: order.get(value.name, -1))
        groups = _groups([v for v in values if only is None or v.name in only])
        self.sessions = []
        for names in groups:
            part = onnx.ModelProto()
            part.CopyFrom(full)
            del part.graph.output[:]
            part.graph.output.extend(v for v in values if v.name in names)
            self.sessions.append(OnnxRuntimeSession(part.SerializeToString(), threads=threads))
        image = self.sessions[0].inputs[0]
        if image.name != "image" or len(self.sessions[0].inputs) != 1:
            raise InputError("The model cannot be fed with pictures.", got=str(image), expected="one input: image")
        self.input_wanted = only is None or "image" in only
        self.float_input = image.dtype == "float32"
        self.batch = image.shape[0] if isinstance(image.shape[0], int) else 1

    def run(
        self, pixels: NDArray[np.uint8], spec: PreprocessSpec
    ) -> Iterator[tuple[str, NDArray[Any], NDArray[np.bool_] | None]]:
        """Every tensor's values for one picture, and which of them matter; a fixed batch is filled with it."""
        block = np.stack([pixels] * self.batch)
        feed = normalise(block, spec) if self.float_input else block
        if self.float_input and self.input_wanted:
            yield "image", feed[:1], None
        for session in self.sessions:
            results: Arrays = session.run({"image": feed})
            for name, array in results.items():
                judge = results.get(self.relu_masks.get(name, ""))
                yield name, array[:1], None if judge is None else judge[:1] > 0

    def __enter__(self) -> ActivationTap:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self.sessions:
            session.close()


def relu_masks(model: onnx.ModelProto) -> dict[str, str]:
    """Tensor that only a residual Add reads -> the ReLU's output behind it.

    Where that output is 0 the tensor's value was far below what the other branch could lift: as long as it stays low
    nobody sees what it is, and a range that spends steps on it is too wide.
    """
    graph = Graph(model)
    found = {}
    for node in graph.of_type("Add"):
        readers = graph.consumers(node.output[0])
        if len(readers) == 1 and readers[0].op_type == "Relu" and not graph.is_output(node.output[0]):
            found.update({name: readers[0].output[0] for name in node.input if len(graph.consumers(name)) == 1})
    return found


def _groups(values: Iterable[onnx.ValueInfoProto]) -> list[set[str]]:
    """Names of those that are float32, in groups of at most `AT_ONCE` bytes at batch 1."""
    groups: list[set[str]] = [set()]
    held = 0
    for value in values:
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            continue
        size = 4 * int(np.prod([d.dim_value or 1 for d in value.type.tensor_type.shape.dim], dtype=np.int64))
        if held + size > AT_ONCE and groups[-1]:
            groups.append(set())
            held = 0
        groups[-1].add(value.name)
        held += size
    return groups


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
