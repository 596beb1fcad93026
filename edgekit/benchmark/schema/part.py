"""A piece of the report, and a figure with its interval."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A piece of the report: unknown keys and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())


class Span(Part):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float
