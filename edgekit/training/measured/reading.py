"""Reads the pictures that a net in training is measured on; those that are broken are left out and told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from edgekit.data.sample import Sample
from edgekit.errors import DataError, PictureError
from edgekit.progress import track
from edgekit.screen import some

T = TypeVar("T")


def readable(
    samples: Sequence[Sample], read: Callable[[Sample], T], say: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[Sample, T]]:
    """Each sample that can be read, with what `read` makes of it; after the last one says what was left out.

    Raises:
        DataError: after the last one, where none could be read.
    """
    unread: list[str] = []
    for sample in track(samples, "reading the validation pictures"):
        try:
            found = read(sample)
        except PictureError as error:
            unread.append(f"{sample.name} ({error.got or error.what})")
            continue
        yield sample, found
    if len(unread) == len(samples):
        raise DataError("None of the validation pictures can be read.", got=some(unread))
    if unread:
        say(f"{len(unread)} unreadable in validation, left out: {some(unread)}")
