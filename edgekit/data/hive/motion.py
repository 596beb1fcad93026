"""How insects move at a hive: a visit is one insect from where it appears to where it leaves, planned as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgekit.data.hive.camera import Plane, Points, Rng
from edgekit.data.hive.insects import VARIANTS, Kind, Pose
from edgekit.data.hive.render import Insect
from edgekit.data.hive.scene import BEE_MM, HORNET_MM, Scene

_POSES: tuple[Pose, ...] = ("folded", "open", "flying")
_WALL = 3  # a walk on the hive's front instead of the board
_STEPS_A_SECOND = 6
_INSIDE = -20.0  # z where a bee in the entrance can't be seen any more


@dataclass(frozen=True)
class Visit:
    """One insect's whole path, a row a frame: points, heads, backs and velocities [T, 3], and poses [T]."""

    kind: Kind
    length: float
    variant: int
    tint: Plane
    points: Points
    forward: Points
    up: Points
    velocity: Points
    poses: tuple[Pose, ...]
    fps: float

    def __len__(self) -> int:
        return len(self.poses)

    def at(self, row: int, ident: int) -> Insect:
        """The insect in that frame of its visit."""
        pose = self.poses[row]
        beat = row if pose == "flying" else int(row * _STEPS_A_SECOND / self.fps)
        return Insect(self.kind, self.points[row], self.forward[row], self.up[row], self.velocity[row], self.length,
                      pose, self.variant, beat % 2, self.tint, ident)  # fmt: skip


