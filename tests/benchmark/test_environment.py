from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

from edgekit.benchmark.machine.environment import (
    busy_seconds,
    condition_notes,
    conditions,
    environment,
    peak_memory_mb,
    resident_mb,
)
from edgekit.benchmark.machine.power import Meter

CPUINFO = """processor\t: 0
model name\t: A processor
cpu family\t: 6
model\t\t: 1
stepping\t: 2
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu avx2 avx512_vnni

processor\t: 1
model name\t: A processor
physical id\t: 0
core id\t\t: 0
"""


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_what_can_be_read_is_read(tmp_path: Path) -> None:
    root = tree(tmp_path, {
        "proc/cpuinfo": CPUINFO,
        "proc/meminfo": "MemTotal:       8000000 kB\n",
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3\n",
    })  # fmt: skip
    found = environment(root)
    assert found["cpu"] == "A processor"
    assert found["cores"] == 1  # two threads of one core
    assert found["isa"] == ["avx2", "avx512_vnni"]
    assert found["quota_cpus"] == 1.5
    assert found["governor"] == "powersave"
    assert found["memory_mb"] == 7812
    assert "R36" in found["jetson"]


def test_what_cannot_be_read_is_null(tmp_path: Path) -> None:
    found = environment(tmp_path)
    assert found["governor"] is None
    assert found["jetson"] is None
    assert found["cores"] is None
    assert conditions(tmp_path) == dict.fromkeys(conditions(tmp_path))


