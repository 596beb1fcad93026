"""XML of labels: no document type that declares anything, no entities, no deep nesting."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from edgekit.reading.files import read_bytes
from edgekit.reading.limits import over

LINE = "\0line"  # where an element stands in its file; no attribute can be called so
_DEEPEST = 32  # elements in elements; VOC has 4


def read_xml(file: Path, limit: int, marked: Collection[str] = ()) -> Element:
    """The root of an XML of at most `limit` bytes, each element called as one of `marked` with its line as `LINE`.

    A document type is read over where it is a name alone. One with a subset or a file of its own is refused, and with
    it every entity.

    Raises:
        OSError: it cannot be read.
        ValueError, LookupError: no XML, of another encoding, or over a limit.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def doctype(_: str, system: str | None, public: str | None, subset: bool) -> None:
        if system or public or subset:
            line = parser.CurrentLineNumber
            raise ValueError(f"line {line}: a document type that declares something, which labels do not need")

    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise over(f"line {parser.CurrentLineNumber}", "elements in elements", f"{_DEEPEST}")
        builder.start(tag, {**attributes, LINE: str(parser.CurrentLineNumber)} if tag in marked else attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    data = read_bytes(file, limit)
    try:
        parser.Parse(data, True)
        root: Element = builder.close()
    except expat.ExpatError as error:
        raise ValueError(f"{error}{_encoding_of(data)}") from error
    return root


def _encoding_of(data: bytes) -> str:
    """What is wrong with the encoding of a text that no parser takes, or ""."""
    if b"encoding=" in data[:200] or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        byte = data[error.start]
        return f"; byte {error.start} is 0x{byte:02x}, which is not UTF-8, and no other encoding is declared"
    return ""
