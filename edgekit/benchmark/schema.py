"""The report as data, version 1 of its JSON. HTML, Markdown and CSV are made from it and from nothing else.

Times are milliseconds unless a name says otherwise, sizes bytes or MB of 2^20. What was not measured is null.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from edgekit.benchmark.parts import Bounded, Decided, Expected, Packed, Part, Scenario
from edgekit.errors import EdgekitError
from edgekit.tasks import TASKS


class Case(Part):
    """What is measured: a file on a runtime, with its settings."""

    model: str = Field(description="path of the file")
    backend: str = "onnxruntime"
    provider: str = "cpu"
    threads: int = Field(default=0, ge=0, description="0: one per physical core")
    batch: int = Field(default=1, ge=1, description="pictures in one run")
    streams: int = Field(default=1, ge=1, description="sessions that run at once, a thread each")

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, protected_namespaces=())

    @property
    def name(self) -> str:
        """Short and unique within a report of distinct file names."""
        runtime = self.backend if self.provider == "cpu" else f"{self.backend}-{self.provider}"
        counts = ((self.threads, "threads", 0), (self.batch, "a batch", 1), (self.streams, "streams", 1))
        extra = [f"{n} {what}" for n, what, usual in counts if n != usual]
        return " · ".join([Path(self.model).name, runtime, *extra])


class Failure(Part):
    """Why a row has no figures."""

    kind: str
    what: str
    got: str | None = None
    expected: str | None = None
    fix: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """What a row says of an error."""
        kind = type(error).__name__
        if isinstance(error, EdgekitError):
            return cls(kind=kind, what=error.what, got=error.got, expected=error.expected, fix=error.fix)
        return cls(kind=kind, what=str(error) or kind)


class Figures(Part):
    """Of `n` timings, in milliseconds; a percentile of too few is null. See `edgekit.metrics.statistics.Summary`."""

    n: int
    mean: float
    stdev: float
    min: float
    p50: float
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float


class Span(Part):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Block(Part):
    """One turn: when it began, in seconds since the first, and the end-to-end and inference times in it."""

    start: float
    seconds: float
    end_to_end: list[float]
    inference: list[float]


class Warmup(Part):
    """How long it took until the medians of two neighbouring windows agreed."""

    iterations: int
    seconds: float
    stable: bool


class Steadiness(Part):
    """Whether the timings are of one steady machine, and in words what speaks against it."""

    stable: bool
    findings: list[str]


class Timing(Part):
    """How fast.

    `stages` are decode, preprocess, inference, post and end_to_end, per run of `batch` pictures; `session` is the
    session alone, run after run on ready pictures, as other benchmarks measure; `inference` is the same within a whole
    answer. `throughput` counts pictures of all streams over the wall time. `cpu_outside` is processor time a picture
    outside the session.
    """

    stages: dict[str, Figures]
    session: Figures | None = None
    intervals: dict[str, Span] = Field(
        description="of p50 and, where it is told, p95 of end_to_end, inference and session: session.p50"
    )
    throughput: float
    cpu_outside: float | None
    cpu_session: float | None
    warmup: Warmup
    stability: Steadiness
    blocks: list[Block]
    pace: list[float] = Field(default=[], description="ms of a fixed piece of work around each turn")
    others: float | None = Field(default=None, description="share of the CPUs' time that other processes took")
    energy: dict[str, Any]


class Cold(Part):
    """A process of its own: from its start to the first answer."""

    first_result: float | None = Field(description="process start to first result, ms")
    load: float | None = Field(description="opening the model, ms")
    import_: float | None = Field(default=None, description="importing edgekit and its runtime, ms")
    peak_mb: float | None
    steady_mb: float | None
    error: str | None = None


def _known_task(name: str) -> str:
    if name not in TASKS:
        raise ValueError("Input should be " + " or ".join(map(repr, TASKS)))
    return name


class Operating(Part):
    """What a threshold does to a class's boxes, matched at an IoU of 0.5."""

    threshold: float
    recall: float
    precision: float


class Accuracy(Part):
    """How right, on `n` pictures; `metrics` by name (top1, top5, or ap, ap50, ...), with intervals where known."""

    task: Annotated[str, AfterValidator(_known_task)]
    n: int
    metrics: dict[str, Span]
    classes: dict[str, float | None]
    class_counts: dict[str, int]
    unread: list[str]
    curves: dict[str, list[Operating]] = Field(default={}, description="of a detector's classes, at some thresholds")
    operating: dict[str, Operating] = Field(default={}, description="of these classes, at the model's own")


