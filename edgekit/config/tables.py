"""Settings in TOML: read within limits, changed by `--set`, checked against a model.

Targets, recipes, suites and the camera's configuration are each one `Kind`, so that errors have the same words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgekit.config.keys import Where, annotation_at, keys_of, nearest, unknown_key
from edgekit.errors import UsageError
from edgekit.reading import load_toml, read_text
from edgekit.reading.limits import SETTINGS
from edgekit.screen import HIDDEN, masked


class Table(BaseModel):
    """A table of a TOML: no other keys than these, and no change once it was read."""

    # a message or traceback of pydantic's own would quote what it was given, and that may be an address or token
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


# a table [map], as `edgekit.data.classes` reads it: the model's name = another name of it, or several
ClassNames = dict[str, str | tuple[str, ...]]
T = TypeVar("T", bound=Table)


@dataclass(frozen=True)
class Kind(Generic[T]):
    """One kind of settings.

    Attributes:
        model: what the file must be.
        called: what messages call it, with its article: "a recipe".
        example: a change as `--set` takes it: "schedule.epochs=20".
        package: the data package that holds the shipped ones; empty where there are none.
        secret: whether the value at a place must not be repeated in a message; None where no value is secret.
    """

    model: type[T]
    called: str
    example: str = "KEY=VALUE"
    package: str = ""
    secret: Callable[[Where, Any], bool] | None = None

    def names(self) -> tuple[str, ...]:
        """Names of the shipped ones, sorted."""
        found = (entry.name for entry in files(self.package).iterdir()) if self.package else ()
        return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))

    def load(self, name: str | os.PathLike[str], changes: Sequence[str] = ()) -> T:
        """A shipped one by name, or one's own by the path of its TOML file.

        Raises:
            UsageError: an unknown name, or as `read`.
        """
        name = os.fspath(name)
        if name.endswith(".toml"):
            return self.read(Path(name), changes)
        if name not in self.names():
            raise UsageError(
                f"Unknown {self.called.partition(' ')[2]}.",
                got=name,
                expected="one of " + ", ".join(self.names()) + ", or a path to a .toml",
                fix=nearest(name, self.names()),
            )
        text = files(self.package).joinpath(f"{name}.toml").read_text(encoding="utf-8")
        return self.parse(text, name, changes)

    def read(self, path: Path, changes: Sequence[str] = ()) -> T:
        """What a TOML file says.

        Args:
            changes: `key=value` with dotted keys, typed as the model's fields are.

        Raises:
            UsageError: not readable, not TOML, an unknown key, or a value out of its range.
        """
        return self._checked(read_content(path, self.called, self.names()), str(path), changes)

    def parse(self, text: str, source: str, changes: Sequence[str] = ()) -> T:
        """What a TOML text says; `source` is for the messages. Raises UsageError as `read`."""
        return self._checked(_content(text, source), source, changes)

    def _checked(self, content: dict[str, Any], source: str, changes: Sequence[str]) -> T:
        for change in changes:
            self._set(content, change)
        return self.check(content, source)

    def check(self, content: dict[str, Any], source: str) -> T:
        """Tables that were read already, checked; `source` is for the messages. Raises UsageError as `read`."""
        try:
            return self.model.model_validate(content)
        except ValidationError as error:
            raise UsageError(f"{source} is not {self.called}.", **self._explained(error)) from error

    def _explained(self, error: ValidationError) -> dict[str, str]:
        """The first problem that pydantic found, as got / expected / fix."""
        problems = error.errors()
        # a misspelt key is missing and unknown; the word that was written says more
        problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        loc = problem["loc"]
        if problem["type"] == "extra_forbidden":
            return unknown_key(masked(".".join(map(str, loc))), keys_of(annotation_at(self.model, loc[:-1])))
        while annotation_at(self.model, loc) is None:  # pydantic adds which of several types it tried
            loc = loc[:-1]
        where = masked(".".join(map(str, loc)))
        if problem["type"] == "missing":
            return {"got": f"no {where}", "expected": f"a value for {where}"}
        if problem["type"] == "value_error" and keys_of(annotation_at(self.model, loc)):  # a rule over several keys
            got = f"values of [{where}] that contradict each other" if where else "values that contradict each other"
        else:
            got = f"{where} = {self._shown(loc, problem.get('input'))}"
        return {"got": got, "expected": _told(problem["msg"])}

    def _shown(self, where: Where, value: Any, show: Callable[[Any], str] = repr) -> str:
        return "a hidden value" if self.secret and self.secret(where, value) else masked(show(value))

    def _word(self, text: str) -> str:
        """A key as it was typed, unless an address or token may have been typed in its place."""
        return text if self.secret is None or re.fullmatch(r"[\w. -]*=?", text) else HIDDEN

    def _set(self, content: dict[str, Any], change: str) -> None:
        """Puts one `key=value` into `content`, as the type that its field has."""
        key, equals, raw = change.partition("=")
        path, raw = tuple(step.strip() for step in key.split(".")), raw.strip()
        if not equals or not all(path):
            raise UsageError(
                "--set takes a key and a value.",
                got=self._word(change),
                expected="key=value",
                fix=f"--set {self.example}",
            )
        self._require_known(path)
        try:
            value: Any = load_toml(f"value = {raw}")["value"]
        except ValueError:
            value = raw
        known = keys_of(annotation_at(self.model, path))
        if known and not isinstance(value, dict):
            raise UsageError(
                f"--set names a table: {key}.",
                got=self._shown(path, raw, str),
                expected="one of its keys: " + ", ".join(f"{key}.{name}" for name in known),
            )
        table = content
        for step in path[:-1]:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise UsageError(f"--set {key} names no table.", got=f"{step} has a value", expected=f"table [{step}]")
        problems = []
        for candidate in (None, raw) if raw == "none" else (value, raw):  # as TOML, or the text as it was typed
            table[path[-1]] = candidate
            problem = self._problem_at(content, path)
            if problem is None:
                return
            problems.append(problem)
        raise UsageError(
            f"--set {key} has a value that cannot be used.", got=self._shown(path, raw, str), expected=problems[0]
        )

    def _require_known(self, path: tuple[str, ...]) -> None:
        """Raises UsageError where a key of `path` does not exist."""
        for i, step in enumerate(path):
            if annotation_at(self.model, path[: i + 1]) is None:
                above, known = ".".join(path[:i]) or self.called, keys_of(annotation_at(self.model, path[:i]))
                raise UsageError(
                    f"--set names an unknown key: {self._word('.'.join(path))}.",
                    got=self._word(step),
                    expected=f"a key of {above}: {', '.join(known)}" if known else f"nothing below {above}",
                    fix=nearest(step, known),
                )

    def _problem_at(self, content: dict[str, Any], path: tuple[str, ...]) -> str | None:
        """What is wrong with the value at `path`, or None; what is wrong elsewhere does not count."""
        try:
            self.model.model_validate(content)
        except ValidationError as error:
            problems = (p for p in error.errors() if p["loc"][: len(path)] == path)
            return next((_told(p["msg"]) for p in problems), None)
        return None


def read_content(path: Path, called: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """The tables of a TOML file, not yet checked.

    Args:
        called, names: what it should be, such as "a recipe", and which are shipped; for the message.

    Raises:
        UsageError: not readable, too large, or not TOML.
    """
    try:
        text = read_text(path, SETTINGS)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read as {called}.",
            got=(error.strerror if isinstance(error, OSError) else None) or str(error),
            expected="a TOML file" + (", or one of " + ", ".join(names) if names else ""),
        ) from error
    return _content(text, str(path))


def _content(text: str, source: str) -> dict[str, Any]:
    try:
        return load_toml(text)
    except ValueError as error:
        raise UsageError(f"{source} is not TOML.", got=masked(str(error)), expected="key = value lines") from error


def _told(message: str) -> str:
    """A sentence of pydantic's as what was expected."""
    return message.removeprefix("Value error, ").removeprefix("Input should be ")
