"""The command lines that a document prints, and what of them edgekit does not take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import typer

from edgekit.cli.app import app

OPERATORS = {"|", "||", "&", "&&", ";", ">", ">>", "2>", "<"}
BEFORE = {"$", "next:", "sudo", "exec", "libcamerify", "time", "then", "do"}  # words that a command may stand behind
OPTION = re.compile(r"-[A-Za-z]|--[A-Za-z][\w-]*")
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^(?: {4}|\t).*\n?)+", re.MULTILINE)
SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)


class Option(NamedTuple):
    names: frozenset[str]
    takes: bool


@cache
def commands() -> dict[str, tuple[Option, ...]]:
    """The options of each command, in the order of `--help`; under "" those that stand before a command."""
    group: Any = typer.main.get_command(app)

    def options(command: Any) -> tuple[Option, ...]:
        help_ = Option(frozenset({"-h", "--help"}), False)
        given = [p for p in command.params if p.param_type_name == "option"]
        return (*(Option(frozenset((*p.opts, *p.secondary_opts)), not p.is_flag) for p in given), help_)

    return {"": options(group), **{name: options(command) for name, command in group.commands.items()}}


def names(command: str) -> set[str]:
    """Every name of every option, long and short."""
    return {name for option in commands()[command] for name in option.names}


def spans(text: str) -> list[str]:
    """What stands in backticks, in sentences, lists and tables, on one line each."""
    return [" ".join(found.split()) for _, found in SPAN.findall(INDENTED.sub("\n", BLOCK.sub("\n", text)))]


def lines(text: str) -> Iterator[str]:
    """Every line of every block, fenced or indented, with those that a backslash continues; and the spans."""
    blocks = [body for _, _, body in BLOCK.findall(text)] + INDENTED.findall(BLOCK.sub("\n", text))
    for block in blocks:
        yield from re.sub(r"\\\n\s*", " ", block).splitlines()
    yield from spans(text)


def words_of(line: str) -> list[str]:
    line = re.sub(r"(;|&&?|\|\|?)(?=\s|$)", r" \1 ", line)
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a lone quotation mark: not a line of a shell, but what it names must be there all the same
        return line.split()


def calls(line: str) -> Iterator[list[str]]:
    """The words behind each `edgekit` of a line that stands where a command does, up to its end."""
    words = [word.strip("[]()") if len(word) > 1 else word for word in words_of(line)]
    for i, word in enumerate(words):
        if word != "edgekit" and not word.endswith("/edgekit"):
            continue
        before, after = words[i - 1] if i else "", words[i + 1] if i + 1 < len(words) else ""
        if not i or before in OPERATORS | BEFORE or "=" in before or after in commands():
            rest = words[i + 1 :]
            yield rest[: next((n for n, w in enumerate(rest) if w in OPERATORS), len(rest))]


def wrong(words: list[str]) -> Iterator[str]:
    """What edgekit does not take of `edgekit WORDS`: an unknown command, or an option that its command has not."""
    command, skip = "", False
    for word in words:
        if skip:
            skip = False
        elif OPTION.fullmatch(name := word.partition("=")[0]):
            option = next((o for o in commands()[command] if name in o.names), None)
            if option is None:
                yield f"edgekit {command}".rstrip() + f" has no {name}"
            else:
                skip = option.takes and "=" not in word
        elif not command:
            if word not in commands():
                if re.fullmatch(r"[a-z]+", word):
                    yield f"there is no edgekit {word}"
                return
            command = word


def problems(text: str) -> list[str]:
    """What the document `text` prints and edgekit does not take."""
    return [problem for line in lines(text) for words in calls(line) for problem in wrong(words)]
