"""Bees, hornets, flies and leaves, drawn once in code and kept as small pictures with an outline and a relief.

Lengths are in body lengths: the head is at x = 0.5, the tail at x = -0.5. Seen from above, y is across; seen from the
side, y points down to the feet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from edgekit.data.hive.canvas import Canvas, Level, Plane, mix, ring, smooth_step

Kind = Literal["bee", "hornet", "fly", "leaf"]
View = Literal["top", "side"]
Pose = Literal["folded", "open", "flying"]

VARIANTS = 3
_Line = tuple[tuple[float, float], ...]
_LEADING: _Line = ((0, 0.02), (0.2, 0.06), (0.5, 0.1), (0.8, 0.115), (0.96, 0.08), (1, 0.0))
_TRAILING: _Line = ((0.93, -0.09), (0.72, -0.16), (0.45, -0.15), (0.3, -0.1), (0.1, -0.04))
_WING = _LEADING + _TRAILING  # along and across, in wing lengths
_VEINS: tuple[_Line, ...] = (
    ((0.02, 0.02), (0.45, 0.08), (0.85, 0.095)),
    ((0.05, 0), (0.45, 0.01), (0.8, -0.02)),
    ((0.1, -0.02), (0.35, -0.06), (0.62, -0.13)),
    ((0.5, 0.08), (0.55, -0.1)),
    ((0.7, 0.09), (0.75, -0.1)),
)


@lru_cache(maxsize=256)
def sprite(kind: Kind, view: View, pose: Pose, variant: int, step: int = 0) -> tuple[Level, ...]:
    """The levels of one insect, finest first, each half as fine as the one before. `step` is 0 or 1, of its walk."""
    canvas = Canvas(np.random.Generator(np.random.PCG64([5, variant, len(kind)])))
    if kind == "leaf":
        _leaf(canvas, variant)
    else:
        look = _LOOKS[kind](canvas.rng)
        (_from_above if view == "top" else _from_the_side)(canvas, look, pose, step)
    return canvas.levels()


@dataclass(frozen=True)
class _Look:
    """Colours (BGR 0..255) and proportions of one kind."""

    abdomen: Callable[[Plane, Plane], Plane]
    thorax: Any
    head: Any
    face: Any
    leg: Any
    foot: Any
    wing: Any
    fur: Any
    hairs: int
    girth: float  # half width of the abdomen
    chest: float  # half width of the thorax
    wing_length: float
    wing_width: float
    leg_length: float
    clear: float  # opacity of a wing at rest
    pollen: bool


_BARREL = (0.5, 0.82, 0.96, 1, 1, 0.98, 0.9, 0.76, 0.55, 0.28, 0.0)
_DROP = (0.2, 0.62, 0.86, 0.97, 1, 1, 0.95, 0.85, 0.66, 0.36, 0.0)
_BALL = (0.0, 0.6, 0.8, 0.92, 0.98, 1, 0.98, 0.92, 0.8, 0.6, 0.0)


def _bee(rng: np.random.Generator) -> _Look:
    amber = np.array((28, 88, 165)) * rng.uniform(0.75, 1.15)
    yellow = rng.uniform(0.0, 0.55)  # how far back the amber goes: none in Carniolan bees, half in Italian ones
    felt = np.array((110, 165, 205)) * rng.uniform(0.7, 1.0)

    def abdomen(t: Plane, v: Plane) -> Plane:
        place = t * np.float32(6) + np.float32(0.25) * v * v
        within = place - np.floor(place)
        ground = mix(amber, (16, 25, 40), smooth_step(t + np.float32(0.05) * v * v, yellow, yellow + 0.12))
        banded = mix(ground, felt, (1 - smooth_step(within, 0.22, 0.5)) * np.float32(0.8))
        return mix(banded, (10, 16, 26), smooth_step(within, 0.6, 0.85) * np.float32(0.75))

    return _Look(abdomen, (32, 62, 92), (24, 36, 48), (40, 60, 78), (16, 22, 32), (20, 32, 48), (150, 164, 174),
                 np.array((88, 150, 190)) * rng.uniform(0.75, 1.1), 330, 0.158, 0.165, 0.7, 1.0, 1.0, 0.42,
                 bool(rng.random() < 0.3))  # fmt: skip


def _hornet(rng: np.random.Generator) -> _Look:
    """Vespa velutina nigrithorax: dark thorax, the fourth segment orange-yellow, yellow feet."""
    dark = np.array((12, 17, 27)) * rng.uniform(0.8, 1.5)
    orange = np.array((22, 128, 232)) * rng.uniform(0.85, 1.08)

    def abdomen(t: Plane, v: Plane) -> Plane:
        edge = t + np.float32(0.03) * v * v
        colour = mix(dark, dark, t)
        for place in (0.16, 0.37, 0.57):  # fine yellow hind edges of the first three segments
            line = smooth_step(edge, place, place + 0.01) - smooth_step(edge, place + 0.018, place + 0.028)
            colour = mix(colour, (40, 140, 200), line * np.float32(0.7))
        notch = np.float32(0.08) * (1 - smooth_step(np.abs(v), 0.05, 0.3))
        broad = smooth_step(edge - notch, 0.585, 0.625) - smooth_step(edge, 0.79, 0.82) * np.float32(0.8)
        return mix(colour, orange, broad * (1 - smooth_step(edge, 0.82, 1.0) * np.float32(0.6)))

    return _Look(abdomen, dark * 1.1, dark * 1.3, (34, 120, 212), (14, 20, 30), (48, 185, 232), (92, 118, 142),
                 (26, 34, 46), 150, 0.152, 0.138, 0.74, 0.86, 1.3, 0.5, False)  # fmt: skip


def _fly(rng: np.random.Generator) -> _Look:
    shade = np.array((44, 46, 44)) * rng.uniform(0.6, 1.2)
    return _Look(lambda t, v: mix(shade, shade * 0.6, t), shade, shade, (30, 34, 90), (22, 22, 22), (22, 22, 22),
                 (170, 175, 178), shade, 30, 0.2, 0.18, 0.75, 1.35, 0.8, 0.3, False)  # fmt: skip


_LOOKS: dict[str, Callable[[np.random.Generator], _Look]] = {"bee": _bee, "hornet": _hornet, "fly": _fly}


def _wing_at(base: tuple[float, float], angle: float, length: float, width: float, side: int, line: Any) -> Any:
    """Points of a wing's outline or vein: `angle` in degrees from the head, `side` 1 or -1."""
    a = math.radians(angle)
    points = np.asarray(line, np.float64)
    along, across = points[:, 0] * length, points[:, 1] * length * width
    x = base[0] + along * math.cos(a) + across * math.sin(a)
    y = base[1] + side * (along * math.sin(a) - across * math.cos(a))
    return np.stack([x, y], -1)


