"""YAML from outside, through PyYAML's parser. Whatever is wrong with it is a ValueError."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgekit.errors import BackendError
from edgekit.reading.limits import DEPTH, SETTINGS, VALUES, RefusedError, over, size


@dataclass
class _Open:
    """A list or mapping that is being read; `key` is the one whose value comes next."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    line: int
    key: str | None = None
    count: int = field(default=1)


def load_yaml(text: str) -> Any:
    """The value of a YAML text: a str, or lists and dictionaries of them.

    Numbers, dates and booleans stay the text that was written (`0`, `3.10`, `no`), as with PyYAML's BaseLoader, and an
    empty value is "". Tags (`!!float`) and merge keys (`<<`) mean nothing. Values are built from the parser's events
    and not by its loader, so that a file is refused while it is read: an alias counts as all that it stands for, so
    a billion laughs end at the limit, before anybody walks through them.

    Raises:
        ValueError: not YAML, several documents, a key twice or one that is no text; or RefusedError: over a limit
            (1 MB, 64 deep, 100,000 values), or an alias for what it is itself a part of.
        BackendError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise BackendError(
            "Reading YAML needs the PyYAML package.", got=str(error), fix="pip install 'pyyaml>=6'"
        ) from error
    if len(text) > SETTINGS:
        raise over("the text", size(len(text)), size(SETTINGS))
    try:
        return _built(yaml.parse(text, Loader=yaml.BaseLoader), yaml)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise RefusedError(f"{line}{error.problem or error.context}") from error
    except yaml.YAMLError as error:  # a character that YAML does not have
        raise RefusedError(" ".join(str(error).split())) from error
    except OverflowError as error:  # "\UFFFFFFFF" is beyond what chr() takes
        raise RefusedError(f"an escape that is no character: {error}") from error


def _built(events: Any, yaml: Any) -> Any:
    """The one document of a stream of PyYAML's events."""
    root = _Open([], None, 1)
    around = [root]
    anchors: dict[str, tuple[Any, int]] = {}
    value: Any
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent) and root.value:
            raise RefusedError(f"line {line}: a second document")
        if isinstance(event, yaml.CollectionStartEvent):
            if len(around) > DEPTH:
                raise over("lists in lists", f"more than {DEPTH} deep", str(DEPTH))
            around.append(_Open([] if isinstance(event, yaml.SequenceStartEvent) else {}, event.anchor, line))
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            done = around.pop()
            value, count, anchor, line = done.value, done.count, done.anchor, done.line
        elif isinstance(event, yaml.ScalarEvent):
            value, count, anchor = _text(event.value, line), 1, event.anchor
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:  # also one whose list is still open
                raise RefusedError(f"line {line}: *{event.anchor[:80]} stands for nothing that came before")
            (value, count), anchor = anchors[event.anchor], None
        else:
            continue
        if anchor is not None:
            if anchor in anchors:
                raise RefusedError(f"line {line}: the anchor &{anchor[:80]} for the second time")
            anchors[anchor] = (value, count)
        _put(around[-1], value, count, line)
    return next(iter(root.value), "")


def _put(parent: _Open, value: Any, count: int, line: int) -> None:
    parent.count += count
    if parent.count > VALUES:
        raise over("names, paths and lists", f"more than {VALUES}", str(VALUES))
    if isinstance(parent.value, list):
        parent.value.append(value)
    elif parent.key is not None:
        parent.value[parent.key], parent.key = value, None
    elif not isinstance(value, str):
        raise RefusedError(f"line {line}: a key that is a list or a mapping")
    elif value in parent.value:
        raise RefusedError(f"line {line}: the key {value[:80]!r} for the second time")
    else:
        parent.key = value


def _text(text: str, line: int) -> str:
    if any("\ud800" <= c <= "\udfff" for c in text):  # "\uD800" alone cannot be printed or be part of a path
        raise RefusedError(f"line {line}: half of a character")
    return text
