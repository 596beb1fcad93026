"""Insects put into a scene: seen at their angle, blurred, lit, with shadows, and the exact box of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.data.hive.camera import Points
from edgekit.data.hive.canvas import Level, Plane, Window
from edgekit.data.hive.insects import Kind, Pose, View, sprite
from edgekit.data.hive.scene import Scene

# A pixel belongs to an insect from an eighth of coverage on: thin legs, wings and the tail of a motion blur do
COVERED = 0.125
_THINNEST = 0.62  # of the length: insects are round, so a sprite seen along its plane never gets thinner
_SHORTEST = 0.55


@dataclass(frozen=True)
class Insect:
    """One insect (or a fly, or a leaf) at one moment; millimetres, seconds, unit vectors.

    Attributes:
        point: its middle [3]; behind the front (z < 0) it is in the entrance.
        forward, up: where its head and its back point [3].
        velocity: [3], for the motion blur.
        tint: BGR factors.
        ident: the same in all frames.
    """

    kind: Kind
    point: Points
    forward: Points
    up: Points
    velocity: Points
    length: float
    pose: Pose
    variant: int
    step: int
    tint: Plane
    ident: int


@dataclass(frozen=True)
class Seen:
    """Where an insect is in the frame.

    Attributes:
        box: x1 y1 x2 y2 of its own pixels, those covered to an eighth or more (legs, wings and blur included), clipped
            to the frame and to the entrance's upper edge. Other insects in front of it do not change it.
        visible: 0..1, the share of its coverage that lies in the frame and that nothing is in front of; less in the
            entrance, as it gets dark there.
        mask: bool [y2 - y1, x2 - x1], its own pixels in its box.
        depth: millimetres from the camera; what is nearer is in front.
    """

    insect: Insect
    box: tuple[int, int, int, int]
    visible: float
    mask: NDArray[np.bool_]
    depth: float


@dataclass(frozen=True)
class _Layer:
    insect: Insect
    bgra: Plane
    left: int
    top: int
    total: float  # coverage before the frame and the entrance cut it
    depth: float
    scale: float  # pixels a millimetre


def draw(picture: Plane, scene: Scene, insects: Sequence[Insect], light: Plane, shadows: bool = True) -> list[Seen]:
    """Draws onto float32 [h, w, 3] in place, far ones first; what is in the frame, in the order of `insects`.

    `picture` is lit already; `light` [h, w, 3] is what it was multiplied with.
    """
    layers = [layer for insect in insects if (layer := _layer(scene, insect)) is not None]
    if shadows:
        for layer in layers:
            _shadow(picture, scene, layer)
    layers.sort(key=lambda one: -one.depth)
    for layer in layers:
        target, source = _overlap(layer, picture.shape[:2])
        part, ink = picture[target], layer.bgra[source]
        if part.size:
            part *= 1 - ink[..., 3:]
            part += ink[..., :3] * light[target]
    cover = np.zeros(picture.shape[:2], np.float32)
    seen = {}
    for layer in reversed(layers):
        target, source = _overlap(layer, cover.shape)
        alpha = layer.bgra[source][..., 3]
        mask = alpha >= np.float32(COVERED)
        if mask.any():
            rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
            y, x = target[0].start, target[1].start
            box = (x + int(columns[0]), y + int(rows[0]), x + int(columns[-1]) + 1, y + int(rows[-1]) + 1)
            visible = float((alpha * (1 - cover[target])).sum()) / layer.total * _light_in_slot(layer.insect)
            own = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            seen[layer.insect.ident] = Seen(layer.insect, box, visible, own, layer.depth)
        np.maximum(cover[target], alpha, out=cover[target])
    return [seen[insect.ident] for insect in insects if insect.ident in seen]


def _layer(scene: Scene, insect: Insect) -> _Layer | None:
    """The insect as a small picture with its place; None where it is outside the frame."""
    import cv2

    height, width = scene.size
    centres, depths = scene.camera.project(insect.point[None])
    centre, depth = centres[0], float(depths[0])
    scale = scene.camera.focal / depth
    length = insect.length * scale
    if not (-length < centre[0] < width + length and -length < centre[1] < height + length):
        return None
    slope = scene.camera.slope(insect.point)
    view, axes = _axes(slope, insect, length)
    level = _level(insect, view, max(np.hypot(*axes[:, 0]), np.hypot(*axes[:, 1])))
    turn = axes / level.unit

    move = slope @ insect.velocity * scene.exposure
    speed = float(np.hypot(*move))
    if speed > 0.8 * length:
        move, speed = move * (0.8 * length / speed), 0.8 * length
    sigma = scene.aperture * abs(depth - scene.focus) / depth
    margin = 2 + math.ceil(speed / 2) + (math.ceil(2.5 * sigma) if sigma > 0.3 else 0)
    h, w = level.relief.shape[:2]
    corners = (np.array([[0, 0], [w, 0], [w, h], [0, h]]) - level.origin) @ turn.T + centre
    left, top = (np.floor(corners.min(0)).astype(int) - margin).tolist()
    right, bottom = (np.ceil(corners.max(0)).astype(int) + margin).tolist()
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return None
    offset = turn @ (0.5 - np.asarray(level.origin)) + centre - (left, top) - 0.5
    matrix, size = np.hstack([turn, offset[:, None]]), (right - left, bottom - top)
    bgra = np.asarray(cv2.warpAffine(level.bgra, matrix, size, flags=cv2.INTER_LINEAR), np.float32)
    relief = np.asarray(cv2.warpAffine(level.relief, matrix, size, flags=cv2.INTER_LINEAR), np.float32)
    bgra[..., :3] *= insect.tint * np.float32(_light_in_slot(insect))
    _light(bgra, relief, axes, slope, scene)
    if speed > 0.8:
        bgra = _smear(bgra, move, speed)
    if sigma > 0.3:
        bgra = np.asarray(cv2.GaussianBlur(bgra, (0, 0), sigma), np.float32)
    total = float(bgra[..., 3].sum())
    if insect.point[2] < insect.length / 2:
        _under_the_lintel(bgra, left, top, scene, insect)
    return _Layer(insect, bgra, left, top, max(total, 1e-6), depth, scale)


def _axes(slope: Points, insect: Insect, length: float) -> tuple[View, Points]:
    """The view that shows more of the insect, and [2, 2]: the sprite's x and y axes in pixels a body length."""
    ahead = slope @ insect.forward * insect.length
    reach = float(np.hypot(*ahead))
    ahead = ahead * max(1.0, _SHORTEST * length / reach) if reach > 1e-6 else np.array([length * _SHORTEST, 0.0])
    reach = float(np.hypot(*ahead))
    across = slope @ np.cross(insect.forward, insect.up) * insect.length
    down = -(slope @ insect.up) * insect.length
    normal = np.array([-ahead[1], ahead[0]]) / reach
    view: View = "top" if abs(across @ normal) >= abs(down @ normal) else "side"
    other = across if view == "top" else down
    upright = float(other @ normal)
    lean = float(other @ ahead) / reach * 0.4
    if abs(upright) < _THINNEST * length:
        upright = math.copysign(_THINNEST * length, upright)
    return view, np.stack([ahead, normal * upright + ahead / reach * lean], axis=1)


