"""Which nets of timm and torchvision have given names and shapes, without building one of them.

`nets.txt` has the fingerprint of each net's trunk, written by `benchmarks/known_nets.py`: building 1500 takes minutes.
A line is a fingerprint, the paths of the last layers (comma between, `-` for none) and the nets of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from edgekit.checkpoints.fitting.fingerprint import Shapes, fingerprint

HEADS, FILE = ("fc", "head", "classifier"), "nets.txt"
_NO_HEAD = "-"


@dataclass(frozen=True)
class Table:
    """What `nets.txt` says.

    Attributes:
        nets: fingerprint -> nets, such as `timm:resnet50`.
        heads: paths of last layers that occur together, each once.
    """

    nets: Mapping[str, tuple[str, ...]]
    heads: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> frozenset[str]:
        """All nets."""
        return frozenset(name for names in self.nets.values() for name in names)


@lru_cache(maxsize=1)
def known() -> Table:
    """The table that comes with edgekit."""
    nets: dict[str, tuple[str, ...]] = {}
    heads: dict[tuple[str, ...], None] = {(head,): None for head in HEADS}
    for line in (files("edgekit.checkpoints.fitting") / FILE).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        mark, paths, *names = line.split()
        nets[mark] = (*nets.get(mark, ()), *names)
        heads[tuple(paths.split(",")) if paths != _NO_HEAD else ()] = None
    return Table(nets, tuple(heads))


def written(marks: Mapping[str, tuple[str, tuple[str, ...]]], versions: str) -> str:
    """The text of the table.

    Args:
        marks: net -> its fingerprint and the paths of its last layers.
        versions: of the libraries.
    """
    lines: dict[tuple[str, str], list[str]] = {}
    for name, (mark, heads) in sorted(marks.items()):
        lines.setdefault((mark, ",".join(heads) or _NO_HEAD), []).append(name)
    rows = sorted((names, mark, heads) for (mark, heads), names in lines.items())
    return "".join([f"# {versions}\n", *(f"{mark} {heads} {' '.join(names)}\n" for names, mark, heads in rows)])


def look_up(shapes: Shapes) -> tuple[str, ...]:
    """The nets whose trunks have these names and shapes, whatever the width of the last layer; it may be missing."""
    table = known()
    firsts = {part for name in shapes for part in _ancestors(name)}
    found: dict[str, None] = {}
    for heads in {(): None, **dict.fromkeys(table.heads)}:
        if all(head in firsts for head in heads):
            found.update(dict.fromkeys(table.nets.get(fingerprint(shapes, heads), ())))
    return tuple(found)


def _ancestors(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]
