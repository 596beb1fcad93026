"""Every refusal: the `raise` statements of errors that edgekit raises on purpose, read from the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import edgekit
from edgekit import errors

PACKAGE = Path(edgekit.__file__).parent
INTRODUCTION = """# Every refusal

{count} refusals, each with its words and the module that says them, read from the code; … stands for what is filled
in, such as a file's name. [When it says no](../refusals.md) says what each kind means and how to go on.
"""


class Refusal(NamedTuple):
    """One `raise` of an error on purpose: its class, its words, and the module that says them."""

    error: str
    what: str
    expected: str
    fix: str
    module: str


def classes() -> dict[str, type[errors.EdgekitError]]:
    """Of edgekit/errors.py, in the order in which they stand there."""
    kinds = {name: thing for name, thing in vars(errors).items() if isinstance(thing, type)}
    return {name: kind for name, kind in kinds.items() if issubclass(kind, errors.EdgekitError)}


def words(node: ast.expr | None) -> str:
    """The text that an expression gives, with `…` where it is not written in the code."""
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (words(node.left) or "…") + (words(node.right) or "…")
    if isinstance(node, ast.IfExp):
        return " / ".join(filter(None, (words(node.body), words(node.orelse))))
    return "" if node is None else "…"


def refusals() -> Iterator[Refusal]:
    """Calls of an error's class with a sentence, wherever they are: some are returned, and raised by who called."""
    known = classes()
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        own = {  # classes of the module's own below one of errors.py
            node.name: base.id
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for base in node.bases
            if isinstance(base, ast.Name) and base.id in known
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            name = own.get(node.func.id, node.func.id)
            if name in known:
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                what, expected, fix = words(node.args[0]), words(given.get("expected")), words(given.get("fix"))
                yield Refusal(name, what, expected, fix, module)


def cell(text: str) -> str:
    """As one line of a table; text of the code is no Markdown."""
    line = re.sub(r"…(\s*…)+", "…", " ".join(text.split()))
    return re.sub(r"([\\`*_{}\[\]<>|~#$])", r"\\\1", line)


def page() -> str:
    found = [refusal for refusal in sorted(set(refusals())) if refusal.what.strip("… ")]
    lines = [INTRODUCTION.format(count=len(found))]
    for name, kind in classes().items():
        mine = [refusal for refusal in found if refusal.error == name]
        if not mine:
            continue
        lines.append(f"## {name}\n\nExit code {kind.exit_code}. [What it means](../refusals.md#{name.lower()}).\n")
        lines.append("| it says | expected | fix |\n|---|---|---|")
        for one in mine:
            says = f"{cell(one.what)} <br><small>{cell(one.module.removeprefix('edgekit.'))}</small>"
            lines.append(f"| {says} | {cell(one.expected)} | {cell(one.fix)} |")
        lines.append("")
    return "\n".join(lines)
