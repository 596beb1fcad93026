"""What an original is: its task, its size, which output is what, how pictures are prepared, and who says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.graph import decoders
from edgekit.graph.decoders import Reading
from edgekit.graph.foreign import Foreign
from edgekit.graph.wrap import layout_of, picture_of
from edgekit.pipeline.adopting.claims import ExporterClaims
from edgekit.pipeline.adopting.hypotheses import refuse_unstated
from edgekit.pipeline.adopting.known_classes import class_names
from edgekit.pipeline.adopting.options import AdoptOptions
from edgekit.pipeline.adopting.original import Decoding, Original
from edgekit.pipeline.adopting.styles import of_style, sized
from edgekit.pipeline.adopting.verdict import AdoptedBasis, reference_of
from edgekit.spec import ModelSpec, PreprocessSpec, Suppression
from edgekit.tasks import TASKS, task_of

ARCH = "onnx"
USUAL = Suppression(0.6)


@dataclass(frozen=True)
class Described:
    """An original and all that is said of it.

    Attributes:
        original: runs it.
        spec: what the adopted file says of itself.
        decoding: what becomes of its raw outputs.
        basis: what the verdict names.
        notes: what is said on the way, a line each.
    """

    original: Original
    spec: ModelSpec
    decoding: Decoding
    basis: AdoptedBasis
    notes: tuple[str, ...]


def describe_original(foreign: Foreign, options: AdoptOptions, say: Callable[[str], None]) -> Described:
    """Puts together what the options say, what the file says, and what its shapes leave no choice of.

    Raises:
        UsageError: something is not said and cannot be told, with the candidates; or preprocessing, which is never
            guessed: with labelled pictures the error has a table of what fits how well.
        ArtifactError: the file's input is no picture, or onnxruntime does not run it.
    """
    claims = ExporterClaims(foreign.props)
    task = _task(options, claims)
    size = _size(foreign, options, claims)
    original = Original(foreign, size)
    reading, by = _reading(original, foreign, options, task)
    classes, whose = class_names(options, claims, reading)
    decoding = Decoding(reading, options.keep, options.candidates, _suppression(reading, options))
    spec_of = _Specs(foreign.path.stem, task, classes, decoding, options)
    preprocess, said_by = _preprocess(options, claims, task, size)
    if preprocess is None:
        refuse_unstated(original, decoding, spec_of, options, say)
    assumed = [*reading.notes]
    if not whose:
        assumed.append(f"class names: nobody says the {len(classes)}; --classes FILE states them")
    if not by:
        assumed.append(f"decoding: the outputs fit only {reading.decoder}; --decoder {reading.decoder} states it")
    stated = (
        (
            "preprocessing",
            f"{preprocess.describe()}, mean {_few(preprocess.mean)}, std {_few(preprocess.std)} ({said_by})",
        ),
        ("decoding", f"{reading} ({by or 'told from the outputs'})"),
        *((("class names", f"{len(classes)} ({whose or 'nobody'})"),) if classes else ()),
    )
    reference = reference_of(foreign.path.name, foreign.sha256)
    basis = AdoptedBasis(reference, "the file itself", ARCH, stated=stated, assumed=tuple(assumed), half=original.half)
    notes = tuple(f"{what}: {how}" for what, how in stated)
    return Described(original, spec_of(preprocess), decoding, basis, notes)


@dataclass(frozen=True)
class _Specs:
    """The ModelSpec of an adopted file, for one preprocessing or another."""

    name: str
    task: str
    classes: tuple[str, ...]
    decoding: Decoding
    options: AdoptOptions

    def __call__(self, preprocess: PreprocessSpec) -> ModelSpec:
        boxes = task_of(self.task).finds == "boxes"
        reading = self.decoding.reading
        return ModelSpec(
            ARCH,
            self.classes,
            preprocess,
            {"file": self.name, "decoder": reading.to_dict(), "candidates": self.options.candidates},
            self.task,
            max_detections=self.options.keep if boxes else 0,
            dimensions=int(reading.settings["dimensions"]) if task_of(self.task).classless else 0,
            suppression=self.decoding.suppression if boxes else None,
        )


def _task(options: AdoptOptions, claims: ExporterClaims) -> str:
    asked, said = options.task, claims.task
    if asked is None and said is None:
        raise UsageError(
            "The file does not say what it is for.",
            got="no --task",
            expected="one of " + ", ".join(TASKS),
            fix="--task detection, for instance",
        )
    if asked is not None and asked not in TASKS:
        raise UsageError("There is no such task.", got=asked, expected="one of " + ", ".join(TASKS))
    if asked is not None and said not in (None, asked):
        raise UsageError("The file is for another task.", got=f"--task {asked}", expected=f"{said}, as it says")
    return asked or said or ""


def _size(foreign: Foreign, options: AdoptOptions, claims: ExporterClaims) -> tuple[int, int]:
    image = picture_of(foreign.inputs)
    sides = image.shape[2:] if layout_of(image) == "nchw" else image.shape[1:3]
    fixed = tuple(side for side in sides if isinstance(side, int))
    if len(fixed) == 2:
        if options.size is not None and options.size != fixed:
            raise UsageError(
                "The file takes pictures of one size only.",
                got=f"--size {options.size[0]}x{options.size[1]}",
                expected=f"{fixed[0]}x{fixed[1]}",
            )
        return fixed[0], fixed[1]
    told = options.size or claims.size
    if told is None:
        raise UsageError(
            "The file takes pictures of any size, and one has to be chosen.",
            got=str(image),
            expected="the size that it was trained at",
            fix="--size 640x640, for instance (height x width)",
        )
    return told


def _reading(original: Original, foreign: Foreign, options: AdoptOptions, task: str) -> tuple[Reading, str]:
    """How the outputs are read, and who says so; empty where only one reading fits."""
    outputs, size, props = original.outputs, original.size, foreign.props
    asked = options.decoder
    if asked is not None:
        if isinstance(asked, Path) or str(asked).endswith(".toml"):
            return decoders.from_toml(Path(asked), outputs, task, size), f"--decoder {asked}"
        return decoders.named(str(asked), outputs, task, size, props, foreign.model), f"--decoder {asked}"
    return decoders.the_one(decoders.readings(outputs, task, size, props, foreign.model), outputs, task), ""


def _suppression(reading: Reading, options: AdoptOptions) -> Suppression | None:
    boxes = task_of(reading.task).finds == "boxes"
    if not (options.suppress and boxes and decoders.decoder_named(reading.decoder).duplicates):
        return None
    return options.suppression or USUAL


def _preprocess(
    options: AdoptOptions, claims: ExporterClaims, task: str, size: tuple[int, int]
) -> tuple[PreprocessSpec | None, str]:
    """The spec and who says it; None where nobody does."""
    asked = options.preprocess
    if isinstance(asked, PreprocessSpec):
        return sized(asked, size), "--preprocess"
    if asked is not None:
        return sized(of_style(asked, task, size), size), f"--preprocess {asked}"
    style = claims.style(size)
    return (of_style(style, task, size), f"the file ({claims.exporter})") if style else (None, "")


def _few(values: tuple[float, ...]) -> str:
    """`0.5` where all are alike, else the three."""
    return f"{values[0]:.6g}" if len(set(values)) == 1 else ", ".join(f"{value:.4g}" for value in values)
