"""What `edgekit data` says of a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgekit.data.layouts.annotations import counted
from edgekit.data.survey.likeness import Alike, look_alike, problems_of
from edgekit.data.survey.measures import Boxes, Counts, boxes_of, counts_of, masks_of, sizes_of, sizes_text
from edgekit.data.survey.problems import class_problems, clips_between, copies
from edgekit.data.survey.sets import Sets, read_sets
from edgekit.screen import count_of, some


@dataclass(frozen=True)
class DataReport:
    """What is in a data set, and what is wrong with it.

    Attributes:
        layout: what it was read as, as `edgekit.data.Dataset.layout`.
        classes: their names; () where none are known.
        splits: how much each has, by its name; under "" where there are none.
        sizes: (width, height) in pixels of every picture.
        boxes: how large they are; None where there are none.
        alike: pictures that are nearly the same; None where that was not looked at.
        notes: what reading it said, one sentence each: pictures left out, boxes clipped.
        problems: what is wrong beyond that, those that matter most with WARNING before them.
    """

    layout: str
    classes: tuple[str, ...]
    splits: Mapping[str, Counts]
    sizes: tuple[tuple[int, int], ...]
    boxes: Boxes | None
    alike: Alike | None
    notes: tuple[str, ...]
    problems: tuple[str, ...]

    def lines(self, name: str) -> list[str]:
        """For people; `name` is what the set is called."""
        counts = self.splits.values()
        pictures, objects = sum(c.pictures for c in counts), sum(c.objects for c in counts)
        told = [count_of(pictures, "picture")] + ([count_of(objects, "box")] if self.boxes is not None else [])
        told += [count_of(len(self.classes), "class")] if self.classes else []
        found = [f"{name}: {self.layout}, {', '.join(told)}"]
        for split, one in self.splits.items():
            of = some([f"{k} {n}" for k, n in one.classes.items() if n], 12)
            parts = [count_of(one.pictures, "picture")]
            parts += [f"{one.empty} of them without objects"] if one.empty else []
            parts += [count_of(one.objects, "box")] if self.boxes is not None else []
            parts += [f"{one.aside} set aside"] if one.aside else []
            found.append(f"  {split or 'no splits'}: {', '.join(parts)}{f': {of}' if of else ''}")
        found.append(f"  sizes: {sizes_text(self.sizes)}")
        if self.boxes is not None:
            found.append(f"  boxes: {_boxes_text(self.boxes, objects)}")
        if self.alike is not None and self.alike.groups:
            found.append(
                f"  nearly the same: {count_of(self.alike.pictures, 'picture')} in "
                f"{count_of(self.alike.groups, 'group')} of one split"
            )
        found += [f"  found: {note}" for note in self.notes]
        found += [f"  {problem}" for problem in self.problems]
        return found

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        sizes: dict[tuple[int, int], int] = {}
        for size in self.sizes:
            sizes[size] = sizes.get(size, 0) + 1
        ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
        return {
            "layout": self.layout,
            "classes": list(self.classes),
            "splits": {split: asdict(one) for split, one in self.splits.items()},
            "sizes": [{"width": w, "height": h, "pictures": n} for (w, h), n in ordered],
            "boxes": None if self.boxes is None else asdict(self.boxes),
            "alike": None if self.alike is None else asdict(self.alike),
            "notes": list(self.notes),
            "problems": list(self.problems),
        }


def data_report(data: str | os.PathLike[str], *, split: str | None = None, quick: bool = False) -> DataReport:
    """Looks at all splits of a data set, as `edgekit data` does.

    Args:
        data: a folder, table or file in any layout that edgekit reads (docs/data.md), or synthetic://hive?n=60.
        split: the only one to look at, by any of its names; "all" takes every picture as one set.
        quick: read headers only. Pictures that are cut off or nearly the same are not found then.

    Raises:
        DataError: nothing there, a layout that is not read, or no readable picture.
    """
    return report_of(read_sets(data, split), quick)


def report_of(sets: Sets, quick: bool = False) -> DataReport:
    """The report on splits that were read; `quick` as in `data_report`."""
    parts = sets.parts
    counts = {split: counts_of(part) for split, part in parts.items()}
    samples = [sample for part in parts.values() for sample in part]
    sizes = sizes_of(samples)
    problems: tuple[str, ...] = ()
    for split, part in parts.items() if not quick else ():
        if part.masked:
            counts[split], told = masks_of(part)
            problems += told
    problems = (*sets.notes, *copies(parts), *problems, *class_problems(parts, counts), *clips_between(parts))
    alike = None if quick else look_alike(parts)
    if alike is not None:
        problems += problems_of(alike)
    notes = replace(sets, notes=()).lines(lambda part: counted(part) if part.any_boxed else ())
    boxes = boxes_of(samples, sizes)
    return DataReport(sets.layout, sets.classes or (), counts, tuple(sizes), boxes, alike, tuple(notes), problems)


def _boxes_text(boxes: Boxes, objects: int) -> str:
    low, middle, high = boxes.sides
    part = boxes.shares[1]
    span = f", 5 % of them under {low:.0f} and 5 % over {high:.0f}" if low is not None and high is not None else ""
    kinds = ((boxes.small, "small"), (boxes.medium, "medium"), (boxes.large, "large"))
    shares = ", ".join(f"{100 * n / objects:.0f} % {kind}" for n, kind in kinds)
    return (
        f"a median side of {middle:.0f} pixels ({100 * (part or 0):.1f} % of the picture's){span}; {shares} by COCO's "
        f"limits; at most {boxes.most} in a picture"
    )
