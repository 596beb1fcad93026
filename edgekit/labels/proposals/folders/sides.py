"""Which folder is `present` and which is `absent`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.data.sample import Dataset
from edgekit.errors import DataError, UsageError
from edgekit.screen import count_of

_ABSENT = re.compile(r"(absent|absence|none|empty|nothing|background|negatives?|no|(no|not|non|without)[ _-].+)", re.I)


@dataclass(frozen=True)
class Sides:
    """The two sides of a data set of class folders.

    Attributes:
        present: the name of the class that is to be boxed, or of its folder.
        of: bool a sample, in order: whether it shows one.
    """

    present: str
    of: tuple[bool, ...]


def sides_of(dataset: Dataset, absent: str | None = None) -> Sides:
    """What is boxed, and which pictures have none.

    Args:
        dataset: class folders with two classes.
        absent: the name of the class without; None guesses it: absent, none, empty, background, negative, no_hornet.

    Raises:
        DataError: not two classes, or pictures without a class.
        UsageError: none of the two is called as `absent` says, or none or both look like it where it is not said.
    """
    classes = dataset.classes or ()
    if len(classes) != 2 or not dataset.labelled:
        raise DataError(
            "Present and absent are two folders of pictures.",
            got=f"{count_of(len(classes), 'class')}: {', '.join(classes[:5])}"
            if classes
            else "pictures without classes",
            expected="two class folders, for example hornet/ and none/",
        )
    guessed = [name for name in classes if _ABSENT.fullmatch(name)] if absent is None else [absent]
    if len(guessed) != 1 or guessed[0] not in classes:
        raise UsageError(
            "It is not clear which folder has pictures without the thing.",
            got=" and ".join(classes) + ("" if absent is None else f"; told {absent}"),
            expected="one of them to be called absent, none, empty, background, negative or no_SOMETHING",
            fix=f"say it: --absent {classes[0]} or --absent {classes[1]}",
        )
    without = classes.index(guessed[0])
    return Sides(classes[1 - without], tuple(sample.label != without for sample in dataset))
