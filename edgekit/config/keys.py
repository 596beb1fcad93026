"""Which keys the tables of a model have, and the nearest one where a key does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel

Where = tuple[int | str, ...]
"""The keys and list positions that lead to a value, as pydantic gives them."""


def unknown_key(where: str, known: Sequence[str]) -> dict[str, str]:
    """got / expected / fix of a key that does not exist; `where` with the keys of the tables around it."""
    return {
        "got": f"unknown key {where}",
        "expected": "one of " + ", ".join(known),
        "fix": nearest(where.rpartition(".")[2], known) or f"remove {where}",
    }


def nearest(word: str, known: Sequence[str]) -> str | None:
    """A suggestion when `word` is close to a known one."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else None


def annotation_at(annotation: Any, where: Where) -> Any:
    """The type of what stands at `where`, through tables, lists and dictionaries; None where nothing can stand."""
    for step in where:
        alternatives = (
            get_args(annotation) if get_origin(annotation) in (Union, UnionType, Annotated) else (annotation,)
        )
        annotation = next((found for part in alternatives if (found := _below(part, step)) is not None), None)
    return annotation


def _below(annotation: Any, step: int | str) -> Any:
    if _is_table(annotation):
        field = annotation.model_fields.get(str(step))
        return None if field is None else field.annotation
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    return get_args(annotation)[0] if get_origin(annotation) is tuple and isinstance(step, int) else None


def _is_table(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def keys_of(annotation: Any) -> tuple[str, ...]:
    """The keys of a table; none of anything else."""
    return next((tuple(part.model_fields) for part in _parts(annotation) if _is_table(part)), ())


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The types of `A | B`, and the one of `Annotated[A, ...]`."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType, Annotated) else (annotation,)
