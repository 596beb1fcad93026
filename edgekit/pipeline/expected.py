"""Recorded pairs of input and output: what the net that was trained answered, where it was trained.

Keys and shapes do not tell a net from another; its answers do. `--expect PAIRS.npz` holds `images` and `logits` (of a
multi-label classifier `scores`, after the sigmoid; of a net without a last layer `features`):

    numpy.savez("pairs.npz", images=x.numpy(), logits=net.eval()(x).numpy())   # x: float32 [N, 3, H, W]

`images` are what the net took, normalized, float [N, 3, H, W]; or uint8 pictures [N, h, w, 3] in OpenCV's order BGR
(with `color="rgb"` in the file: RGB). Pictures of exactly the net's size are taken as resized already; others are
resized as the model says, so that the preprocessing is proven too. The outputs are float32 or float64 [N, classes],
or [N, D] for features.
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
from edgekit.reading.archive import read_npz
from edgekit.reading.limits import PAIRS
from edgekit.spec import ModelSpec
from edgekit.tasks import task_of
from edgekit.tasks.stage import Stage
from edgekit.vision.preprocess import normalise, preprocess

PLAIN = "an .npz with images and outputs as plain arrays"

Answer = Callable[[NDArray[np.float32]], NDArray[Any]]


@dataclass(frozen=True)
class Pairs:
    """N inputs and what the trained net gave.

    Attributes:
        images: float32 [N, 3, H, W], normalized, or uint8 [N, h, w, 3] BGR.
        outputs: float32 [N, C]: logits, or what else the model's task has recorded.
        name: of the file.
    """

    images: NDArray[Any]
    outputs: NDArray[np.float32]
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
        DataError: not an .npz, no `images` or outputs, other shapes or types, or values that are not finite.
        UsageError: a task whose outputs cannot be compared one by one, as a detector's boxes.
    """
    task = task_of(spec.task)
    if task.unrecorded:
        raise UsageError(
            "Recorded pairs are for classifiers.",
            got=f"{spec.arch}, {task.noun}, {task.unrecorded}",
            expected="a model with logits, scores or features",
            fix="edgekit verify REFERENCE CANDIDATE compares a detector's boxes as sets",
        )
    name, width = task.recorded, int(spec.outputs[0].shape[1])
    found, names = _arrays(path, name)
    missing = [key for key in ("images", name) if key not in found]
    if missing:
        raise DataError(
            f"{path} has no {' and no '.join(missing)}.",
            got=", ".join(names) or "nothing",
            expected=f"images and {name}",
            fix=record(name),
        )
    images, outputs = found["images"], found[name]
    _check_images(path, images, spec, name)
    if outputs.dtype not in (np.float32, np.float64) or outputs.ndim != 2:
        raise DataError(
            f"The {name} in {path} are not what {task.noun} gives.",
            got=f"{outputs.dtype} {list(outputs.shape)}",
            expected=f"float32 or float64 [N, {width}]; half precision is coarser than the limit",
            fix=record(name),
        )
    if len(images) != len(outputs) or not len(images) or outputs.shape[1] != width:
        of = "features" if task.classless else "classes"
        raise DataError(
            f"The pairs in {path} do not fit the model.",
            got=f"{len(images)} images, {name} {list(outputs.shape)}",
            expected=f"as many images as {name}, at least one, of {width} {of}",
            fix="record the outputs of this very net, " + record(name),
        )
    bad = [key for key in ("images", name) if not np.isfinite(found[key]).all()]
    if bad:
        raise DataError(f"The {bad[0]} in {path} are not all numbers.", got="NaN or infinite", expected="finite values")
    if why := task.impossible(outputs):
        raise DataError(
            f"The {name} in {path} are not what {task.noun} gives.", got=why, expected=name, fix=record(name)
        )
    if images.dtype == np.uint8 and _color(path, found.get("color")) == "rgb":
        images = images[..., ::-1]
    elif images.dtype != np.uint8:
        images = images.astype(np.float32)
    return Pairs(np.ascontiguousarray(images), outputs.astype(np.float32), path.name)


def record(name: str) -> str:
    """How the output `name` is recorded, in Python."""
    closed = ".sigmoid()" if name == "scores" else ""
    call = f"numpy.savez('pairs.npz', images=x.numpy(), {name}=net.eval()(x){closed}.numpy())"
    return f"{call}, x being float32 [N, 3, H, W]"


def net_inputs(pairs: Pairs, spec: ModelSpec) -> NDArray[np.float32]:
    """float32 [N, 3, H, W], as the net takes them."""
    if not pairs.pictures:
        return pairs.images
    return normalise(np.stack(_pixels(pairs.images, spec)), spec.preprocess)


def expect_stage(name: str, pairs: Pairs, spec: ModelSpec, limits: Limits, answer: Answer) -> Stage:
    """Compares what `answer` gives for the recorded inputs with what was recorded.

    Args:
        answer: float32 [N, 3, H, W], normalized -> what was recorded, [N, C].
    """
    task = task_of(spec.task)
    inputs = net_inputs(pairs, spec)

    def compared(outputs: NDArray[Any]) -> Stage:
        return task.compare(name, {task.recorded: pairs.outputs}, {task.recorded: outputs}, limits, spec)

    stage = compared(answer(inputs))
    if stage.passed:
        return stage
    found = next((why for why, outputs in _readings(pairs, spec, inputs, answer) if compared(outputs).passed), None)
    why = found or "it is another net, or other weights, than the pairs were recorded from"
    return replace(stage, problems=(*stage.problems, why))


def _readings(
    pairs: Pairs, spec: ModelSpec, inputs: NDArray[np.float32], answer: Answer
) -> list[tuple[str, NDArray[Any]]]:
    """Other ways in which the pairs may have been recorded, each with the answers that it would give."""
    size = (spec.preprocess.height, spec.preprocess.width)
    found = task_of(spec.task).misrecorded(answer(inputs), spec)
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


def _check_images(path: Path, images: NDArray[Any], spec: ModelSpec, name: str) -> None:
    height, width = spec.preprocess.height, spec.preprocess.width
    wanted = f"float [N, 3, {height}, {width}] as the net takes them, or uint8 pictures [N, h, w, 3]"
    got = f"{images.dtype} {list(images.shape)}"
    problem = f"The images in {path} are not what the net takes."
    if images.dtype == np.uint8:
        if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:3]:
            turned = images.ndim == 4 and images.shape[1] == 3
            raise DataError(problem, got=got, expected=wanted,
                            fix="images.transpose(0, 2, 3, 1)" if turned else record(name))  # fmt: skip
        return
    if images.dtype.kind != "f" or images.ndim != 4 or images.shape[1] != 3:
        turned = images.dtype.kind == "f" and images.ndim == 4 and images.shape[3] == 3
        raise DataError(
            problem, got=got, expected=wanted, fix="images.transpose(0, 3, 1, 2)" if turned else record(name)
        )
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


def _arrays(path: Path, name: str) -> tuple[dict[str, NDArray[Any]], list[str]]:
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
            fix=record(name),
        ) from error
    return {key: loaded[key] for key in ("images", name, "color") if key in loaded}, list(loaded)