class _Path:
    """Pieces one after the other; yaw is the angle of the head around y, 0 towards +z (on the front: from +x)."""

    def __init__(self, start: Points, fps: float, rng: Rng) -> None:
        self.rng, self.fps, self.here = rng, fps, np.asarray(start, np.float64)
        self.points: list[Points] = []
        self.yaws: list[Points] = []
        self.modes: list[int] = []

    def fly(
        self, goal: tuple[float, float, float], speed: float, bow: float = 0.2, facing: float | None = None
    ) -> None:
        """On a bow to `goal` at about `speed` mm/s, slower at both ends; the head leads unless `facing` is given."""
        end = np.asarray(goal, np.float64)
        way = float(np.linalg.norm(end - self.here))
        t = self._shares(max(2, round(way / speed * self.fps)))
        t = 0.55 * t + 0.45 * t * t * (3 - 2 * t)
        middle = (self.here + end) / 2 + self.rng.normal(0, bow * way / 2, 3) * (1, 0.6, 0.6)
        middle[1], middle[2] = max(middle[1], 12), max(middle[2], 15)
        points = (1 - t) ** 2 * self.here + 2 * t * (1 - t) * middle + t * t * end
        steps = np.diff(np.vstack([self.here[None], points]), axis=0)
        yaw = self._ahead(steps, 2) if facing is None else np.full(len(t), facing)
        self._add(points, yaw, 2)

    def hover(self, seconds: float, wobble: float, facing: float) -> None:
        n = max(1, round(seconds * self.fps))
        t = np.arange(1, n + 1)[:, None] / self.fps
        turn, rate = self.rng.uniform(0, 2 * math.pi, (2, 3)), self.rng.uniform(2.5, 7, (2, 3))
        sway = (
            np.sin(rate[0] * t + turn[0])
            - np.sin(turn[0])
            + 0.4 * (np.sin(rate[1] * 2 * t + turn[1]) - np.sin(turn[1]))
        )
        points = self.here + sway * np.minimum(1, 3 * t) * wobble
        points[:, 1:] = np.maximum(points[:, 1:], (4, 8))
        self._add(points, facing + 0.35 * np.sin(t[:, 0] * rate[1, 0] * 0.5), 2)

    def walk(self, goal: tuple[float, float, float], speed: float, wall: bool = False) -> None:
        end = np.asarray(goal, np.float64)
        way = float(np.linalg.norm(end - self.here))
        t = self._shares(max(2, round(way / speed * self.fps)))
        side = np.array([end[1] - self.here[1], self.here[0] - end[0], 0]) if wall else np.array(
            [end[2] - self.here[2], 0, self.here[0] - end[0]])  # fmt: skip
        points = self.here + (end - self.here) * t + side * np.sin(t * math.pi * 2) * self.rng.uniform(-0.07, 0.07)
        steps = np.diff(np.vstack([self.here[None], points]), axis=0)
        yaw = self._ahead(steps, 1) if wall else self._ahead(steps, 2)
        self._add(points, yaw, _WALL if wall else 0)

    def stay(self, seconds: float, mode: int = 0) -> None:
        n = max(1, round(seconds * self.fps))
        last = self.yaws[-1][-1] if self.yaws else self.rng.uniform(-math.pi, math.pi)
        turn = last + np.cumsum(self.rng.normal(0, 0.5 / self.fps, n))
        self._add(np.repeat(self.here[None], n, 0), turn, mode)

    def _shares(self, n: int) -> Points:
        """[n, 1] shares of the way, up to 1; the first piece of a path begins with 0."""
        return (np.arange(1 if self.points else 0, n + 1) / n)[:, None]

    @staticmethod
    def _ahead(steps: Points, plane: int) -> Points:
        """Yaw of each step [n, 3], on the board (2) or on the front (1); a path's first row is no step."""
        yaw = np.arctan2(steps[:, 0], steps[:, 2]) if plane == 2 else np.arctan2(steps[:, 1], steps[:, 0])
        if not steps[0].any() and len(yaw) > 1:
            yaw[0] = yaw[1]
        return np.asarray(yaw)

    def _add(self, points: Points, yaw: Points, mode: int) -> None:
        self.points.append(points)
        self.yaws.append(yaw)
        self.modes += [mode] * len(points)
        self.here = points[-1]

    def visit(self, kind: Kind, length: float, tint: Plane, folded: Pose = "folded") -> Visit:
        points, yaw, modes = np.concatenate(self.points), np.unwrap(np.concatenate(self.yaws)), np.array(self.modes)
        yaw = _softened(yaw, max(1, round(0.25 * self.fps)))
        velocity = np.gradient(points, axis=0) * self.fps if len(points) > 1 else np.zeros_like(points)
        flying = modes == 2
        lift = np.where(flying, 0.1 + 0.25 * np.clip(velocity[:, 1] / 300, -1, 1), 0.0)
        lift = _softened(lift, max(1, round(0.25 * self.fps)))
        sin, cos, zero = np.sin(yaw), np.cos(yaw), np.zeros(len(yaw))
        forward = np.stack([sin * np.cos(lift), np.sin(lift), cos * np.cos(lift)], -1)
        up = np.stack([-sin * np.sin(lift), np.cos(lift), -cos * np.sin(lift)], -1)
        on_wall = (modes == _WALL)[:, None]
        forward = np.where(on_wall, np.stack([cos, sin, zero], -1), forward)
        up = np.where(on_wall, np.array([0.0, 0.0, 1.0]), up)
        poses = tuple("flying" if f else folded for f in flying)
        return Visit(kind, length, int(self.rng.integers(VARIANTS)), tint, points, forward, up, velocity, poses,
                     self.fps)  # fmt: skip


def _softened(values: Points, width: int) -> Points:
    if width < 2 or len(values) < 2:
        return values
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _tint(rng: Rng, spread: float) -> Plane:
    return (rng.uniform(1 - spread, 1 + spread) * rng.uniform(0.95, 1.05, 3)).astype(np.float32)


