"""NVIDIA boards through NVML (pynvml, of the package nvidia-ml-py): watts, joules, clocks, heat, what slows them."""

from __future__ import annotations

import importlib
from typing import Any

# nvmlClocksEventReasons of the NVML API reference: those that slow a board below what was asked of it
SLOWED = {
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "hardware power brake",
}


class Boards:
    """All boards of this machine that NVML tells the power of.

    Raises:
        LookupError: pynvml, the driver or a board is missing, or the boards do not tell their power.
    """

    def __init__(self) -> None:
        try:
            self._nvml: Any = importlib.import_module("pynvml")
            self._nvml.nvmlInit()
            self._boards = [
                self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())
            ]  # fmt: skip
        except ImportError as error:
            raise LookupError("no pynvml") from error
        except self._nvml.NVMLError as error:
            raise LookupError(str(error)) from error
        if not self._boards or self.watts() is None:
            raise LookupError("no board that tells its power")

    def watts(self) -> float | None:
        """What all boards draw now (averaged by the board over some time, on newer ones over a second)."""
        milliwatts = [self._asked("nvmlDeviceGetPowerUsage", board) for board in self._boards]
        return None if None in milliwatts else sum(milliwatts) / 1e3

    def joules(self) -> float | None:
        """The boards' own count of energy since the driver was loaded; None before Volta, which has none."""
        millijoules = [self._asked("nvmlDeviceGetTotalEnergyConsumption", board) for board in self._boards]
        return None if None in millijoules else sum(millijoules) / 1e3

    def conditions(self) -> list[dict[str, Any]]:
        """Of each board: clocks now and at most in MHz, temperature in degrees Celsius, watts, and what slows it."""
        return [self._condition(board) for board in self._boards]

    def _condition(self, board: Any) -> dict[str, Any]:
        clock, hot = self._nvml.NVML_CLOCK_SM, self._nvml.NVML_TEMPERATURE_GPU
        milliwatts = self._asked("nvmlDeviceGetPowerUsage", board)
        reasons = self._asked("nvmlDeviceGetCurrentClocksThrottleReasons", board)
        return {
            "sm_mhz": self._asked("nvmlDeviceGetClockInfo", board, clock),
            "sm_max_mhz": self._asked("nvmlDeviceGetMaxClockInfo", board, clock),
            "memory_mhz": self._asked("nvmlDeviceGetClockInfo", board, self._nvml.NVML_CLOCK_MEM),
            "temperature_c": self._asked("nvmlDeviceGetTemperature", board, hot),
            "watts": None if milliwatts is None else milliwatts / 1e3,
            "slowed_by": None if reasons is None else [text for bit, text in SLOWED.items() if reasons & bit],
        }

    def _asked(self, name: str, *arguments: Any) -> Any:
        """None where this board, driver or pynvml has no such thing."""
        try:
            return getattr(self._nvml, name)(*arguments)
        except (AttributeError, self._nvml.NVMLError):
            return None


def boards() -> Boards | None:
    """The boards, or None where NVML tells nothing."""
    try:
        return Boards()
    except LookupError:
        return None
