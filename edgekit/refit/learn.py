"""A detector learns from marks: its score layer is fitted again, judged on golden pictures, and only then used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
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
from edgekit.data.sample import Dataset
from edgekit.errors import DataError, UsageError
from edgekit.predictor import Predictor
from edgekit.refit.examples import Golden, Said, anchors_of, holds_of, look, surfaced, views, wishes_of
from edgekit.refit.false_looks import real_of, strangeness, veto_of
from edgekit.refit.fit import refit_row, together, weighed
from edgekit.refit.gate import Judged, judge, measure
from edgekit.refit.layer import ScoreLayer, replaced, score_layer, with_features
from edgekit.refit.material import golden_halves, golden_of, readable_frames, says_wrong, usable_marks
from edgekit.refit.record import record
from edgekit.refit.veto import Fit, with_vetoes
from edgekit.version import __version__
from edgekit.vision.decode import DEFAULT_SCORE

# how far vetoes reach, as a share of the distance to the nearest labelled insect, and how much each mark counts where
# weights move; the first that passes is taken
STRENGTHS = ((0.9, 10.0), (0.8, 3.0), (0.7, 1.0), (0.5, 0.3), (0.3, 0.1))
_ROUNDS = 6  # of asking about places that the last fit brought up
_HOLD = 100.0  # of all that was found in the golden pictures together, to stay found; and of all else, to stay away
# by `strangeness`: marks on labelled insects have 1/2 on average, what a detector took for one and was none 3/4
_STRANGE, _DOUBTED = 0.68, 0.5  # on average over the marks, and of one mark, to be believed
LEARNT = "learnt"  # folder beside the marks


@dataclass(frozen=True)
class Learnt:
    """What came of learning.

    Attributes:
        file: the fitted model where it passed, else what was rejected; None where no mark was believed.
        passed: whether it is to be used.
        why: a sentence: what it was proven by, or what it failed.
        judged: of every strength that was tried, the last one being of `file`.
        marks: how many were used.
        left: marks that say nothing, each with the reason.
    """

    file: Path | None
    passed: bool
    why: str
    judged: tuple[Judged, ...]
    marks: int
    left: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `learnt.json` has it."""
        return {**asdict(self), "file": self.file.name if self.file else ""}


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

    What looks as a false visit did gets a veto behind the layer, whose reach ends before the nearest labelled insect;
    where a visit was another insect, the row of weights of that one moves, no more than the marks need. Every second
    golden picture says where the insects are and keeps the fit in its place, the others judge: `judge` says by what.
    Marks that call false what looks as labelled insects do are not believed, and nothing is learnt where they are most.

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
    usable, left = usable_marks(marks, spec.classes)
    for line in left:
        say(f"says nothing: {line}")
    if not usable:
        raise DataError("There is nothing to learn.", got=f"{len(marks)} marks", expected="one with a picture")
    touched = sorted({i for said in usable for i in (said[1], said[2]) if i is not None})
    keep, judges = golden_halves(golden, spec.classes, touched)
    floating = artifact.metadata.input == "float"
    with open_session(with_features(artifact.model, layer).SerializeToString()) as session:
        seen = [
            [Said(look(session, spec, view, floating), label, meant) for view in views(frame)]
            for frame, label, meant in usable
        ]
        anchors = [
            golden_of(sample, frame, look(session, spec, frame, floating), spec)
            for sample, frame in readable_frames(keep, say)
        ]
    make_folder(folder)
    digest = digest_of(artifact, marks, golden)
    real = {
        label: real_of(anchors, (view for frame in seen for view in frame), label, limits[label]) for label in touched
    }
    strange = {
        i: strangeness(frame, real[frame[0].label], limits[frame[0].label])
        for i, frame in enumerate(seen)
        if says_wrong(frame)
    }
    if strange and (share := float(np.mean([*strange.values()]))) < _STRANGE:
        told = (
            f"{len(strange)} marks call false what looks as labelled insects do: {share:.0%} of these are nearer to "
            f"others than it is to them, {_STRANGE:.0%} must be"
        )
        found = Learnt(None, False, told, (), len(usable), left)
        record(folder, digest, artifact.sha256, folder, found.to_dict())
        return found
    doubted = {i for i, share in strange.items() if share < _DOUBTED}
    if doubted:
        left = (*left, f"{len(doubted)} marks, which call false what looks as labelled insects do")
        say(f"not believed: {left[-1]}")
        seen = [frame for i, frame in enumerate(seen) if i not in doubted]
        usable = [one for i, one in enumerate(usable) if i not in doubted]
    false = {label: [frame for frame in seen if says_wrong(frame) and frame[0].label == label] for label in touched}
    judging = [sample for sample, _ in readable_frames(judges, say)]
    name = f"{artifact.path.stem}-{digest[:12]}"
    judged: list[Judged] = []
    with Predictor.from_artifact(artifact) as before:
        standing = measure(before, judging, usable, limits)
    every, first = [view for frame in seen for view in frame], [frame[0] for frame in seen]
    for reach, strength in STRENGTHS:
        weight, bias = _fitted(layer, every, anchors, touched, limits, strength / len(seen[0]))
        vetoes = [veto_of(false[label], real[label], limits[label], reach) for label in touched]
        fit = Fit(weight, bias, tuple(veto for veto in vetoes if veto is not None))
        model = with_vetoes(replaced(artifact.model, layer, weight, bias), layer, fit.vetoes)
        candidate = _described(artifact, model, name, len(usable))
        with Predictor.from_artifact(candidate) as after:
            judged.append(judge(standing, after, judging, usable, limits, (first, fit), reach))
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
        if not any(one.meant == label != one.label for one in said):
            continue
        wishes = wishes_of(said, label, limits[label])
        kept = anchors_of([one.places for one in golden], label, np.random.default_rng(label))
        holds = [weighed(part, _HOLD / max(1, len(part.bound))) for part in holds_of(golden, label, limits[label])]
        wishes = together(weighed(wishes, strength), *holds)
        share = min((float(part.weight[0]) for part in holds if len(part.bound)), default=_HOLD)
        start = weight[label].copy(), float(bias[label])
        for _ in range(_ROUNDS):
            row, constant = refit_row(*start, wishes, kept)
            wrong = surfaced(golden, label, limits[label], row, constant)
            if not len(wrong.bound):
                break
            wishes = together(wishes, weighed(wrong, share))
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
