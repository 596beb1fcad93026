"""Notebooks as pages: text as it is, code with what it printed, pictures as files beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def shown(output: dict[str, Any]) -> str:
    """One output of a cell: a picture, or text."""
    data = output.get("data", {})
    for kind in ("image/jpeg", "image/png"):
        if kind in data:
            return f"![what the cell above shows](data:{kind};base64,{''.join(data[kind]).replace(chr(10), '')})\n"
    text = "".join(output.get("text") or data.get("text/plain", ""))
    return f"```text\n{text.rstrip()}\n```\n" if text.strip() else ""


def page(path: Path) -> str:
    """The notebook `path` as Markdown."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source + "\n")
        elif source.strip():
            parts.append(f"```python\n{source.rstrip()}\n```\n")
            parts.extend(filter(None, map(shown, cell["outputs"])))
    parts.insert(1, f"[The notebook]({path.name}), to run it yourself.\n")
    return "\n".join(parts)
