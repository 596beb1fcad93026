"""From a net's raw outputs to those that edgekit's files have: one file a decoder in `kinds/`, one line each here.

A decoder is recognised where the outputs leave one possibility (`readings`), named by a person (`named`), or described
in a TOML file (`from_toml`). `append` then writes it behind the net, and `reference` computes the same in plain numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import onnx
from numpy.typing import NDArray

from edgekit.config.keys import nearest
from edgekit.errors import UsageError
from edgekit.graph.builder import Builder
from edgekit.graph.decoders.base import Arrays, Decoder, Kept, Reading, Seen, Size
from edgekit.graph.decoders.description import from_toml
from edgekit.graph.decoders.doubts import doubts
from edgekit.graph.decoders.rewire import outputs_of, replace_outputs
from edgekit.vision.spec import Suppression, TensorSpec

__all__ = [
    "DECODERS",
    "Reading",
    "append",
    "decoder_named",
    "doubts",
    "from_toml",
    "named",
    "readings",
    "reference",
    "the_one",
]

# name -> FILE.OBJECT in `kinds/`
DECODERS: dict[str, str] = {
    "yolox": "yolox.YOLOX",
    "yolox-decoded": "yolox.DECODED",
    "yolov8": "yolov8.YOLOV8",
    "yolov5": "yolov5.YOLOV5",
    "yolov5-heads": "yolo_heads.YOLOV5",
    "yolov7-heads": "yolo_heads.YOLOV7",
    "yolov3-heads": "yolo_heads.YOLOV3",
    "fastestdet": "fastestdet.FASTESTDET",
    "boxes-and-scores": "boxes_and_scores.UNIT",
    "boxes-and-scores-pixels": "boxes_and_scores.PIXELS",
    "detr": "sets.DETR",
    "rt-detr": "sets.RT_DETR",
    "rt-detr-ultralytics": "sets.IN_ONE",
    "end-to-end": "sets.END_TO_END",
    "rt-detr-end-to-end": "sets.RT_END_TO_END",
    "detections": "sets.DETECTIONS",
    "centernet": "centernet.CENTERNET",
    "centernet-sigmoid": "centernet.SIGMOID",
    "described": "described.DESCRIBED",
    "logits": "classifier.LOGITS",
    "probabilities": "classifier.PROBABILITIES",
    "mask-logits": "masks.LOGITS",
    "mask-probabilities": "masks.PROBABILITIES",
    "mask-numbers": "masks.NUMBERS",
    "features": "features.VECTOR",
    "features-first": "features.FIRST",
    "features-mean": "features.MEAN",
}
PREFIX = "decode"  # of the names of all nodes and tensors that are added


def decoder_named(name: str) -> Decoder:
    """The decoder of this name. Raises UsageError for one that there is not."""
    if name not in DECODERS:
        raise UsageError(
            "Unknown decoder.",
            got=name,
            expected="one of " + ", ".join(DECODERS) + ", or a path to a .toml",
            fix=nearest(name, tuple(DECODERS)),
        )
    file, _, attribute = DECODERS[name].partition(".")
    found: Decoder = getattr(import_module(f"edgekit.graph.decoders.kinds.{file}"), attribute)
    return found


def readings(
    outputs: Sequence[TensorSpec],
    task: str,
    size: Size,
    props: Mapping[str, str],
    model: onnx.ModelProto | None = None,
) -> list[Reading]:
    """All the ways in which a net's outputs can be read for a task; one where they leave no choice.

    Args:
        outputs: with fixed sides behind the batch.
        task: a name of `edgekit.tasks.TASKS`.
        size: height and width of the input in pixels.
        props: what the exporter wrote into the file.
        model: the graph, by which more can be told apart.
    """
    seen = Seen(tuple(outputs), size, props, model)
    fitting = (decoder_named(name) for name in DECODERS)
    return [reading for d in fitting if task in d.tasks and outputs for reading in d.read(seen, task)]


def the_one(found: Sequence[Reading], outputs: Sequence[TensorSpec], task: str) -> Reading:
    """The only one of `readings`. Raises UsageError, with the candidates, where there are none or several."""
    if len(found) == 1:
        return found[0]
    got = "\n".join(map(str, outputs)) or "no outputs"
    if found:
        ways = "\n".join(map(str, found))
        raise UsageError(
            f"The outputs can be read in {len(found)} ways.",
            got=got,
            expected=ways,
            fix=f"{_way_out(found)}: whoever trained or exported the net knows",
        )
    known = [f"{name}: {d.expects}" for name in DECODERS if task in (d := decoder_named(name)).tasks]
    raise UsageError(
        f"No decoder for {task} reads these outputs.",
        got=got,
        expected="\n".join(known),
        fix="describe them in a file: --decoder FILE.toml (docs/adopt.md)",
    )


def _way_out(found: Sequence[Reading]) -> str:
    first = found[0]
    if len({reading.decoder for reading in found}) == len(found):
        return f"--decoder NAME, such as --decoder {first.decoder}"
    return f"--decoder NAME:OUTPUT, such as --decoder {first.decoder}:{next(iter(first.roles.values()))}"


def named(
    name: str,
    outputs: Sequence[TensorSpec],
    task: str,
    size: Size,
    props: Mapping[str, str],
    model: onnx.ModelProto | None = None,
) -> Reading:
    """How the decoder of this name reads the outputs; what the file looks like or says does not contradict the person.

    Args:
        name: `NAME`, or `NAME:OUTPUT` where several outputs could be meant.

    Raises:
        UsageError: no such decoder, not one for the task, or the outputs are not what it reads.
    """
    name, _, output = name.partition(":")
    decoder = decoder_named(name)
    if task not in decoder.tasks:
        fit = [other for other in DECODERS if task in decoder_named(other).tasks]
        raise UsageError(
            f"{name} is no decoder for {task}.", got=f"one for {', '.join(decoder.tasks)}", expected=", ".join(fit)
        )
    found: list[Reading] = []
    for graph, said in ((model, props), (None, props), (None, {})):
        found = found or (decoder.read(Seen(tuple(outputs), size, said, graph), task) if outputs else [])
    found = [reading for reading in found if not output or output in reading.roles.values()]
    if not found:
        raise UsageError(
            f"The outputs are not what {name} reads.",
            got="\n".join([*map(str, outputs), f"input {size[0]} x {size[1]} pixels (height x width)"]),
            expected=decoder.expects,
            fix="another decoder, or describe the outputs in a file: --decoder FILE.toml",
        )
    return the_one(found, outputs, task)


def append(
    model: onnx.ModelProto,
    reading: Reading,
    size: Size,
    keep: int = 100,
    candidates: int = 600,
    suppression: Suppression | None = None,
) -> None:
    """Writes the decoding behind a net, in place: its raw outputs become those of the contract.

    Args:
        model: opset 18 or newer, with fixed sides of outputs behind the batch. What nobody reads any more is dropped; a
            raw output whose name the contract needs gets another one.
        keep, candidates, suppression: for detectors, as in `Kept`.

    Raises:
        ArtifactError: an older opset, or an output that the reading names is not there.
        UsageError: more boxes than TensorRT can sort.
    """
    renamed = outputs_of(model, reading)
    seen = Seen(renamed.outputs, size, {}, model)
    b = Builder(model, PREFIX)
    made = decoder_named(reading.decoder).append(b, renamed.reading, seen, Kept(keep, candidates, suppression))
    replace_outputs(model, b, made)


def reference(
    reading: Reading,
    size: Size,
    outputs: Arrays,
    keep: int = 100,
    candidates: int = 600,
    suppression: Suppression | None = None,
) -> dict[str, NDArray[Any]]:
    """What `append` makes of raw outputs, in plain numpy: the contract's outputs, [N, ...] each."""
    return decoder_named(reading.decoder).reference(reading, size, outputs, Kept(keep, candidates, suppression))
