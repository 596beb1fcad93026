"""One hive before one camera under one light: what varies from seed to seed, and how a picture is finished."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgekit.data.hive.backdrop import garden, leaf_light, paint_hive
from edgekit.data.hive.camera import Camera, Plane, Points, Rng
from edgekit.vision.image import Frame

BEE_MM = 13.0
HORNET_MM = 25.0


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
    backdrop = garden(rng, height, width)
    paint_hive(backdrop, rng, camera, board, slot, aim, bee / BEE_MM)
    shadows = leaf_light(rng, height, width, rng.uniform(0.35, 0.6) if sunny else 0.93)
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
