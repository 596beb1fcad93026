"""The deployment that is best on this machine: cases measured, those too wrong left out, the quickest kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgekit.artifacts.deployment import FORMAT, name_from
from edgekit.benchmark.report.rows import main_metric
from edgekit.benchmark.schema import Case, Report, Row
from edgekit.errors import ArtifactError, BackendError, EdgekitError, VerificationError
from edgekit.tasks import metric_named

Goal = Literal["latency", "throughput"]
# failures that are the machine's or the file's: the exit code says so
_KINDS: dict[str, type[EdgekitError]] = {kind.__name__: kind for kind in (ArtifactError, BackendError)}
_KINDS |= {kind.__name__: BackendError for kind in (ImportError, ModuleNotFoundError)}


@dataclass(frozen=True)
class Refusal:
    """Why a case was not chosen."""

    row: str
    why: str


@dataclass(frozen=True)
class Deployment:
    """What to run, how, and what justifies it.

    Attributes:
        drop: points of accuracy below the reference's, on the same pictures; negative is better.
        speedup: against the reference, turn by turn, with its interval; None where it is the reference itself.
    """

    case: Case
    sha256: str
    precision: str
    goal: Goal
    p50_ms: float
    pictures_per_second: float
    metric: str
    accuracy: float
    drop: float
    max_drop: float
    speedup: tuple[float, float, float] | None
    reference: str
    stable: bool
    refused: tuple[Refusal, ...]

    def to_dict(self, folder: Path | None = None) -> dict[str, Any]:
        """Plain data for deployment.json: the artefact and its runtime settings first.

        Args:
            folder: that the file will be in; the artefact's path is relative to it. Without, it is as it was given.
        """
        content = asdict(self)
        del content["case"]
        runtime = self.case.model_dump(exclude={"model"})
        model = self.case.model if folder is None else name_from(Path(self.case.model), folder)
        return {"format": FORMAT, "artifact": model, "runtime": runtime, **content}

    def to_json(self, folder: Path) -> str:
        """What deployment.json in `folder` holds."""
        return json.dumps(self.to_dict(folder), indent=2, allow_nan=False) + "\n"


def choose(report: Report, max_drop: float, goal: Goal = "latency") -> Deployment:
    """The quickest verified case of a report whose accuracy is within `max_drop` points of the first row's.

    Accuracy is compared on the same pictures. Among cases whose speed is within 2 % of the quickest, the one with the
    smaller drop is taken.

    Args:
        goal: the smallest p50 of a whole answer, or the most pictures a second.

    Raises:
        VerificationError: no case holds the budget; with the reasons.
        ArtifactError, BackendError: the reference could not be measured, for that reason.
    """
    reference = report.rows[0]
    base = main_metric(reference)
    if base is None and (failure := reference.failure) is not None:
        kind = _KINDS.get(failure.kind, VerificationError)
        what = f"{reference.name}, which the others are compared with, cannot be measured: {failure.what}"
        raise kind(what, got=failure.got, expected=failure.expected, fix=failure.fix or "edgekit doctor")
    if base is None:
        raise VerificationError(
            "The accuracy of the reference is not known, so there is no budget to keep.",
            got="no labelled pictures for them",
            expected="accuracy of the reference",
            fix="--data with labelled pictures",
        )
    fitting: list[tuple[Row, float, float]] = []
    refused: list[Refusal] = []
    for row in report.rows:
        metric = main_metric(row)
        drop = None if metric is None else metric_named(base[0]).drop(base[1].value, metric[1].value)
        why = _why_not(row, reference, drop, max_drop)
        if why is not None:
            refused.append(Refusal(row.name, why))
        elif drop is not None:
            fitting.append((row, _speed(row, goal), drop))
    if not fitting:
        raise VerificationError(
            "No deployment holds the accuracy budget.",
            got="; ".join(f"{r.row}: {r.why}" for r in refused[:4]),
            expected=f"a drop of at most {max_drop:g} points",
            fix="a larger --max-drop, or other files",
        )
    quickest = max(speed for _, speed, _ in fitting)
    row, _, drop = min((f for f in fitting if f[1] >= quickest * 0.98), key=lambda f: (f[2], -f[1]))
    chosen = main_metric(row)
    assert chosen is not None
    assert row.timing is not None
    ratio = next((r.speedup for r in report.ratios if r.row == row.name and r.stage == "end_to_end"), None)
    return Deployment(
        case=row.case,
        sha256=row.sha256,
        precision=row.precision,
        goal=goal,
        p50_ms=row.timing.stages["end_to_end"].p50,
        pictures_per_second=row.timing.throughput,
        metric=chosen[0],
        accuracy=chosen[1].value,
        drop=round(drop, 4),
        max_drop=max_drop,
        speedup=(ratio.value, ratio.low, ratio.high) if ratio else None,
        reference=reference.name,
        stable=row.timing.stability.stable,
        refused=tuple(refused),
    )


def _why_not(row: Row, reference: Row, drop: float | None, max_drop: float) -> str | None:
    if row.failure is not None:
        told = (row.failure.what.rstrip("."), row.failure.got, row.failure.fix)
        return "; ".join(part for part in told if part)
    if row.verified is False:
        return "not verified"
    if row.case.backend == "torch":
        return "a checkpoint, not a file to deploy"
    if row.model != reference.model:
        return "another model than the reference"
    if drop is None or row.timing is None:
        return "not measured"
    return f"{drop:.2f} points below the reference" if drop > max_drop + 1e-9 else None


def _speed(row: Row, goal: Goal) -> float:
    """Larger is better."""
    assert row.timing is not None
    return row.timing.throughput if goal == "throughput" else 1 / row.timing.stages["end_to_end"].p50


def candidates(models: Sequence[str], backends: Mapping[str, Sequence[str]], cpus: int, goal: Goal) -> list[Case]:
    """Cases worth trying: for latency single pictures, with all cores and with one; for throughput batches too.

    Args:
        backends: the providers of each. On a GPU threads make no difference; an engine has one way to run.
    """
    batches = [1] if goal == "latency" else [1, 4, 16]
    cases = []
    for model in models:
        if model.endswith(".engine"):
            ways = [("tensorrt", "cpu")]
        else:
            ways = [(backend, provider) for backend, providers in backends.items() for provider in providers]
        for backend, provider in ways:
            on_cpu = provider == "cpu" and backend != "tensorrt"
            threads = [0, 1] if on_cpu and cpus > 1 else [0]
            streams = sorted({1, cpus}) if on_cpu and goal == "throughput" else [1]
            for n in threads:
                for batch in batches:
                    for stream in streams:
                        if stream == 1 or n == 0:  # as many as there are cores, a core each
                            cases.append(
                                Case(
                                    model=model,
                                    backend=backend,
                                    provider=provider,
                                    threads=n,
                                    batch=batch,
                                    streams=stream,
                                )
                            )
    return cases
