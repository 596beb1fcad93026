"""A process of its own: how long until the first answer, how long to open the model, and how much memory that takes."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Sequence

from edgekit.benchmark.schema import Cold

MARK = "edgekit-cold "


def cold_start(command: Sequence[str], timeout: float = 180.0) -> Cold:
    """Runs `command` and reads the line that it prints when it has its first answer.

    The line is MARK and a JSON with `load` and `import_` (ms), then after some more answers a second one with `peak_mb`
    and `steady_mb`. The clock is this process's, from before the start to the arrival of the first line.
    """
    start = time.perf_counter()
    try:
        child = subprocess.Popen(  # noqa: S603 - the caller's own interpreter
            list(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except OSError as error:
        return Cold(first_result=None, load=None, peak_mb=None, steady_mb=None, error=str(error))
    assert child.stdout is not None
    guard = threading.Timer(timeout, child.kill)
    guard.start()
    first = None
    told: dict[str, float] = {}
    try:
        for line in child.stdout:
            if line.startswith(MARK):
                first = first or (time.perf_counter() - start) * 1e3
                told.update(json.loads(line[len(MARK) :]))
        _, said = child.communicate()
    finally:
        guard.cancel()
    if child.returncode or first is None:
        lines = said.strip().splitlines() or [f"exit code {child.returncode}"]
        return Cold(first_result=None, load=None, peak_mb=None, steady_mb=None, error=lines[-1])
    return Cold(
        first_result=first,
        load=told.get("load"),
        import_=told.get("import_"),
        peak_mb=told.get("peak_mb"),
        steady_mb=told.get("steady_mb"),
    )