def _level(insect: Insect, view: View, unit: float) -> Level:
    levels = sprite(insect.kind, view, insect.pose, insect.variant, insect.step)
    fine = [level for level in levels if level.unit >= 0.9 * unit]
    return fine[-1] if fine else levels[0]


def _light(bgra: Plane, relief: Plane, axes: Points, slope: Points, scene: Scene) -> None:
    """Brighter where the surface turns to the sun."""
    unit = axes / np.hypot(axes[0], axes[1])
    sun = slope @ scene.sun
    towards = (unit.T @ (sun / max(float(np.hypot(*sun)), 1e-6))).astype(np.float32) * np.float32(0.75 * scene.shade)
    bgra[..., :3] *= (np.float32(1.12) + relief[..., 0] * towards[0] + relief[..., 1] * towards[1])[..., None]


def _smear(bgra: Plane, move: Points, speed: float) -> Plane:
    """The mean over the exposure, in steps of at most a pixel."""
    steps = math.ceil(speed) + 1
    h, w = bgra.shape[:2]
    pad = math.ceil(speed / 2) + 1
    total = np.zeros((h + 2 * pad, w + 2 * pad, 4), np.float32)
    for i in range(steps):
        share = i / (steps - 1) - 0.5
        x, y = pad + round(move[0] * share), pad + round(move[1] * share)
        total[y : y + h, x : x + w] += bgra
    return np.ascontiguousarray(total[pad : pad + h, pad : pad + w] / np.float32(steps))


