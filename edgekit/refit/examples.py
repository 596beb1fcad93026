"""What marks and golden pictures say about the score layer: places, and on which side of a bound scores belong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.base import Session
from edgekit.refit.fit import Wishes
from edgekit.refit.layer import FEATURES, LOGITS
from edgekit.spec import ModelSpec
from edgekit.vision.image import Frame
from edgekit.vision.preprocess import normalise, preprocess

_WEAK = 0.05  # the score from which on a peak is a place that might be shown
_RANDOM = 100  # other places of a golden picture that stay as they are
_MOVES = ((3, 1), (1, 5), (6, 3))  # right and down, pixels of the frame
_MARGIN = 0.7  # of logits, that a wish goes beyond the threshold


@dataclass(frozen=True)
class Places:
    """One picture: features float32 [h, w, F] and logits float64 [h, w, C] of all its places."""

    features: NDArray[np.float32]  # 2 MB a picture at 384 pixels: the golden ones are all held
    logits: NDArray[np.float64]

    def peaks(self, label: int, least: float) -> NDArray[np.int64]:
        """[M, 2] rows and columns of a class's peaks, 3x3 as the graph has them, with so large a score; best first."""
        own = self.logits[:, :, label]
        padded = np.pad(own, 1, constant_values=-np.inf)
        around = np.max(
            [padded[i : i + own.shape[0], j : j + own.shape[1]] for i in range(3) for j in range(3)], axis=0
        )
        rows, columns = np.nonzero((own == around) & (own >= logit(least)))
        order = np.argsort(-own[rows, columns], kind="stable")
        return np.stack([rows[order], columns[order]], axis=1)

    def scored(self, label: int, weight: NDArray[np.float64], bias: float) -> Places:
        """The same places with a class's logits by other weights [F]."""
        logits = self.logits.copy()
        logits[:, :, label] = self.features @ weight + bias
        return Places(self.features, logits)


@dataclass(frozen=True)
class Said:
    """A marked picture: its places, the class it was taken for, and the one it is, or None."""

    places: Places
    label: int
    meant: int | None


@dataclass(frozen=True)
class Golden:
    """A labelled picture: its places, boxes float64 [M, 4] x1 y1 x2 y2 in units of places, and their classes [M]."""

    places: Places
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]


def look(session: Session, spec: ModelSpec, frame: Frame, floating: bool) -> Places:
    """The places of one picture, by a session on `with_features`'s graph."""
    pixels = preprocess(frame, spec.preprocess)[None]
    given = session.run({"image": normalise(pixels, spec.preprocess) if floating else pixels})
    features, logits = (given[name][0].transpose(1, 2, 0) for name in (FEATURES, LOGITS))
    return Places(np.array(features), logits.astype(np.float64))


def views(frame: Frame) -> list[Frame]:
    """A marked frame as it was, mirrored, and moved by some pixels, which lie between two places of the net.

    An insect, or what was taken for one, is seen at another place in the next frame, and shall be judged alike there.
    """
    moved = [
        np.ascontiguousarray(np.pad(frame, ((dy, 0), (dx, 0), (0, 0)), mode="edge")[: frame.shape[0], : frame.shape[1]])
        for dx, dy in _MOVES
    ]
    return [frame, np.ascontiguousarray(frame[:, ::-1]), *moved]


def wishes_of(said: Iterable[Said], label: int, threshold: float) -> Wishes:
    """What the marks wish of one class's scores to be higher: a veto lowers them, and moves no weights.

    Of a visit that was right the best peak stays, of one that was another insect it is shown as that one. Each mark
    counts alike.
    """
    asked = _Asked()
    for one in said:
        best = one.places.peaks(one.label, threshold / 2)[:1]
        if one.label == label and one.meant == label:
            asked.keep(one.places, best, label, threshold)
        elif one.meant == label:
            asked.wish(one.places, best, logit(threshold) + _MARGIN, over=True)
    return asked.wishes()


