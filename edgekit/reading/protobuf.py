"""How many messages a protobuf holds, counted in its bytes before a parser makes objects of them.

Two bytes are an empty node, which takes 150 bytes in memory: a file of 40 MB would take 4 GB. Wire format:
protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from typing import Any

from edgekit.reading.limits import FIELDS, RefusedError, over

_VARINT, _EIGHT, _BYTES, _GROUP, _GROUP_END, _FOUR = range(6)


def check_fields(data: bytes, descriptor: Any, most: int = FIELDS) -> None:
    """Walks through the fields of a message and of those inside it; numbers and texts are stepped over.

    Args:
        descriptor: protobuf's of the message: `onnx.ModelProto.DESCRIPTOR`.

    Raises:
        RefusedError: more than `most` fields, or bytes that are no message.
    """
    inner: dict[Any, dict[int, Any]] = {}
    waiting = [(0, len(data), descriptor)]
    count = 0
    while waiting:
        at, end, kind = waiting.pop()
        known = inner.get(kind)
        if known is None:
            known = inner[kind] = {f.number: f.message_type for f in kind.fields if f.message_type is not None}
        while at < end:
            key = data[at]
            at += 1
            if key > 127:
                key, at = _varint(data, at - 1, end)
            count += 1
            if count > most:
                raise over("an ONNX file", f"more than {most} nodes, attributes and names", str(most))
            wire = key & 7
            if wire == _BYTES:
                if at >= end:
                    raise RefusedError("a field that breaks off")
                length = data[at]
                at += 1
                if length > 127:
                    length, at = _varint(data, at - 1, end)
                if at + length > end:
                    raise RefusedError("a field that breaks off")
                message = known.get(key >> 3)
                if message is not None and length:
                    waiting.append((at, at + length, message))
                at += length
            elif wire == _VARINT:
                while at < end and data[at] > 127:
                    at += 1
                at += 1
            elif wire == _EIGHT:
                at += 8
            elif wire == _FOUR:
                at += 4
            elif wire not in (_GROUP, _GROUP_END):  # of groups the fields inside count like others
                raise RefusedError("bytes that are no field")
        if at > end:
            raise RefusedError("a field that breaks off")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise RefusedError("a field that breaks off")
