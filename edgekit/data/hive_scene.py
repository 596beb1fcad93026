"""A hive box with its landing board in a garden: where things are, how the camera sees them, and the empty picture.

World coordinates are millimetres: x to the right along the hive's front, y up from the landing board, z out of the
front towards the garden. The front is the plane z = 0, the board y = 0, the entrance a slot at the foot of the front.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.vision.image import Frame

Plane = NDArray[np.float32]
Points = NDArray[np.float64]
Rng = np.random.Generator

BEE_MM = 13.0
HORNET_MM = 25.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: `turn` [3, 3] from the world's axes to right, down, forwards; `place` [3] in mm."""

    turn: Points
    place: Points
    focal: float
    centre: tuple[float, float]

    def project(self, points: Points) -> tuple[Points, Points]:
        """Pixels x, y [n, 2] and distances along the view [n] of world points [n, 3]."""
        seen = (points - self.place) @ self.turn.T
        depth = np.maximum(seen[:, 2], 20.0)
        return seen[:, :2] * (self.focal / depth)[:, None] + self.centre, depth

    def slope(self, point: Points) -> Points:
        """[2, 3]: how the pixel moves when the world point [3] does, in pixels a millimetre."""
        x, y, z = self.turn @ (point - self.place)
        z = max(z, 20.0)
        flat = np.array([[1, 0, -x / z], [0, 1, -y / z]]) * (self.focal / z)
        return np.asarray(flat @ self.turn)


@dataclass(frozen=True)
class Scene:
    """One hive before one camera, under one light.

    Attributes:
        backdrop: float32 [h, w, 3], the picture without insects and light.
        camera: see `Camera`.
        focus: mm from the camera where insects are sharp; `aperture`: how quickly they are not.
        board: half width and depth of the landing board in mm; `slot`: centre, half width and height of the entrance.
        sun: unit vector towards the sun; `shade`: 0..1, how dark an insect's shadow is.
        gain: float32 [3], exposure and white balance; `noise`: deviation of the sensor's, in grey levels.
        shadows: float32 [h / 8 + 64, w / 8 + 64], light through a tree's leaves, 0..1.
        softness: deviation of the lens's blur in pixels; `exposure`: seconds; `jpeg`: quality, 0 for none.
    """

    backdrop: Plane
    camera: Camera
    focus: float
    aperture: float
    board: tuple[float, float]
    slot: tuple[float, float, float]
    sun: Points
    shade: float
    gain: Plane
    noise: float
    shadows: Plane
    vignette: Plane
    softness: float
    exposure: float
    jpeg: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.backdrop.shape[0], self.backdrop.shape[1]

    @property
    def spread(self) -> float:
        """Millimetres that the picture is wide at the entrance."""
        return self.size[1] / self.camera.focal * self.focus

    def light(self, seconds: float) -> Plane:
        """float32 [h, w, 3]: what the backdrop is multiplied with; clouds and leaves move with time."""
        import cv2

        h, w = self.size
        rows, columns = h // 8 + 2, w // 8 + 2
        sway_x = 30 + 26 * math.sin(seconds * 0.11) + 2.5 * math.sin(seconds * 1.3)
        sway_y = 30 + 24 * math.cos(seconds * 0.073) + 1.5 * math.sin(seconds * 0.9 + 1)
        shift = np.array([[1, 0, -sway_x], [0, 1, -sway_y]], np.float64)
        small = cv2.warpAffine(self.shadows, shift, (columns, rows), flags=cv2.INTER_LINEAR,
                               borderMode=cv2.BORDER_REFLECT)  # fmt: skip
        cloud = 1.0 + 0.07 * math.sin(seconds * 0.19) + 0.03 * math.sin(seconds * 0.61 + 2)
        tint = (small * self.vignette)[..., None] * (self.gain * np.float32(cloud))
        return np.asarray(cv2.resize(tint, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)

    def finish(self, picture: Plane, noise: Plane, lossy: bool) -> Frame:
        """float32 [h, w, 3] to the sensor's uint8: lens, noise of deviation 1 times the scene's, and JPEG."""
        import cv2

        soft = cv2.GaussianBlur(picture, (3, 3), self.softness, borderType=cv2.BORDER_REFLECT)
        frame = cv2.addWeighted(soft, 1.0, noise, self.noise, 0.0, dtype=cv2.CV_8U)
        if lossy and self.jpeg:
            _, code = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])
            return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
        return np.asarray(frame, np.uint8)


