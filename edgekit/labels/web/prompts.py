"""What the page asks a segmenter."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgekit.labels.proposals.base import Prompt
from edgekit.labels.schema import Number
from edgekit.serving.requests import RefusedRequestError

_POINTS = 64


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")
    points: Annotated[list[tuple[Number, Number]], Field(max_length=_POINTS)] = []
    inside: Annotated[list[bool], Field(max_length=_POINTS)] = []
    box: tuple[Number, Number, Number, Number] | None = None


def read_prompt(given: dict[str, Any]) -> Prompt:
    """Points or a box out of a request. Raises RefusedRequestError, 400, or UsageError as `Prompt`."""
    try:
        asked = _Asked.model_validate(given)
    except ValidationError as error:
        raise RefusedRequestError(400, f"no points or box: {error.error_count()} values that are none") from error
    return Prompt(tuple(asked.points), tuple(asked.inside), asked.box)
