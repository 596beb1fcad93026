"""Seeded ways to damage an input: blindly, and with knowledge of JSON, TOML, protobuf and zip."""

# ruff: noqa: E501 - tables

from __future__ import annotations

import copy
import io
import json
import random
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import onnx

Mutate = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63) - 1, 10**19, 10**25, 0.5, -0.0, 1e308, 5e-324, "", " ", "\0", "a/../b",
    "../../etc/passwd", "/dev/zero", "\x1b[2J", "\u202e", "x" * 300, "x" * 5000, "é" * 200, "1", "nan", "inf", "-1e999",
    "\ud800", [], [[]], [[[[1]]]], {}, {"": {}}, {"a": 1}, [None], [0, 0], ["a", "a"], [1e300, -1e300], "2026-13-45",
)  # fmt: skip
WORDS = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400, b"-",
    b"inf", b"nan", b"[" * 200, b"{" * 70, b"]" * 9, b'"', b"'", b'"""', b"\\", b"\\u0000", b"\\ud800", b"#", b":", b"=", b",",
    b"\n", b"\r", b"\t", b"- ", b"&a ", b"*a", b"!!python/object", b"<!DOCTYPE a>", b"<![CDATA[", b"&lt;", b"&#0;", b"</a>",
    b"<object>", b"PK\x05\x06", b"\x80\x02}q\x00.", b"\x1b[2J", b"0x10", b"1_0", b"../", b"x" * 400, b"\xff" * 8, b"\x7f" * 4,
)  # fmt: skip
_NUMBERS = (0, 1, 127, 128, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def blind(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One to four blows that need to know nothing."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(found) + 1)
        end = min(len(found), at + rng.choice((1, 1, 2, 4, 8, 64, 1000)))
        blow = rng.randrange(10)
        if blow == 0 and found:
            found[at % len(found)] ^= 1 << rng.randrange(8)
        elif blow == 1 and found:
            found[at % len(found)] = rng.randrange(256)
        elif blow == 2:
            del found[at:]
        elif blow == 3:
            del found[at:end]
        elif blow == 4:
            found[at:at] = found[at:end] * rng.choice((1, 2, 30))
        elif blow == 5:
            found[at:at] = rng.choice(WORDS)
        elif blow == 6:
            found[at:end] = rng.choice(WORDS)
        elif blow == 7:
            other = rng.choice(others) if others else data
            start = rng.randrange(len(other) + 1)
            found[at:end] = other[start : start + rng.choice((4, 40, 400, len(other)))]
        elif blow == 8:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice(_NUMBERS) % 256**size
            found[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
        else:
            found[at:at] = rng.randbytes(rng.choice((1, 8, 100)))
    return bytes(found)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below `value`."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        for key in keys:
            found.append((here, key))
            waiting.append(here[key])
    return found


def change_value(rng: random.Random, value: Any) -> Any:
    """`value`, plain data, with one to three places changed, removed, renamed or copied elsewhere."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = _places(value)
        if not places or rng.random() < 0.02:
            return rng.choice(STRANGE)
        here, key = rng.choice(places)
        what = rng.randrange(8)
        if what <= 3:
            here[key] = copy.deepcopy(rng.choice(STRANGE))
        elif what == 4:
            del here[key]
        elif what == 5 and isinstance(here, dict):
            here[str(rng.choice(STRANGE))[:300]] = here.pop(key)
        elif what == 6:
            other, name = rng.choice(places)
            if name in other if isinstance(other, dict) else name < len(other):
                here[key] = copy.deepcopy(other[name])
        elif isinstance(here[key], (int, float)) and not isinstance(here[key], bool):
            here[key] = rng.choice((-here[key], here[key] * 10**6, here[key] + 0.5, str(here[key]), [here[key]]))
        elif isinstance(here[key], str):
            here[key] = rng.choice((here[key] * 50, here[key][:-1], here[key].upper(), here[key] + "\0", [here[key]]))
        elif isinstance(here[key], list):
            here[key] = rng.choice((here[key] * 2, here[key][:-1], here[key][:1] * 40, dict.fromkeys("ab", here[key])))
        else:
            here[key] = [here[key]]
    return value


def json_like(sign: Callable[[Any], Any] = lambda value: value) -> Mutate:
    """Changes values; every third time bytes. `sign` completes a value as its writer does, with hashes."""

    def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
        if rng.random() < 0.3:
            return blind(rng, data, others)
        try:
            value = sign(change_value(rng, json.loads(data)))
            return json.dumps(value).encode()
        except (ValueError, TypeError, RecursionError, UnicodeError, AttributeError):
            return blind(rng, data, others)

    return mutate


def lines(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """TOML, YAML, CSV and other texts of lines: whole lines and what stands behind a key or comma."""
    if rng.random() < 0.4:
        return blind(rng, data, others)
    rows = data.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(rows))
        what = rng.randrange(6)
        if what == 0:
            rows.insert(at, rows[rng.randrange(len(rows))])
        elif what == 1 and len(rows) > 1:
            del rows[at]
        elif what == 2:
            rows[at] = rng.choice((b" ", b"\t", b"  - ")) + rows[at]
        elif what == 3 and others:
            rows.insert(at, rng.choice(rng.choice(others).split(b"\n")))
        else:
            mark = rng.choice((b"=", b":", b",", b" ", b">"))
            head, found, tail = rows[at].partition(mark)
            word = rng.choice(WORDS) if rng.random() < 0.5 else _written(rng.choice(STRANGE))
            rows[at] = head + mark + word + (tail[len(tail) // 2 :] if rng.random() < 0.2 else b"") if found else word
    return b"\n".join(rows)


def _written(value: Any) -> bytes:
    return json.dumps(value).encode()


def protobuf(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Fields of an ONNX set to strange numbers and names, messages copied into others of their kind; or bytes."""
    if rng.random() < 0.4:
        return blind(rng, data, others)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            _change_message(rng, model)
        return bytes(model.SerializeToString())
    except Exception:  # noqa: BLE001 - the mutator's own input may be broken already
        return blind(rng, data, others)


def _change_message(rng: random.Random, model: onnx.ModelProto) -> None:
    messages: list[Any] = []
    waiting: list[Any] = [model]
    while waiting:
        here = waiting.pop()
        messages.append(here)
        for field, value in here.ListFields():
            if field.message_type is not None:
                waiting += list(value) if field.is_repeated else [value]
    here = rng.choice(messages)
    field = rng.choice(here.DESCRIPTOR.fields)
    many = field.is_repeated
    if rng.random() < 0.2:
        here.ClearField(field.name)
    elif field.message_type is not None:
        same = [m for m in messages if m.DESCRIPTOR is field.message_type]
        new = getattr(here, field.name).add() if many else getattr(here, field.name)
        if same:
            new.CopyFrom(copy.deepcopy(rng.choice(same)))
        else:
            new.SetInParent()
    else:
        value = _scalar(rng, field)
        if many:
            getattr(here, field.name).extend([value] * rng.choice((1, 1, 3)))
        else:
            setattr(here, field.name, value)


def _scalar(rng: random.Random, field: Any) -> Any:
    kind = field.cpp_type
    if kind in (field.CPPTYPE_INT32, field.CPPTYPE_INT64, field.CPPTYPE_ENUM):
        most = 2**63 - 1 if kind == field.CPPTYPE_INT64 else 2**31 - 1
        number = int(rng.choice((-1, 0, 1, 2, 7, 16, 999, 2**31 - 1, 2**40, 2**62, -(2**31))))
        return max(-most, min(most, number)) if kind != field.CPPTYPE_ENUM else rng.randrange(4)
    if kind in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
        return rng.choice((0, 1, 2**31))
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice((0.0, -1.0, float("inf"), float("nan"), 1e30))
    if field.type == field.TYPE_BYTES:
        return rng.choice(WORDS)
    return rng.choice([str(v) for v in STRANGE if v != "\ud800"])


def zipped(inner: dict[str, Mutate]) -> Mutate:
    """The files of a zip, by the end of their names, each by its own way; the archive itself sometimes."""

    def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
        if rng.random() < 0.25:
            return blind(rng, data, others)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                entries = [(name, archive.read(name)) for name in archive.namelist()]
        except Exception:  # noqa: BLE001 - the mutator's own input may be broken already
            return blind(rng, data, others)
        chosen = rng.randrange(len(entries)) if entries else -1
        stream = io.BytesIO()
        with zipfile.ZipFile(
            stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        ) as out:
            for i, (name, content) in enumerate(entries):
                if i == chosen:
                    if rng.random() < 0.1:
                        continue
                    way = next((w for end, w in inner.items() if name.endswith(end)), blind)
                    content = way(rng, content, [c for _, c in entries])
                out.writestr(name, content)
        return stream.getvalue()

    return mutate
