"""A made hive entrance with bees and hornets: pictures to train and test on, and an endless scene for a camera.

No download and no licence. The same seed gives the same pixels on the same machine and with the same versions of
NumPy and OpenCV; between an x86 and an ARM single grey levels differ by up to 3, unlike with `made_pictures`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.data.hive.camera import Plane, Rng
from edgekit.data.hive.motion import Visit, bee_visit, hornet_visit, stray_visit
from edgekit.data.hive.render import Insect, Seen, boxes_of, draw
from edgekit.data.hive.scene import Scene, make_scene
from edgekit.data.sample import Dataset, Sample
from edgekit.errors import UsageError
from edgekit.progress import track
from edgekit.vision.image import Frame

HIVE_CLASSES = ("bee", "hornet")
VISIBLE = 0.35  # of an insect; of which less is seen, nobody must find it

_PICTURE_FPS = 20.0
_SMALLEST = 96  # pixels
_POOL = 64  # how far the noise's origin moves between frames
# seconds from one chance of a visit to the next: a bee's lane, strays, a raid of hornets
_BEE_LANE, _STRAY_LANE, _RAID = 12.0, 20.0, 45.0
_LANES = 40  # at most so many at once; the lane and its turn make the identity
_STRAYS, _HORNETS = 32, (33, 34, 35)  # their lanes; those before are bees'


class HiveFrame(NamedTuple):
    """A frame of `HiveClip`: uint8 [h, w, 3] BGR, float32 [M, 4], int64 [M], int64 [M]."""

    frame: Frame
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ids: NDArray[np.int64]


class HiveMasks(NamedTuple):
    """A picture and each insect's own pixels: uint8 [h, w, 3] BGR, bool [M, h, w], int64 [M]."""

    frame: Frame
    masks: NDArray[np.bool_]
    labels: NDArray[np.int64]


def hive_pictures(n: int, seed: int = 0, height: int = 360, width: int = 640) -> Dataset:
    """`n` boxed pictures of HIVE_CLASSES, layout "made", each a hive, camera, light and hour of its own.

    About one in seven is without bees and hornets, and more than half are without hornets. Flies, falling leaves and
    shadows are no objects. Picture i depends on `seed`, the size and i alone. At a width of 640 a bee's body is 12 to
    45 pixels long and a hornet's nearly twice that.

    A box holds the pixels that an insect's body, legs and wings cover to an eighth or more, motion blur and defocus
    included, clipped to the frame; another insect in front does not shrink it. Insects of which less than VISIBLE
    is seen are put aside (ignored): they need not be found, and finding them is not wrong.

    Raises:
        UsageError: n below 1, a negative seed, or a side below 96 pixels.
    """
    check_made(n, seed, height, width)
    samples = []
    for i in track(range(n), "making pictures"):
        frame, seen = picture_of(i, seed, height, width)
        clear, ignored = told_apart(seen)
        samples.append(
            Sample(None, frame, None, f"hive-{seed}-{i:04d}", boxes=boxes_of(clear), box_labels=_labels(clear),
                   ignored_boxes=boxes_of(ignored) if ignored else None,
                   ignored_labels=_labels(ignored) if ignored else None)
        )  # fmt: skip
    return Dataset(tuple(samples), HIVE_CLASSES, "made")


def hive_masks(n: int, seed: int = 0, height: int = 360, width: int = 640) -> Iterator[HiveMasks]:
    """The pictures of `hive_pictures`, one at a time, with the masks that its boxes are around.

    A mask is what an insect covers to an eighth or more, also where another one is in front of it. Insects that need
    not be found have none. Raises UsageError as `hive_pictures` does.
    """
    check_made(max(1, n), seed, height, width)
    for i in range(n):
        frame, seen = picture_of(i, seed, height, width)
        clear, _ = told_apart(seen)
        masks = np.zeros((len(clear), height, width), np.bool_)
        for mask, one in zip(masks, clear, strict=True):
            x1, y1, x2, y2 = one.box
            mask[y1:y2, x1:x2] = one.mask
        yield HiveMasks(frame, masks, _labels(clear))


