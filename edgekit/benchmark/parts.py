"""Pieces of the report that say what a row was held against: expected answers, and MLPerf's edge scenarios."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ScenarioName = Literal["SingleStream", "MultiStream", "Offline"]


class Part(BaseModel):
    """A piece of the report: unknown keys and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())


class Expected(Part):
    """The row's answers beside those that came with a bench pack."""

    by: str = Field(description="what gave the expected answers")
    n: int = Field(description="pictures")
    identical: int = Field(description="of them, those of which every output is equal bit for bit")
    passed: bool = Field(description="whether the gate's limits hold for all of them")
    figures: str = Field(description="what was measured against what is allowed")
    problems: list[str] = Field(default=[], description="what is beyond the limits")

    @property
    def text(self) -> str:
        """For people: how many are equal bit for bit, and how far the others are from what is allowed."""
        if self.identical == self.n:
            return f"all {self.n} answers are those of {self.by}, bit for bit"
        same = f"{self.identical} of {self.n} answers are those of {self.by} bit for bit"
        if self.passed:
            return f"{same}, the others within the limits: {self.figures}"
        return f"{same}; not as expected: {'; '.join(self.problems)}"


class Decided(Part):
    """What to deploy of one model, why, and how sure that is, as the report's page says it."""

    model: str = Field(description="its net; empty where the report has no other")
    text: str = Field(description="the sentence")
    level: Literal["good", "warn", "bad"] = Field(
        description="warn: something speaks against the figures; bad: there is nothing to deploy"
    )


class Packed(Part):
    """The bench pack that a report was measured from."""

    name: str
    sha256: str = Field(description="of its manifest, which names the sha256 of every file in it")
    created: str
    edgekit: str = Field(description="the version that wrote it")


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
