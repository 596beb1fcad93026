"""Everything that follows from a configuration and a model alone, made anew at every reload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.clock import Clock
from edgekit.camera.config import CameraConfig, LabelRule
from edgekit.camera.detect.detectors import Detector, one_label_each
from edgekit.camera.detect.motion import MotionWatch
from edgekit.camera.events.visits import Visits
from edgekit.camera.track.tracker import Tracker
from edgekit.camera.track.zones import Zones
from edgekit.errors import UsageError
from edgekit.vision.results import Detections

_NO_MODEL = (0.5, 0.7)  # min_score and threshold where neither configuration nor model has one (Frigate's)
_FLOOR = 0.5  # of the smallest min_score: weaker ones do not even continue a track


@dataclass(frozen=True)
class Model:
    """What looks, opened.

    Attributes:
        make: a detector for a configuration and a smallest score.
        classes, thresholds, alarms: the model's; no thresholds of boxes or alarms where none were chosen.
        info: name, sha256, precision, and what it was trained on where its file says that; for the events.
        close: releases it.
        replaced: whether other bytes lie at its path by now. Raises EdgekitError where nothing does.
    """

    make: Callable[[CameraConfig, float], Detector]
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    info: Mapping[str, str]
    close: Callable[[], None] = lambda: None
    replaced: Callable[[], bool] = lambda: False
    alarms: tuple[float, ...] = ()

    @property
    def named(self) -> str:
        """By name and hash, in words."""
        return f"{self.info['name']} ({self.info['sha256'][:12]})"


@dataclass(frozen=True)
class Rules:
    """The parts of the loop that a configuration makes.

    Attributes:
        least: a label's min_score.
        floor: the smallest score of interest; weaker detections do not even continue a track.
        unwatched: where motion does not count, or None.
        motion: None where nobody asks what moved.
    """

    config: CameraConfig
    least: Mapping[str, float]
    floor: float
    detector: Detector
    zones: Zones
    unwatched: NDArray[np.bool_] | None
    motion: MotionWatch | None
    tracker: Tracker
    visits: Visits

    def kept(self, seen: Detections, shape: tuple[int, ...]) -> Detections:
        """Those of a frame's detections that lie where one looks, one label for each insect."""
        found = self.zones.kept(seen, shape)
        return found if self.detector.several else one_label_each(found)


def make_rules(config: CameraConfig, model: Model, clock: Clock | None = None) -> Rules:
    """The rules of `config` for `model`, with the source's `clock`.

    Raises:
        UsageError: labels that no class has, or options that are for another kind of model.
    """
    unknown = sorted({*config.visits.labels, *config.labels} - set(model.classes))
    if unknown:
        raise UsageError(
            "The configuration names labels that the model does not have.",
            got=", ".join(unknown),
            expected="some of " + ", ".join(model.classes),
        )
    least = least_scores(config, model.classes, model.thresholds, model.alarms)
    threshold, alarm = {}, {}
    for i, name in enumerate(model.classes):
        own, raised = _own(i, model.thresholds, model.alarms)
        rule = config.labels.get(name, LabelRule())
        threshold[name] = max(least[name], _first(rule.threshold, config.visits.threshold, own, _NO_MODEL[1]))
        alarm[name] = _first(rule.alarm, config.visits.alarm, raised, 0.0)
    floor = _FLOOR * min(least.values())
    detector = model.make(config, floor)
    zones = Zones(config.zones)
    return Rules(
        config=config,
        least=least,
        floor=floor,
        detector=detector,
        zones=zones,
        unwatched=zones.unwatched(),
        motion=MotionWatch(config.motion) if config.motion.gate or detector.needs_motion else None,
        tracker=Tracker(config.track, least.__getitem__, threshold.__getitem__, alarm.__getitem__),
        visits=Visits(config.visits, threshold, zones, clock),
    )


def least_scores(
    config: CameraConfig, classes: Sequence[str], thresholds: Sequence[float], alarms: Sequence[float]
) -> dict[str, float]:
    """By class, in the model's order, from which score on a detection counts.

    Args:
        classes, thresholds, alarms: the model's; no thresholds where none were chosen.
    """
    return {
        name: _first(
            config.labels.get(name, LabelRule()).min_score,
            config.visits.min_score,
            _own(i, thresholds, alarms)[0],
            _NO_MODEL[0],
        )
        for i, name in enumerate(classes)
    }


def _own(label: int, thresholds: Sequence[float], alarms: Sequence[float]) -> tuple[float | None, float | None]:
    """From which score on the model shows a box of a class, and raises its alarm.

    An alarm's threshold was chosen for the best box of a sharp picture: what one insect reaches once, not half of the
    time. So it is asked of a track's best score; where boxes are shown from above it on, it is the lower.
    """
    raised = alarms[label] if alarms else None
    shown = thresholds[label] if thresholds else None
    return shown if raised is None or shown is None else min(shown, raised), raised


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
