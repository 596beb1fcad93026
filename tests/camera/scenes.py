"""Hives for looking at the page: painted frames whose insects a detector knows, and a store with a season in it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.camera.clock import iso
from edgekit.camera.deliver.live_view import encode
from edgekit.camera.detect.detectors import Detector
from edgekit.camera.detect.motion import Motion
from edgekit.camera.events.pictured import objects_of
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.store.database import insert_counts, insert_event, open_database
from edgekit.data import HIVE_CLASSES, HiveClip
from edgekit.vision.draw import with_boxes
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections

FRAMES = 12
_HORNET = HIVE_CLASSES.index("hornet")


@lru_cache(maxsize=4)
def painted(hornets: int, seed: int = 3) -> tuple[tuple[Frame, Detections], ...]:
    """Frames of a made hive with its bees and so many hornets, cut out of another frame, and what is in each."""
    clip, patch = HiveClip(seed=seed, fps=10, hornets=False), _hornet()
    high, wide = patch.shape[:2]
    rng = np.random.default_rng(seed)
    places = [(40 + i % 4 * 140 + rng.integers(0, 50), 40 + i // 4 * 120 + rng.integers(0, 40)) for i in range(hornets)]
    found = []
    for number in range(FRAMES):
        made = clip.frame(number)
        frame, boxes, labels = made.frame.copy(), [made.boxes], [made.labels]
        for x, y in places:
            left, top = int(x) + 2 * abs(number - FRAMES // 2), int(y)
            frame[top : top + high, left : left + wide] = patch
            boxes.append(np.array([[left, top, left + wide, top + high]], np.float32))
            labels.append(np.array([_HORNET]))
        rows, kinds = np.concatenate(boxes), np.concatenate(labels)
        names = tuple(HIVE_CLASSES[i] for i in kinds)
        found.append((frame, Detections(rows, np.full(len(kinds), 0.93, np.float32), kinds, names)))
    return tuple(found)


@lru_cache(maxsize=1)
def _hornet() -> Frame:
    """The largest hornet of a made clip, as a patch."""
    clip = HiveClip(seed=1, fps=2)
    frames = [clip.frame(number) for number in range(60)]
    found = [(f.frame, box) for f in frames for box, kind in zip(f.boxes, f.labels, strict=True) if kind == _HORNET]
    frame, box = max(found, key=lambda pair: (pair[1][2] - pair[1][0]) * (pair[1][3] - pair[1][1]))
    x1, y1, x2, y2 = np.clip(box.astype(int) + np.array([-4, -4, 5, 5]), 0, None)
    return np.ascontiguousarray(frame[y1:y2, x1:x2])


def frames_of(hornets: int, seed: int = 3) -> Iterator[Any]:
    """For a `ListGrabber`: ten frames a second."""
    number = 0
    while True:
        yield 0.1
        yield painted(hornets, seed)[number % FRAMES][0]
        number += 1


class PaintedDetector(Detector):
    """Finds what was painted.

    Args:
        scenes: arguments of `painted`; scenes of one seed are the same to it.
    """

    def __init__(self, *scenes: tuple[int, int]) -> None:
        self._truth = {f[::37, ::41].tobytes(): d for scene in scenes for f, d in painted(*scene)}

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        return self._truth[frame[::37, ::41].tobytes()]


def season(folder: Path, camera: str = "hive", days: int = 130) -> None:
    """A store with a season in it: more hornets from month to month, and some visits with pictures; today none yet."""
    db = open_database(folder / "visits.db")
    rng = np.random.default_rng(7)
    noon = datetime.now().replace(hour=12, minute=0, second=0, microsecond=0)
    with db:
        for ago in range(days, 0, -1):
            start = int((noon - timedelta(ago)).timestamp()) // 900 * 900
            if ago % 23 == 5:
                continue  # the box was off
            most = int(rng.poisson(9 * ((days - ago) / days) ** 2))
            for i in range(-16, 16):
                bucket = start + 900 * i
                here = most if i == 0 else int(rng.integers(0, most // 2 + 1))
                most_at_once = {(camera, "hornet", bucket): here, (camera, "bee", bucket): 12 + i % 5}
                insert_counts(db, most_at_once, {(camera, bucket): 900.0})
        midnight = int(noon.replace(hour=0).timestamp())
        bucket = max(int(time.time()) // 900 * 900 - 900, midnight)  # of today also just after it began
        insert_counts(db, {(camera, "hornet", bucket): 0, (camera, "bee", bucket): 9}, {(camera, bucket): 900.0})
        for seq in range(1, 9):
            at = time.time() - 86400 * (9 - seq) - 3600 * seq
            insert_event(db, _visit(folder, camera, seq, at, 1 + seq % 5))
    db.close()


def _visit(folder: Path, camera: str, seq: int, at: float, hornets: int) -> dict[str, Any]:
    frame, found = painted(hornets, seed=seq % 3)[0]
    ident, files = uuid7(at), {}
    for kind, place, picture in (("snapshot", "snapshots", with_boxes(frame, found)), ("plain", "plain", frame)):
        path = folder / place / "then" / f"{ident}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = encode(picture)
        path.write_bytes(data)
        name, digest = path.relative_to(folder).as_posix(), hashlib.sha256(data).hexdigest()
        files[kind] = {"path": name, "sha256": digest, "bytes": len(data)}
    objects = list(objects_of(frame, found))
    return {"schema": "edgekit.visit/1", "id": ident, "seq": seq, "type": "end", "device": "box", "camera": camera,
            "label": "hornet", "start": iso(at), "last_seen": iso(at + 40), "end": iso(at + 40), "end_reason": "lost",
            "score": 0.93, "median_score": 0.9, "top_score": 0.93, "threshold": 0.5, "box": objects[-1]["box"],
            "tracks": [1], "zones": [], "count": 0, "count_max": hornets, "model": {"name": "made.onnx"},
            "snapshot": files["snapshot"], "plain": {**files["plain"], "objects": objects}, "clip": None}  # fmt: skip