def _light_in_slot(insect: Insect) -> float:
    """1 outside, falling to 0.15 a bee's length behind the front."""
    return min(1.0, max(0.15, 1 + float(insect.point[2]) / 14))


def _under_the_lintel(bgra: Plane, left: int, top: int, scene: Scene, insect: Insect) -> None:
    """What is above the entrance's upper edge is behind the front."""
    x, high = float(insect.point[0]), scene.slot[2]
    ends, _ = scene.camera.project(np.array([[x - 30, high, 0], [x + 30, high, 0]]))
    (ax, ay), (bx, by) = ends - (left, top)
    h, w = bgra.shape[:2]
    edge = (ay + (np.arange(w) + 0.5 - ax) * (by - ay) / (bx - ax)).astype(np.float32)
    bgra *= np.clip(np.arange(h, dtype=np.float32)[:, None] + np.float32(1) - edge, 0, 1)[..., None]


def _shadow(picture: Plane, scene: Scene, layer: _Layer) -> None:
    """On the board, else on the front; softer and weaker the farther the insect is away from it."""
    import cv2

    point, sun = layer.insect.point, scene.sun
    if point[2] < 0 or point[1] < 0:
        return
    way = float(point[1] / sun[1])
    spot = point - sun * way
    if not (abs(spot[0]) < scene.board[0] and 0 < spot[2] < scene.board[1]):
        way = float(point[2] / sun[2])
        spot = point - sun * way
        if not 0 < spot[1] < 140:
            return
    (here, there), _ = scene.camera.project(np.stack([point, spot]))
    dx, dy = (there - here).round().astype(int).tolist()
    sigma = 0.4 + way * 0.012 * layer.scale
    pad = math.ceil(2 * sigma)
    alpha = np.ascontiguousarray(layer.bgra[..., 3])
    dark = cv2.copyMakeBorder(alpha, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    soft = np.asarray(cv2.GaussianBlur(dark, (0, 0), sigma), np.float32)
    moved = _Layer(layer.insect, soft[..., None], layer.left + dx - pad, layer.top + dy - pad, 1, 0, 1)
    target, source = _overlap(moved, picture.shape[:2])
    picture[target] *= 1 - np.float32(scene.shade * math.exp(-way / 160)) * moved.bgra[source]


def _overlap(layer: _Layer, size: tuple[int, ...]) -> tuple[Window, Window]:
    """The layer's window in the frame, and the part of the layer that falls into it."""
    h, w = layer.bgra.shape[:2]
    y0, x0 = min(max(layer.top, 0), size[0]), min(max(layer.left, 0), size[1])
    y1, x1 = max(y0, min(layer.top + h, size[0])), max(x0, min(layer.left + w, size[1]))
    inside = (slice(y0 - layer.top, y1 - layer.top), slice(x0 - layer.left, x1 - layer.left))
    return (slice(y0, y1), slice(x0, x1)), inside


def boxes_of(seen: Sequence[Seen]) -> NDArray[np.float32]:
    """float32 [M, 4] of what was seen."""
    return np.array([one.box for one in seen], np.float32).reshape(-1, 4)
