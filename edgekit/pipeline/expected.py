"""Recorded pairs of input and output: what the net that was trained answered, where it was trained.

Keys and shapes do not tell a net from another; its answers do. `--expect PAIRS.npz` holds `images` and `logits`:

    numpy.savez("pairs.npz", images=x.numpy(), logits=net.eval()(x).numpy())   # x: float32 [N, 3, H, W]

`images` are what the net took, normalized, float [N, 3, H, W]; or uint8 pictures [N, h, w, 3] in OpenCV's order BGR
(with `color="rgb"` in the file: RGB). Pictures of exactly the net's size are taken as resized already; others are
resized as the model says, so that the preprocessing is proven too. `logits` are float32 or float64 [N, classes].
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifacts.atomic import reason
from edgekit.config.target import Limits
from edgekit.errors import DataError, UsageError
from edgekit.predictor import Logits
from edgekit.reading.archive import read_npz
from edgekit.reading.limits import PAIRS
from edgekit.spec import ModelSpec
from edgekit.tasks import task_of
from edgekit.tasks.classification_compare import compare_logits
from edgekit.tasks.stage import Stage
from edgekit.vision.preprocess import normalise, preprocess

RECORD = "numpy.savez('pairs.npz', images=x.numpy(), logits=net.eval()(x).numpy()), x being float32 [N, 3, H, W]"
PLAIN = "an .npz with images and logits as plain arrays"

Answer = Callable[[NDArray[np.float32]], Logits]


@dataclass(frozen=True)
class Pairs:
    """N inputs and what the trained net gave.

    Attributes:
        images: float32 [N, 3, H, W], normalized, or uint8 [N, h, w, 3] BGR.
        logits: float32 [N, C].
        name: of the file.
    """

    images: NDArray[Any]
    logits: Logits
    name: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pictures(self) -> bool:
        """Whether the inputs are uint8 pictures."""
        return self.images.dtype == np.uint8

    def describe(self) -> str:
        kind = "uint8 pictures, BGR" if self.pictures else "floats as the net takes them"
        return f"{len(self)} recorded pairs ({self.name}): {kind}, {'x'.join(map(str, self.images.shape[1:]))}"


def read_pairs(path: Path, spec: ModelSpec) -> Pairs:
    """Recorded pairs that fit a model. Nothing in the file is unpickled.

    Raises:
        DataError: not an .npz, no `images` or `logits`, other shapes or types, or values that are not finite.
        UsageError: a task whose outputs cannot be compared one by one, as a detector's boxes.
    """
    task = task_of(spec.task)
    if task.unrecorded:
        raise UsageError(
            "Recorded pairs are for classifiers.",
            got=f"{spec.arch}, {task.noun}, {task.unrecorded}",
            expected="a model with logits",
            fix="edgekit verify REFERENCE CANDIDATE compares a detector's boxes as sets",
        )
    found, names = _arrays(path)
    missing = [name for name in ("images", "logits") if name not in found]
    if missing:
        raise DataError(
            f"{path} has no {' and no '.join(missing)}.",
            got=", ".join(names) or "nothing",
            expected="images and logits",
            fix=RECORD,
        )
    images, logits = found["images"], found["logits"]
    _check_images(path, images, spec)
    if logits.dtype not in (np.float32, np.float64) or logits.ndim != 2:
        raise DataError(
            f"The logits in {path} are not what a classifier gives.",
            got=f"{logits.dtype} {list(logits.shape)}",
            expected=f"float32 or float64 [N, {len(spec.classes)}]; half precision is coarser than the limit",
            fix=RECORD,
        )
    if len(images) != len(logits) or not len(images) or logits.shape[1] != len(spec.classes):
        raise DataError(
            f"The pairs in {path} do not fit the model.",
            got=f"{len(images)} images, logits {list(logits.shape)}",
            expected=f"as many images as logits, at least one, of {len(spec.classes)} classes",
            fix="record the outputs of this very net, before any softmax",
        )
    bad = [name for name in ("images", "logits") if not np.isfinite(found[name]).all()]
    if bad:
        raise DataError(f"The {bad[0]} in {path} are not all numbers.", got="NaN or infinite", expected="finite values")
    if images.dtype == np.uint8 and _color(path, found.get("color")) == "rgb":
        images = images[..., ::-1]
    elif images.dtype != np.uint8:
        images = images.astype(np.float32)
    return Pairs(np.ascontiguousarray(images), logits.astype(np.float32), path.name)


def net_inputs(pairs: Pairs, spec: ModelSpec) -> NDArray[np.float32]:
    """float32 [N, 3, H, W], as the net takes them."""
    if not pairs.pictures:
        return pairs.images
    return normalise(np.stack(_pixels(pairs.images, spec)), spec.preprocess)


def expect_stage(name: str, pairs: Pairs, spec: ModelSpec, limits: Limits, answer: Answer) -> Stage:
    """Compares what `answer` gives for the recorded inputs with what was recorded.

    Args:
        answer: float32 [N, 3, H, W], normalized -> logits [N, C].
    """
    inputs = net_inputs(pairs, spec)
    stage = compare_logits(name, pairs.logits, answer(inputs), limits)
    if stage.passed:
        return stage
    found = next((why for why, logits in _readings(pairs, spec, inputs, answer)
                  if compare_logits(name, pairs.logits, logits, limits).passed), None)  # fmt: skip
    why = found or "it is another net, or other weights, than the pairs were recorded from"
    return replace(stage, problems=(*stage.problems, why))


def _readings(pairs: Pairs, spec: ModelSpec, inputs: NDArray[np.float32], answer: Answer) -> list[tuple[str, Logits]]:
    """Other ways in which the pairs may have been recorded, each with the answers that it would give."""
    size = (spec.preprocess.height, spec.preprocess.width)
    given = answer(inputs)
    odds = np.exp(given - given.max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    warm = f"the recorded logits are not divided by the model's temperature {spec.temperature:g}"
    found = [
        ("the recorded values are probabilities: record the logits, before the softmax", odds),
        (warm, given * spec.temperature),
    ]
    if pairs.pictures:
        swapped = replace(pairs, images=pairs.images[..., ::-1])
        found.append(("the pictures are RGB: say color='rgb' in the .npz", answer(net_inputs(swapped, spec))))
        if pairs.images.shape[1:3] == size:
            resized = normalise(np.stack([preprocess(f, spec.preprocess) for f in pairs.images]), spec.preprocess)
            found.append(("the pictures were resized and cropped once more", answer(resized)))
        return found
    mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (spec.preprocess.mean, spec.preprocess.std))
    found.append(("the images were not normalized yet: record what the net takes", answer((inputs - mean) / std)))
    found.append(("the images' channels are in the other order", answer(np.ascontiguousarray(inputs[:, ::-1]))))
    return found


def _pixels(images: NDArray[np.uint8], spec: ModelSpec) -> list[NDArray[np.uint8]]:
    """uint8 [H, W, 3] BGR each: of the net's size as they are, else resized."""
    if images.shape[1:3] == (spec.preprocess.height, spec.preprocess.width):
        return list(images)
    return [preprocess(np.ascontiguousarray(frame), spec.preprocess) for frame in images]


