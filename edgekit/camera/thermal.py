"""A ladder that cools the board before its own throttling stops it: fewer looks a second, and at the end none."""

from __future__ import annotations

from pathlib import Path

from edgekit.camera.config import ThermalConfig

_ZONES = Path("/sys/class/thermal")


class ThermalLadder:
    """Which step of the ladder holds. Down at once, up one step at a time: below the limit by `hysteresis` degrees and
    not sooner than `dwell` seconds after the last change, so that a board at the limit does not flap."""

    def __init__(self, config: ThermalConfig) -> None:
        self._config = config
        self._changed = float("-inf")
        self.step = 0
        self.celsius: float | None = None

    def see(self, celsius: float | None, at: float) -> bool:
        """Takes a temperature, None where the board tells none; whether the step changed."""
        self.celsius = celsius
        if celsius is None or not self._config.enabled:
            return False
        limits = self._config.limits
        wanted = sum(celsius >= limit for limit in limits)
        if wanted <= self.step:
            cool = self.step > 0 and celsius < limits[self.step - 1] - self._config.hysteresis
            wanted = self.step - 1 if cool and at - self._changed >= self._config.dwell else self.step
        changed, self.step = wanted != self.step, wanted
        if changed:
            self._changed = at
        return changed

    @property
    def fps(self) -> float | None:
        """The most frames a second that the step allows, 0 for a pause; None for no limit."""
        return self._config.fps[self.step - 1] if self.step else None


def hottest(zones: Path = _ZONES) -> float | None:
    """The highest plausible temperature that the kernel tells, in degrees Celsius, or None."""
    found = []
    try:
        zones_there = [path for path in zones.iterdir() if path.name.startswith("thermal_zone")]
    except OSError:  # no such board, or no descriptor to look with
        return None
    for zone in zones_there:
        try:
            found.append(int((zone / "temp").read_text()) / 1000)
        except (OSError, ValueError):  # a zone that is switched off answers with an error
            continue
    return max((t for t in found if 0 < t < 130), default=None)
