"""What the camera sees of a hive without insects and light: garden, box, entrance and landing board."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgekit.data.hive.camera import Camera, Plane, Points, Rng


def smooth(rng: Rng, height: int, width: int, cells_y: float, cells_x: float) -> Plane:
    """Smooth noise around 0 of deviation near 0.5 [height, width], with so many cells across."""
    import cv2

    grid = rng.standard_normal((int(cells_y) + 3, int(cells_x) + 3), dtype=np.float32)
    wide = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(wide * np.float32(0.6), np.float32)


def leaf_light(rng: Rng, height: int, width: int, darkest: float) -> Plane:
    """How much sun comes through a tree's leaves at each place: float32 [height, width], `darkest` to 1."""
    h, w = height // 8 + 64, width // 8 + 64
    leaves = smooth(rng, h, w, rng.uniform(3, 7), rng.uniform(4, 10)) + smooth(rng, h, w, 14, 20) * np.float32(0.4)
    open_sky = np.clip(leaves * np.float32(1.8) + np.float32(rng.uniform(0.1, 1.2)), 0, 1)
    return np.asarray(np.float32(darkest) + np.float32(1 - darkest) * open_sky, np.float32)


def garden(rng: Rng, height: int, width: int) -> Plane:
    """What is behind and under the hive, out of focus: sky or hedge above, grass, leaves or earth below."""
    import cv2

    h, w = height // 2, width // 2
    palettes = (((40, 92, 78), (70, 150, 120)), ((34, 66, 60), (60, 120, 84)), ((58, 84, 110), (96, 128, 150)),
                ((30, 50, 60), (70, 100, 130)))  # fmt: skip
    dark, bright = palettes[int(rng.integers(len(palettes)))]
    mixed = smooth(rng, h, w, 5, 8) * np.float32(0.5) + smooth(rng, h, w, 20, 40) * np.float32(0.35)
    mixed += smooth(rng, h, w, h // 6, w // 3) * np.float32(rng.uniform(0.1, 0.35))  # blades
    share = np.clip(mixed + np.float32(0.5), 0, 1.3)[..., None]
    ground = np.asarray(dark, np.float32) + (np.asarray(bright, np.float32) - np.asarray(dark, np.float32)) * share
    horizon = h * rng.uniform(-0.2, 0.45)
    y = np.arange(h, dtype=np.float32)[:, None] + smooth(rng, h, w, 2, 14) * np.float32(h * 0.08)
    above = np.clip((np.float32(horizon) - y) / np.float32(8) + np.float32(0.5), 0, 1)[..., None]
    hedge = ((200, 190, 175), (64, 104, 84), (38, 62, 54))[int(rng.integers(3))]
    sky = np.asarray(hedge, np.float32) * (1 + smooth(rng, h, w, 6, 10)[..., None] * np.float32(0.16))
    picture = np.asarray(ground + (sky - ground) * above, np.float32)
    for _ in range(int(rng.integers(0, 14))):  # flowers and lights far behind
        colour = ((230, 235, 240), (90, 190, 235), (190, 120, 190), (150, 210, 220))[int(rng.integers(4))]
        at = (int(rng.integers(w)), int(rng.integers(h)))
        cv2.circle(picture, at, int(rng.integers(1, 5)), colour, -1, cv2.LINE_AA)
    blur = rng.uniform(0.6, 4)
    soft = cv2.GaussianBlur(picture, (0, 0), blur)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


_PAINTS = ((196, 190, 182), (150, 142, 138), (205, 178, 140), (120, 160, 130), (90, 175, 205), (215, 222, 226),
           (110, 120, 175), (150, 110, 80))  # fmt: skip
_WOODS = ((110, 150, 182), (92, 118, 138), (128, 136, 140), (72, 104, 140))


def _boards(rng: Rng, height: int, width: int, scale: float, plank: float, colour: Any, painted: bool) -> Plane:
    """Planks along x: float32 [height, width, 3]; `scale` in pixels a mm, `plank` their width in mm."""
    import cv2

    # grain: noise drawn long, and bent around where knots would be
    fine = smooth(rng, height, width, height / max(1.0, 1.3 * scale), width / (30 * scale))
    broad = smooth(rng, height, width, height / (9 * scale), width / (110 * scale))
    tone = fine * np.float32(0.07 if painted else 0.17) + broad * np.float32(0.06 if painted else 0.16)
    dirt = smooth(rng, height, width, height / (40 * scale), width / (40 * scale))
    tone += np.minimum(dirt, 0) * np.float32(rng.uniform(0.05, 0.25)) + np.float32(1)
    base = np.asarray(colour, np.float32) * np.ones((height, width, 1), np.float32)
    if painted:
        worn = np.clip((fine * np.float32(0.6) + dirt - np.float32(rng.uniform(0.9, 1.7))) * np.float32(5), 0, 1)
        base += (np.asarray(_WOODS[int(rng.integers(len(_WOODS)))], np.float32) - base) * worn[..., None]
    at = rng.uniform(0.2, 1) * plank * scale
    while at < height:
        row = int(at)
        tone[row : row + max(1, round(0.9 * scale))] *= np.float32(0.42)
        tone[max(0, row - 1) : row] *= np.float32(1.12)
        tone[row:] *= np.float32(rng.uniform(0.94, 1.06))
        at += plank * scale
    picture = base * tone[..., None]
    for _ in range(int(rng.integers(0, 4 if painted else 9))):  # knots and nails
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        size = (max(1, round(rng.uniform(2, 5) * scale)), max(1, round(rng.uniform(1, 3) * scale)))
        cv2.ellipse(picture, centre, size, 0, 0, 360, np.multiply(colour, 0.5).tolist(), -1, cv2.LINE_AA)
    return np.asarray(picture, np.float32)


def paint_hive(picture: Plane, rng: Rng, camera: Camera, board: tuple[float, float], slot: tuple[float, float, float],
          aim: Points, pixels_mm: float) -> None:  # fmt: skip
    """Side, front, board and its edge, from far to near."""
    height, width = picture.shape[:2]
    painted = bool(rng.random() < 0.6)
    paint = (_PAINTS if painted else _WOODS)[int(rng.integers(8 if painted else 4))]
    scale = min(pixels_mm, 1.7)
    box = max(board[0] + 15, 190 + rng.uniform(0, 60))
    reach = 0.62 * width / pixels_mm / math.cos(math.atan2(camera.turn[0, 2], camera.turn[0, 0])) + 60
    x0, x1 = max(-box, aim[0] - reach), min(box, aim[0] + reach)
    above = min(rng.uniform(150, 330), 0.85 * height / pixels_mm + 120)
    below = min(rng.uniform(15, 120), 0.85 * height / pixels_mm)
    side = box if camera.place[0] > 0 else -box
    flat = np.asarray(paint, np.float32) * np.float32(rng.uniform(0.5, 0.95)) * np.ones((8, 8, 1), np.float32)
    _lay(picture, flat, camera, [(side, above, 0), (side, above, -350), (side, -below, -350), (side, -below, 0)])

    rows, columns = int((above + below) * scale), int((x1 - x0) * scale)
    front = _boards(rng, rows, columns, scale, rng.uniform(60, 150), paint, painted)
    _entrance(front, rng, lambda x, y: ((x - x0) * scale, (above - y) * scale), scale, slot, board, below)
    _lay(picture, front, camera, [(x0, above, 0), (x1, above, 0), (x1, -below, 0), (x0, -below, 0)])

    b0, b1 = max(x0, -board[0]), min(x1, board[0])
    pale = bool(rng.random() < 0.7)
    colour = paint if pale else _WOODS[int(rng.integers(4))]
    top = _boards(
        rng, max(8, int(board[1] * scale)), max(8, int((b1 - b0) * scale)), scale, 500, colour, pale and painted
    )
    top *= np.float32(rng.uniform(1.02, 1.22))
    top[: max(2, round(4 * scale))] *= np.linspace(0.55, 1, max(2, round(4 * scale)), dtype=np.float32)[:, None, None]
    _crumbs(top, rng, scale)
    _lay(picture, top, camera, [(b0, 0, 0), (b1, 0, 0), (b1, 0, board[1]), (b0, 0, board[1])])
    thick = rng.uniform(8, 22)
    edge = top[-max(4, int(thick * scale)) :] * np.float32(rng.uniform(0.5, 0.8))
    z = board[1]
    _lay(picture, edge, camera, [(b0, 0, z), (b1, 0, z), (b1, -thick, z), (b0, -thick, z)])


def _entrance(front: Plane, rng: Rng, pixel: Any, scale: float, slot: tuple[float, float, float],
              board: tuple[float, float], below: float) -> None:  # fmt: skip
    """The slot, what often is around it (a metal strip with holes) and the board's shadow under it."""
    import cv2

    def box(x0: float, y0: float, x1: float, y1: float) -> tuple[Any, Any]:
        (ax, ay), (bx, by) = pixel(x0, y1), pixel(x1, y0)
        return (round(ax), round(ay)), (round(bx), round(by))

    x, half, high = slot
    if rng.random() < 0.35:  # an entrance reducer of sheet metal
        grey = rng.uniform(120, 175)
        wide, tall = half + rng.uniform(15, 60), rng.uniform(26, 45)
        a, b = box(x - wide, 0, x + wide, tall)
        cv2.rectangle(front, a, b, (grey * 1.02, grey, grey * 0.94), -1)
        cv2.line(front, a, (b[0], a[1]), (grey * 0.55,) * 3, max(1, round(scale)))
        for i in range(int(2 * wide / 7)):
            for row in (0.6, 0.8):
                cx, cy = pixel(x - wide + 5 + 7 * i, tall * row)
                cv2.circle(front, (round(cx), round(cy)), max(1, round(1.7 * scale)), (26, 28, 30), -1, cv2.LINE_AA)
    a, b = box(x - half, 0, x + half, high)
    cv2.rectangle(front, a, b, (10, 13, 17), -1)
    if rng.random() < 0.4:  # teeth that keep hornets out
        for i in range(1, int(2 * half / 9)):
            c, d = box(x - half + 9 * i - 1.2, 0, x - half + 9 * i + 1.2, high)
            cv2.rectangle(front, c, d, (96, 104, 110), -1)
    a, b = box(-board[0], -below, board[0], -2)
    under = front[max(0, a[1]) : b[1] + 1, max(0, a[0]) : max(0, b[0]) + 1]
    if under.size:
        under *= np.linspace(0.35, 0.9, under.shape[0], dtype=np.float32)[:, None, None]


def _crumbs(top: Plane, rng: Rng, scale: float) -> None:
    """Wax, pollen, dirt and stains on the board: nothing of it is an insect."""
    import cv2

    height, width = top.shape[:2]
    for _ in range(int(rng.integers(5, 50))):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        colour = ((40, 48, 58), (60, 150, 200), (120, 150, 170), (34, 40, 46))[int(rng.integers(4))]
        size = max(1, round(rng.uniform(0.3, 1.1) * scale))
        cv2.ellipse(
            top, at, (size + int(rng.integers(3)), size), int(rng.integers(180)), 0, 360, colour, -1, cv2.LINE_AA
        )


def _lay(picture: Plane, texture: Plane, camera: Camera, corners: Any) -> None:
    """Puts `texture` onto the picture so that its corners, clockwise from the upper left, come to these places."""
    import cv2

    points = np.asarray(corners, np.float64)
    depth = ((points - camera.place) @ camera.turn.T)[:, 2]
    if depth.min() < 25:
        return
    seen, _ = camera.project(points)
    h, w = texture.shape[:2]
    source = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) - np.float32(0.5)
    place = cv2.getPerspectiveTransform(source, (seen - 0.5).astype(np.float32))
    cv2.warpPerspective(texture, place, (picture.shape[1], picture.shape[0]), picture, flags=cv2.INTER_LINEAR,
                        borderMode=cv2.BORDER_TRANSPARENT)  # fmt: skip