def holds_of(golden: Iterable[Golden], label: int, threshold: float) -> tuple[Wishes, Wishes]:
    """That the best peak inside each labelled object of a class stays shown and as sure, and that no other gets surer.

    Without the second whatever raises what is right would raise what is wrong with it.
    """
    right, wrong = _Asked(), _Asked()
    for one in golden:
        peaks = one.places.peaks(label, _WEAK)
        free = np.ones(len(peaks), dtype=bool)
        for x1, y1, x2, y2 in one.boxes[one.labels == label].tolist():
            inside = (peaks[:, 1] + 0.5 >= x1) & (peaks[:, 1] + 0.5 <= x2)
            inside &= (peaks[:, 0] + 0.5 >= y1) & (peaks[:, 0] + 0.5 <= y2)
            best = peaks[inside][:1]
            free &= ~inside
            if len(best) and one.places.logits[best[0, 0], best[0, 1], label] >= logit(threshold):
                right.keep(one.places, best, label, threshold)
        for row, column in peaks[free].tolist():
            score = float(one.places.logits[row, column, label])
            wrong.wish(one.places, np.array([[row, column]]), score, over=False)
    return right.wishes(), wrong.wishes()


def surfaced(
    golden: Iterable[Golden], label: int, threshold: float, weight: NDArray[np.float64], bias: float
) -> Wishes:
    """Places in golden pictures that new weights [F] would show and should not.

    Weights that lower some places raise others, which were no peaks before and so were not asked about.
    """
    wrong = _Asked()
    for picture in golden:
        for row, column in picture.places.scored(label, weight, bias).peaks(label, threshold).tolist():
            before = float(picture.places.logits[row, column, label])
            at = (picture.boxes[:, 0] <= column + 0.5) & (column + 0.5 <= picture.boxes[:, 2])
            at &= (picture.boxes[:, 1] <= row + 0.5) & (row + 0.5 <= picture.boxes[:, 3])
            if before < logit(threshold) and not (at & (picture.labels == label)).any():
                wrong.wish(picture.places, np.array([[row, column]]), before, over=False)
    return wrong.wishes()


class _Asked:
    """Wishes, one after another."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.float32]] = []
        self._bounds: list[float] = []
        self._above: list[bool] = []
        self._weights: list[float] = []

    def wish(self, places: Places, at: NDArray[np.int64], bound: float, *, over: bool) -> None:
        """That the logits at some places, which count as one together, are on one side of a bound."""
        for row, column in at.tolist():
            self._rows.append(places.features[row, column])
            self._bounds.append(bound)
            self._above.append(over)
            self._weights.append(1 / len(at))

    def keep(self, places: Places, at: NDArray[np.int64], label: int, threshold: float) -> None:
        """That what is shown there stays shown, and as sure."""
        for row, column in at.tolist():
            least = max(logit(threshold), float(places.logits[row, column, label]))
            self.wish(places, np.array([[row, column]]), least, over=True)

    def wishes(self) -> Wishes:
        width = self._rows[0].shape[0] if self._rows else 0
        return Wishes(
            np.array(self._rows, np.float64).reshape(len(self._rows), width),
            np.array(self._bounds, np.float64),
            np.array(self._above, bool),
            np.array(self._weights, np.float64),
        )


def anchors_of(pictures: Iterable[Places], label: int, random: np.random.Generator) -> NDArray[np.float64]:
    """float64 [A, F]: places of golden pictures whose scores shall stay: every peak that might be shown, and others."""
    found = []
    for places in pictures:
        peaks = places.peaks(label, _WEAK)
        flat = places.features.reshape(-1, places.features.shape[-1])
        found.append(places.features[peaks[:, 0], peaks[:, 1]])
        found.append(flat[random.choice(len(flat), min(_RANDOM, len(flat)), replace=False)])
    return np.concatenate(found).astype(np.float64)


def logit(score: float) -> float:
    score = min(max(score, 1e-6), 1 - 1e-6)
    return float(np.log(score / (1 - score)))
