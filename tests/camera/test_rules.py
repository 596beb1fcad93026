"""What decides that an insect is there: the configuration's scores, then the model's of its boxes and its alarm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.camera.config import parse_config
from edgekit.camera.replay import Replay
from edgekit.camera.rules import Model, Rules, make_rules
from edgekit.camera.runtime import Camera
from tests.camera.conftest import ListGrabber, SpotDetector, at, config_of, found, model_of, spot


def rules(*changes: str, thresholds: tuple[float, ...] = (), alarms: tuple[float, ...] = ()) -> Rules:
    model = Model(lambda c, floor: SpotDetector(), ("bee", "hornet"), thresholds, {}, alarms=alarms)
    return make_rules(parse_config("", "a test", list(changes)), model)


def confirmed(rules: Rules, *scores: float) -> bool:
    """Whether a hornet of these scores, five a second, is told of."""
    replay = Replay(rules)
    for i, score in enumerate(scores):
        replay.see(found(at(50, 50, score)), (100, 100, 3), i / 5)
    return bool(replay.visits)


@pytest.mark.parametrize(
    ("changes", "alarms", "scores", "told"),
    [
        ((), (), (0.35,) * 5, True),  # its boxes' threshold alone, as files of before have it
        ((), (0.9, 0.5), (0.35,) * 5, False),  # never so sure that there is one
        ((), (0.9, 0.5), (0.35, 0.35, 0.55, 0.35), True),  # once
        ((), (0.9, 0.2), (0.25,) * 5, True),  # an alarm below the boxes' threshold
        ((), (0.9, 0.2), (0.15,) * 5, False),
        (("visits.alarm=0",), (0.9, 0.5), (0.35,) * 5, True),
        (("labels.hornet.alarm=0.8",), (0.9, 0.5), (0.35, 0.35, 0.55, 0.35), False),
        (("labels.hornet.threshold=0.4",), (0.9, 0.5), (0.35, 0.35, 0.55, 0.35), False),
    ],
)
def test_an_insect_is_there(
    changes: tuple[str, ...], alarms: tuple[float, ...], scores: tuple[float, ...], told: bool
) -> None:
    assert confirmed(rules(*changes, thresholds=(0.3, 0.3), alarms=alarms), *scores) is told


def test_a_replay_tells_what_the_camera_does() -> None:
    """The same frames through the camera's loop and without it: a hornet, nothing for 10 s, a hornet again."""
    dark = np.full((120, 160, 3), 40, np.uint8)
    frames = [*(spot(20 + 3 * i, 60) for i in range(20)), *[dark] * 100, *(spot(120 - 3 * i, 30) for i in range(15))]
    replay = Replay(rules())
    for i, frame in enumerate(frames):
        replay.see(SpotDetector().look(frame, None), frame.shape, i / 10)
    events: list[dict[str, Any]] = []
    camera = Camera(
        config_of("source.uri=synthetic://hive?seed=1&frames=135"),
        model_of(SpotDetector()),
        opener=lambda source, config: ListGrabber(frames, fps=10),
        say=lambda line: None,
        listeners=(events.append,),
    )
    camera.run()
    ends = [event for event in events if event["type"] == "end"]
    assert [(v.label, v.tracks, v.count_max, round(v.top_score, 4)) for v in replay.visits] == [
        (e["label"], e["tracks"], e["count_max"], e["top_score"]) for e in ends
    ]
    assert [(v.start, v.seen) for v in replay.visits] == [pytest.approx((0.2, 1.9)), pytest.approx((12.2, 13.4))]
