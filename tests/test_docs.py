"""What the documentation says exists, exists; what exists is documented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

from edgekit.config.target import target_names
from edgekit.graph.lint import RULES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = ("train", "export", "build", "verify", "eval", "bench", "tune", "predict", "camera", "doctor", "demo")


def help_of(*words: str) -> str:
    run = "from edgekit.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", run, *words, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_commands_are_the_documented_ones() -> None:
    listed = re.findall(r"^  ([a-z]+)  ", help_of().split("Commands:")[1], re.MULTILINE)
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_readme_or_the_reference(command: str) -> None:
    reference = (ROOT / "docs" / "commands.md").read_text()
    assert f"## edgekit {command}" in reference
    section = reference.split(f"## edgekit {command}\n")[1].split("\n## ")[0]
    options = set(re.findall(r"(--[a-z][a-z-]+)", help_of(command).split("Options:")[1])) - {"--help"}
    missing = {option for option in options if f"`{option}" not in section}
    assert not missing
    unknown = set(re.findall(r"`(--[a-z][a-z-]+)", section)) - options
    assert not unknown
    assert f"edgekit {command}" in README


def test_every_option_in_the_readme_exists() -> None:
    known = {o for c in COMMANDS for o in re.findall(r"--[a-z][a-z-]+", help_of(c))} | {"--debug", "--version"}
    used = set(re.findall(r"edgekit [a-z]+[^`\n]*?(--[a-z][a-z-]+)", README))
    assert used <= known


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets


def test_every_target_and_rule_is_documented() -> None:
    for name in target_names():
        assert name in README
    rules = (ROOT / "docs" / "lint.md").read_text()
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in rules] == []


def test_links_lead_somewhere() -> None:
    deploy = ROOT / "export" / "deploy" / "README.md"
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", deploy, *sorted((ROOT / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in link:
                assert (document.parent / link).exists(), f"{document.name} links to {link}"


def test_packages_listed_are_the_packages_on_disk() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    disk = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "edgekit").rglob("__init__.py")}
    assert set(config["packages"]) == disk | {"edgekit.recipes", "edgekit.targets"}


def test_changelog_names_this_version() -> None:
    from edgekit import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
