"""What a rule is, and what it finds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, NamedTuple, TypeAlias

from edgekit.graph.lint.graph import Graph

Severity: TypeAlias = Literal["error", "warning"]

ONNXRUNTIME = frozenset({"onnxruntime"})
TENSORRT = frozenset({"tensorrt"})
EVERY = frozenset({"onnxruntime", "openvino", "tensorrt"})


class Hit(NamedTuple):
    """One place where a rule does not hold: a node's or tensor's name, what was got there, what to do."""

    where: str
    message: str
    fix: str


Check: TypeAlias = Callable[[Graph], Iterator[Hit]]


@dataclass(frozen=True)
class Finding:
    """A hit with the rule that it breaks.

    Attributes:
        rule: id of the rule, e.g. `topk-limit`.
        severity: `error` when a runtime refuses the graph or gets it wrong, `warning` when it costs speed or care.
        message: names the node or tensor, and what was got.
        fix: what to change.
        where: name of the node or tensor alone.
    """

    rule: str
    severity: Severity
    message: str
    fix: str
    where: str


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    Attributes:
        runtimes: the runtimes that it matters for.
        check: `FILE.FUNCTION` of this folder, so that a rule is one line here and no import beside it.
        schemes: the quantization schemes that it is about; none for a rule about every graph.
    """

    id: str
    severity: Severity
    runtimes: frozenset[str]
    check: str
    schemes: frozenset[str] = frozenset()

    @property
    def function(self) -> Check:
        """What finds the places; the first paragraph of its docstring is the reason."""
        file, _, name = self.check.partition(".")
        found: Check = getattr(import_module(f"edgekit.graph.lint.{file}"), name)
        return found

    @property
    def reason(self) -> str:
        """Which runtime does what, on one line; versions are those that it was tried with."""
        return " ".join((inspect.getdoc(self.function) or "").split("\n\n")[0].split())
