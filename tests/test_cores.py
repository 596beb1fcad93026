"""How many CPUs a process may use: the machine's, less what taskset, a container or a service takes away."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from edgekit.cores import cpu_numbers, cpu_quota, usable_cpus

ROOT = Path(__file__).parents[1] / "edgekit"


def system(root: Path, group: str = "/", **limits: str) -> Path:
    """A file system whose groups have these limits; `__` in a name stands for a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"0::{group}\n")
    for name, text in limits.items():
        folder = root / "sys/fs/cgroup" / name.replace("__", "/").strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(text + "\n")
    return root


@pytest.fixture(autouse=True)
def _eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("group", "limits", "quota", "cpus"),
    [
        ("/", {}, None, 8),
        ("/", {"__": "max 100000"}, None, 8),
        ("/", {"__": "150000 100000"}, 1.5, 2),
        ("/", {"__": "20000 100000"}, 0.2, 1),
        ("/", {"__": "1600000 100000"}, 16, 8),
        ("/", {"__": "not a number"}, None, 8),
        ("/system.slice/hive.service", {"system.slice__hive.service": "300000 100000"}, 3, 3),
        ("/a/b", {"a": "100000 100000", "a__b": "300000 100000"}, 1, 1),
        ("/a/b", {"a__other": "100000 100000"}, None, 8),
    ],
)
def test_a_quota_limits_the_cpus(
    group: str, limits: dict[str, str], quota: float | None, cpus: int, tmp_path: Path
) -> None:
    root = system(tmp_path, group, **limits)
    assert (cpu_quota(root), usable_cpus(root)) == (quota, cpus)


def test_taskset_limits_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5}, raising=False)
    assert cpu_numbers() == {2, 5}
    assert usable_cpus(system(tmp_path, __="600000 100000")) == 2


def test_a_system_without_affinity_has_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu_numbers() == {0}
    assert usable_cpus(tmp_path) == 1


def test_nobody_else_counts_them() -> None:
    """Only the report of a machine also says how many CPUs it has, used or not."""
    found = {
        str(file.relative_to(ROOT))
        for file in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("sched_getaffinity", "cpu_count", "process_cpu_count")
    }
    assert found == {"cores.py", "benchmark/machine/environment.py"}