class HiveClip:
    """One hive before a fixed camera, for as long as one looks.

    Bees come, walk in and out, and fly past all the time. Hornets come in raids of 8 to 25 seconds, one to three of
    them; the first begins after 3 to 13 seconds, and between two there is a quarter of a minute to some minutes
    without one. `frame(i)` depends on the arguments and i alone, and costs about as much as the next one in turn. An
    insect keeps its id from where it appears to where it leaves; while less than VISIBLE of it is seen it is left out,
    and it comes back under the same id. Boxes are as in `hive_pictures`.

    Args:
        seed: 0 or more; another seed is another hive.
        fps: frames a second of the scene's own time.
        length: frames, None for no end.
        hornets: whether they come; without them all else is the same, so what sees one there is wrong.

    Raises:
        UsageError: a negative seed, a side below 96 pixels, fps outside 1 to 240, or a length below 1.
    """

    def __init__(
        self,
        seed: int = 0,
        fps: float = 20,
        height: int = 360,
        width: int = 640,
        length: int | None = None,
        hornets: bool = True,
    ) -> None:
        check_made(1, seed, height, width)
        if not 1 <= fps <= 240 or (length is not None and length < 1):
            raise UsageError(
                "Such a clip cannot be made.", got=f"fps={fps}, length={length}", expected="fps 1 to 240, length >= 1"
            )
        self.seed, self.fps, self.length, self.hornets = seed, float(fps), length, hornets
        rng = self._rng(0, 0)
        self.scene = make_scene(rng, height, width)
        self._phases = rng.uniform(0, 1, _LANES)
        self._phases[list(_HORNETS)] = 0  # the first raid begins soon, and not at once
        self._bees = int(rng.integers(11, 23))
        self._visits: dict[tuple[int, int], tuple[int, Visit] | None] = {}

    def frame(self, index: int) -> HiveFrame:
        """The frame with that number, from 0.

        Raises:
            UsageError: a negative number, or one at or above `length`.
        """
        if index < 0 or (self.length is not None and index >= self.length):
            raise UsageError(
                "The clip has no such frame.", got=str(index), expected=f"0 to {(self.length or 0) - 1}"
                if self.length else "0 or more",
            )  # fmt: skip
        insects = list(self.insects(index))
        frame, seen = _shot(self.scene, insects, index / self.fps, self._rng(9, index), lossy=False)
        clear, _ = told_apart(seen)
        ids = np.array([one.insect.ident for one in clear], np.int64)
        return HiveFrame(frame, boxes_of(clear), _labels(clear), ids)

    def __iter__(self) -> Iterator[HiveFrame]:
        index = 0
        while self.length is None or index < self.length:
            yield self.frame(index)
            index += 1

    def insects(self, index: int) -> Iterator[Insect]:
        """Who is there in that frame, seen or not; flies and leaves too."""
        for lane in (*range(self._bees), _STRAYS, *(_HORNETS if self.hornets else ())):
            period = _RAID if lane in _HORNETS else _STRAY_LANE if lane == _STRAYS else _BEE_LANE
            turn, since = divmod(index / self.fps + self._phases[lane] * period, period)
            planned = self._planned(lane, int(turn), period)
            if planned is not None:
                first, visit = planned
                row = round(since * self.fps) - first
                if 0 <= row < len(visit):
                    yield visit.at(row, 1 + lane + _LANES * int(turn))

    def _planned(self, lane: int, turn: int, period: float) -> tuple[int, Visit] | None:
        """The first frame within its turn, and the visit; None where nobody comes."""
        if (lane, turn) not in self._visits:
            if len(self._visits) > 256:
                self._visits.clear()
            self._visits[lane, turn] = self._plan(lane, turn, period)
        return self._visits[lane, turn]

    def _plan(self, lane: int, turn: int, period: float) -> tuple[int, Visit] | None:
        rng = self._rng(2 + lane, turn)
        room = round(period * self.fps)
        if lane in _HORNETS:
            raid = self._rng(1, turn)
            comes, start, size = (
                turn == 0 or raid.random() < 0.8,
                raid.uniform(3, 10),
                raid.choice(3, p=(0.6, 0.28, 0.12)),
            )
            if not comes or _HORNETS.index(lane) > size:
                return None
            visit = hornet_visit(self.scene, rng, self.fps, rng.uniform(6, 15))
            first = round((start + rng.uniform(0, 3)) * self.fps)
            return (first, visit) if first + len(visit) < room else None
        for _ in range(4):  # a visit that doesn't fit into its turn would end in mid-air
            visit = stray_visit(self.scene, rng, self.fps) if lane == _STRAYS else bee_visit(self.scene, rng, self.fps)
            if len(visit) < room:
                return int(rng.integers(0, room - len(visit))), visit
        return None

    def _rng(self, purpose: int, index: int) -> Rng:
        return np.random.Generator(np.random.PCG64([self.seed, 2, purpose, index]))


