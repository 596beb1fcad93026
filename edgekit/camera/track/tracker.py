"""Tracks of insects through the frames, by distance and not by overlap: between two frames a hornet flies far."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.config import TrackConfig
from edgekit.camera.track.assign import assign
from edgekit.camera.track.kalman import KalmanFilter
from edgekit.vision.results import Detections

Floats = NDArray[np.float64]
Limit = Callable[[str], float]  # of a label

_PADDED = 3  # scores that the median has at least
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
        size: of the box, see `box_size`.
        kalman: where it is expected.
        score, top_score: of the last detection, and the best one.
        scores: the last ones, 0 for a detection below the label's min_score.
        first, seen: monotonic seconds of the first and last detection.
        sure: monotonic seconds of the last detection at or above min_score.
        hits: detections at or above min_score.
        label: what it was called most, by score.
        called: the last detection's label.
        best: the best score of each label that it was called.
        told: labels under which it was confirmed.
    """

    ident: int
    box: Floats
    size: float
    kalman: KalmanFilter
    score: float
    first: float
    seen: float
    sure: float
    scores: deque[float]
    votes: dict[str, float] = field(default_factory=dict)
    top_score: float = 0.0
    hits: int = 0
    confirmed: bool = False
    label: str = ""
    called: str = ""
    best: dict[str, float] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    @property
    def counts(self) -> bool:
        """Whether it is confirmed under its label and was called so in the last frame too: a hornet's track that went
        over to a bee must not count beside the hornet's new one, and a bee that is called a hornet for a while must
        reach what is asked of hornets."""
        return self.label in self.told and self.called == self.label

    @property
    def median(self) -> float:
        return median_score(self.scores)


class Tracker:
    """Detections in, tracks out. A Kalman filter of constant velocity expects each track's place.

    Args:
        config: reach, patience and when a track counts.
        min_score: detections of a label below it continue a track and begin none.
        threshold: a track is confirmed once the median of its scores reached it (Frigate's rule), and stays so; under
            another label that it gets later it counts once it reached that one's.
        alarm: and its best score under that label this.
    """

    def __init__(
        self, config: TrackConfig, min_score: Limit, threshold: Limit, alarm: Limit = lambda label: 0.0
    ) -> None:
        self._config, self._min_score, self._threshold, self._alarm = config, min_score, threshold, alarm
        self._tracks: list[Track] = []
        self._count = 0
        self._at: float | None = None
        self._steps: deque[float] = deque(maxlen=5)

    def update(self, found: Detections, at: float) -> list[Track]:
        """Takes a frame's detections and gives the tracks that were seen in it, confirmed or not.

        Args:
            found: down to well below min_score.
            at: seconds, not before the last call's.
        """
        self._expect(at)
        sure = np.array(
            [s >= self._min_score(n) for n, s in zip(found.names, found.scores.tolist(), strict=True)], bool
        )
        boxes = found.boxes.astype(np.float64)
        free_tracks = list(range(len(self._tracks)))
        seen: list[Track] = []
        for rows in (np.flatnonzero(sure), np.flatnonzero(~sure)):  # weak ones get what the sure ones left
            weak = bool(rows.size) and not sure[rows[0]]
            taken = assign(self._costs(boxes[rows], [found.names[i] for i in rows], free_tracks, at, weak))
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
        for track in self._tracks:
            track.kalman.predict(dt, track.size)

    def _costs(self, boxes: Floats, names: list[str], tracks: list[int], at: float, weak: bool) -> Floats:
        """float64 [tracks, boxes]: distance in sizes, infinite out of reach.

        The reach of `weak` ones is half and does not grow: they are everywhere, and a track would go from one to the
        next, a stone, a shadow, a nail.
        """
        if not len(boxes) or not tracks:
            return np.empty((len(tracks), len(boxes)))
        held = [self._tracks[index] for index in tracks]
        sizes = np.sqrt(np.maximum(1.0, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
        own = np.array([[t.size] for t in held])
        x, y = np.array([[[t.kalman.x], [t.kalman.y]] for t in held]).transpose(1, 0, 2)
        far = np.hypot((boxes[:, 0] + boxes[:, 2]) / 2 - x, (boxes[:, 1] + boxes[:, 3]) / 2 - y) / ((own + sizes) / 2)
        unseen = np.array([[at - t.seen] for t in held])
        reach = self._config.reach / 2 if weak else self._config.reach + self._config.reach_growth * unseen
        other = np.array([[name != t.label for name in names] for t in held]) * _OTHER_LABEL
        alike = np.maximum(sizes, own) <= 3 * np.minimum(sizes, own)
        return np.where((far <= reach) & alike, far + other, np.inf)

    def _begin(self, found: Detections, row: int, at: float) -> Track:
        self._count += 1
        box = found.boxes[row].astype(np.float64)
        size = box_size(box)
        kalman = KalmanFilter.begin(*_centre(box), size)
        track = Track(self._count, box, size, kalman, 0.0, at, at, at, deque(maxlen=self._config.history))
        self._tracks.append(track)
        self._note(track, found, row, sure=True)
        return track

    def _correct(self, track: Track, found: Detections, row: int, at: float, sure: bool) -> None:
        track.box, track.seen = found.boxes[row].astype(np.float64), at
        track.size = box_size(track.box)
        track.kalman.correct(*_centre(track.box), track.size)
        self._note(track, found, row, sure)

    def _note(self, track: Track, found: Detections, row: int, sure: bool) -> None:
        score, name = float(found.scores[row]), found.names[row]
        track.score, track.called = score, name
        track.scores.append(score if sure else 0.0)
        track.votes[name] = track.votes.get(name, 0.0) + score
        track.label = max(track.votes, key=track.votes.__getitem__)
        track.top_score = max(track.top_score, score)
        track.hits += sure
        track.sure = track.seen if sure else track.sure
        track.best[name] = max(track.best.get(name, 0.0), score)
        label = track.label
        sure_of_it = track.median >= self._threshold(label) and track.best[label] >= self._alarm(label)
        if track.hits >= self._config.hits and sure_of_it:
            track.confirmed = True
            track.told.add(label)


def median_score(scores: Sequence[float]) -> float:
    """The median of a track's scores, filled up with zeros to three: Frigate's computed score (its documentation,
    "Object scores"). So neither one nor two detections can be confirmed, whatever their scores are."""
    return float(statistics.median([*scores, *[0.0] * (_PADDED - len(scores))]))


def box_size(box: NDArray[np.floating]) -> float:
    """The side of a square as large as the box, pixels, at least 1."""
    x1, y1, x2, y2 = box.tolist()
    return math.sqrt(max(1.0, (x2 - x1) * (y2 - y1)))


def _centre(box: Floats) -> tuple[float, float]:
    x1, y1, x2, y2 = box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2
