"""Tracks of insects through the frames, by distance and not by overlap: between two frames a hornet flies far."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.assign import assign
from edgekit.camera.config import TrackConfig
from edgekit.camera.zones import centres
from edgekit.vision.decode import Detections

Floats = NDArray[np.float64]
Limit = Callable[[str], float]  # of a label

_PADDED = 3  # scores that the median has at least
# in the insect's own sizes: how far a place is read wrongly, and how quickly speed changes (per second squared)
_READ, _SWERVE = 0.15, 20.0
_TENTATIVE = 0.45  # of lost_after, for a track with few detections
_FADING = 2.0  # times lost_after that weak detections alone keep a track
_MISSED = 2.2  # frames
_OTHER_LABEL = 3.0  # sizes that another label counts as distance


@dataclass
class Track:
    """One insect.

    Attributes:
        ident: 1, 2, ... in the order of appearance.
        box: x1 y1 x2 y2 pixels where it was last seen.
        score, top_score: of the last detection, and the best one.
        scores: the last ones, 0 for a detection below the label's min_score.
        first, seen: monotonic seconds of the first and last detection.
        sure: monotonic seconds of the last detection at or above min_score.
        hits: detections at or above min_score.
        called: the last detection's label.
    """

    ident: int
    box: Floats
    score: float
    first: float
    seen: float
    sure: float
    scores: deque[float]
    state: Floats  # [2, 2]: x y, vx vy
    spread: Floats  # [2, 2] covariance of one axis; both have the same
    votes: dict[str, float] = field(default_factory=dict)
    top_score: float = 0.0
    hits: int = 0
    believed: bool = False
    called: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is believed and was called by its label in the last frame too: a hornet's track that went over
        to a bee must not count beside the hornet's new one."""
        return self.believed and self.called == self.label

    @property
    def label(self) -> str:
        """What it was called most, by score."""
        return max(self.votes, key=lambda name: self.votes[name])

    @property
    def size(self) -> float:
        return box_size(self.box)

    @property
    def median(self) -> float:
        return median_score(self.scores)


