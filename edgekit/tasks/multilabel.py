"""Multi-label classification: `scores` float32 [N, C] after a sigmoid, each label's chance by itself.

A picture may show several things, or none: a label is told where its score reaches its threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.metrics.labels import NO, UNKNOWN, YES, label_report
from edgekit.tasks.base import Asked, Outputs, Task
from edgekit.tasks.evaluation import Answered, Metric, Pictures, Truth
from edgekit.tasks.multilabel_quality import LabelEvaluation
from edgekit.tasks.protocols import GateLimits, Spec
from edgekit.tasks.stage import Stage
from edgekit.vision.decode import softmax
from edgekit.vision.labels import DEFAULT_SCORE, Labels, labels_of
from edgekit.vision.spec import TensorSpec, require

# Between these a score tells the logit that it was made of well enough in half precision too; outside it does not.
_TELLING = (0.02, 0.98)
_TIE = 1e-3  # of a score beside its threshold, as far as the limit allows


class MultiLabelTask(Task):
    """Any number of labels a picture."""

    name = "multilabel"
    noun = "a multi-label classifier"
    fields = ("thresholds",)
    metrics = (Metric("map", "mAP"), Metric("micro_f1", "micro F1"), Metric("macro_f1", "macro F1"))
    main = "map"
    truth = "labels"
    finds = "labels"
    shows_wrong = True
    recorded = "scores"
    unrecorded = ""
    closes_with = "sigmoid"

    def outputs(self, spec: Spec) -> tuple[TensorSpec, ...]:
        return (TensorSpec("scores", "float32", ("N", len(spec.classes))),)

    def check(self, spec: Spec) -> None:
        require(spec.max_detections == 0, "max_detections", spec.max_detections, f"0 for {self.noun}")
        self.refuse_dimensions(spec)
        ok = len(spec.thresholds) in (0, len(spec.classes)) and all(
            isinstance(t, (int, float)) and 0 <= t <= 1 for t in spec.thresholds
        )
        require(ok, "thresholds", spec.thresholds, "one number 0 to 1 a class, or none")

    def decode(self, answers: Outputs, shapes: Sequence[tuple[int, ...]], spec: Spec, asked: Asked) -> list[Labels]:
        limits = thresholds_of(spec) if asked.threshold is None else (asked.threshold,) * len(spec.classes)
        return labels_of(answers["scores"], spec.classes, limits, asked.top)

    def compare(self, name: str, reference: Outputs, candidate: Outputs, limits: GateLimits, spec: Spec) -> Stage:
        return compare_scores(name, reference["scores"], candidate["scores"], limits, thresholds_of(spec))

    def impossible(self, recorded: NDArray[Any]) -> str:
        low, high = float(recorded.min()), float(recorded.max())
        return f"{low:.3g} to {high:.3g}: logits, whose sigmoid is the score" if low < 0 or high > 1 else ""

    def misrecorded(self, given: NDArray[Any], spec: Spec) -> list[tuple[str, NDArray[Any]]]:
        with np.errstate(divide="ignore"):
            shares = softmax(_logit(given.astype(np.float64)))
        return [("the recorded values are a softmax: it is a classifier with one label a picture", shares)]

    def reordered(self, answers: Outputs, ours: Sequence[str], theirs: Sequence[str | None]) -> Outputs:
        return {**answers, "scores": answers["scores"][:, [theirs.index(name) for name in ours]]}

    def figures(self, stage: Stage) -> str:
        return f"max|d score| {stage.max_abs:<9.3g} labels {stage.own.get('labels_agree', 0.0):7.2%}"

    def against(self, stage: Stage, limits: GateLimits) -> str:
        return (
            f"max|d score| {stage.max_abs:.3g} of at most {limits.score_shift:g}, labels that agree "
            f"{stage.own.get('labels_agree', 0.0):.2%} of at least {limits.top1_agreement:.2%}"
        )

    def limit(self, limits: GateLimits) -> float:
        return limits.score_shift

    def drift(self, wanted: Outputs, given: Outputs, limits: GateLimits, spec: Spec) -> tuple[float, float]:
        """The scores' mean squared error, and the share of labels told by either side that only one tells."""
        error = float(((given["scores"].astype(np.float64) - wanted["scores"]) ** 2).mean())
        stage = compare_scores("search", wanted["scores"], given["scores"], limits, thresholds_of(spec))
        return error, 100 * (1 - stage.own["labels_agree"])

    def class_scores(self, answers: Outputs, classes: int) -> NDArray[np.float64]:
        return answers["scores"].astype(np.float64)

    def known(self, pictures: Pictures) -> bool:
        return pictures.labelled or pictures.boxed or pictures.labels_known

    def unknown(self, pictures: Pictures) -> DataError:
        return DataError(
            "The pictures have no labels, so nothing can be counted as right.",
            got=f"layout {pictures.layout!r}",
            expected="a csv of file,labels (bee;hornet), a csv with a column of 0 and 1 for each class, boxes "
            "(YOLO, Pascal VOC, COCO), or class folders, which give one label a picture",
            fix="edgekit predict labels pictures without measuring",
        )

    def evaluate(self, answered: Iterable[Answered], spec: Spec) -> LabelEvaluation:
        rows, truths, single = [], [], 0
        for one in answered:
            rows.append(one.outputs["scores"])
            truths.append(truth_of(one.truth, len(spec.classes)))
            single += one.truth.labels is None and one.truth.label is not None
        scores, truth, limits = np.stack(rows), np.stack(truths), thresholds_of(spec)
        report = label_report(scores, truth, spec.classes, limits)
        return LabelEvaluation(report, scores, truth, limits, single == len(rows))