def test_conditions_that_make_timings_doubtful(tmp_path: Path) -> None:
    throttle = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    before = conditions(tree(tmp_path, {
        "proc/loadavg": "3.00 1 1 4/100 1\n", throttle: "5", "proc/stat": "cpu 1 2 3 4 5 6 7 100 0 0\n",
        "sys/class/thermal/thermal_zone0/temp": "71500", "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    }))  # fmt: skip
    assert before["temperatures_c"] == {"cpu-thermal": 71.5}
    after = conditions(tree(tmp_path, {throttle: "9", "proc/stat": "cpu 1 2 3 4 5 6 7 400 0 0\n"}))
    notes = condition_notes(before, after, 2)
    assert ["throttled 4 times" in notes[0], "3.0 CPU seconds" in notes[1]] == [True] * 2
    assert condition_notes(before, before, 2) == []  # a load of 3 in the last minute may have been this process's own
    assert condition_notes({**before, "busy": 0.6}, before, 2) == [
        "the machine was busy before the measurement began: 60% of 2 CPUs"
    ]


@pytest.mark.alone
def test_a_look_finds_what_others_do_and_not_what_was(tmp_path: Path) -> None:
    assert conditions(look=0.01)["busy"] is not None
    assert conditions(tmp_path, look=0.01)["busy"] is None
    assert conditions()["busy"] is None
    spins = [
        subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
        for _ in os.sched_getaffinity(0)
    ]
    try:
        for spin in spins:
            assert spin.stdout is not None
            spin.stdout.readline()
        assert conditions(look=0.5)["busy"] > 0.5
    finally:
        for spin in spins:
            spin.kill()
            spin.communicate()


def test_busy_seconds_are_of_the_usable_cpus(tmp_path: Path) -> None:
    stat = "cpu 9 9 9 9 9 9 9 9 0 0\ncpu0 100 20 30 999 999 4 5 6 7 0\ncpu1 1000 0 0 5 5 0 0 0 0 0\n"
    root = tree(tmp_path, {"proc/stat": stat})
    tick = os.sysconf("SC_CLK_TCK")
    assert busy_seconds([0], root) == 165 / tick
    assert busy_seconds([0, 1], root) == 1165 / tick
    assert busy_seconds([7], root) is None
    assert busy_seconds([0], tmp_path / "none") is None


def test_this_process_has_a_size() -> None:
    peak, now = peak_memory_mb(), resident_mb()
    assert peak is not None
    assert now is not None
    assert 10 < now <= peak + 1


def test_rapl_counts_and_wraps(tmp_path: Path) -> None:
    zone = "sys/class/powercap/intel-rapl:0/"
    tree(tmp_path, {zone + "energy_uj": "9000000", zone + "max_energy_range_uj": "10000000"})
    with Meter(tmp_path) as meter:
        tree(tmp_path, {zone + "energy_uj": "2000000"})
    assert meter.energy.joules == 3.0
    told = meter.energy.per(6)
    assert told["joules_per_inference"] == 0.5
    assert told["source"].startswith("RAPL")


def test_a_jetsons_rail_is_sampled(tmp_path: Path) -> None:
    rail = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/"
    tree(tmp_path, {rail + "in1_label": "VDD_IN\n", rail + "in1_input": "5000", rail + "curr1_input": "2000"})
    with Meter(tmp_path) as meter:
        threading.Event().wait(0.3)
    assert meter.energy.joules is not None
    assert abs(meter.energy.joules / meter.energy.seconds - 10.0) < 0.01  # 5 V at 2 A


class FakeNvml(ModuleType):
    """pynvml of two boards, 30 and 20 W; `broken` is what it raises. Without `counts` they are older than Volta."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    def __init__(self, boards: int = 2, broken: str = "", counts: bool = False) -> None:
        super().__init__("pynvml")
        self.boards, self.broken, self.counts, self.reasons, self.total = boards, broken, counts, 0, 0

    def nvmlInit(self) -> None:
        if self.broken == "init":
            raise self.NVMLError("no driver")

    def nvmlDeviceGetCount(self) -> int:
        return self.boards

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetPowerUsage(self, board: int) -> int:
        if self.broken == "power":
            raise self.NVMLError("not supported")
        return (30_000, 20_000)[board]

    def nvmlDeviceGetTotalEnergyConsumption(self, board: int) -> int:
        if not self.counts:
            raise self.NVMLError("not supported")
        return self.total * (3, 2)[board]

    def nvmlDeviceGetClockInfo(self, board: int, which: int) -> int:
        return {1: 1200, 2: 2600}[which]

    def nvmlDeviceGetTemperature(self, board: int, which: int) -> int:
        return 61

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, board: int) -> int:
        return self.reasons


def test_nvml_is_sampled_over_all_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    with Meter(tmp_path) as meter:
        threading.Event().wait(0.3)
    assert meter.energy.source == "NVML (board)"
    assert meter.energy.joules is not None
    assert abs(meter.energy.joules / meter.energy.seconds - 50.0) < 0.01


def test_nvmls_own_counter_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml(counts=True)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    with Meter(tmp_path) as meter:
        fake.total = 4000  # of a board, mJ
    assert meter._thread is None  # nothing was sampled
    assert meter.energy.source == "NVML (board)"
    assert meter.energy.joules == pytest.approx(4 * (3 + 2))


def test_a_gpus_work_is_counted_by_its_board_and_a_processors_by_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(counts=True))
    zone = "sys/class/powercap/intel-rapl:0/"
    tree(tmp_path, {zone + "energy_uj": "1", zone + "max_energy_range_uj": "1000"})
    for gpu, source in ((False, "RAPL (package)"), (True, "NVML (board)")):
        with Meter(tmp_path, gpu=gpu) as meter:
            pass
        assert meter.energy.source == source
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(broken="init"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with Meter(tmp_path, gpu=True) as meter:
        pass
    assert meter.energy.source == "RAPL (package)"


def test_a_gpu_that_is_slowed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml(boards=1)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    before = conditions()
    assert before["gpus"] == [
        {"sm_mhz": 1200, "sm_max_mhz": None, "memory_mhz": 2600, "temperature_c": 61, "watts": 30.0, "slowed_by": []}
    ]
    fake.reasons = 0x1 | 0x4 | 0x40  # idle, which slows nothing; power cap; heat
    notes = condition_notes(before, conditions(), 10_000)
    assert [n for n in notes if "GPU" in n] == [
        "the GPU was slowed by its power cap and hardware thermal slowdown when the measurement ended"
    ]


@pytest.mark.parametrize("broken", ["init", "power", "none"])
def test_nvml_that_tells_nothing_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(0 if broken == "none" else 2, broken))
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi either
    with Meter(tmp_path) as meter:
        pass
    assert meter.energy.joules is None
    assert meter.energy.source.startswith("not measured")


def test_nvidia_smi_stands_in_for_pynvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it were not installed
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 40.5\necho 9.5\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    meter = Meter(tmp_path / "root")
    assert meter._every == 1.0
    meter._every = 0.02
    with meter:
        until = time.monotonic() + 20
        while len(meter._readings) < 2 and time.monotonic() < until:
            time.sleep(0.02)
    assert meter.energy.source == "nvidia-smi (board)"
    assert meter.energy.joules is not None
    assert abs(meter.energy.joules / meter.energy.seconds - 50.0) < 0.01


def test_no_counter_is_said_and_is_not_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with Meter(tmp_path) as meter:
        pass
    told = meter.energy.per(100)
    assert told["joules"] is None
    assert told["joules_per_inference"] is None
    assert told["source"].startswith("not measured")