def make_scene(rng: Rng, height: int, width: int) -> Scene:
    """A scene of its own for every state of `rng`: box, colours, camera, light and sensor vary."""
    import cv2

    bee = math.exp(rng.uniform(math.log(15), math.log(34))) * width / 640  # pixels a bee is long at the entrance
    distance = rng.uniform(380, 800)
    yaw, pitch = math.radians(rng.uniform(-38, 38)), math.radians(rng.uniform(14, 48))
    aim = np.array([rng.uniform(-35, 35), rng.uniform(10, 50), rng.uniform(20, 60)])
    back = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
    roll = math.radians(rng.normal(0, 2.5))
    down = np.cross(-back, right)
    right, down = right * math.cos(roll) + down * math.sin(roll), down * math.cos(roll) - right * math.sin(roll)
    camera = Camera(np.stack([right, down, -back]), aim + back * distance, bee / BEE_MM * distance,
                    (width / 2, height / 2))  # fmt: skip
    board = (rng.uniform(110, 230), rng.uniform(55, 110))
    half = rng.uniform(35, 90)
    room = min(40.0, board[0] - half - 8)
    slot = (rng.uniform(-room, room), half, rng.uniform(8, 14))
    dusk = rng.random() < 0.15
    sunny = not dusk and rng.random() < 0.65
    sun = np.array([rng.uniform(-0.8, 0.8), rng.uniform(0.7, 1.3), rng.uniform(0.35, 1.0)])
    warmth = rng.normal(0, 0.05) - (0.08 if dusk else 0.0)
    y, x = np.mgrid[0 : height // 8 + 2, 0 : width // 8 + 2].astype(np.float32)
    far = ((y * 8 / height - np.float32(0.5)) ** 2 + (x * 8 / width - np.float32(0.5)) ** 2) * np.float32(
        rng.uniform(0.1, 0.5)
    )
    backdrop = _garden(rng, height, width)
    _hive(backdrop, rng, camera, board, slot, aim, bee / BEE_MM)
    shadows = _leaf_light(rng, height, width, rng.uniform(0.35, 0.6) if sunny else 0.93)
    # as a camera's automatic exposure does, but not in the dark
    level = (rng.uniform(48, 72) if dusk else rng.uniform(85, 135)) / float(backdrop.mean() * shadows.mean())
    return Scene(
        np.asarray(cv2.GaussianBlur(backdrop, (3, 3), 0.6), np.float32),
        camera,
        focus=distance * rng.uniform(0.95, 1.02),
        aperture=rng.uniform(1.0, 6.0) * width / 640,
        board=board,
        slot=slot,
        sun=sun / np.linalg.norm(sun),
        shade=rng.uniform(0.4, 0.65) if sunny else rng.uniform(0.08, 0.2),
        gain=np.array([1 - warmth, 1.0, 1 + warmth], np.float32) * np.float32(min(1.8, level)),
        noise=rng.uniform(4, 8) if dusk else rng.uniform(1.2, 4),
        shadows=shadows,
        vignette=1 - far,
        softness=rng.uniform(0.35, 0.8),
        exposure=rng.uniform(1 / 60, 1 / 40) if dusk else math.exp(rng.uniform(math.log(1 / 400), math.log(1 / 70))),
        jpeg=int(rng.integers(60, 93)) if rng.random() < 0.7 else 0,
    )


def smooth(rng: Rng, height: int, width: int, cells_y: float, cells_x: float) -> Plane:
    """Smooth noise around 0 of deviation near 0.5 [height, width], with so many cells across."""
    import cv2

    grid = rng.standard_normal((int(cells_y) + 3, int(cells_x) + 3), dtype=np.float32)
    wide = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(wide * np.float32(0.6), np.float32)


def _leaf_light(rng: Rng, height: int, width: int, darkest: float) -> Plane:
    h, w = height // 8 + 64, width // 8 + 64
    leaves = smooth(rng, h, w, rng.uniform(3, 7), rng.uniform(4, 10)) + smooth(rng, h, w, 14, 20) * np.float32(0.4)
    open_sky = np.clip(leaves * np.float32(1.8) + np.float32(rng.uniform(0.1, 1.2)), 0, 1)
    return np.asarray(np.float32(darkest) + np.float32(1 - darkest) * open_sky, np.float32)


def _garden(rng: Rng, height: int, width: int) -> Plane:
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


def _hive(picture: Plane, rng: Rng, camera: Camera, board: tuple[float, float], slot: tuple[float, float, float],
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
