"""Which class of a data set, or of another model, is which of the model's, where the two call them differently.

A map is pairs of names: the model's (or any one name that both sides stand for) and another name of the same thing.
`-` takes what is to be left out, and `*` stands for all that nothing else says anything of.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from edgekit.data.classes.near import near
from edgekit.data.names import plain
from edgekit.data.sample import class_index
from edgekit.errors import UsageError
from edgekit.reading import load_toml, read_text
from edgekit.reading.limits import SETTINGS
from edgekit.screen import some

LEFT_OUT = ("-", "ignore")
REST = "*"
EXAMPLE = "--map 'bee=Bees,hornet=asian_giant_hornet'"
_FEW = 5  # names that a proposal leaves out one by one; more are `-=*`


@dataclass(frozen=True)
class Places:
    """Where the classes of one side are among those of the other, by index.

    Attributes:
        found: of each class that has one, its place.
        left: classes that are left out on purpose.
        nowhere: classes of which nothing is said and whose name the other side does not have.
    """

    found: Mapping[int, int]
    left: tuple[int, ...]
    nowhere: tuple[int, ...]


@dataclass(frozen=True)
class ClassMap:
    """Pairs of names; `class_map` makes one of what a person gives.

    Attributes:
        pairs: (the model's name, another name of it); `-` or `ignore` on the left leaves the other out, `*` on the
            right is what no other pair and no equal name says anything of.

    Raises:
        UsageError: a name without a partner, or one that stands for two.
    """

    pairs: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        onto: dict[str, str] = {}
        for ours, theirs in self.pairs:
            if not ours.strip() or not theirs.strip():
                raise UsageError("A map has pairs of names.", got=f"{ours}={theirs}", expected=EXAMPLE)
            if ours == REST or theirs in LEFT_OUT:
                raise UsageError(
                    "The name to leave out stands behind the =.",
                    got=f"{ours}={theirs}",
                    expected="-=NAME to leave one out, -=* for all the others",
                    fix=f"--map {shlex.quote(f'-={theirs if ours == REST else ours}')}",
                )
            if onto.setdefault(plain(theirs), ours) != ours:
                raise UsageError(
                    "A map gives one name two meanings.",
                    got=f"{theirs}: {onto[plain(theirs)]} and {ours}",
                    expected="one class for each name; several names may be one class",
                )

    def places(self, names: Sequence[str], classes: Sequence[str], strict: bool = True) -> Places:
        """Where `names` are in `classes`: by the map, else by the name itself.

        Args:
            names: of the data set, or of the other model.
            classes: the model's.
            strict: refuse a map that names what neither side has.

        Raises:
            UsageError: such a name, or one that would be two of `classes`.
        """
        if strict:
            self.require_known(names, classes)
        said = self._said_of(names)
        meant = self._said_of(classes)
        rest = next((ours for ours, theirs in self.pairs if theirs == REST), None)
        found: dict[int, int] = {}
        left: list[int] = []
        nowhere: list[int] = []
        for i, name in enumerate(names):
            wanted = said.get(i, name)
            place = None if i in said and wanted in LEFT_OUT else _place(name, wanted, classes, meant)
            if place is None and i not in said and rest is not None and rest not in LEFT_OUT:
                place = _place(name, rest, classes, meant)
            if place is not None:
                found[i] = place
            elif (wanted in LEFT_OUT and i in said) or rest in LEFT_OUT:
                left.append(i)
            else:
                nowhere.append(i)
        return Places(found, tuple(left), tuple(nowhere))

    def left_out(self, names: Sequence[str]) -> frozenset[int]:
        """Indices of those of `names` that are left out by themselves, or as all the others are."""
        said = self._said_of(names)
        rest = ("-", REST) in self.pairs or ("ignore", REST) in self.pairs
        return frozenset(i for i in range(len(names)) if (said[i] in LEFT_OUT if i in said else rest))

    def chosen(self, names: Sequence[str], further: Sequence[str] = ()) -> tuple[str, ...]:
        """The classes that `names` become where no model says which there are, as in training; in their order.

        Args:
            names: of the data.
            further: names of other sets, which the map may speak of too.

        Raises:
            UsageError: the map names what is not there, or leaves nothing.
        """
        left = {plain(ours) for ours, _ in self.pairs}
        every = (*names, *further)
        self.require_known(every, every)
        said = self._said_of(names)
        rest = next((ours for ours, theirs in self.pairs if theirs == REST), None)
        became = [
            said[i] if i in said else name if rest is None or plain(name) in left else rest
            for i, name in enumerate(names)
        ]
        kept = tuple(dict.fromkeys(name for name in became if name not in LEFT_OUT))
        if not kept:
            raise UsageError("The map leaves no class.", got=self.text(), expected="one class at least")
        return kept

    def text(self) -> str:
        """As `--map` takes it, quoted for a shell; as a TOML where a name has a comma or an =."""
        if not any("," in name or "=" in name for pair in self.pairs for name in pair):
            return "--map " + shlex.quote(",".join(f"{ours}={theirs}" for ours, theirs in self.pairs))
        lines = ["--map FILE.toml, a file with these lines:", "[map]"]
        for name, others in self.table().items():
            lines.append(f"{json.dumps(name, ensure_ascii=False)} = {json.dumps(others, ensure_ascii=False)}")
        return "\n".join(lines)

    def table(self) -> dict[str, tuple[str, ...]]:
        """As a TOML's table [map] holds it."""
        return {
            name: tuple(theirs for ours, theirs in self.pairs if ours == name)
            for name in dict.fromkeys(ours for ours, _ in self.pairs)
        }

    def _said_of(self, names: Sequence[str]) -> dict[int, str]:
        """What the map says that some of `names` are."""
        said = {}
        for ours, theirs in self.pairs:
            index = None if theirs == REST else class_index(theirs, names)
            if index is not None:
                said[index] = ours
        return said

    def require_known(self, names: Sequence[str], classes: Sequence[str]) -> None:
        """Raises UsageError for a name that neither side has, unless it is one that both are said to share."""
        both = [*dict.fromkeys([*classes, *names])]
        shared = [plain(ours) for ours, _ in self.pairs]
        for ours, theirs in self.pairs:
            if theirs != REST and class_index(theirs, names) is None and class_index(theirs, classes) is None:
                _refuse_name(theirs, ours, names or both)
            lone = ours not in LEFT_OUT and shared.count(plain(ours)) == 1 and classes is not names
            if lone and class_index(ours, classes) is None and class_index(ours, names) is None:
                _refuse_name(ours, theirs, classes)


ClassMapLike = ClassMap | Mapping[str, str | Sequence[str]] | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def class_map(given: ClassMapLike | None) -> ClassMap | None:
    """A map out of what a person gives; None for nothing.

    Args:
        given: `bee=Bees,hornet=asian_giant_hornet`, the path of a TOML with a table [map], several of both, or a
            mapping of the model's names to one or several others.

    Raises:
        UsageError: no pair of names, a file that cannot be read or has no such table, or a name with two meanings.
    """
    if given is None or isinstance(given, ClassMap):
        return given
    if isinstance(given, Mapping):
        pairs = tuple(_table(given, "The map"))
    else:
        several = [given] if isinstance(given, (str, os.PathLike)) else list(given)
        pairs = tuple(pair for one in several for pair in _pairs(one))
    return ClassMap(tuple(dict.fromkeys(pairs))) if pairs else None


def proposal(
    unknown: Sequence[str], classes: Sequence[str], given: ClassMap | None = None, kept: bool | None = None
) -> str:
    """The --map to paste for the names `unknown`, which the model does not have, beside the pairs of `given`.

    What is near one of `classes` is proposed as it, the others are left out. Where nothing is near: how to say it.

    Args:
        classes: the model's; of two models those that the other one lacks.
        kept: of two models: whether they have others in common. Then `classes` without a partner are left out too.
    """
    guessed = [(name, near(name, classes)) for name in unknown]
    pairs = [(classes[place], name) for name, place in guessed if place is not None]
    others = [name for name, place in guessed if place is None]
    if kept is not None:
        others += [name for name in classes if name not in {ours for ours, _ in pairs}]
    before = given.pairs if given is not None else ()
    if not pairs and not kept and not any(ours not in LEFT_OUT for ours, _ in before):
        told = f"no name is near: {ClassMap((('-', others[0]),)).text()} leaves {others[0]} out"
        as_first = ClassMap(((classes[0], unknown[0]),)).text() if unknown and classes else ""
        return told + (f", {as_first} takes {unknown[0]} as {classes[0]}" if as_first else "")
    pairs += [("-", REST)] if len(others) > _FEW else [("-", name) for name in others]
    guess = "which guesses by name" + ("; - is left out" if others else "")
    return f"{ClassMap((*before, *pairs)).text()} ({guess})"


def _place(name: str, wanted: str, classes: Sequence[str], meant: Mapping[int, str]) -> int | None:
    """The place of `wanted`: as a name of `classes`, else as what the map says that one of them is."""
    named = class_index(wanted, classes)
    if named is not None:
        return named
    fitting = [i for i, other in meant.items() if plain(other).casefold() == plain(wanted).casefold()]
    if len(fitting) > 1:
        own = class_index(name, classes)
        if own in fitting:
            return own
        raise UsageError(
            f"{name} would be several of the model's classes.",
            got=" and ".join(classes[i] for i in fitting),
            expected="one of them, for each class of the data",
            fix=ClassMap(((classes[fitting[0]], name),)).text(),
        )
    return fitting[0] if fitting else None


def _refuse_name(name: str, beside: str, known: Sequence[str]) -> NoReturn:
    place = near(name, known)
    raise UsageError(
        "The map names a class that is not there.",
        got=f"{name} (beside {beside})",
        expected="one of " + some(known, 10),
        fix=f"did you mean {known[place]}?" if place is not None else None,
    )


def _pairs(given: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    text = os.fspath(given)
    if not isinstance(given, str) or (text.endswith(".toml") and ("=" not in text or Path(text).is_file())):
        yield from _file(Path(text))
        return
    for part in text.split(","):
        ours, equals, theirs = part.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise UsageError(
                "A map has pairs of names.",
                got=part or text,
                expected=f"the model's name, =, and the other name of it: {EXAMPLE}",
                fix="names with a comma or an = stand in a TOML's table [map]: --map FILE.toml",
            )
        yield ours.strip(), theirs.strip()


def _file(path: Path) -> Iterator[tuple[str, str]]:
    expected = 'a TOML with a table [map] and lines such as bee = ["Bees", "honeybee"]'
    try:
        content = load_toml(read_text(path, SETTINGS))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a map of classes.", got=str(error), expected=expected) from error
    table = content.get("map")
    if not isinstance(table, dict) or len(content) > 1:
        got = f"the keys {some(list(content))}" if content else "an empty file"
        raise UsageError(f"{path} is not a map of classes.", got=got, expected=expected)
    yield from _table(table, str(path))


def _table(table: Mapping[str, Any], source: str) -> Iterator[tuple[str, str]]:
    for ours, theirs in table.items():
        several = [theirs] if isinstance(theirs, str) else theirs
        if not isinstance(several, Sequence) or not all(isinstance(name, str) for name in several):
            raise UsageError(
                f"{source} has a class without names.", got=f"{ours} = {theirs!r}", expected='"Bees" or ["Bees", "bee"]'
            )
        yield from ((ours, name) for name in several)
