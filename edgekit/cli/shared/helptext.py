"""What `--help` looks like: groups of options, words for values, examples at the end, in plain text of any width.

An option is written as it is shown: `DATA("-d, --data DIR", "Labelled pictures.")` is one of the group DATA. The word
in capitals says what is meant, and so what a shell completes. A docstring ends with `Examples:` and command lines. The
groups are typer's `rich_help_panel`; rich itself is not used: importing it costs 60 ms, and its tables cut words in a
narrow terminal.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from edgekit.cli.shared.complete import COMPLETED

MAKING, RUNNING, LOOKING = "Making a model", "Running it", "Looking closely"
_WORDS = {"float": "X", "int": "N", "path": "PATH"}  # where an option says none itself
_WIDE, _NARROW, _ROOM = 24, 22, 72  # the first column, from this many columns on and below
Row = tuple[str, str]


class Group:
    """A group of options: calling it makes one, for `Annotated`.

    Args:
        title: stands above them.
    """

    def __init__(self, title: str) -> None:
        self.title = title

    def __call__(self, shown: str, help: str, **more: Any) -> Any:  # noqa: A002 - as typer calls it
        """An option, from what its help shows: `-o, --out DIR`, `--force`, `--cold/--no-cold`.

        Args:
            shown: the names, and a word for the value; that of a choice comes from its type.
            more: what else `typer.Option` takes.
        """
        names, _, word = re.fullmatch(r"((-[\w/-]+(, )?)+)\s*(.*)", shown).group(1, 3, 4)  # type: ignore[union-attr]
        known = {"metavar": word or None, "autocompletion": COMPLETED.get(word), "rich_help_panel": self.title}
        return typer.Option(*names.strip().split(", ")[::-1], help=help, **{**known, **more})


def argument(word: str, help: str, **more: Any) -> Any:  # noqa: A002
    """An argument of the kind that `word` says, such as MODEL."""
    return typer.Argument(metavar=word, help=help, autocompletion=COMPLETED.get(word), **more)


# groups that several commands have
DATA = Group("Data")
MODEL = Group("What the model's file does not say")
FILE = Group("The exported file")
TARGET = Group("Target and precision")
RUNTIME = Group("Runtime")
OUTPUT = Group("Output")  # stands last


class _Helpful:
    """What a command and the group of all have in common: examples, and words for values."""

    help: str | None
    params: list[Any]

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        text, _, examples = (self.help or "").partition("\nExamples:\n")
        self.help = text.rstrip()
        self.examples = textwrap.dedent(examples).splitlines()
        for parameter in self.params:
            _name_values(parameter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}".rstrip() + "\n")


class HelpfulCommand(_Helpful, TyperCommand):
    """One command: arguments, and options in groups."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [p for p in self.params if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(_term(p) if p.required else f"[{_term(p)}]" for p in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write(formatter, dict(_groups(self.get_params(ctx))))


class HelpfulGroup(_Helpful, TyperGroup):
    """`edgekit` itself: its commands in groups, each with what it does in one line."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        commands: dict[str, list[Row]] = {}
        for name, command in self.commands.items():
            panel = str(getattr(command, "rich_help_panel", None) or "Commands")
            commands.setdefault(panel, []).append((name, command.short_help or ""))
        _write(formatter, commands)
        _write(formatter, dict(_groups(self.get_params(ctx))))


def _groups(parameters: Sequence[Any]) -> Iterator[tuple[str, list[Row]]]:
    """Arguments first, then the options of each group in the order in which the first of each comes; OUTPUT last."""
    found: dict[str, list[Row]] = {}
    for parameter in parameters:
        panel = getattr(parameter, "rich_help_panel", None)
        argument = parameter.param_type_name == "argument"
        found.setdefault("Arguments" if argument else str(panel or ""), []).append(
            (_term(parameter), _about(parameter))
        )
    rest = found.pop("", [])  # --help
    last = OUTPUT.title if OUTPUT.title in found else "Options"
    rows = found.pop(last, [])
    yield from {**found, last: [*rows, *rest]}.items()


def _write(formatter: Any, groups: dict[str, list[Row]]) -> None:
    """Sections whose second columns stand below one another."""
    terms = [term for rows in groups.values() for term, _ in rows]
    most = _WIDE if formatter.width >= _ROOM else _NARROW
    width = max((len(term) for term in terms if len(term) <= most), default=0)
    for title, rows in groups.items():
        with formatter.section(title):
            formatter.write_dl([(term.ljust(width), about) for term, about in rows], col_max=width)


def _name_values(parameter: Any) -> None:
    """A word for what an option takes, in capitals, where it has none: never the name of a type of Python's."""
    if parameter.metavar is None and not getattr(parameter, "is_flag", False):
        kind = getattr(parameter, "type_descriptor", None) or parameter.type  # of typer's own parser, and of click's
        choices = getattr(kind, "choices", None)
        said = str(getattr(kind, "annotation", kind)).lower()
        word = next((word for name, word in _WORDS.items() if name in said), "TEXT")
        parameter.metavar = "|".join(map(_text, choices)) if choices else word


def _term(parameter: Any) -> str:
    """`-o, --out DIR`; of an argument `MODEL...`."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar) + ("..." if parameter.nargs != 1 else "")
    names = " / ".join([", ".join(sorted(parameter.opts, key=len)), *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar}"


def _about(parameter: Any) -> str:
    default = parameter.default
    if parameter.param_type_name == "argument" or default is None or default is False or callable(default):
        return str(parameter.help or "")
    if parameter.is_flag:
        default = max(parameter.opts, key=len)
    return f"{parameter.help or ''} [default: {_text(default)}]".strip()


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "this folder" if isinstance(value, Path) and text == "." else text