class Disagreement(Part):
    """A picture on which the row and the reference answer differently."""

    picture: str
    truth: str
    reference: str
    candidate: str
    weight: float
    jpeg: str | None = Field(default=None, description="base64")


class Agreement(Part):
    """Beside the reference: share of equal answers, and whether it is worse."""

    reference: str
    share: Span | None = Field(description="null where neither shows a box")
    difference: Span | None = Field(default=None, description="of the main metric, candidate minus reference")
    p_value: float | None = None
    only_reference: int | None = None
    only_candidate: int | None = None
    verdict: str
    worst: list[Disagreement] = Field(default=[])


class Robustness(Part):
    """Accuracy under corruptions [name][severity 1-5], and under attacks [name][eps in 255ths] where crafted."""

    metric: str
    n: int
    clean: float
    corruptions: dict[str, list[float]]
    attacks: dict[str, dict[str, float]] = Field(default={})
    average: float | None = None
    attacked: dict[str, int] = Field(default={}, description="pictures behind each attack")
    worst: float | None = None
    examples: list[dict[str, str]] = Field(default=[])


class LayerCost(Part):
    """One node as the runtime executed it; `node` is the convolution or product that it computes."""

    name: str
    kind: str
    ms: float
    macs: int | None = None
    bytes: int | None = None
    node: str | None = None
    error: float | None = Field(default=None, description="RMS of its difference from the reference, over that RMS")


class Layers(Part):
    """Time per layer, and where the model stands below the machine's measured roof."""

    source: str
    layers: list[LayerCost]
    total_ms: float
    gmacs_per_second: float | None
    share_of_peak: float | None
    peak: str = "fp32"


class Row(Part):
    """One case with everything that was measured of it."""

    name: str
    case: Case
    status: Literal["ok", "failed"]
    failure: Failure | None = None
    model: str = Field(default="", description="net, number of classes and size; only rows with the same are compared")
    precision: str = "?"
    input: str = "?"
    sha256: str = ""
    file_bytes: int | None = None
    params: int | None = None
    macs: int | None = None
    verified: bool | None = Field(
        default=None, description="null for a checkpoint, which is what others are verified against"
    )
    timing: Timing | None = None
    cold: Cold | None = None
    accuracy: Accuracy | None = None
    agreement: Agreement | None = None
    robustness: Robustness | None = None
    layers: Layers | None = None
    expected: Expected | None = None
    scenarios: list[Scenario] = Field(default=[])


class Ratio(Part):
    """How many times faster the row is than the reference, measured in turns: above 1 is faster."""

    row: str
    reference: str
    stage: str
    speedup: Span


class Peak(Part):
    """What the machine reached in this run: multiply-adds and copies."""

    gmacs: dict[str, float] = Field(description="1e9 multiply-adds a second, by precision")
    copy_gb: float = Field(description="1e9 bytes a second, read and written")
    how: str


class Data(Part):
    """What was measured on."""

    name: str
    pictures: int
    measured: int | None = Field(default=None, description="of them, that accuracy was measured on; null: on none")
    digest: str
    measured_digest: str | None = Field(
        default=None, description="of those measured where they are a part; null: of all of them, or not known"
    )
    made: bool
    timed: int = Field(description="pictures that the timings rotate over")

    def same_pictures(self, other: Data) -> bool:
        """Whether accuracy was measured on the same pictures, and as many: a part of one set may be another's whole."""
        parts = self._part, other._part
        same = parts[0] == parts[1] if None not in parts else self.digest == other.digest
        return same and self.measured == other.measured

    @property
    def _part(self) -> str | None:
        """The digest of what was measured; None where that is not known."""
        whole = self.measured in (None, self.pictures)
        return self.measured_digest or (self.digest if whole else None)


class Report(Part):
    """A whole run."""

    schema_: Literal["edgekit.bench"] = Field(default="edgekit.bench", alias="schema")
    version: Literal[1] = 1
    created: str
    title: str
    settings: dict[str, Any]
    environment: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]
    notes: list[str]
    data: dict[str, Data] = Field(description="by task")
    rows: list[Row]
    ratios: list[Ratio] = Field(default=[])
    decisions: list[Decided] = Field(default=[], description="a sentence a model; reports of before 0.2.0 have none")
    bounded: list[Bounded] = Field(default=[])
    pack: Packed | None = None
    peak: Peak | None = None
    complete: bool = True

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True, protected_namespaces=())

    def to_json(self) -> str:
        """What bench.json holds; equal reports give equal text."""
        return json.dumps(self.model_dump(by_alias=True, mode="json"), indent=1, allow_nan=False) + "\n"
