"""Everything that follows from a configuration and a model alone, made anew at every reload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.clock import Clock
from edgekit.camera.config import CameraConfig, LabelRule
from edgekit.camera.detect.detectors import Detector
from edgekit.camera.detect.motion import MotionWatch
from edgekit.camera.events.visits import Visits
from edgekit.camera.track.tracker import Tracker
from edgekit.camera.track.zones import Zones
from edgekit.errors import UsageError

_NO_MODEL = (0.5, 0.7)  # min_score and threshold where neither configuration nor model has one (Frigate's)
_FLOOR = 0.5  # of the smallest min_score: weaker ones do not even continue a track


@dataclass(frozen=True)
class Model:
    """What looks, opened.

    Attributes:
        make: a detector for a configuration and a smallest score.
        classes, thresholds: the model's; no thresholds where none were chosen.
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


@dataclass(frozen=True)
class Rules:
    """The parts of the loop that a configuration makes.

    Attributes:
        least: a label's min_score.
        unwatched: where motion does not count, or None.
        motion: None where nobody asks what moved.
    """

    config: CameraConfig
    least: Mapping[str, float]
    detector: Detector
    zones: Zones
    unwatched: NDArray[np.bool_] | None
    motion: MotionWatch | None
    tracker: Tracker
    visits: Visits


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
    least, threshold = {}, {}
    for i, name in enumerate(model.classes):
        own = model.thresholds[i] if model.thresholds else None
        rule = config.labels.get(name, LabelRule())
        least[name] = _first(rule.min_score, config.visits.min_score, own, _NO_MODEL[0])
        threshold[name] = max(least[name], _first(rule.threshold, config.visits.threshold, own, _NO_MODEL[1]))
    detector = model.make(config, _FLOOR * min(least.values()))
    zones = Zones(config.zones)
    return Rules(
        config=config,
        least=least,
        detector=detector,
        zones=zones,
        unwatched=zones.unwatched(),
        motion=MotionWatch(config.motion) if config.motion.gate or detector.needs_motion else None,
        tracker=Tracker(config.track, least.__getitem__, threshold.__getitem__),
        visits=Visits(config.visits, threshold, zones, clock),
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
