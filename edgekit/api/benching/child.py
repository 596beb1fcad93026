"""What `edgekit bench` starts to time a cold start: `python -m edgekit.api.benching.child CASE.json PICTURE`."""

from __future__ import annotations

import json
import sys
import time

MORE = 20


def main(case: str, picture: str) -> None:
    """Opens the case's model, answers one picture, says so, answers some more and tells the memory."""
    begin = time.perf_counter()
    from edgekit import loading
    from edgekit.artifacts.opening import RunOptions
    from edgekit.benchmark.cold import MARK
    from edgekit.benchmark.machine.environment import peak_memory_mb, resident_mb
    from edgekit.benchmark.schema import Case
    from edgekit.vision.image import read_picture

    asked = Case.model_validate_json(case)
    imported = time.perf_counter()
    with loading.open_model(asked.model, RunOptions(asked.backend, asked.provider, asked.threads)) as predictor:
        opened = time.perf_counter()
        frames = [read_picture(picture)] * asked.batch
        predictor(frames)
        _tell(MARK, {"load": (opened - imported) * 1e3, "import_": (imported - begin) * 1e3})
        for _ in range(MORE):
            predictor(frames)
        _tell(MARK, {"peak_mb": peak_memory_mb(), "steady_mb": resident_mb()})


def _tell(mark: str, facts: dict[str, float | None]) -> None:
    sys.stdout.write(mark + json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:3])