def _outside(scene: Scene, rng: Rng) -> tuple[float, float, float]:
    """A place that the camera does not see, beside or above the entrance."""
    wide = scene.spread
    if rng.random() < 0.7:
        side = 1 if rng.random() < 0.5 else -1
        return side * (0.66 * wide + 60), rng.uniform(20, 0.3 * wide + 40), rng.uniform(40, 180)
    return rng.uniform(-0.4, 0.4) * wide, 0.5 * wide + 120, rng.uniform(60, 160)


def _gate(scene: Scene, rng: Rng) -> float:
    return scene.slot[0] + rng.uniform(-0.85, 0.85) * scene.slot[1]


def _on_board(scene: Scene, rng: Rng, height: float, margin: float = 8) -> tuple[float, float, float]:
    half = min(scene.board[0] - margin, 0.45 * scene.spread)
    x = np.clip(scene.slot[0] + rng.normal(0, 0.45) * half, -half, half)
    return float(x), height, rng.uniform(margin, max(margin + 1, scene.board[1] - margin))


def bee_visit(scene: Scene, rng: Rng, fps: float) -> Visit:
    """Comes home, leaves, guards the board, walks on the front, learns the place, or passes by."""
    plan = _BEE_PLANS[int(rng.choice(len(_BEE_PLANS), p=(0.3, 0.22, 0.22, 0.06, 0.1, 0.1)))]
    path = plan(scene, rng, fps)
    return path.visit(
        "bee", BEE_MM * rng.uniform(0.93, 1.06), _tint(rng, 0.18), "folded" if rng.random() < 0.7 else "open"
    )


def _comes(scene: Scene, rng: Rng, fps: float) -> _Path:
    path = _Path(np.array(_outside(scene, rng)), fps, rng)
    x, y, z = _on_board(scene, rng, 3)
    path.fly((x, 22, z), rng.uniform(260, 520))
    path.hover(rng.uniform(0.1, 0.6), 2.5, math.pi)
    path.fly((x, y, z), 90, 0.05, math.pi)
    path.stay(rng.uniform(0.1, 1))
    _goes_in(path, scene, rng)
    return path


def _goes_in(path: _Path, scene: Scene, rng: Rng) -> None:
    gate, speed = _gate(scene, rng), rng.uniform(22, 60)
    path.walk((gate, 3, 9), speed)
    path.walk((gate, 3, _INSIDE), speed)


def _comes_out(scene: Scene, rng: Rng, fps: float) -> _Path:
    gate, speed = _gate(scene, rng), rng.uniform(25, 65)
    path = _Path(np.array([gate, 3, _INSIDE]), fps, rng)
    path.walk((gate, 3, 9), speed)
    return path


def _leaves(scene: Scene, rng: Rng, fps: float) -> _Path:
    path = _comes_out(scene, rng, fps)
    path.walk(_on_board(scene, rng, 3), rng.uniform(25, 65))
    path.stay(rng.uniform(0.1, 0.6))
    path.fly(_outside(scene, rng), rng.uniform(260, 480))
    return path


def _guards(scene: Scene, rng: Rng, fps: float) -> _Path:
    path = _comes_out(scene, rng, fps)
    for _ in range(int(rng.integers(2, 5))):
        path.walk(_on_board(scene, rng, 3), rng.uniform(20, 50))
        path.stay(rng.uniform(0.2, 1.2))
    _goes_in(path, scene, rng)
    return path


def _climbs(scene: Scene, rng: Rng, fps: float) -> _Path:
    x = scene.slot[0] + rng.uniform(-70, 70)
    path = _Path(np.array(_outside(scene, rng)), fps, rng)
    path.fly((x, rng.uniform(35, 90), 4), rng.uniform(250, 450), 0.2, math.pi)
    for _ in range(2):
        path.walk((x + rng.uniform(-40, 40), rng.uniform(25, 110), 3), rng.uniform(18, 40), wall=True)
        path.stay(rng.uniform(0.2, 0.8), _WALL)
    path.fly(_outside(scene, rng), rng.uniform(260, 450))
    return path


