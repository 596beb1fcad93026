"""Options travel in objects: only commands and two public functions list them one by one, and they pass all on."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path

from edgekit.api.adopt import adopt
from edgekit.artifacts.opening import CheckpointOptions, RunOptions
from edgekit.loading import open_model, open_predictor
from edgekit.pipeline import ExportOptions, export
from edgekit.pipeline.adopting import AdoptOptions

ROOT = Path(__file__).parents[1] / "edgekit"
MOST = 13
ONE_BY_ONE = {
    ("api/adopt.py", "adopt"),
    ("api/label.py", "label"),
    ("loading.py", "open_predictor"),
    ("pipeline/run.py", "export"),
}
COMMANDS = (ROOT / "cli", ROOT / "cli" / "making")  # there each parameter is an option


def names_of(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def test_long_lists_of_parameters_are_the_command_lines_and_the_doors() -> None:
    found = set()
    for file in ROOT.rglob("*.py"):
        place = file.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                if len(arguments) > MOST and file.parent not in COMMANDS:
                    found.add((place, node.name))
    assert found == ONE_BY_ONE


def test_the_door_takes_every_option() -> None:
    told = names_of(CheckpointOptions) - {"preprocess"} | {"preprocess_spec"}
    opened = set(inspect.signature(open_model).parameters) - {"path", "run", "checkpoint"}
    taken = set(inspect.signature(open_predictor).parameters) - {"path"}
    assert taken == names_of(RunOptions) | told | opened
    asked = names_of(ExportOptions) - {"told"} | told
    assert set(inspect.signature(export).parameters) == asked | {"checkpoint", "out", "say"}
    asked = names_of(AdoptOptions)
    assert set(inspect.signature(adopt).parameters) == asked | {"model", "out", "say"}
