"""The blocks of the documentation that a reader would run, and what is said of those that no test can."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PLACES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "models/*.md", "benchmarks/*.md", "export/deploy/*.md")
DOCUMENTS = sorted(path.relative_to(ROOT) for place in PLACES for path in ROOT.glob(place))
# run word for word by a test of their own
ELSEWHERE = {
    ("CONTRIBUTING.md", "sh"): "tests/test_contributing.py",
    ("CONTRIBUTING.md", "python"): "tests/test_contributing.py",
    ("README.md", "python"): "tests/test_python_walk.py",
    ("docs/python.md", "python"): "tests/test_python_walk.py",
    ("docs/deliveries.md", "python"): "tests/camera/test_deliveries_page.py",
}
NO_COMMAND = {"text", "toml", "yaml", "nginx", "diff", "mosquitto", "json"}
FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$(?:\n\n\1```text\n(.*?)^\1```$)?", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}\S.*\n?(?:^ {4}.*\n?)*)", re.MULTILINE)
SAID = re.compile(r"<!-- (not run|run): ((?:(?!-->).)+?) -->\s*$", re.DOTALL)


class Block(NamedTuple):
    """One block.

    Attributes:
        document: its path from the root.
        line: where it begins, from 1.
        kind: sh, console or python.
        text: what a reader types; of a console also what is printed.
        printed: what stands under a block of Python.
        why_not: why no test runs it, or "".
        seconds: after how long what serves for ever is interrupted, or 0.
    """

    document: str
    line: int
    kind: str
    text: str
    printed: str
    why_not: str
    seconds: int

    @property
    def elsewhere(self) -> str:
        return ELSEWHERE.get((self.document, self.kind), "")


def blocks_of(document: Path) -> list[Block]:
    """Every block of a document that a reader would run, in order: fenced, or indented with `edgekit` in it."""
    text = (ROOT / document).read_text()
    found = []
    for match in FENCED.finditer(text):
        kind = match[2] or "text"
        if kind not in NO_COMMAND:
            body = re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
            found.append((match.start(), kind, body, match[4] or ""))
    fences = [(match.start(), match.end()) for match in FENCED.finditer(text)]
    for match in INDENTED.finditer(text):
        inside = any(start <= match.start() < end for start, end in fences)
        if not inside and match[0].lstrip().startswith("edgekit "):
            found.append((match.start(), "sh", re.sub(r"^ {4}", "", match[0], flags=re.MULTILINE), ""))
    blocks = []
    for start, kind, body, printed in sorted(found):
        said = SAID.search(text[:start])
        why_not = said[2] if said and said[1] == "not run" else ""
        seconds = re.fullmatch(r"(\d+) s", said[2]) if said and said[1] == "run" else None
        line = text.count("\n", 0, start) + 1
        blocks.append(Block(str(document), line, kind, body, printed, why_not, int(seconds[1]) if seconds else 0))
    return blocks


ALL = [block for document in DOCUMENTS for block in blocks_of(document)]
HERE = [block for block in ALL if not block.why_not and not block.elsewhere]
