"""JSON and TOML from outside. Whatever is wrong with them is a ValueError, deep nesting and infinity too."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.reading.files import in_utf8, read_bytes, read_text
from edgekit.reading.limits import DEPTH, DIGITS, SETTINGS, RefusedError, over, size

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BLOCK = 1 << 22  # bytes looked through at once
_CONTAINERS = 500_000  # lists and objects that any JSON may have, beside one for each
_BYTES_EACH = 32  # bytes; COCO's files have one a hundred bytes, `{},{},` would be 25 times larger in memory
_MARKS = bytes(set(range(256)) - set(b'"[]{}'))
_KEY_DOTS = re.compile(r"[^\w.\-\"' \t]+")
_DOTS = 64  # in one dotted key; tomllib's time goes with their square


def read_json(path: Path, limit: int, *, exact: bool = True) -> Any:
    """The JSON in a file of at most `limit` bytes; as `load_json`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or as `load_json`.
    """
    return load_json(read_bytes(path, limit), exact=exact)


def load_json(data: bytes | str, *, exact: bool = True) -> Any:
    """The value of a JSON text in UTF-8, or in what its byte-order mark says.

    Args:
        exact: refuse also what JSON has not but Python reads: NaN, Infinity and 1e999, a key twice, whole numbers of
            more than 20 digits, half of a surrogate pair. Without it (large label files of others) they are read.

    Raises:
        ValueError: not JSON, not UTF-8, or over a limit: brackets deeper than 64, more lists and objects than fit.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else in_utf8(data)
    _check_brackets(raw)
    try:
        text = raw.decode("utf-8-sig")
        if not exact:
            return json.loads(text)
        value = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole, object_pairs_hook=_unique
        )
        if "\\u" in text:  # "\ud800" alone cannot be printed or be part of a path
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeError as error:
        raise RefusedError(f"not UTF-8: {error}") from error
    except RecursionError as error:
        raise RefusedError("brackets in brackets, too deep") from error
    except MemoryError as error:
        raise RefusedError(f"{size(len(raw))} of JSON, too much for this machine's memory") from error


def _check_brackets(raw: bytes) -> None:
    """Depth and number of lists and objects, without building any: a fifth of a second for 100 MB."""
    import numpy as np

    allowed = _CONTAINERS + len(raw) // _BYTES_EACH
    depth = found = 0
    inside = False
    for block in _blocks(raw):
        plain = re.sub(rb"\\.", b"", block, flags=re.DOTALL) if b"\\" in block else block
        marks = np.frombuffer(plain.translate(None, _MARKS), np.uint8)
        if not len(marks):
            continue
        quoted = np.logical_xor.accumulate(marks == ord('"')) ^ inside
        opens = ((marks == ord("[")) | (marks == ord("{"))) & ~quoted
        closes = ((marks == ord("]")) | (marks == ord("}"))) & ~quoted
        course = np.cumsum(opens.astype(np.int8) - closes.astype(np.int8), dtype=np.int32)
        if depth + int(course.max()) > DEPTH:
            raise over("brackets in brackets", f"more than {DEPTH} deep", str(DEPTH))
        found += int(opens.sum())
        if found > allowed:
            raise over("lists and objects", f"more than {allowed} in {size(len(raw))}", str(allowed))
        depth += int(course[-1])
        inside = bool(quoted[-1])


def _blocks(raw: bytes) -> Iterator[bytes]:
    """`raw` in pieces that end behind a whole escape."""
    at = 0
    while at < len(raw):
        end = min(at + _BLOCK, len(raw))
        back = end
        while back > at and raw[back - 1] == ord("\\"):
            back -= 1
        end += (end - back) % 2
        yield raw[at:end]
        at = end


def _no_constant(name: str) -> Any:
    raise RefusedError(f"{name}, which JSON does not have")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise RefusedError(f"an infinite number: {text[:40]}")
    return number


def _whole(text: str) -> int:
    digits = len(text.lstrip("-"))
    if digits > DIGITS:
        raise over("a whole number", f"{digits} digits", f"{DIGITS} digits")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise RefusedError(f"the key {twice[:80]!r} for the second time")
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file of at most 1 MB; as `load_toml`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, not UTF-8, or as `load_toml`.
    """
    return load_toml(read_text(path, SETTINGS))


def load_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: not TOML (TOMLDecodeError); or RefusedError: over a limit, or a number that is infinite, not a
            number or has more than 20 digits, which no setting means.
    """
    if len(text) > SETTINGS:
        raise over("the text", size(len(text)), size(SETTINGS))
    for line in text.splitlines():
        if line.count(".") > _DOTS and not line.lstrip().startswith("#"):
            most = max(part.count(".") for part in _KEY_DOTS.split(line))
            if most > _DOTS:
                raise over("a key", f"{most + 1} parts", f"{_DOTS} parts")
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise RefusedError("brackets in brackets, too deep") from error
    except ValueError as error:  # int() has a limit of its own
        raise over("a whole number", "thousands of digits", f"{DIGITS} digits") from error
    _check_values(found)
    return found


def _check_values(table: dict[str, Any]) -> None:
    """Depth and numbers of what TOML gave, without recursion: dotted keys nest deeper than the reader's own stack."""
    waiting: list[tuple[str, Any, int]] = [("", table, 0)]
    while waiting:
        key, value, depth = waiting.pop()
        if depth > DEPTH:
            raise over("tables in tables", f"more than {DEPTH} deep", str(DEPTH))
        if isinstance(value, dict):
            waiting += [(str(name), inner, depth + 1) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(key, inner, depth + 1) for inner in value]
        elif isinstance(value, float) and not math.isfinite(value):
            raise RefusedError(f"{key[:80]} = {value}, which is no finite number")
        elif isinstance(value, int) and abs(value) >= 10**DIGITS:
            raise over(key[:80], "a whole number of too many digits", f"{DIGITS} digits")
