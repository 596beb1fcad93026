"""How many messages a protobuf holds, counted in its bytes before a parser makes objects of them.

Two bytes are an empty node, which takes 150 bytes in memory: a file of 40 MB would take 4 GB. Wire format:
protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import math
from typing import Any

from edgekit.reading.limits import CARD, FIELDS, RefusedError, over, size

# UINT4, INT4, FLOAT4E2M1, UINT2, INT2
_PACKED = frozenset({21, 22, 23, 25, 26})
NOTES = frozenset({"doc_string", "producer_name", "producer_version"})  # nobody looks one up, and some are Latin-1
_VARINT, _EIGHT, _BYTES, _GROUP, _GROUP_END, _FOUR = range(6)


def check_fields(data: bytes, descriptor: Any, most: int = FIELDS) -> None:
    """Walks through the fields of a message and of those inside it; numbers and texts are stepped over.

    Args:
        descriptor: protobuf's of the message: `onnx.ModelProto.DESCRIPTOR`.

    Raises:
        RefusedError: more than `most` fields, bytes that are no message, or a name or text that is not UTF-8.
    """
    inner: dict[Any, dict[int, Any]] = {}
    texts: dict[Any, dict[int, str]] = {}
    waiting = [(0, len(data), descriptor)]
    count = 0
    while waiting:
        at, end, kind = waiting.pop()
        known = inner.get(kind)
        if known is None:
            known = inner[kind] = {f.number: f.message_type for f in kind.fields if f.message_type is not None}
            texts[kind] = {f.number: f.name for f in kind.fields if f.type == f.TYPE_STRING}
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
                text = texts[kind].get(key >> 3)
                if text is not None and length > CARD:  # metadata, a name, a note
                    raise over("a text", size(length), size(CARD))
                if text is not None and text not in NOTES and not _is_text(data[at : at + length]):
                    raise RefusedError(f"{text} that is not UTF-8")
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


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def tensor_problem(tensor: Any) -> str:
    """How the shape of a TensorProto contradicts what is stored of it, or nothing.

    A runtime takes memory by the shape: `[10**12]` with no numbers is a file of 100 bytes.
    """
    import onnx

    shape = f"{tensor.name[:80] or 'a constant'} is {list(tensor.dims)[:9]}"
    if any(n < 0 for n in tensor.dims):
        return shape
    count = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        try:
            item = int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
        except (KeyError, TypeError, ValueError):
            return f"{shape} of a type that ONNX has not: {tensor.data_type}"
        stored = len(tensor.raw_data)
        packed = tensor.data_type in _PACKED and stored <= count  # two or four numbers a byte
        return "" if packed or stored == count * item else f"{shape} with {size(stored)}"
    lists = ("float_data", "int32_data", "int64_data", "uint64_data", "double_data", "string_data")
    numbers = sum(len(getattr(tensor, name)) for name in lists)
    return "" if count <= 8 * numbers else f"{shape} with {numbers} numbers"  # small ones share an int32


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