def _learns(scene: Scene, rng: Rng, fps: float) -> _Path:
    path = _Path(np.array(_outside(scene, rng)), fps, rng)
    for _ in range(3):
        goal = (scene.slot[0] + rng.uniform(-0.3, 0.3) * scene.spread, rng.uniform(25, 90), rng.uniform(50, 140))
        path.fly(goal, rng.uniform(150, 320), 0.3, math.pi)
        path.hover(rng.uniform(0.2, 0.8), 5, math.pi)
    path.fly(_outside(scene, rng), rng.uniform(260, 480))
    return path


def _passes(scene: Scene, rng: Rng, fps: float) -> _Path:
    path = _Path(np.array(_outside(scene, rng)), fps, rng)
    path.fly((rng.uniform(-0.3, 0.3) * scene.spread, rng.uniform(10, 100), rng.uniform(40, 190)), rng.uniform(250, 450))
    path.fly(_outside(scene, rng), rng.uniform(250, 450))
    return path


_BEE_PLANS: tuple[Callable[[Scene, Rng, float], _Path], ...] = (_comes, _leaves, _guards, _climbs, _learns, _passes)


def hornet_visit(scene: Scene, rng: Rng, fps: float, seconds: float) -> Visit:
    """Hawks before the entrance for about `seconds`: hovers, darts, now and then lands; then it leaves."""
    path = _Path(np.array(_outside(scene, rng)), fps, rng)
    until = seconds * fps
    first = True
    while len(path.modes) < until:
        goal = (scene.slot[0] + rng.uniform(-0.33, 0.33) * scene.spread, rng.uniform(22, 100), rng.uniform(45, 150))
        facing = rng.choice((0.0, math.pi, math.pi / 2, -math.pi / 2)) + rng.normal(0, 0.5)
        path.fly(goal, rng.uniform(240, 400) if first else rng.uniform(120, 380), 0.15, None if first else facing)
        path.hover(rng.uniform(0.5, 2.5), rng.uniform(2, 5), facing)
        first = False
        if rng.random() < 0.25:
            x, y, z = _on_board(scene, rng, 6, 14)
            path.fly((x, y, z), rng.uniform(120, 220), 0.1)
            path.stay(rng.uniform(0.4, 1.5))
            path.walk(_on_board(scene, rng, 6, 14), rng.uniform(25, 60))
            path.stay(rng.uniform(0.2, 0.8))
    path.fly(_outside(scene, rng), rng.uniform(260, 480))
    return path.visit("hornet", HORNET_MM * rng.uniform(0.93, 1.06), _tint(rng, 0.15))


def stray_visit(scene: Scene, rng: Rng, fps: float) -> Visit:
    """What is no object: a fly about, or a leaf that falls."""
    if rng.random() < 0.6:
        path = _passes(scene, rng, fps)
        return path.visit("fly", rng.uniform(5, 8), _tint(rng, 0.3))
    x, z = rng.uniform(-0.4, 0.4) * scene.spread, rng.uniform(-5, 120) + 20
    path = _Path(np.array([x, 0.4 * scene.spread + 80, z]), fps, rng)
    path.fly((x + rng.uniform(-80, 80), -0.4 * scene.spread - 60, z), rng.uniform(250, 420), 0.1, rng.uniform(-3, 3))
    visit = path.visit("leaf", rng.uniform(12, 38), _tint(rng, 0.3))
    spin = np.arange(len(visit)) / fps * rng.uniform(1, 6) + rng.uniform(0, 6)
    tumbling = np.stack([np.cos(spin), 0.3 * np.sin(spin * 0.7), np.sin(spin)], -1)
    tumbling /= np.linalg.norm(tumbling, axis=1, keepdims=True)
    side = np.cross(tumbling, np.array([0.2, 0.97, 0.1]))
    up = np.cross(side / np.linalg.norm(side, axis=1, keepdims=True), tumbling)
    return replace(visit, forward=tumbling, up=up)
