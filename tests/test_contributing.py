"""CONTRIBUTING is followed word for word, in a copy of the tree: its recipes work, and touch what they promise."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
DOCS = re.compile(r"(README\.md|docs/.*\.md)")
FOLDERS = ("benchmarks", "docs", "edgekit", "export", "models", "tests")


class Block(NamedTuple):
    """What a step has done: a new file (`path`, `text`), lines put into one, or a command."""

    kind: str
    path: str
    text: str

    @property
    def added(self) -> list[str]:
        return [line[1:] for line in self.text.splitlines() if line.startswith("+")]


class Recipe(NamedTuple):
    title: str
    steps: tuple[tuple[Block, ...], ...]

    @property
    def blocks(self) -> list[Block]:
        return [block for step in self.steps for block in step]


def blocks(text: str) -> Iterator[Block]:
    for _, kind, body in FENCE.findall(text):
        lines = textwrap.dedent(body)
        if kind == "sh":
            yield Block(kind, "", lines)
        else:
            named = re.match(r"# (\S+)\n", lines)
            assert named, f"a block that does not begin with the name of its file:\n{lines}"
            yield Block(kind if kind == "diff" else "file", named[1], lines[named.end() :])


def read(text: str) -> list[Recipe]:
    """The recipes: sections that begin with `Add a`. Raises AssertionError where the text has not their form."""
    found = []
    for title, section in re.findall(r"^## (Add an? [^\n]*)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL):
        parts = re.split(r"^(\d+)\. ", section, flags=re.MULTILINE)
        numbers, steps = parts[1::2], [tuple(blocks(part)) for part in parts[2::2]]
        assert numbers == [str(n + 1) for n in range(len(steps))], title
        assert not FENCE.search(parts[0]), f"{title}: a block before the first step"
        for number, step in zip(numbers, steps, strict=True):
            assert len(step) == 1, f"{title}, step {number} has {len(step)} blocks: nothing, or too much, is executed"
        found.append(Recipe(title, tuple(steps)))
    return found


RECIPES = read(TEXT)


def put(tree: Path, block: Block) -> None:
    """Does what one block says. Raises AssertionError where the tree is not as the block has it."""
    path = tree / block.path
    if block.kind == "file":
        assert not path.exists(), f"{block.path} is there already"
        assert path.parent.is_dir(), f"there is no folder for {block.path}"
        path.write_text(block.text)
        return
    lines, at = path.read_text().splitlines(), 0
    context: list[str] = []
    for line in block.text.splitlines():
        if line.startswith("+"):
            if context:
                places = [i for i in range(len(lines)) if lines[i : i + len(context)] == context]
                assert len(places) == 1, f"{block.path} has these lines {len(places)} times: {context}"
                at, context = places[0] + len(context), []
            assert at, f"{block.path}: a line to add, and none above it that says where"
            lines.insert(at, line[1:])
            at += 1
        else:
            assert line.startswith(" "), f"{block.path}: {line!r} is neither there already nor added"
            context.append(line[1:])
    path.write_text("\n".join([*lines, ""]))


def copy_of_the_tree(to: Path) -> Path:
    for entry in ROOT.iterdir():
        if entry.is_dir() and entry.name in FOLDERS:
            shutil.copytree(entry, to / entry.name)  # with its times, so that what Python compiled stays good
        elif entry.suffix in (".md", ".toml") or entry.name == "Makefile":
            shutil.copy2(entry, to)
    # where an installed edgekit has its data packages; an editable one would take those of the tree it was made from
    (to / "edgekit" / "recipes").symlink_to(to / "models")
    (to / "edgekit" / "targets").symlink_to(to / "export" / "targets")
    return to


def commands(recipes: Iterable[Recipe]) -> list[list[str]]:
    return [shlex.split(line) for r in recipes for b in r.blocks if b.kind == "sh" for line in b.text.splitlines()]


def own_tests(recipes: Iterable[Recipe]) -> list[str]:
    return [command[-1] for command in commands(recipes)]


def outcomes(tree: Path, files: Iterable[str]) -> tuple[dict[str, list[str]], str]:
    """Per test file what its tests came to: `passed`, `failure` or `error`; and all that was printed."""
    report = tree / "report.xml"
    run = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", f"--junitxml={report}"]
    done = subprocess.run([sys.executable, *run, *files], cwd=tree, capture_output=True, text=True, timeout=600)
    ended: dict[str, list[str]] = {}
    for case in ET.parse(report).iter("testcase"):
        module = case.get("classname") or case.get("name") or ""
        name = module.replace(".", "/") + ".py"
        ended.setdefault(name, []).append(case[0].tag if len(case) else "passed")
    return ended, done.stdout + done.stderr


def without_tables(recipe: Recipe) -> list[Block]:
    return [block for block in recipe.blocks if block.kind == "file"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_a_recipe_touches_what_it_promises(recipe: Recipe) -> None:
    files = [block.path for block in recipe.blocks if block.kind == "file"]
    tests = [path for path in files if path.startswith("tests/")]
    lines = [block for block in recipe.blocks if block.kind == "diff"]
    assert len(tests) == 1
    assert len(files) - len(tests) <= 1, "one new file"
    assert all(len(block.added) == 1 for block in lines), "one line a table"
    assert len([block for block in lines if not DOCS.fullmatch(block.path)]) <= 1, "one table"
    assert len([block for block in lines if DOCS.fullmatch(block.path)]) <= 1, "one line of the docs"
    assert commands([recipe]) == [["python", "-m", "pytest", tests[0]]], "it ends with its own test"


@pytest.mark.slow
def test_the_recipes_work_and_need_their_lines(tmp_path: Path) -> None:
    """All in one copy: first without the tables' lines, where each test must fail, then by the whole text."""
    tree = copy_of_the_tree(tmp_path)
    for recipe in RECIPES:
        for block in without_tables(recipe):
            put(tree, block)
    in_tables = [r for r in RECIPES if any(b.kind == "diff" and not DOCS.fullmatch(b.path) for b in r.blocks)]
    before, said = outcomes(tree, own_tests(in_tables))
    assert [file for file in own_tests(in_tables) if set(before.get(file, [])) <= {"passed"}] == [], said
    for recipe in RECIPES:
        for block in recipe.blocks:
            if block.kind == "diff":
                put(tree, block)
    structure = ["tests/test_floors.py", "tests/test_docs.py"]
    after, said = outcomes(tree, [*own_tests(RECIPES), *structure])
    assert set(after) == {*own_tests(RECIPES), *structure}, said
    assert {end for ends in after.values() for end in ends} == {"passed"}, said
    lint = [sys.executable, "-m", "ruff"]
    for words in (["check", "."], ["format", "--check", "."]):
        done = subprocess.run([*lint, *words, "--no-cache"], cwd=tree, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_each_recipe_works_alone(recipe: Recipe, tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path)
    for block in recipe.blocks:
        if block.kind != "sh":
            put(tree, block)
    for command in commands([recipe]):
        done = subprocess.run([sys.executable, *command[1:]], cwd=tree, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
    typed = subprocess.run([sys.executable, "-m", "mypy"], cwd=tree, capture_output=True, text=True)
    assert typed.returncode == 0, typed.stdout


GOOD = """## Add a thing

1. A file.

   ```python
   # edgekit/thing.py
   ```

2. A line.

   ```diff
   # edgekit/table.py
    TABLE = {
   +    "thing": 1,
   ```
"""


def test_a_step_that_nothing_runs_is_found() -> None:
    assert [b.kind for b in read(GOOD)[0].blocks] == ["file", "diff"]
    with pytest.raises(AssertionError, match="step 3 has 0 blocks"):
        read(GOOD + "\n3. Think.\n")
    with pytest.raises(AssertionError, match="does not begin with the name"):
        read(GOOD.replace("# edgekit/thing.py", "import os"))


def test_a_line_that_has_no_place_is_found(tmp_path: Path) -> None:
    (tmp_path / "edgekit").mkdir()
    block = read(GOOD)[0].blocks[1]
    table = tmp_path / "edgekit" / "table.py"
    for content in ("", "TABLE = {\nTABLE = {\n"):
        table.write_text(content)
        with pytest.raises(AssertionError, match="times"):
            put(tmp_path, block)
    table.write_text("TABLE = {\n}\n")
    put(tmp_path, block)
    assert table.read_text() == 'TABLE = {\n    "thing": 1,\n}\n'
