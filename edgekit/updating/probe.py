"""The candidate, opened and asked in a process of its own: what crashes there crashes nothing else.

`python -m edgekit.updating.probe` reads a `Question` from stdin and prints an `Answer`. It asks to be the first that
the kernel ends when memory is short, and leaves the processor to the camera.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.camera.config import CameraConfig

if TYPE_CHECKING:
    from edgekit.camera.detect.detectors import Detector
    from edgekit.vision.image import Frame

LONGEST = 120.0  # seconds for all of it
_LOOKS = 20  # that are timed
_RULES = ("model", "motion", "zones", "track", "visits", "labels")  # what a candidate must fit; no address, no token


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        config: the tables of the camera's configuration that concern a model, as plain data.
        candidate: its file, in a folder that has `golden/` beside it.
        pictures: golden ones, paths in that folder.
        limits: of the answers, as in `edgekit.config.target.Limits`.
        standing: the model in use, to time it on the same pictures.
    """

    config: Mapping[str, Any]
    candidate: str
    pictures: Sequence[str]
    limits: Mapping[str, Any]
    standing: str


@dataclass(frozen=True)
class Answer:
    """What came of it: seconds of the best look of the candidate, and of the standing model or 0."""

    passed: bool
    why: str
    seconds: float = 0.0
    standing: float = 0.0


def asked_of(config: CameraConfig) -> dict[str, Any]:
    """The tables that a `Question` has of a configuration."""
    return {name: found for name, found in config.model_dump(mode="json").items() if name in _RULES}


def probe(question: Question, longest: float = LONGEST) -> Answer:
    """Asks the candidate in a process of its own; a crash or a hang is an answer too."""
    words = [sys.executable, "-m", "edgekit.updating.probe"]
    try:
        done = subprocess.run(  # noqa: S603 - this program
            words, input=json.dumps(asdict(question)), capture_output=True, text=True, timeout=longest, check=False
        )
    except subprocess.TimeoutExpired:
        return Answer(False, f"it was not done with its golden pictures after {longest:g} s")
    if done.returncode < 0:
        with contextlib.suppress(ValueError):
            return Answer(False, f"it crashed the runtime: {signal.Signals(-done.returncode).name}")
    with contextlib.suppress(IndexError, ValueError, TypeError):
        return Answer(**json.loads(done.stdout.splitlines()[-1]))
    told = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    return Answer(False, f"its check ended with code {done.returncode} and said: {told[:300]}")


def answer(question: Question) -> Answer:
    """What the candidate says, in this process. Raises EdgekitError where it cannot be opened or does not fit."""
    import numpy as np

    from edgekit.config.target import Limits
    from edgekit.loading import open_model
    from edgekit.reading.archive import read_npz
    from edgekit.reading.limits import PAIRS
    from edgekit.updating.package import ANSWERS
    from edgekit.vision.image import read_picture
    from edgekit.vision.preprocess import preprocess

    config = CameraConfig.model_validate(dict(question.config))
    candidate = Path(question.candidate)
    frames = [read_picture(candidate.parent / name) for name in question.pictures]
    with open_model(candidate, _run(config)) as predictor:
        spec = predictor.spec
        want = read_npz(candidate.parent / ANSWERS, PAIRS)
        rows = [predictor.answers([preprocess(frame, spec.preprocess)]) for frame in frames]
        got = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        if {name: values.shape for name, values in want.items()} != {name: v.shape for name, v in got.items()}:
            return Answer(False, "its outputs are not those of the golden answers")
        stage = predictor.task.compare("golden", want, got, Limits.model_validate(dict(question.limits)), spec)
        if not stage.passed:
            return Answer(False, f"of {len(frames)} golden pictures: {'; '.join(stage.problems)}")
        detectors = [_detector(config, predictor)]
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(Exception):  # it may be broken: an update is how it is mended
                standing = stack.enter_context(open_model(Path(question.standing), _run(config)))
                detectors.append(_detector(config, standing))
                detectors[1].look(frames[0], None)
            spent = _timed(detectors, frames)
        return Answer(True, f"{len(frames)} golden pictures: {predictor.task.figures(stage)}", *spent)


def _run(config: CameraConfig) -> Any:
    from edgekit.artifacts.opening import RunOptions

    model = config.model
    return RunOptions(model.backend, model.provider, model.threads, 1, frugal=True)


def _detector(config: CameraConfig, predictor: Any) -> Detector:
    """Made as the camera makes it, with the labels that the rules name."""
    from edgekit.camera.clock import Clock
    from edgekit.camera.detect.detectors import make_detector
    from edgekit.camera.rules import Model, make_rules

    spec = predictor.spec
    model = Model(
        make=lambda wanted, floor: make_detector(predictor, wanted, floor),
        classes=spec.classes,
        thresholds=spec.thresholds,
        alarms=spec.alarm_thresholds,
        info={},
    )
    return make_rules(config, model, Clock()).detector


def _timed(detectors: Sequence[Detector], frames: Sequence[Frame]) -> list[float]:
    """The best of some looks of each, in seconds, in turns: the camera beside them takes from both alike."""
    spent: list[list[float]] = [[] for _ in detectors]
    for i in range(_LOOKS):
        for detector, times in zip(detectors, spent, strict=True):
            begun = time.perf_counter()
            detector.look(frames[i % len(frames)], None)
            times.append(time.perf_counter() - begun)
    return [min(times) for times in spent]


def main() -> None:
    """Answers the question on stdin."""
    from edgekit.errors import EdgekitError

    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError):
        os.nice(10)
    question = Question(**json.load(sys.stdin))
    try:
        found = answer(question)
    except EdgekitError as error:
        found = Answer(False, " ".join([error.what, *(f"Got: {text}." for text in (error.got,) if text)]))
    sys.stdout.write("\n" + json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    main()