def _wings(canvas: Canvas, look: _Look, base: tuple[float, float], angles: Sequence[float], side: int,
           scale: float = 1.0) -> None:  # fmt: skip
    length, count = look.wing_length * scale, len(angles)
    shapes = [_wing_at(base, a, length, look.wing_width, side, _WING) for a in angles]
    # a beating wing is seen through most of the time, but never thinner than what still counts as the insect
    canvas.polygons(shapes, look.wing, look.clear if count == 1 else look.clear * 1.5)
    if count == 1:
        veins = [_wing_at(base, angles[0], length, look.wing_width, side, line) for line in _VEINS]
        canvas.strokes(veins, 0.008, np.multiply(look.wing, 0.4), 0.6)
        canvas.strokes([shapes[0][:6]], 0.014, np.multiply(look.wing, 0.3), 0.7)


def _leg(look: _Look, points: Any, thighs: list[Any], feet: list[Any]) -> None:
    root, knee, ankle, toe = np.asarray(points, np.float64)
    thighs.append([root, knee, ankle])
    feet.append([knee * 0.25 + ankle * 0.75, ankle, toe])


def _draw_legs(canvas: Canvas, look: _Look, thighs: list[Any], feet: list[Any]) -> None:
    canvas.strokes(feet, 0.026, look.foot)
    canvas.strokes(thighs, 0.036, look.leg)


def _from_above(canvas: Canvas, look: _Look, pose: Pose, step: int) -> None:
    thighs: list[Any] = []
    feet: list[Any] = []
    for side in (-1, 1):
        swing = 0.05 * side * (1 if step else -1)
        for root, sign, spread in ((0.27, 1.0, 0.92), (0.2, -0.25, 1.0), (0.12, -1.0, 0.95)):
            s, w = swing * (1 if sign < 0 else -1), look.leg_length * spread * (0.8 if pose == "flying" else 1)
            at = [(root, 0.08), (root + 0.1 * sign, 0.2 * w), (root + 0.19 * sign + s, 0.3 * w)]
            at.append((root + 0.3 * sign + s * 1.6, 0.37 * w))
            _leg(look, [(x, side * y) for x, y in at], thighs, feet)
    _draw_legs(canvas, look, thighs, feet)
    if look.pollen:
        canvas.polygons([ring((-0.06, side * 0.26), 0.055, 0.045) for side in (-1, 1)], (30, 150, 225), 1.9)
    feelers = [[(0.46, s * 0.03), (0.54, s * 0.1), (0.64, s * 0.16 * look.leg_length)] for s in (-1, 1)]
    canvas.strokes(feelers, 0.022, look.leg)
    waist = look.chest < look.girth
    canvas.body((0.08, 0), (0.0, 0), (0.4, 0.3, 0.3, 0.5), 0.1, lambda t, v: mix(look.leg, look.leg, t))
    canvas.body((0.03 if waist else 0.08, 0), (-0.5, 0), _DROP if waist else _BARREL, look.girth, look.abdomen)
    canvas.body((0.35, 0), (0.02, 0), _BALL, look.chest, lambda t, v: mix(look.thorax, look.thorax, t))
    canvas.fur((0.19, 0), (0.16, look.chest), look.hairs, 0.06, look.fur)
    canvas.body((0.5, 0), (0.33, 0), _BALL, 0.125, lambda t, v: mix(look.face, look.head, smooth_step(t, 0.2, 0.55)))
    eyes = [ring((0.405, s * 0.095), 0.055, 0.036) for s in (-1, 1)]
    canvas.polygons(eyes, (8, 10, 14), 2.0)
    for side in (-1, 1):
        base = (0.2, side * 0.1)
        if pose == "flying":
            low, high = (70, 104) if step else (88, 126)
            _wings(canvas, look, (0.14, side * 0.09), np.linspace(low + 22, high + 16, 4).tolist(), side, 0.72)
            _wings(canvas, look, base, np.linspace(low, high, 5).tolist(), side)
        else:
            angle = (161 if look.hairs > 200 else 166) if pose == "folded" else 138
            _wings(canvas, look, (0.14, side * 0.08), [angle - 4], side, 0.72)
            _wings(canvas, look, base, [angle], side)


