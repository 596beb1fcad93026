"""What the documentation says exists, exists; what exists is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomllib

from edgekit.config.target import target_names
from edgekit.graph.lint import RULES
from tests.command_lines import commands, names, problems, spans

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
OPTIONS = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "export/deploy/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "models").glob("*.md")),
]
REFERENCE = (ROOT / "docs" / "commands.md").read_text()
COMMANDS = [name for name in commands() if name]
FOREIGN = {"--system-site-packages"}  # options of other programs that a sentence names alone


def section(command: str) -> str:
    assert f"## edgekit {command}\n" in REFERENCE
    return REFERENCE.split(f"## edgekit {command}\n")[1].split("\n## ")[0]


def test_commands_are_the_documented_ones() -> None:
    assert re.findall(r"^## edgekit (.*)", REFERENCE, re.MULTILINE) == COMMANDS
    assert [command for command in COMMANDS if f"edgekit {command}" not in README] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_has_every_option_and_no_other(command: str) -> None:
    """An option that has two names is found by either; what is written as an option, anywhere in a span, is one."""
    written = {name for span in spans(section(command)) for name in OPTIONS.findall(span) if "edgekit " not in span}
    assert [sorted(option.names) for option in commands()[command][:-1] if not option.names & written] == []
    assert sorted(written - names(command)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_line_is_one(document: Path) -> None:
    text = document.read_text()
    assert problems(text) == []
    known = {name for command in commands() for name in names(command)} | FOREIGN
    if document.parent.name != "benchmarks":  # whose scripts have options of their own
        alone = {name for span in spans(text) if span.startswith("-") for name in OPTIONS.findall(span)}
        assert sorted(alone - known) == []


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nedgekit doctor --planted\n```",
        "```sh\nmake\nedgekit doctor\nedgekit doctor --planted  # why\n```",
        "```sh\nedgekit predict a.onnx \\\n    b.jpg --planted\n```",
        "```console\n$ edgekit doctor --planted\nfine\n```",
        "```console\n$ edgekit predict a.onnx b\nnext: edgekit doctor --planted\n```",
        "1. A step.\n\n   ```sh\n   edgekit doctor --planted\n   ```\n",
        "So:\n\n    edgekit doctor --planted\n",
        "```sh\nedgekit doctor | tee a | xargs edgekit doctor --planted\n```",
        "```sh\nedgekit doctor && edgekit doctor --planted; ls\n```",
        "```sh\n. env/bin/activate; edgekit doctor --planted\n```",
        "```sh\nA=1 env/bin/edgekit doctor --planted\n```",
        "| command | |\n|---|---|\n| `edgekit doctor --planted` | |",
        "It is `edgekit doctor\n--planted` that says it.",
        "It is `edgekit export a.pt [--planted]`.",
        "It is `edgekit export a.pt --norm group|layer --planted`.",
        "It is `edgekit export a.pt --planted=3`.",
        "It is `edgekit --planted doctor`.",
        "It is `edgekit doctor -p`.",
        "It is `edgekit planted`.",
    ],
)
def test_what_is_planted_is_found(text: str) -> None:
    assert len(problems(text)) == 1


def test_values_and_other_programs_are_no_options_of_edgekit() -> None:
    assert problems("`edgekit train demo --set --x` and `pip install --upgrade edgekit --pre`") == []
    assert problems("```sh\nuseradd --system --home /var/lib/edgekit edgekit\nls | edgekit-x --no\n```") == []


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z0-9]+)", README)) <= targets


def test_every_target_and_rule_is_documented() -> None:
    for name in target_names():
        assert name in README
    rules = (ROOT / "docs" / "lint.md").read_text()
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in rules] == []


def test_links_lead_somewhere() -> None:
    deploy = ROOT / "export" / "deploy" / "README.md"
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", deploy, *sorted((ROOT / "docs").rglob("*.md"))]:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in link:
                assert (document.parent / link).exists(), f"{document.name} links to {link}"


def test_packages_listed_are_the_packages_on_disk() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    data = {"edgekit.recipes": ROOT / "models", "edgekit.targets": ROOT / "export" / "targets"}
    disk = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "edgekit").rglob("*.py")}
    assert sorted(config["packages"]) == sorted(disk | data.keys())
    places = {package: data.get(package, ROOT.joinpath(*package.split("."))) for package in config["packages"]}
    assert [package for package, place in places.items() if not (place / "__init__.py").is_file()] == []
    shipped = {f for name, globs in config["package-data"].items() for glob in globs for f in places[name].glob(glob)}
    here = {f for place in places.values() for f in place.iterdir() if f.is_file() and f.suffix != ".py"}
    assert here - shipped == set()


def test_changelog_names_this_version() -> None:
    from edgekit import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
