"""What the page asks a segmenter, and what it is told."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgekit.labels.proposals.base import Prompt, Segment
from edgekit.labels.schema import Number
from edgekit.serving.requests import RefusedRequestError

_POINTS = 64
_FINE = 2000  # of a picture's longer side: what the eye sees of an outline


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


def told(found: Segment | None) -> dict[str, Any]:
    """The box, or None, and the mask's edge: polygons of [x, y] through the middles of its outermost pixels."""
    if found is None:
        return {"box": None, "outline": []}
    return {"box": found.box, "outline": _outline(found.mask)}


def _outline(mask: NDArray[np.bool_]) -> list[list[list[float]]]:
    import cv2

    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    fine = max(mask.shape) / _FINE
    return [(cv2.approxPolyDP(line, fine, True)[:, 0] + 0.5).tolist() for line in lines]
