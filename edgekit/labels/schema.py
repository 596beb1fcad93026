"""What is known of one picture while it is labelled, and how it is kept as text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgekit.errors import UsageError

Box = tuple[float, float, float, float]
Origin = Literal["hand", "proposal", "file"]
MOST = 2000  # boxes of a picture
_FAR = 1e6  # pixels: no picture that is read has a longer side
Number = Annotated[float, Field(allow_inf_nan=False, ge=-_FAR, le=_FAR)]
_Corners = tuple[Number, Number, Number, Number]


@dataclass(frozen=True)
class Mark:
    """One object.

    Attributes:
        box: x1 y1 x2 y2 in continuous pixels of the upright picture, of positive area.
        label: index of its class.
        origin: who drew it: a person (`hand`), a proposal that a person accepted, or labels that were there (`file`).
    """

    box: Box
    label: int
    origin: Origin = "hand"


@dataclass(frozen=True)
class Labels:
    """What a person has said about a picture so far.

    Attributes:
        marks: its objects.
        done: whether that is all of them; only then the picture is part of what is trained with.
        rejected: proposals that are wrong, so that they are not shown again.
    """

    marks: tuple[Mark, ...] = ()
    done: bool = False
    rejected: tuple[Box, ...] = ()

    def text(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), separators=(",", ":"))


class _Mark(BaseModel):
    model_config = ConfigDict(extra="forbid")
    box: _Corners
    label: Annotated[int, Field(ge=0)]
    origin: Origin = "hand"


class _Labels(BaseModel):
    model_config = ConfigDict(extra="forbid")
    marks: Annotated[list[_Mark], Field(max_length=MOST)] = []
    done: bool = False
    rejected: Annotated[list[_Corners], Field(max_length=MOST)] = []


def read_labels(given: object) -> Labels:
    """Labels out of plain data, as a page sends them and the store keeps them.

    Raises:
        UsageError: other keys or types, numbers that are not finite, or too many boxes. Whether the boxes lie in the
            picture and the classes are there is the session's to say.
    """
    try:
        read = _Labels.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "labels"
        raise UsageError(
            "These are no labels.", got=f"{where}: {first['msg']}", expected="marks, done, rejected"
        ) from None
    marks = tuple(Mark(mark.box, mark.label, mark.origin) for mark in read.marks)
    return Labels(marks, read.done, tuple(read.rejected))
