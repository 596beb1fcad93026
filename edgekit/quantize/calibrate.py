"""What values every tensor of a model takes on real pictures, measured once for all schemes and kept in a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.artifacts.onnx_file import graph_digest
from edgekit.data import Dataset
from edgekit.errors import ArtifactError, DataError
from edgekit.quantize.activation_tap import ActivationTap
from edgekit.quantize.calibration import Calibration, Key, load_calibration, save_calibration
from edgekit.quantize.observers import Histogram
from edgekit.screen import count_of, some
from edgekit.spec import PreprocessSpec
from edgekit.vision.preprocess import preprocess

COUNTED = 1 << 16  # values of each tensor of each picture: of 96 pictures 6 million; the ends are those of all
FEWEST = 32  # pictures; fewer leave ranges to chance

Progress = Callable[[int, int], None]
Watch = Callable[[str, NDArray[Any]], None]


def calibrate(
    model: onnx.ModelProto,
    dataset: Dataset,
    spec: PreprocessSpec,
    *,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
    threads: int = 0,
    watch: Watch | None = None,
) -> Calibration:
    """Runs the folded float32 model on every picture, through the preprocessing it was trained with.

    Args:
        model: with the input `image`, uint8 NHWC or float NCHW; runs in onnxruntime on the CPU.
        dataset: real pictures; labels are read only to say which class is missing.
        cache: file to take the result from where graph, pictures and preprocessing are the same, and to write it to.
        progress: called with pictures done and their number.
        threads: of onnxruntime; 0 for one per physical core.
        watch: called with the name and the values of each tensor, [1, ...], as it is seen; never where `cache` has all.

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
                if watch is not None:
                    watch(name, values)
                if values.dtype != np.float32:
                    continue
                try:
                    tensors.setdefault(name, Histogram()).add(values, matter, most=COUNTED)
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
            got=f"{noise} of {count_of(len(dataset), 'picture')}",
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
    return (f"no picture of {len(names)} of {count_of(len(dataset.classes), 'class')} to calibrate on: {some(names)}",)