def picture_of(index: int, seed: int, height: int, width: int) -> tuple[Frame, list[Seen]]:
    """The picture of that number, and who is in it, flies and leaves too."""
    rng = np.random.Generator(np.random.PCG64([seed, 1, index]))
    scene = make_scene(rng, height, width)
    insects = _moment(scene, rng)
    return _shot(scene, insects, rng.uniform(0, 60), rng, lossy=True)


def check_made(n: int, seed: int, height: int, width: int) -> None:
    """Raises UsageError as `hive_pictures`."""
    if n < 1:
        raise UsageError("Such pictures cannot be made.", got=f"n={n}", expected="n >= 1")
    if seed < 0 or min(height, width) < _SMALLEST:
        raise UsageError(
            "Such a hive cannot be made.",
            got=f"seed={seed}, {width}x{height}",
            expected=f"seed >= 0, sides of {_SMALLEST} pixels or more",
        )


def _moment(scene: Scene, rng: Rng) -> list[Insect]:
    """Who is in a single picture: a moment of each one's visit at which its middle is in the frame."""
    nobody, hornets = rng.random() < 0.125, rng.random() < 0.5
    bees = 0 if nobody else int(rng.choice((0, 1, 3, 6, 10, 16), p=(0.06, 0.14, 0.27, 0.28, 0.18, 0.07)))
    count = 0 if nobody or not hornets else int(rng.choice((1, 2, 3), p=(0.68, 0.24, 0.08)))
    visits = [bee_visit(scene, rng, _PICTURE_FPS) for _ in range(bees)]
    visits += [hornet_visit(scene, rng, _PICTURE_FPS, 4) for _ in range(count)]
    visits += [stray_visit(scene, rng, _PICTURE_FPS) for _ in range(int(rng.integers(0, 3)))]
    height, width = scene.size
    insects = []
    for ident, visit in enumerate(visits):
        pixels, _ = scene.camera.project(visit.points)
        rows = np.nonzero(((pixels > 0) & (pixels < (width, height))).all(axis=1) & (visit.points[:, 2] > -12))[0]
        if len(rows):
            insects.append(visit.at(int(rng.choice(rows)), ident))
    return insects


def _shot(scene: Scene, insects: list[Insect], seconds: float, rng: Rng, lossy: bool) -> tuple[Frame, list[Seen]]:
    light = scene.light(seconds)
    picture = scene.backdrop * light
    seen = draw(picture, scene, insects, light)
    height, width = scene.size
    y, x = rng.integers(0, _POOL, 2)
    noise = _noise_pool(height, width)[y : y + height, x : x + width]
    return scene.finish(picture, noise, lossy), seen


def told_apart(seen: list[Seen]) -> tuple[list[Seen], list[Seen]]:
    """Bees and hornets that must be found, and those too little of which is seen."""
    objects = [one for one in seen if one.insect.kind in HIVE_CLASSES]
    return [o for o in objects if o.visible >= VISIBLE], [o for o in objects if o.visible < VISIBLE]


def _labels(seen: list[Seen]) -> NDArray[np.int64]:
    return np.array([HIVE_CLASSES.index(one.insect.kind) for one in seen], np.int64)


@lru_cache(maxsize=4)
def _noise_pool(height: int, width: int) -> Plane:
    """Noise of deviation 1, mostly of brightness as a camera's is, larger than a frame so that its origin can move."""
    rng = np.random.Generator(np.random.PCG64(7))
    grey = rng.standard_normal((height + _POOL, width + _POOL, 1), dtype=np.float32)
    colour = rng.standard_normal((height + _POOL, width + _POOL, 3), dtype=np.float32)
    return np.asarray(grey * np.float32(0.9) + colour * np.float32(0.436), np.float32)
