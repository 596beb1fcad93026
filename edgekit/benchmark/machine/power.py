"""Joules, where the machine counts them: RAPL, NVML, or a Jetson's INA3221. Elsewhere it is said, not zeroed."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from edgekit.benchmark.machine.nvml import boards

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Energy:
    """Joules of the whole device over a time.

    Attributes:
        joules: None where nothing counts them.
        seconds: how long.
        source: what counted, or `not measured` and why.
    """

    joules: float | None
    seconds: float
    source: str

    def per(self, inferences: int) -> dict[str, Any]:
        """Plain data for JSON. Joules an inference are null, never 0, where nothing was measured."""
        known = self.joules is not None and inferences > 0
        return {
            "source": self.source,
            "joules": self.joules,
            "watts": self.joules / self.seconds if self.joules is not None and self.seconds > 0 else None,
            "joules_per_inference": self.joules / inferences if known and self.joules is not None else None,
            "idle_subtracted": False,
        }


class Meter:
    """Counts the device's energy between `with` and its end; `energy` then has it.

    RAPL's counters are exact and wrap, which is undone; so are NVML's, which boards have from Volta on. Older boards
    and the INA3221 give watts, which are read 20 times a second in a thread and added up; without pynvml nvidia-smi is
    asked, once a second, since each time is a process.

    Args:
        gpu: whether the work is a GPU's: its board is counted then, and the processor only where no board can be read.
        root: of the file system, another one in tests.
    """

    def __init__(self, root: Path = Path("/"), gpu: bool = False) -> None:
        self.energy = Energy(None, 0.0, NOT_MEASURED)
        self._zones = _rapl(root)
        rails = _ina3221(root)
        self._watts: Callable[[], float | None] | None = None
        self._joules: Callable[[], float | None] | None = None
        self._every = 0.05  # seconds
        self._source = "RAPL (package)"
        if rails and (gpu or not self._zones):  # the whole module: processor and GPU
            self._zones, self._watts, self._source = [], lambda: _rail_watts(rails), "INA3221 (VDD_IN)"
        elif (gpu or not self._zones) and (found := boards()) is not None:
            self._zones, self._source = [], "NVML (board)"
            if found.joules() is not None:
                self._joules = found.joules
            else:
                self._watts = found.watts
        elif (gpu or not self._zones) and _smi_watts() is not None:
            self._zones, self._watts, self._source, self._every = [], _smi_watts, "nvidia-smi (board)", 1.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._readings: list[tuple[float, float]] = []

    @property
    def available(self) -> bool:
        """Whether this machine counts energy or tells its power at all."""
        return bool(self._zones) or self._watts is not None or self._joules is not None

    def __enter__(self) -> Meter:
        self._start = time.perf_counter()
        self._before = [_micro(zone) for zone, _ in self._zones]
        self._joules_before = self._joules() if self._joules is not None else None
        if self._watts is not None:
            self._readings.clear()
            self._stop.clear()
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._start
        if self._zones:
            self.energy = self._counted(seconds)
        elif self._thread is not None:
            self._stop.set()
            self._thread.join()
            self.energy = self._integrated(seconds)
        elif self._joules is not None:
            before, after = self._joules_before, self._joules()
            if before is None or after is None:
                self.energy = Energy(None, seconds, f"{NOT_MEASURED}: the board went silent")
            else:
                self.energy = Energy(after - before, seconds, self._source)
        else:
            why = "no readable RAPL, NVML or INA3221 here"
            self.energy = Energy(None, seconds, f"{NOT_MEASURED}: {why}")

    def _counted(self, seconds: float) -> Energy:
        total = 0.0
        for (zone, wrap), before in zip(self._zones, self._before, strict=True):
            after = _micro(zone)
            if before is None or after is None:
                return Energy(None, seconds, f"{NOT_MEASURED}: {zone} became unreadable")
            total += after - before if after >= before else after - before + wrap
        return Energy(total / 1e6, seconds, self._source)

    def _integrated(self, seconds: float) -> Energy:
        if len(self._readings) < 2:
            return Energy(None, seconds, f"{NOT_MEASURED}: too short for {self._source}")
        watts = sum(w for _, w in self._readings) / len(self._readings)
        return Energy(watts * seconds, seconds, self._source)

    def _sample(self) -> None:
        assert self._watts is not None
        while not self._stop.wait(self._every):
            watts = self._watts()
            if watts is not None:
                self._readings.append((time.perf_counter(), watts))


def _rapl(root: Path) -> list[tuple[Path, float]]:
    """Readable package counters and where they wrap, in microjoules."""
    found = []
    for zone in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        if zone.name.count(":") != 1 or _micro(zone / "energy_uj") is None:  # parts of a package are in its count
            continue
        found.append((zone / "energy_uj", _micro(zone / "max_energy_range_uj") or 2.0**32))
    return found


def _ina3221(root: Path) -> tuple[Path, Path] | None:
    """The (millivolt, milliampere) files of a Jetson's input rail."""
    for label in sorted((root / "sys/bus/i2c/drivers/ina3221").glob("*/hwmon/hwmon*/in*_label")):
        try:
            name = label.read_text().strip()
        except OSError:
            continue
        if name in ("VDD_IN", "VIN_SYS_5V0", "VDD_GPU_SOC") or "IN" in name.split("_"):
            number = label.name[len("in") : -len("_label")]
            return label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input")
    return None


def _rail_watts(rails: tuple[Path, Path]) -> float | None:
    volts, amps = _micro(rails[0]), _micro(rails[1])
    return volts * amps / 1e6 if volts is not None and amps is not None else None


def _smi_watts() -> float | None:
    words = ("nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits")
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603 - fixed words
        return sum(float(line) for line in done.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _micro(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
