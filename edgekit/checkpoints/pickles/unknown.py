"""Classes of a training script itself, such as `__main__.Config`, or of a container library: inert too.

Their names are in no table, so what stands for them is chosen by how the pickle uses them: filled like a dictionary,
like a list, or given attributes. It holds what it is given and does nothing; the class itself is not looked for.
"""

from __future__ import annotations

import re
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.checkpoints.pickles.refusals import Thing, contents
from edgekit.checkpoints.pickles.stubs import AsDict, AsList, Fields

# a class by the look of its name; a function of the same look would be as inert
_CLASS = re.compile(r"([A-Za-z_]\w*\.)+_?[A-Z]\w*")
# what these hold is code, files or memory: whoever names one of their classes is told so, and not read
_LIBRARIES = {"torch", "numpy", "torchvision", "timm"}
_BEFORE = {*IMPORT_MAPPING, *(module for module, _ in NAME_MAPPING)}  # Python 2's names of the standard library's
_NOT_PLAIN = (sys.stdlib_module_names - {"__main__"}) | _LIBRARIES | {name.partition(".")[0] for name in _BEFORE}
_MOST = 200_000  # things looked at


def stand_ins_for(path: Path, wanted: Sequence[str]) -> dict[str, Callable[..., Any]] | None:
    """What stands for each of the classes `wanted`; None where one of them is no plain data.

    Args:
        path: of the pickle or archive.
        wanted: full names that nothing stands for yet.
    """
    if not wanted or not all(_CLASS.fullmatch(name) and name.partition(".")[0] not in _NOT_PLAIN for name in wanted):
        return None
    kinds: dict[str, Callable[..., Any]] = dict.fromkeys(wanted, Fields)
    for thing in _things(contents(path)):
        if thing is None or thing.module:  # a net, or too much to look through
            return None
        if thing.filled:
            kinds[thing.of] = AsDict if thing.filled == "dictionary" else AsList
    return kinds


def _things(held: Any) -> Iterator[Thing | None]:
    """Every object of a class in `held`, however deep; None at the end where there were too many to look at."""
    waiting, seen = [held], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen or not isinstance(one, (Thing, Mapping, list, tuple, set, frozenset)):
            continue
        seen.add(id(one))
        if len(seen) > _MOST:
            yield None
            return
        if isinstance(one, Thing):
            yield one
            waiting += [one.state, one.args, *one.held]
        elif isinstance(one, Mapping):
            waiting += one.values()
        else:
            waiting += one
