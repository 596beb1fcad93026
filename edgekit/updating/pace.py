"""Is a model quick enough for the camera that it comes to?"""

from __future__ import annotations

from edgekit.camera.config import CameraConfig

_SHARE = 0.5  # of the time, that looking at the asked rate may take of one session


def too_slow(config: CameraConfig, seconds: float, standing: float) -> str:
    """Why a model is too slow, or nothing: it keeps the rate that all cameras ask for with ease, or is about as quick.

    Args:
        seconds: of one look of it.
        standing: of the model before it; 0: there is nothing to compare with.
    """
    asked = [camera.rate.fps for camera in config.each()]
    if not standing or seconds <= config.update.slowest * standing:
        return ""
    if all(asked) and seconds * sum(asked) <= _SHARE:
        return ""
    return (
        f"a look takes {1000 * seconds:.1f} ms, {seconds / standing:.1f} times as long as with the model in use, over "
        f"update.slowest = {config.update.slowest:g}"
        + (f", and too long for {sum(asked):g} looks a second" if all(asked) else "")
    )