def _from_the_side(canvas: Canvas, look: _Look, pose: Pose, step: int) -> None:
    thighs: list[Any] = []
    feet: list[Any] = []
    for near in (0, 1):
        for root, sign in ((0.27, 1.0), (0.2, 0.1), (0.12, -0.8)):
            s = 0.05 * (1 if (step + near) % 2 else -1) + 0.03 * near
            if pose == "flying":  # legs hang and trail
                at = [(root, 0.08), (root - 0.02 + 0.07 * sign, 0.2), (root - 0.08 + 0.08 * sign + s * 0.5, 0.3)]
                at.append((root - 0.17 + 0.12 * sign + s * 0.6, 0.27 + 0.12 * look.leg_length))
            else:
                at = [(root, 0.08), (root + 0.13 * sign + s * 0.4, 0.09), (root + 0.17 * sign + s, 0.24)]
                at.append((root + 0.23 * sign + s * 1.3, 0.3))
            _leg(look, at, thighs, feet)
    _draw_legs(canvas, look, thighs, feet)
    if look.pollen:
        canvas.polygons([ring((0.03, 0.2), 0.06, 0.045)], (30, 150, 225), 1.0)
    feelers = [[(0.46, 0), (0.55, -0.05 + d), (0.63, 0.05 + d)] for d in (0, 0.03)]
    canvas.strokes(feelers, 0.022, look.leg)
    base = (0.2, -0.12)
    if pose == "flying":
        far = np.linspace(75, 105, 4) if step else np.linspace(98, 132, 4)
        _wings(canvas, look, base, (far - 12).tolist(), -1, 0.85)
    elif pose == "open":
        _wings(canvas, look, base, [118], -1)
    waist = look.chest < look.girth
    canvas.body((0.1, 0.02), (0.0, 0.03), (0.4, 0.3, 0.3, 0.5), 0.1, lambda t, v: mix(look.leg, look.leg, t))
    canvas.body((0.03 if waist else 0.08, 0.02), (-0.48, 0.05), _DROP if waist else _BARREL, look.girth * 0.95,
                look.abdomen, 0.07)  # fmt: skip
    canvas.body((0.36, -0.02), (0.02, 0.0), _BALL, look.chest, lambda t, v: mix(look.thorax, look.thorax, t))
    canvas.fur((0.19, -0.02), (0.16, look.chest), look.hairs, 0.06, look.fur)
    canvas.body(
        (0.405, -0.12), (0.44, 0.13), _BALL, 0.085, lambda t, v: mix(look.head, look.face, smooth_step(t, 0.3, 0.7))
    )
    canvas.polygons([ring((0.41, -0.02), 0.036, 0.075)], (8, 10, 14), 1.0)
    if pose == "flying":
        near_sweep = np.linspace(82, 112, 5) if step else np.linspace(100, 138, 5)
        _wings(canvas, look, base, near_sweep.tolist(), -1)
    else:
        angle = 168 if pose == "folded" else 135
        _wings(canvas, look, (0.14, -0.1), [angle + 6], -1, 0.72)
        _wings(canvas, look, base, [angle], -1)


def _leaf(canvas: Canvas, variant: int) -> None:
    colour = ((40, 96, 150), (38, 120, 96), (44, 70, 110))[variant % 3]
    canvas.body((0.5, 0), (-0.5, 0), (0, 0.5, 0.85, 1, 0.95, 0.8, 0.55, 0.3, 0.1, 0.06, 0.05), 0.26,
                lambda t, v: mix(colour, np.multiply(colour, 0.7), np.abs(v)), 0.06)  # fmt: skip
    canvas.strokes([[(0.45, 0), (-0.3, 0.0), (-0.5, 0.05)]], 0.02, np.multiply(colour, 0.6))
