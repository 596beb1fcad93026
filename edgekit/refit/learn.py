"""A detector learns from marks: its score layer is fitted again, judged on golden pictures, and only then used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.artifacts.atomic import make_folder, write_bytes
from edgekit.artifacts.marks import Mark
from edgekit.artifacts.metadata import Metadata
from edgekit.artifacts.onnx_file import Artifact, embed, parse_onnx
from edgekit.backends import open_session
from edgekit.data.sample import Dataset, Sample, class_index
from edgekit.errors import DataError, PictureError, UsageError
from edgekit.predictor import Predictor
from edgekit.progress import track
from edgekit.refit.examples import Golden, Places, Said, anchors_of, holds_of, look, surfaced, views, wishes_of
from edgekit.refit.fit import refit_row, together, weighed
from edgekit.refit.gate import Judged, judge, measure
from edgekit.refit.layer import ScoreLayer, replaced, score_layer, with_features
from edgekit.refit.record import record
from edgekit.spec import ModelSpec
from edgekit.version import __version__
from edgekit.vision.decode import DEFAULT_SCORE
from edgekit.vision.image import read_picture
from edgekit.vision.preprocess import geometry

STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)  # of each mark; the first that passes is taken
_ROUNDS = 6  # of asking about places that the last fit brought up
_HOLD = 100.0  # of all that was found in the golden pictures together, to stay found; and of all else, to stay away
LEARNT = "learnt"  # folder beside the marks


@dataclass(frozen=True)
class Learnt:
    """What came of learning.

    Attributes:
        file: the fitted model where it passed, else what was rejected.
        passed: whether it is to be used.
        why: a sentence: what it was proven by, or what it failed.
        judged: of every strength that was tried, the last one being of `file`.
        marks: how many were used.
        left: marks that say nothing, each with the reason.
    """

    file: Path
    passed: bool
    why: str
    judged: tuple[Judged, ...]
    marks: int
    left: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `learnt.json` has it."""
        return {**asdict(self), "file": self.file.name}


