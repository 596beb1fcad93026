"""What marked false alarms look like beside labelled insects: which marks to believe, and how far a veto may reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.refit.examples import Golden, Places, Said, logit
from edgekit.refit.veto import ACROSS, COMPONENTS, REACH, Looks, Veto, looks_at, squared_distances

MOST = 32  # centres of a class: each costs as much as an output channel of a 5 x 5 convolution
ORDINARY = 2 / 3  # of the labelled insects have another one of their class so near
_MARGIN = 0.7  # of logits below the threshold, from which on a peak in a marked frame is one to be vetoed
_LEAST = 1e-3  # of a feature's standard deviation
_FEW = 8  # labelled insects, from which on their distances say something
_NEIGHBOUR = 20  # by which one to tell what is ordinary: the first ones are often frames of one clip


@dataclass(frozen=True)
class Real:
    """Labelled insects of a class that the net shows.

    Attributes:
        label: the class.
        basis: float32 [F, Q], from features to the components of what might be shown.
        looks: of the best place of each.
        around: for each picture its features and the places of these insects and next to them, which must not be
            vetoed.
        nearest: float64 [M], sorted: how far each is from the next one of another picture.
        apart: float64 [M], sorted: how far each is from its `neighbour`th one of other pictures.
        neighbour: 20, or a quarter of them where they are fewer.
    """

    label: int
    basis: NDArray[np.float32]
    looks: Looks
    around: tuple[tuple[NDArray[np.float32], NDArray[np.int64]], ...]
    nearest: NDArray[np.float64]
    apart: NDArray[np.float64]
    neighbour: int

    @property
    def ordinary(self) -> float:
        """The distance within which most of them have another one; infinite where there are few."""
        return float(np.quantile(self.nearest, ORDINARY)) if len(self.nearest) >= _FEW else float("inf")


def real_of(golden: Iterable[Golden], right: Iterable[Said], label: int, threshold: float) -> Real:
    """What must stay of a class: its labelled insects in golden pictures, and the best place of visits called right."""
    shown: list[tuple[Places, NDArray[np.int64]]] = []
    peaks: list[NDArray[np.float32]] = []
    for picture in golden:
        at = picture.places.peaks(label, threshold / 2)
        peaks.append(picture.places.features[at[:, 0], at[:, 1]])
        best = [one for box in picture.boxes[picture.labels == label].tolist() for one in _inside(at, box)[:1]]
        best = [one for one in best if picture.places.logits[one[0], one[1], label] >= logit(threshold)]
        if best:
            shown.append((picture.places, np.array(best, np.int64)))
    for said in right:
        if said.label == label and said.meant == label:
            at = said.places.peaks(label, threshold / 2)[:1]
            shown += [(said.places, at)] if len(at) else []
    basis = _components(np.concatenate(peaks))
    looks = [looks_at(places.features, at, basis) for places, at in shown]
    return Real(
        label,
        basis,
        np.concatenate(looks) if looks else np.empty((0, ACROSS**2 * basis.shape[1]), np.float32),
        tuple((places.features, _next_to(at, places.logits.shape)) for places, at in shown),
        *_apart(looks, neighbour := min(_NEIGHBOUR, max(1, sum(map(len, looks)) // 4))),
        neighbour,
    )


def strangeness(frame: Sequence[Said], real: Real, threshold: float) -> float:
    """How unlike the labelled insects of its class what was called false in a frame is, seen in several views.

    The share of labelled insects that are nearer to their 20th one than that is to its 20th of them: 1/2 is what a
    labelled insect itself has on average; 1 is unlike all, and where there are too few to say.
    """
    found = np.concatenate([looks for looks, _ in _false(frame, real, threshold)])
    if len(real.apart) < _FEW or not len(found):
        return 1.0
    apart = np.sqrt(np.sort(squared_distances(found, real.looks), axis=1)[:, real.neighbour - 1])
    return float(np.searchsorted(real.apart, np.median(apart)) / len(real.apart))


def veto_of(frames: Sequence[Sequence[Said]], real: Real, threshold: float, share: float) -> Veto | None:
    """A veto on what false alarms look like, at most `MOST` centres, those of each frame that are surest first.

    Args:
        frames: of each mark its views.
        real: what must stay.
        threshold: from which score on the class is shown.
        share: of the distance from a centre to the nearest place that must stay; the radius.
    """
    ranked = []
    for number, frame in enumerate(frames):
        found = _false(frame, real, threshold)
        rows = [(float(s), look) for looks, scores in found for s, look in zip(scores, looks, strict=True)]
        rows.sort(key=lambda row: -row[0])
        ranked += [(place, number, look) for place, (_, look) in enumerate(rows)]
    ranked.sort(key=lambda row: row[:2])  # each frame's surest, then each one's second, and so on
    if not ranked or not real.around:  # nothing says how far it may reach
        return None
    centres = np.stack([look for _, _, look in ranked[:MOST]])
    nearest = np.full(len(centres), np.inf)
    for features, at in real.around:
        squared = squared_distances(centres, looks_at(features, at, real.basis))
        nearest = np.minimum(nearest, squared.min(axis=1))
    radius = share * np.minimum(np.sqrt(nearest), real.ordinary)
    useful = radius > 0
    return Veto(real.label, real.basis, centres[useful], radius[useful]) if useful.any() else None


def _false(frame: Sequence[Said], real: Real, threshold: float) -> list[tuple[Looks, NDArray[np.float64]]]:
    """Looks and logits of what a mark says is not of this class: of a false visit all, of another insect the best."""
    least = 1 / (1 + np.exp(_MARGIN - logit(threshold)))
    rows = []
    for said in frame:
        at = said.places.peaks(real.label, least)
        at = at if said.meant is None else at[:1]
        rows.append(
            (looks_at(said.places.features, at, real.basis), said.places.logits[at[:, 0], at[:, 1], real.label])
        )
    return rows


def _inside(at: NDArray[np.int64], box: Sequence[float]) -> list[tuple[int, int]]:
    """The places in a box, x1 y1 x2 y2 in units of places."""
    x1, y1, x2, y2 = box
    return [(r, c) for r, c in at.tolist() if x1 <= c + 0.5 <= x2 and y1 <= r + 0.5 <= y2]


def _next_to(at: NDArray[np.int64], shape: Sequence[int]) -> NDArray[np.int64]:
    """The places from which a veto would reach one of these."""
    steps = range(-REACH, REACH + 1)
    places = np.concatenate([at + np.array([y, x]) for y in steps for x in steps])
    return np.unique(np.clip(places, 0, (shape[0] - 1, shape[1] - 1)), axis=0)


def _components(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """[F, Q] of [N, F]: the principal components of features of deviation 1, the largest first, in these deviations."""
    count, width = features.shape
    scale = features.std(axis=0) + _LEAST if count else np.ones(width)
    covariance = np.cov(features / scale, rowvar=False) if count > width else np.diag(np.arange(width, 0.0, -1.0))
    _, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors[:, ::-1][:, :COMPONENTS] / scale[:, None], np.float32)


def _apart(looks: Sequence[Looks], neighbour: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far each look is from the next one of other pictures, and from its `neighbour`th, both sorted."""
    nearest: list[float] = []
    apart: list[float] = []
    for number, own in enumerate(looks):
        others = [one for i, one in enumerate(looks) if i != number]
        if sum(map(len, others)) < neighbour:
            continue
        far = np.sort(squared_distances(own, np.concatenate(others)), axis=1)
        nearest += far[:, 0].tolist()
        apart += far[:, neighbour - 1].tolist()
    first, last = (np.sqrt(np.sort(np.array(values, np.float64))) for values in (nearest, apart))
    return first, last
