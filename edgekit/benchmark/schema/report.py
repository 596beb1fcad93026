"""The report, whole: what was measured, on what, and a row a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from edgekit.benchmark.schema.part import Part
from edgekit.benchmark.schema.quality import Accuracy, Agreement, Erased, Expected, Robustness
from edgekit.benchmark.schema.speed import Bounded, Cold, Layers, Peak, Ratio, Scenario, Timing
from edgekit.errors import EdgekitError


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
    erased: Erased | None = None
    layers: Layers | None = None
    expected: Expected | None = None
    scenarios: list[Scenario] = Field(default=[])


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