def thresholds_of(spec: Spec) -> tuple[float, ...]:
    """Of each class the score from which on it is told."""
    return spec.thresholds or (DEFAULT_SCORE,) * len(spec.classes)


def truth_of(known: Truth, classes: int) -> NDArray[np.int8]:
    """int8 [C] of YES, NO and UNKNOWN: by its labels, else by its objects, else by its one label."""
    found = np.full(classes, NO, np.int8)
    if known.labels is not None:
        found[list(known.unknown_labels)] = UNKNOWN
        found[list(known.labels)] = YES
    elif known.label is not None:
        found[known.label] = YES
    else:
        there = known.ground_truth()
        if there.ignored_labels is not None:  # a crowd, or an object that VOC calls difficult
            found[there.ignored_labels] = UNKNOWN
        found[there.labels] = YES
    return found


@np.errstate(invalid="ignore", divide="ignore")  # NaN is what fails
def compare_scores(
    name: str,
    reference: NDArray[Any],
    candidate: NDArray[Any],
    limits: GateLimits,
    thresholds: Sequence[float],
) -> Stage:
    """Compares two float32 [N, C] arrays of scores against `limits`.

    Three things must hold: no score moves by more than `score_shift`; where a score tells its logit (0.02 to 0.98), no
    logit by more than `max_abs`, as a classifier's, since a sigmoid hides at most four fifths of what went wrong there
    and nearly all of it elsewhere; and of the labels that either side tells, `top1_agreement` are told by both.

    Args:
        thresholds: one a class.
    """
    n = len(reference)
    if reference.shape != candidate.shape:
        problem = f"scores {list(candidate.shape)} instead of {list(reference.shape)}"
        return Stage(name, False, float("inf"), float("inf"), None, 0, n, (problem,), own={"labels_agree": 0.0})
    want, got = reference.astype(np.float64), candidate.astype(np.float64)
    gap = np.abs(got - want)
    finite = bool(np.isfinite(gap).all())
    worst = float(gap.max(initial=0.0)) if finite else float("nan")
    peak = float(np.abs(want).max(initial=0.0))
    floor = np.asarray(thresholds, np.float64)
    told, other = want >= floor, got >= floor
    tie = (told != other) & (np.abs(want - floor) <= min(limits.score_shift, _TIE))
    either = told | other
    shared = float((((told & other) | tie) & either).sum() / either.sum()) if either.any() else 1.0
    telling = (want > _TELLING[0]) & (want < _TELLING[1])
    logit_gap = float(np.abs(_logit(got) - _logit(want))[telling].max(initial=0.0))
    problems = []
    if not finite:
        problems.append("scores that are NaN or infinite")
    elif ((got < 0) | (got > 1)).any():
        problems.append("scores outside 0 to 1: no sigmoid")
    else:
        if worst > limits.score_shift:
            problems.append(f"max|d score| {worst:.3g} > {limits.score_shift:g}")
        if not logit_gap <= limits.max_abs:
            problems.append(f"max|d logit| {logit_gap:.3g} > {limits.max_abs:g}")
    if shared < limits.top1_agreement:
        problems.append(f"labels that agree {shared:.2%} of {int(either.sum())} told < {limits.top1_agreement:.2%}")
    if not n:
        problems.append("no pictures")
    own = {"labels_agree": shared, "labels_told": float(told.sum()), "max_abs_logit": logit_gap}
    return Stage(
        name, not problems, worst, worst / peak if peak else worst, None, int(tie.sum()), n, tuple(problems), own=own
    )


def _logit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(scores) - np.log1p(-scores))


TASK = MultiLabelTask()
