"""Pieces of the report that say how fast: timings, a fresh process, layers, the MLPerf scenarios of the edge."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from edgekit.benchmark.schema.part import Part, Span

ScenarioName = Literal["SingleStream", "MultiStream", "Offline"]


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


class Peak(Part):
    """What the machine reached in this run: multiply-adds and copies."""

    gmacs: dict[str, float] = Field(description="1e9 multiply-adds a second, by precision")
    copy_gb: float = Field(description="1e9 bytes a second, read and written")
    how: str


class Ratio(Part):
    """How many times faster the row is than the reference, measured in turns: above 1 is faster."""

    row: str
    reference: str
    stage: str
    speedup: Span


class Scenario(Part):
    """One scenario of the MLPerf Inference rules, measured on a row's model. It is no MLPerf result: see `short`.

    A sample is a resized picture in memory, as the rules allow; what is timed is the session and the decoding of what
    it gives. `latency_ms` is the rules' early-stopping estimate of the percentile, null where too few queries were
    made for one.
    """

    name: ScenarioName
    queries: int
    samples: int = Field(description="of all queries together")
    seconds: float
    percentile: float | None = Field(default=None, description="90 of SingleStream, 99 of MultiStream")
    latency_ms: float | None = None
    discarded: int | None = Field(default=None, description="largest latencies left out of the estimate")
    throughput: float = Field(description="samples a second")
    short: list[str] = Field(default=[], description="what the rules ask for and this run had not; empty: all of it")

    @property
    def text(self) -> str:
        """For people: the scenario's own figure first, then what the rules ask for and was not there."""
        if self.percentile is None:
            told = f"{self.name} {self.throughput:.1f} samples/s, {self.samples} samples in one query"
        elif self.latency_ms is None:
            told = f"{self.name}: no p{self.percentile:.0f} of {self.queries} queries"
        else:
            told = (
                f"{self.name} p{self.percentile:.0f} {self.latency_ms:.2f} ms "
                f"(early-stopping estimate of {self.queries} queries), {self.throughput:.1f} samples/s"
            )
        return told + (
            f"; shorter than the rules: {'; '.join(self.short)}" if self.short else "; as long as the rules ask"
        )


class Bounded(Part):
    """The highest throughput of one file and runtime whose latency stays within a bound."""

    model: str = Field(description="the file's name")
    runtime: str
    bound_ms: float
    percentile: float
    row: str | None = Field(description="which of its settings; null where none stays within the bound")
    throughput: float | None = None
    latency_ms: float | None = None

    @property
    def text(self) -> str:
        """For people."""
        where = f"{self.model} · {self.runtime} within {self.bound_ms:g} ms (p{self.percentile:.0f} of a run)"
        if self.throughput is None or self.latency_ms is None:
            return f"{where}: none of what was measured"
        return f"{where}: {self.throughput:.1f} pictures/s, {self.row}, {self.latency_ms:.2f} ms"