def _check_images(path: Path, images: NDArray[Any], spec: ModelSpec) -> None:
    height, width = spec.preprocess.height, spec.preprocess.width
    wanted = f"float [N, 3, {height}, {width}] as the net takes them, or uint8 pictures [N, h, w, 3]"
    got = f"{images.dtype} {list(images.shape)}"
    problem = f"The images in {path} are not what the net takes."
    if images.dtype == np.uint8:
        if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:3]:
            turned = images.ndim == 4 and images.shape[1] == 3
            raise DataError(problem, got=got, expected=wanted,
                            fix="images.transpose(0, 2, 3, 1)" if turned else RECORD)  # fmt: skip
        return
    if images.dtype.kind != "f" or images.ndim != 4 or images.shape[1] != 3:
        turned = images.dtype.kind == "f" and images.ndim == 4 and images.shape[3] == 3
        raise DataError(problem, got=got, expected=wanted, fix="images.transpose(0, 3, 1, 2)" if turned else RECORD)
    if images.shape[2:] != (height, width):
        raise DataError(
            f"The images in {path} have another size than the net's input.",
            got=f"{images.shape[2]}x{images.shape[3]}",
            expected=f"{height}x{width}",
            fix=f"--preprocess FILE with height = {images.shape[2]} and width = {images.shape[3]}, if the net was "
            "trained so; else record other pairs",
        )


def _color(path: Path, given: NDArray[Any] | None) -> str:
    said = "bgr" if given is None else str(given).lower()
    if said not in ("rgb", "bgr"):
        raise DataError(
            f"{path} names a channel order that does not exist.", got=said, expected="color = 'rgb' or 'bgr'"
        )
    return said


def _arrays(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The arrays that matter, and the names of all."""
    try:
        loaded = read_npz(path, PAIRS)
    except OSError as error:
        raise DataError(f"{path} cannot be read.", got=reason(error), expected=PLAIN) from error
    except ValueError as error:
        objects = re.search("pickle|object", str(error))
        raise DataError(
            f"{path} holds objects instead of numbers." if objects else f"{path} is not an .npz that can be read.",
            got="an object array, as of pictures of several sizes" if objects else str(error)[:200],
            expected=PLAIN,
            fix=RECORD,
        ) from error
    return {name: loaded[name] for name in ("images", "logits", "color") if name in loaded}, list(loaded)
