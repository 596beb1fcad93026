"""What may be shown: control characters as text, and no user, password or query of a stream's address.

A file's name, a class or a note inside a model can hold an escape sequence that clears the screen, retitles the
terminal or writes backwards. So the command line lets everything through one place on its way to stdout and stderr.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO, cast

# C0 but tab and line feed, DEL, C1, marks that change the writing's direction (Unicode TR 36, 3.6), line and paragraph
# separators, and halves of surrogate pairs, which is how Python holds bytes of a name that are not UTF-8
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile("[\t\n]")
# before the last @ of an address, whatever its scheme: rtsp://u:p@h, rtps:/u:p/w@h. A password may hold @ and /, and
# blanks where nothing else explains the @
_USER = re.compile(
    r"""(?ix) \b (?!file:|synthetic:|https?://[^\s/@:]*/) (?P<scheme> [a-z][a-z0-9+.-]{0,31} :/{1,3} )
        (?! (?: \$\{\w+\} :? )+ @ )  # of the environment
        (?: (?:[^\s"<>\\]|\\.){0,300} | [^\s"<>/:@]{1,200} : [^\n"@]{0,300} ) @"""
)
_QUERY = re.compile(
    r"""(?ix) \b (?P<rest> (?!file:|synthetic:)[a-z][a-z0-9+.-]{0,31} :/{1,3} [^\s?"'<>]{0,1000} ) \? [^\s"'<>]+"""
)
HIDDEN = "***"


def shown(text: object) -> str:
    """One value as text on one line: control characters, line breaks and tabs as `\\x1b`, `\\u202e`."""
    return _BREAKS.sub(_code, printable(str(text)))


def some(names: Sequence[object], limit: int = 5) -> str:
    """The first few of `names` for a message, with how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(str(n) for n in names[:limit]) + more


def as_typed(path: object) -> str:
    """A path as it was typed: of `synthetic://hive` pathlib.Path drops a slash."""
    return re.sub("^synthetic:/+", "synthetic://", str(path))


def count_of(n: int, one: str) -> str:
    """`1 picture`, `2 pictures`, `0 boxes`: a number and the word for what is counted."""
    ending = "" if n == 1 else "es" if one.endswith(("s", "x", "sh", "nch", "tch")) else "s"
    return f"{n} {one}{ending}"


def note_of(n: int, what: str) -> str:
    """What holds of `n` things, whose word stands in braces: of 2 `{box} written twice` is `2 boxes written twice`.

    Without braces the number alone comes first: `2 unreadable`.
    """
    counted = re.sub(r"\{(.+?)\}", lambda found: count_of(n, found[1]), what)
    return counted if counted != what else f"{n} {what}"


def printable(text: str) -> str:
    """`text` without control characters: each is written out, as `\\x1b`. Tabs and line feeds stay.

    What JSON does not allow raw it writes out itself; the rest becomes `\\u009b`, which JSON reads as the same
    character, so that valid JSON stays valid.
    """
    return _UNSEEN.sub(_code, text)


def masked(text: str) -> str:
    """`text` with `***` for user, password and query of every address in it, but of file:// and synthetic://."""
    if ":/" not in text:
        return text
    if "@" in text:
        text = _USER.sub(rf"\g<scheme>{HIDDEN}@", text)
    return _QUERY.sub(rf"\g<rest>?{HIDDEN}", text) if "?" in text else text


def quoted(word: object) -> str:
    """`word` as a shell takes it, with control characters and bytes that are no UTF-8 in `$'...'` (bash, zsh, ksh)."""
    text = str(word)
    if not (_UNSEEN.search(text) or _BREAKS.search(text)):
        return shlex.quote(text)
    return "$'" + "".join(_in_dollar_quotes(c) for c in text) + "'"


def _code(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x20 else f"\\u{number:04x}"


def _in_dollar_quotes(character: str) -> str:
    if character in "'\\":
        return "\\" + character
    if _UNSEEN.match(character) or _BREAKS.match(character):
        is_byte = 0xDC80 <= ord(character) <= 0xDCFF  # as os.fsdecode writes one that is not UTF-8
        data = character.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")
        return "".join(f"\\x{byte:02x}" for byte in data)
    return character


class Screen:
    """A text stream through which only what may be shown reaches `stream`; everything else is the stream's own.

    Args:
        before: called before each write, to take a progress bar away.
    """

    def __init__(self, stream: TextIO, before: Callable[[], None] = lambda: None) -> None:
        self.bare, self._before = stream, before

    def write(self, text: str) -> int:
        clean = printable(masked(text))
        self._before()
        try:
            self.bare.write(clean)
        except UnicodeEncodeError:  # a terminal that knows no é
            encoding = self.bare.encoding or "ascii"
            self.bare.write(clean.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # who writes bytes would go around this
            raise AttributeError(name)
        return getattr(self.bare, name)


def bare(stream: TextIO) -> TextIO:
    """The stream itself, for progress bars, which move the cursor. What they show of others goes through `shown`."""
    return stream.bare if isinstance(stream, Screen) else stream


@contextlib.contextmanager
def screened(clear: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Within it sys.stdout and sys.stderr are screens; `clear` takes a progress bar away before a write."""
    before = sys.stdout, sys.stderr
    out, err = (stream if isinstance(stream, Screen) else Screen(stream, clear) for stream in before)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
