"""Which class each number of a data set's masks is: by a list of names beside them, else by the model's own order."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.data.classes.class_map import proposal
from edgekit.data.mask_file import VOID
from edgekit.data.names import plain
from edgekit.data.sample import class_index
from edgekit.errors import DataError
from edgekit.reading import is_file, read_text
from edgekit.reading.limits import LIST, SETTINGS
from edgekit.screen import count_of, some

LISTS = ("classes.txt", "labels.txt", "class_names.txt", "_classes.csv")
# what people call pixels that nobody labelled
_VOIDS = frozenset(
    {"void", "ignore", "ignored", "unlabeled", "unlabelled", "unlabeled area", "unknown", "don't care", "dontcare"}
)
_VOID_BY_CUSTOM = 255  # VOC's and Cityscapes' number for it
_NUMBERED = re.compile(r"(\d+)\s*[:,;=\s]\s*(\S.*)")


@dataclass(frozen=True)
class Numbers:
    """What the numbers in a data set's masks are.

    Attributes:
        names: of the data set, by number; empty where nothing says.
        classes: of the data set that is read: the model's, else its own; None where there are neither.
        table: class index of each number; None: each is its own index.
        notes: what was assumed.
        proposal: the map that would give names which are no class of the model one; "" where all are.
    """

    names: Mapping[int, str] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    table: Mapping[int, int] | None = None
    notes: tuple[str, ...] = ()
    proposal: str = ""


def numbers_of(
    folders: Sequence[Path], seen: Sequence[int], classes: Sequence[str] | None, told: Mapping[int, str] | None = None
) -> Numbers:
    """What the numbers are, by the first list of names that one of `folders` has.

    A name such as void, ignore or unlabeled is of pixels that do not count, and so is 255 where nothing is called so.
    Without a list the numbers are the model's own indices, and the one behind the last is void; where no mask has a 0
    and some have that one, they are counted from 1. Masks of 0 and 255 alone are of one class and what is around it.

    Args:
        seen: numbers found in some of the masks.
        classes: the model's.
        told: names by number, where they are known already.

    Raises:
        DataError: a list that cannot be read, or a number in `seen` that is no class of the model.
    """
    file = next((folder / name for folder in folders for name in LISTS if is_file(folder / name)), None)
    names: Mapping[int, str] = told or (_read(file) if file is not None else {})
    if set(seen) == {0, 255} and 255 not in names and len(names or classes or (0, 1)) <= 2:
        return _of_one_class(names, classes)
    own = tuple(dict.fromkeys(name for name in names.values() if name.casefold() not in _VOIDS))
    wanted = tuple(classes) if classes is not None else own or None
    if wanted is None:
        return Numbers()
    table = {_VOID_BY_CUSTOM: VOID}
    notes: list[str] = []
    if names:
        for number, name in names.items():
            index = VOID if name.casefold() in _VOIDS else class_index(name, wanted)
            if index is not None:
                table[number] = index
    else:
        from_one = 0 not in seen and len(wanted) in seen
        table |= {i + from_one: i for i in range(len(wanted))}
        if not from_one:
            table[len(wanted)] = VOID
        notes.append(f"the masks have no {LISTS[0]}: their numbers are taken for the model's classes in their order")
        if from_one:
            notes[-1] = f"WARNING: {notes[-1]}, counted from 1: no mask has a 0, and some have {len(wanted)}"
        elif len(wanted) in seen:
            notes.append(f"WARNING: the number {len(wanted)}, one behind the model's last class, is taken for void")
    lacking = [name for number, name in names.items() if number not in table]
    if unknown := [number for number in seen if number not in table]:
        called = [f"{number} ({names[number]})" if number in names else str(number) for number in unknown]
        raise DataError(
            "The masks have numbers that are no class of the model.",
            got=some(called, 10),
            expected=some(
                [f"{number} {wanted[index]}" for number, index in sorted(table.items()) if index != VOID], 12
            ),
            fix=proposal(lacking, wanted)
            if any(number in names for number in unknown)
            else f"a {LISTS[0]} beside the pictures, a name a line from number 0 on, says which is which, and void",
        )
    if 255 in seen and 255 not in names:
        notes.append("the number 255 is taken for void: pixels that nobody labelled, which do not count")
    return Numbers(names, wanted, table, tuple(notes), proposal(lacking, wanted) if lacking else "")


def names_numbers(file: Path) -> bool:
    """Whether a _classes.csv is Roboflow's table of a mask's numbers, and not one of labels of pictures."""
    try:
        head = read_text(file, LIST).partition("\n")[0]
    except (OSError, ValueError):
        return False
    return head.strip().casefold().startswith("pixel value")


def _of_one_class(names: Mapping[int, str], classes: Sequence[str] | None) -> Numbers:
    """Masks of 0 and 255: what is around it, and the class."""
    own = tuple(names.values())
    found = ("background", *own) if len(own) == 1 else own
    wanted = tuple(classes) if classes is not None else found or None
    if wanted is None:
        return Numbers(table={0: 0, 1: 1, 255: 1}, notes=("masks of 0 and 255 alone are taken for one class",))
    if len(wanted) != 2:
        raise DataError(
            "The masks know one class.", got="0 and 255 alone", expected=f"{count_of(len(wanted), 'class')}"
        )
    places = [class_index(name, wanted) for name in found] if len(found) == 2 else [0, 1]
    if None in places and len(own) == 1 and (place := class_index(own[0], wanted)) is not None:
        places = [1 - place, place]  # the background has another name
    if None in places:
        raise DataError("The masks' classes are not the model's.", got=", ".join(found), expected=", ".join(wanted))
    around, inside = (place for place in places if place is not None)
    note = f"masks of 0 and 255 alone: 0 is taken for {wanted[around]}, 255 for {wanted[inside]}"
    return Numbers({}, wanted, {0: around, 1: inside, 255: inside}, (note,))


def _read(file: Path) -> dict[int, str]:
    """Names by number: a name a line from 0 on, `7 name` or `7: name`, or Roboflow's table of values and classes."""
    try:
        text = read_text(file, SETTINGS)
        rows = list(csv.reader(io.StringIO(text))) if file.suffix == ".csv" else []
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        pairs = [(int(row[0]), plain(row[1])) for row in rows[1:] if len(row) > 1]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{file} cannot be read.", got=str(error), expected="a class name a line") from error
    if not rows:
        numbered = [_NUMBERED.fullmatch(line) for line in lines]
        if lines and all(numbered):
            pairs = [(int(m.group(1)), plain(m.group(2))) for m in numbered if m is not None]
        else:
            pairs = [(i, plain(line)) for i, line in enumerate(lines)]
    if not pairs or len(dict(pairs)) != len(pairs) or not all(name for _, name in pairs):
        raise DataError(
            f"{file} names no classes, or one number twice.", got=f"{count_of(len(pairs), 'name')}", expected="names"
        )
    return dict(pairs)