def learn(
    artifact: Artifact,
    marks: Sequence[Mark],
    golden: Dataset,
    folder: Path,
    *,
    thresholds: Sequence[float] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Learnt:
    """Fits the score layer of a detector again to marks, and writes the file where the gate lets it pass.

    Rows of a 1x1 convolution move, no more than the marks need. Every second golden picture keeps the fit where it was,
    and the others judge: `judge` says by what.

    Args:
        artifact: the detector as it was exported, float32; never changed. All marks are learnt anew each time.
        marks: as the camera's store has them.
        golden: labelled pictures with boxes, under the model's classes.
        folder: where `NAME-DIGEST.onnx` is written, or `.rejected`, and `learnt.json`.
        thresholds: from which score on a box counts, one a class; none: the model's own.

    Raises:
        UsageError: a model whose last layer cannot be fitted.
        DataError: no mark that says anything, or golden pictures that cannot judge.
        OutputError: the folder cannot be written.
    """
    spec = artifact.metadata.model
    layer = score_layer(artifact.model, len(spec.classes))
    limits = tuple(thresholds) or spec.thresholds or (DEFAULT_SCORE,) * len(spec.classes)
    usable, left = _usable(marks, spec.classes)
    for line in left:
        say(f"says nothing: {line}")
    if not usable:
        raise DataError("There is nothing to learn.", got=f"{len(marks)} marks", expected="one with a picture")
    touched = sorted({i for said in usable for i in (said[1], said[2]) if i is not None})
    keep, judges = _halves(golden, spec.classes, touched)
    floating = artifact.metadata.input == "float"
    with open_session(with_features(artifact.model, layer).SerializeToString()) as session:
        seen = [
            [Said(look(session, spec, view, floating), label, meant) for view in views(frame)]
            for frame, label, meant in usable
        ]
        anchors = [
            golden_of(sample, frame, look(session, spec, frame, floating), spec) for sample, frame in _frames(keep, say)
        ]
    judging = [sample for sample, _ in _frames(judges, say)]
    make_folder(folder)
    digest = digest_of(artifact, marks, golden)
    name = f"{artifact.path.stem}-{digest[:12]}"
    judged: list[Judged] = []
    with Predictor.from_artifact(artifact) as before:
        standing = measure(before, judging, usable, limits)
    every, first = [view for frame in seen for view in frame], [frame[0] for frame in seen]
    for strength in STRENGTHS:
        weight, bias = _fitted(layer, every, anchors, touched, limits, strength / len(seen[0]))
        model = replaced(artifact.model, layer, weight, bias)
        candidate = _described(artifact, model, name, len(usable))
        with Predictor.from_artifact(candidate) as after:
            judged.append(judge(standing, after, judging, usable, limits, (first, weight, bias), strength))
        if judged[-1].passed:
            break
    last = judged[-1]
    proven = _described(artifact, model, name, len(usable), last)
    path = folder / f"{name}.onnx{'' if last.passed else '.rejected'}"
    write_bytes(path, proven.data, overwrite=True)
    found = Learnt(path, last.passed, last.why, tuple(judged), len(usable), left)
    record(folder, digest, artifact.sha256, path, found.to_dict())
    return found


def digest_of(artifact: Artifact, marks: Sequence[Mark], golden: Dataset) -> str:
    """sha256 (hex) of what a fit depends on: the model, the marks with their pictures, the golden pictures, edgekit."""
    sha = hashlib.sha256(f"{__version__} {artifact.sha256} {golden.digest}".encode())
    for mark in marks:
        sha.update(json.dumps([mark.visit, mark.verdict, mark.label, mark.meant]).encode())
        sha.update(mark.picture.read_bytes() if mark.picture is not None else b"")
    return sha.hexdigest()


Usable = tuple[NDArray[np.uint8], int, "int | None"]


def _usable(marks: Sequence[Mark], classes: Sequence[str]) -> tuple[list[Usable], tuple[str, ...]]:
    """Frames of marks, the class each was taken for and the one it is; and why others say nothing."""
    usable: list[Usable] = []
    left = []
    for mark in marks:
        label = class_index(mark.label, classes)
        meant = None if mark.meant is None else class_index(mark.meant, classes)
        if label is None or (mark.meant is not None and meant is None):
            left.append(f"{mark.visit}: the model has no class {mark.label if label is None else mark.meant}")
            continue
        if mark.picture is None:
            left.append(f"{mark.visit}: its picture was not kept (visits.plain)")
            continue
        try:
            usable.append((read_picture(mark.picture), label, meant))
        except PictureError as error:
            left.append(f"{mark.visit}: {error.got or error.what}")
    return usable, tuple(left)


def _halves(
    golden: Dataset, classes: Sequence[str], touched: Sequence[int]
) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Golden pictures that keep the fit in its place, and those that judge it."""
    if not golden.boxed:
        got = f"layout {golden.layout!r}"
        raise DataError("Golden pictures have labelled boxes.", got=got, expected="YOLO, Pascal VOC or COCO")
    judges = replace(golden, samples=golden.samples[1::2])
    counts = judges.box_counts
    few = [f"{classes[i]} {counts[i] if i < len(counts) else 0}" for i in touched if i >= len(counts) or counts[i] < 20]
    if few:
        raise DataError(
            "The golden pictures cannot judge these classes.",
            got=f"objects in every second picture: {', '.join(few)}",
            expected="20 of each at least",
            fix="name a larger labelled set in learn.golden",
        )
    return golden.samples[0::2], judges.samples


def _frames(samples: Sequence[Sample], say: Callable[[str], None]) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
    """Those that can be read, one after another."""
    readable = 0
    for sample in track(samples, "looking at golden pictures"):
        try:
            frame = sample.read()
        except PictureError as error:
            say(f"not read: {sample.name}: {error.got or error.what}")
            continue
        readable += 1
        yield sample, frame
    if not readable:
        raise DataError("None of the golden pictures can be read.", got=f"{len(samples)} pictures")


def golden_of(sample: Sample, frame: NDArray[np.uint8], places: Places, spec: ModelSpec) -> Golden:
    """A labelled picture with its boxes where the places are."""
    assert sample.boxes is not None
    assert sample.box_labels is not None
    stride = spec.preprocess.height / places.logits.shape[0]
    boxes = geometry(frame.shape, spec.preprocess).to_net(sample.boxes) / stride
    return Golden(places, boxes, sample.box_labels)


def _fitted(
    layer: ScoreLayer,
    said: Sequence[Said],
    golden: Sequence[Golden],
    touched: Sequence[int],
    limits: Sequence[float],
    strength: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weight, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
    for label in touched:
        wishes = wishes_of(said, label, limits[label])
        if not len(wishes.bound):
            continue
        kept = anchors_of([one.places for one in golden], label, np.random.default_rng(label))
        holds = [weighed(part, _HOLD / max(1, len(part.bound))) for part in holds_of(golden, label, limits[label])]
        wishes = together(weighed(wishes, strength), *holds)
        share = min((float(part.weight[0]) for part in holds if len(part.bound)), default=_HOLD)
        start = weight[label].copy(), float(bias[label])
        for _ in range(_ROUNDS):
            row, constant = refit_row(*start, wishes, kept)
            false, wrong = surfaced(said, golden, label, limits[label], row, constant)
            if not len(false.bound) and not len(wrong.bound):
                break
            wishes = together(wishes, weighed(false, strength), weighed(wrong, share))
        weight[label], bias[label] = row, constant
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise UsageError("The fit gave numbers that are none.", got="NaN or infinity", fix="take back the last marks")
    return weight, bias


def _described(
    artifact: Artifact, model: onnx.ModelProto, name: str, marks: int, judged: Judged | None = None
) -> Artifact:
    """The file with what it is in its metadata: no longer its checkpoint's equal, but fitted and judged."""
    text = f"{artifact.path.name} ({artifact.sha256[:12]}) with its score layer fitted to {marks} marks"
    passed = judged is None or judged.passed
    verdict = {"relation": "refit", "text": text + (f": {judged.why}" if judged else ""), "passed": passed}
    metadata: Metadata = replace(
        artifact.metadata,
        verification={
            "passed": passed,
            "refit": {"of": artifact.sha256, "marks": marks},
            "of": dict(artifact.metadata.verification.get("verdict", {})),
            "verdict": verdict,
        },
    )
    embed(model, metadata)
    return parse_onnx(model.SerializeToString(), artifact.path.with_name(f"{name}.onnx"))
