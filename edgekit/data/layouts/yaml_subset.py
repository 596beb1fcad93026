"""As much YAML as a data.yaml has: top-level keys with a word, a list or a mapping. No dependency for that.

Understood: comments, quotes, `[a, b]` and `{0: a, 1: b}` over one or more lines, `- a` and `0: a` blocks. A value in
another form (anchors, block text, nested blocks: Roboflow's own section, a `download:` script) is refused only when it
is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# a word's blanks belong to it and are stripped later: two repeats side by side take the square of their time
_KEY = re.compile(r"""^(?:"([^"]*)"\s*|'([^']*)'\s*|([^\s#:'"\[\]{},&*!|>-][^#:]*)):(?:\s+(.*))?$""")
_TOKEN = re.compile(
    r"""\s*(?:
        "((?:[^"\\]|\\.)*)"                                    # double quotes
      | '((?:[^']|'')*)'                                      # single quotes
      | ([\[\]{},])
      | (:)(?=[\s\[\]{},]|$)                                   # a colon between key and value
      | ((?:[^\s\[\]{},:] | :(?!\s|$) | [^\S\n]+(?![\s\[\]{},:]))+)  # plain words, with spaces inside
    )""",
    re.VERBOSE,
)
Value = str | list[str] | dict[str, str]


class YamlError(ValueError):
    """A line that this reader does not understand; the message quotes it."""


def sections(text: str) -> dict[str, tuple[str, list[str]]]:
    """Each top-level key with what stands behind it on its line, and the lines below that belong to it.

    Raises:
        YamlError: a line at the top that is no key, or a key twice.
    """
    found: dict[str, tuple[str, list[str]]] = {}
    body: list[str] = []
    open_brackets = 0
    for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        line = _bare(raw)
        if not line.strip() or (line in ("---", "...") and not open_brackets):
            continue
        if found and (open_brackets > 0 or line[0] in " \t" or line.startswith("- ")):
            body.append(line)
        else:
            match = _KEY.match(line)
            if not match:
                raise YamlError(f"line {number}: {raw.strip()[:80]}")
            quoted, single, word = match.groups()[:3]
            key = quoted if quoted is not None else single if single is not None else word.rstrip()
            if key in found:
                raise YamlError(f"line {number}: {key} for the second time")
            line, body = (match.group(4) or "").strip(), []
            found[key] = (line, body)
        start = found[key][0] or (body[0].strip() if body else "")
        if start[:1] in ("[", "{"):  # a bracket in a script or a path opens nothing
            open_brackets += _depth(line)
    return found


def value(section: tuple[str, list[str]]) -> Value:
    """The word, list or mapping of one section. Raises YamlError if it is neither."""
    first, rest = section
    whole = " ".join([first, *(line.strip() for line in rest)]).strip()
    if first[:1] in ("[", "{") or (not first and rest and rest[0].strip()[:1] in ("[", "{")):
        return _flow(whole)
    if not first and rest:
        lines = [line.strip() for line in rest]
        if len({len(line) - len(line.lstrip()) for line in rest}) == 1:
            if all(line.startswith("- ") for line in lines):
                return [_word(line[2:]) for line in lines]
            pairs = [re.match(r"""^("[^"]*"\s*|'[^']*'\s*|[^:'"]+):\s+(.+)$""", line) for line in lines]
            if all(pairs):
                return _mapping([(_word(p.group(1)), _word(p.group(2))) for p in pairs if p])
        raise YamlError("a nested block: " + lines[0][:80])
    if rest or first[:1] in ("|", ">", "&", "*", "!"):
        raise YamlError(whole[:80])
    return _word(first)


def _flow(text: str) -> Value:
    """`[a, b]` or `{k: v, ...}`."""
    tokens = list(_tokens(text))
    if len(tokens) < 2 or tokens[0] + tokens[-1] not in ("[]", "{}"):
        raise YamlError(text[:80])
    items: list[list[str]] = [[]]
    for piece in tokens[1:-1]:
        if piece == ",":
            items.append([])
        elif piece in ("[", "]", "{", "}"):
            raise YamlError("brackets in brackets: " + text[:80])
        else:
            items[-1].append(piece)
    if not items[-1]:
        items.pop()  # [] and a comma behind the last
    if tokens[0] == "[":
        if any(len(item) != 1 or item[0] == ":" for item in items):
            raise YamlError(text[:80])
        return [_plain(item[0]) for item in items]
    if any(len(item) != 3 or item[1] != ":" for item in items):
        raise YamlError(text[:80])
    return _mapping([(_plain(item[0]), _plain(item[2])) for item in items])


def _tokens(text: str) -> Iterator[str]:
    """Brackets, commas and colons as themselves; quoted words with a leading NUL, so that "," is no comma."""
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise YamlError(text[at : at + 80])
        double, single, mark, colon, plain = match.groups()
        if double is not None:
            yield "\0" + _unescaped(double)
        elif single is not None:
            yield "\0" + single.replace("''", "'")
        else:
            yield mark or colon or plain.strip()
        at = match.end()


def _word(text: str) -> str:
    text = text.strip()
    if text[:1] == '"' and text[-1:] == '"' and len(text) > 1:
        return _unescaped(text[1:-1])
    if text[:1] == "'" and text[-1:] == "'" and len(text) > 1:
        return text[1:-1].replace("''", "'")
    if text[:1] in ("'", '"', "[", "{", "&", "*", "!", "|", ">"):
        raise YamlError(text[:80])
    return text


def _plain(token: str) -> str:
    return token[1:] if token.startswith("\0") else token


def _unescaped(text: str) -> str:
    if re.search(r"\\(?![\"\\/])", text):
        raise YamlError(f"an escape in {text[:80]!r}")
    return re.sub(r"\\(.)", r"\1", text)


def _mapping(pairs: list[tuple[str, str]]) -> dict[str, str]:
    if len(dict(pairs)) != len(pairs):
        raise YamlError("a key for the second time: " + ", ".join(k for k, _ in pairs)[:80])
    return dict(pairs)


def _bare(line: str) -> str:
    """The line without its comment: a # at the start or behind a space, outside quotes."""
    quote = ""
    for i, c in enumerate(line):
        if quote:
            quote = "" if c == quote and line[i - 1] != "\\" else quote
        elif c in "\"'" and (i == 0 or line[i - 1] in " \t[{,:"):
            quote = c
        elif c == "#" and (i == 0 or line[i - 1] in " \t"):
            return line[:i].rstrip()
    return line.rstrip()


def _depth(line: str) -> int:
    """Brackets opened and not closed in a line, outside quotes."""
    bare = re.sub(r"""(?<![^\s\[{,:])("(?:[^"\\]|\\.)*"|'[^']*')""", "", line)
    return sum(bare.count(c) for c in "[{") - sum(bare.count(c) for c in "]}")
