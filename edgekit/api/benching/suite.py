"""A suite as `bench` runs it: where its models and pictures are, and its groups one after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.api.benching.parts import Parts, Say, Written, case
from edgekit.benchmark.schema import Case, Report
from edgekit.data.classes.class_map import ClassMap, class_map
from edgekit.errors import UsageError
from edgekit.screen import as_typed


@dataclass(frozen=True)
class SuitePlaces:
    """Where a suite finds what it names.

    Attributes:
        models: folder of its models.
        data_root: folder of its data; None is EDGEKIT_DATA.
        data: data sets instead of the ones it names.
        attack: checkpoint instead of the one it names.
        classes_map: instead of the one it names.
        say: called with a line for whatever is to be told.
    """

    models: Path
    data_root: Path | None = None
    data: Sequence[Path] = ()
    attack: Path | None = None
    classes_map: ClassMap | None = None
    say: Say = lambda line: None

    def pictures(self, named: Sequence[str]) -> list[Path]:
        """The data sets. Raises UsageError where one is not there."""
        from edgekit.data.made import is_made

        root = self.data_root or (Path(os.environ["EDGEKIT_DATA"]) if os.environ.get("EDGEKIT_DATA") else None)
        paths = list(self.data) or ([root / name for name in named] if root is not None else [])
        missing = [str(p) for p in paths if not is_made(p) and not p.exists()]
        if missing:
            raise UsageError(
                "A suite's data is not there.", got=", ".join(missing), expected="--data, or folders below --data-root"
            )
        return paths

    def crafted_on(self, named: str | None, cases: Sequence[Case]) -> Path | None:
        """The checkpoint for attacks: given, named, or one of the cases. Raises UsageError: the given is not there."""
        if self.attack is not None:
            if not self.attack.is_file():
                raise UsageError("The checkpoint for attacks is not there.", got=str(self.attack), expected="a file")
            return self.attack
        if named is not None and (self.models / named).is_file():
            return self.models / named
        if named is not None:
            self.say(f"no attacks: {self.models / named} is not there")
        return next((Path(c.model) for c in cases if c.backend == "torch"), None)


def run_suite_file(
    suite: Path, places: SuitePlaces, out: Path, written: Written, resume: bool, unverified: bool
) -> Report:
    """A suite from its TOML, group by group. Raises UsageError for one that cannot be read."""
    from edgekit.benchmark.suite import group_cases, load_suite, run_suite

    asked = load_suite(suite)
    paths = places.pictures(asked.data)
    groups = [group_cases(matrix, places.models, case) for matrix in asked.matrix]
    attack = places.crafted_on(asked.attack, [c for cases in groups for c in cases])
    parts = Parts.of_suite(
        asked,
        paths,
        unverified=unverified,
        classes_map=places.classes_map or class_map(asked.map),
        attack=attack,
        say=places.say,
    )
    settings = {**asked.model_dump(mode="json"), "pictures": [as_typed(p) for p in paths], "attack": str(attack)}
    if parts.classes_map is not None:
        settings["map"] = parts.classes_map.pairs

    def group(cases: Sequence[Case], done: Written) -> Report:
        return parts.measure(cases, asked.settings(), done, asked.title)

    return run_suite(groups, settings, out / "parts", group, written, places.say, resume)
