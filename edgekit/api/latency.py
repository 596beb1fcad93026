"""How long does any ONNX take here? Of a file that edgekit did not make, and of which nothing else can be said."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.backends import BACKENDS, open_session
from edgekit.benchmark.bare import BareSubject
from edgekit.benchmark.machine.emulation import require_real_processor
from edgekit.benchmark.machine.environment import environment
from edgekit.benchmark.made_inputs import MadeInput, made_inputs
from edgekit.benchmark.measure import MeasurementPlan, measure
from edgekit.benchmark.schema import Case, Failure, Timing
from edgekit.benchmark.timing import timing
from edgekit.errors import EdgekitError, UsageError
from edgekit.graph.foreign import Foreign, read_foreign
from edgekit.screen import quoted, some
from edgekit.spec import TensorSpec

ALONE = "latency only: no accuracy, and not verified"


@dataclass(frozen=True)
class Latency:
    """One file on one runtime.

    Attributes:
        case: the file, the runtime and its settings.
        sha256: of the file, with the weights that lie outside it.
        inputs: what it was fed.
        outputs: what it gives, as the file has it.
        timing: milliseconds a run; of its stages only `inference` takes time. None where it failed.
        failure: why it has no timing.
    """

    case: Case
    sha256: str
    inputs: tuple[MadeInput, ...]
    outputs: tuple[TensorSpec, ...]
    timing: Timing | None = None
    failure: Failure | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        told = None if self.timing is None else self.timing.model_dump(by_alias=True, mode="json")
        kept = ("throughput", "warmup", "stability", "others")
        return {
            "name": self.case.name,
            **self.case.model_dump(),
            "sha256": self.sha256,
            "verified": False,
            "inputs": [{**vars(one), "shape": list(one.shape)} for one in self.inputs],
            "outputs": [{"name": o.name, "dtype": o.dtype, "shape": list(o.shape)} for o in self.outputs],
            "latency_ms": told and told["stages"]["inference"],
            "intervals": told and {k[10:]: v for k, v in told["intervals"].items() if k.startswith("inference.")},
            **{name: told and told[name] for name in kept},
            "failure": None if self.failure is None else self.failure.model_dump(),
        }


@dataclass(frozen=True)
class Latencies:
    """What came of `latency`, a row a case."""

    rows: tuple[Latency, ...]

    @property
    def passed(self) -> bool:
        """Whether all of them could be run."""
        return all(row.failure is None for row in self.rows)

    def lines(self) -> list[str]:
        """A table for people, what was fed, and what the figures are not."""
        told = [
            "| case | fed | p50 ms | p90 | p95 | p99 | runs | pictures/s | stable |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            fed = ", ".join(f"{i.dtype} {list(i.shape)}" for i in row.inputs) or "-"
            cells = ["-"] * 6 + ["failed"]
            if row.timing is not None:
                of = row.timing.stages["inference"]
                figures = ["-" if v is None else f"{v:.2f}" for v in (of.p50, of.p90, of.p95, of.p99)]
                steady = "yes" if row.timing.stability.stable else "**no**"
                cells = [*figures, str(of.n), f"{row.timing.throughput:.1f}", steady]
            told.append("| " + " | ".join([row.case.name, fed, *cells]) + " |")
        for row in self.rows:
            if row.failure is not None:
                more = {"got": row.failure.got, "expected": row.failure.expected, "fix": row.failure.fix}
                why = "; ".join([row.failure.what, *(f"{k}: {v}" for k, v in more.items() if v)])
                told.append(f"failed: {row.case.name}: {why}")
            told += (
                [f"doubtful: {row.case.name}: {finding}" for finding in row.timing.stability.findings]
                if row.timing
                else []
            )
        names = list(dict.fromkeys(Path(row.case.model).name for row in self.rows))
        return [*told, f"{ALONE}. edgekit adopt {quoted(names[0])} makes a verified file of it"]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "schema": "edgekit.latency",
            "version": 1,
            "verified": False,
            "accuracy": None,
            "note": ALONE,
            "environment": environment(),
            "rows": [row.to_dict() for row in self.rows],
        }


def latency(
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    size: tuple[int, int] | None = None,
    backends: Sequence[str] = ("onnxruntime",),
    provider: str = "cpu",
    threads: Sequence[int] = (0,),
    batch: Sequence[int | None] = (None,),
    streams: Sequence[int] = (1,),
    plan: MeasurementPlan | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Latencies:
    """Times ONNX files of any origin, as `edgekit bench` does for those that edgekit did not make.

    Latency alone: nothing is known of their pictures, classes or answers. Inputs are filled with pictures made in code,
    or with numbers, of the sizes that the file says.

    Args:
        models: ONNX files; weights may lie in files beside them.
        size: (height, width) of the pictures where the file leaves them open; default is 224 x 224 for a net that gives
            rows of numbers, and 640 x 640 for others.
        backends, threads, streams: how each is run; every combination is a case. 0 threads are one per physical core.
        provider: of onnxruntime: `cpu`, `cuda` or `tensorrt`.
        batch: sizes of the first dimension where the file leaves it open; None is the file's own, else 1.
        plan: how long to measure and in how many turns.
        say: called with a line for whatever is to be told.

    Returns:
        A row a case, in milliseconds a run; one that fails keeps its reason, and the others go on.

    Raises:
        UsageError: an unknown backend.
        BackendError: the processor is emulated.
        ArtifactError: a file that is no ONNX, that edgekit made, or that is refused as unsafe: weights outside its own
            folder, operators that are not ONNX's own and so on.
    """
    require_real_processor()
    unknown = [name for name in backends if name not in BACKENDS]
    if unknown:
        raise UsageError("There is no such backend.", got=some(unknown), expected="one of " + ", ".join(BACKENDS))
    paths = [Path(models)] if isinstance(models, (str, os.PathLike)) else [Path(one) for one in models]
    files = {path: read_foreign(path) for path in paths}
    rows: dict[str, Latency] = {}
    subjects: dict[str, list[BareSubject]] = {}
    with ExitStack() as opened:
        for path, file in files.items():
            for note in file.notes:
                say(f"{path.name}: {note}")
            for backend in backends:
                for number in threads:
                    for n in batch:
                        for s in streams:
                            case = Case(model=str(path), backend=backend, threads=number, batch=n or 1, streams=s,
                                        provider=provider if backend == "onnxruntime" else "cpu")  # fmt: skip
                            row, running = _opened(case, file, n, size, opened, say)
                            name = row.case.name if row.case.name not in rows else f"{path} {row.case.name}"
                            rows[name] = row
                            if running:
                                subjects[name] = running
        runs = measure(subjects, plan or MeasurementPlan(), say) if subjects else {}
    timed = {name: replace(row, timing=timing(runs[name])) if name in runs else row for name, row in rows.items()}
    return Latencies(tuple(timed.values()))


def _opened(
    case: Case,
    file: Foreign,
    batch: int | None,
    size: tuple[int, int] | None,
    opened: ExitStack,
    say: Callable[[str], None],
) -> tuple[Latency, list[BareSubject]]:
    """A row without a timing, and what runs it; nothing where it cannot be run, and then the row says why."""
    say(f"opening {case.name}")
    made: tuple[MadeInput, ...] = ()
    try:
        made, feeds = made_inputs(file.inputs, file.outputs, batch, size)
        rows = made[0].shape[0] if made and made[0].shape and len(made[0].shape) != 3 else 1
        case = case.model_copy(update={"batch": rows})
        for one in made:
            chosen = f" (the file leaves open: {one.chosen})" if one.chosen else ""
            say(f"{case.name}: {one.name} is {one.dtype} {list(one.shape)}{chosen}, {one.filled}")
        options: dict[str, Any] = {"provider": case.provider} if case.backend == "onnxruntime" else {}
        session = opened.enter_context(
            open_session(_open_ended(file), case.backend, threads=case.threads, streams=case.streams, **options)
        )
        running = [BareSubject(session, feeds, case.batch) for _ in range(case.streams)]
        running[0].try_it()
    except (EdgekitError, ImportError, MemoryError) as error:
        told = Failure.of(error)
        say(f"{case.name}: {told.what}")
        return Latency(case, file.sha256, made, file.outputs, failure=told), []
    return Latency(case, file.sha256, made, file.outputs), running


def _open_ended(file: Foreign) -> bytes:
    """The file with outputs of any size: what exporters write there is not always what comes."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim:
            dim.Clear()
    data: bytes = model.SerializeToString()
    return data