class Tracker:
    """Detections in, tracks out. A Kalman filter of constant velocity expects each track's place.

    Args:
        config: reach, patience and when a track counts.
        min_score: detections of a label below it continue a track and begin none.
        threshold: a track is believed once the median of its scores reached it (Frigate's rule), and stays so.
    """

    def __init__(self, config: TrackConfig, min_score: Limit, threshold: Limit) -> None:
        self._config, self._min_score, self._threshold = config, min_score, threshold
        self._tracks: list[Track] = []
        self._count = 0
        self._at: float | None = None
        self._steps: deque[float] = deque(maxlen=5)

    def update(self, found: Detections, at: float) -> list[Track]:
        """Takes a frame's detections and gives the tracks that were seen in it, believed or not.

        Args:
            found: down to well below min_score.
            at: seconds, not before the last call's.
        """
        self._expect(at)
        sure = np.array(
            [s >= self._min_score(n) for n, s in zip(found.names, found.scores.tolist(), strict=True)], bool
        )
        free_tracks = list(range(len(self._tracks)))
        seen: list[Track] = []
        for rows in (np.flatnonzero(sure), np.flatnonzero(~sure)):  # weak ones get what the sure ones left
            weak = bool(rows.size) and not sure[rows[0]]
            taken = assign(self._costs(found, rows, free_tracks, at, weak))
            for i, j in taken:
                track, row = self._tracks[free_tracks[i]], int(rows[j])
                self._correct(track, found, row, at, bool(sure[row]))
                seen.append(track)
            used = {i for i, _ in taken}
            free_tracks = [t for i, t in enumerate(free_tracks) if i not in used]
            if rows.size and not weak:
                begun = sorted(set(range(len(rows))) - {j for _, j in taken})
                seen += [self._begin(found, int(rows[j]), at) for j in begun]
        self._tracks = [
            t for t in self._tracks if at - t.seen <= (p := self._patience(t)) and at - t.sure <= _FADING * p
        ]
        return seen

    @property
    def tracks(self) -> Sequence[Track]:
        """All that are followed, the unseen too."""
        return self._tracks

    def reset(self) -> None:
        """Forgets all tracks, as after a change of the picture's size; ids go on."""
        self._tracks.clear()
        self._at = None

    def _patience(self, track: Track) -> float:
        """Seconds that a track may be unseen: longer once it has enough detections, so that false ones far apart in
        time are not strung together, and never less than a frame more than the last one took."""
        sure = track.hits >= self._config.hits
        frames = _MISSED * min(self._steps, default=0.0)
        return max(self._config.lost_after * (1 if sure else _TENTATIVE), frames)

    def _expect(self, at: float) -> None:
        dt = 0.0 if self._at is None else max(0.0, at - self._at)
        if dt:
            self._steps.append(dt)
        self._at = at
        step = np.array([[1, dt], [0, 1]])
        for track in self._tracks:
            track.state = step @ track.state
            sway = (_SWERVE * track.size) ** 2 * np.array([[dt**4 / 4, dt**3 / 2], [dt**3 / 2, dt**2]])
            track.spread = step @ track.spread @ step.T + sway

    def _costs(self, found: Detections, rows: NDArray[np.intp], tracks: list[int], at: float, weak: bool) -> Floats:
        """float64 [tracks, rows]: distance in sizes, infinite out of reach.

        The reach of `weak` ones is half and does not grow: they are everywhere, and a track would go from one to the
        next, a stone, a shadow, a nail.
        """
        if not len(rows) or not tracks:
            return np.empty((len(tracks), len(rows)))
        places = centres(found.boxes[rows])
        sizes = np.array([box_size(found.boxes[row]) for row in rows])
        costs = np.empty((len(tracks), len(rows)))
        for i, index in enumerate(tracks):
            track = self._tracks[index]
            far = np.linalg.norm(places - track.state[0], axis=1) / ((track.size + sizes) / 2)
            grown = self._config.reach + self._config.reach_growth * (at - track.seen)
            reach = self._config.reach / 2 if weak else grown
            other = np.array([found.names[row] != track.label for row in rows]) * _OTHER_LABEL
            alike = np.maximum(sizes, track.size) <= 3 * np.minimum(sizes, track.size)
            costs[i] = np.where((far <= reach) & alike, far + other, np.inf)
        return costs

    def _begin(self, found: Detections, row: int, at: float) -> Track:
        self._count += 1
        box = found.boxes[row].astype(np.float64)
        state = np.stack([centres(box)[0], np.zeros(2)])
        spread = box_size(box) ** 2 * np.array([[_READ**2, 0], [0, 16.0]])
        history: deque[float] = deque(maxlen=self._config.history)
        track = Track(self._count, box, 0.0, at, at, at, history, state, spread)
        self._tracks.append(track)
        self._note(track, found, row, sure=True)
        return track

    def _correct(self, track: Track, found: Detections, row: int, at: float, sure: bool) -> None:
        track.box, track.seen = found.boxes[row].astype(np.float64), at
        noise = (_READ * track.size) ** 2
        gain = track.spread[:, 0] / (track.spread[0, 0] + noise)
        track.state = track.state + gain[:, None] * (centres(track.box)[0] - track.state[0])
        track.spread = track.spread - np.outer(gain, track.spread[0])
        self._note(track, found, row, sure)

    def _note(self, track: Track, found: Detections, row: int, sure: bool) -> None:
        score, name = float(found.scores[row]), found.names[row]
        track.score, track.called = score, name
        track.scores.append(score if sure else 0.0)
        track.votes[name] = track.votes.get(name, 0.0) + score
        track.top_score = max(track.top_score, score)
        track.hits += sure
        track.sure = track.seen if sure else track.sure
        if track.hits >= self._config.hits and track.median >= self._threshold(track.label):
            track.believed = True


def median_score(scores: Sequence[float]) -> float:
    """The median of a track's scores, filled up with zeros to three: Frigate's computed score (its documentation,
    "Object scores"). So neither one nor two detections can be believed, whatever their scores are."""
    return float(statistics.median([*scores, *[0.0] * (_PADDED - len(scores))]))


def box_size(box: NDArray[np.floating]) -> float:
    """The side of a square as large as the box, pixels, at least 1."""
    return float(max(1.0, np.sqrt(max(0.0, (box[2] - box[0]) * (box[3] - box[1])))))
