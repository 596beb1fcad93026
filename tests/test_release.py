"""What a release is made by: the workflows do what the scripts do, on every Python that the wheel says it runs on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml

from edgekit import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.fullmatch(r".*Python :: 3\.\d+", c)]


def workflow(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return read


def steps(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_workflow_does_what_ci_does_and_tries_the_wheel_on_every_python() -> None:
    jobs = workflow("ci.yml")["jobs"]
    assert "bash .ci/run" in steps(jobs["test"])
    assert jobs["wheel"]["strategy"]["matrix"]["python"] == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert any(run.startswith("bash .ci/wheel ") for run in steps(jobs["wheel"]))
    assert any(run.startswith("bash .ci/sbom ") for run in steps(jobs["build"]))
    assert workflow("release.yml")["jobs"]["check"]["uses"] == "./.github/workflows/ci.yml"
    assert workflow("release.yml")["jobs"]["release"]["needs"] == "check"


def test_scripts_are_shell() -> None:
    for script in (ROOT / ".ci").iterdir():
        assert os.access(script, os.X_OK), script
        subprocess.run(["bash", "-n", script], check=True)


def test_a_built_wheel_says_where_its_source_is(tmp_path: Path) -> None:
    """The step of the workflow, run on a copy."""
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    (step,) = (run for run in steps(workflow("ci.yml")["jobs"]["build"]) if "project.urls" in run)
    url = "https://example.org/hive/edgekit"
    subprocess.run(["bash", "-e", "-c", step], cwd=tmp_path, env={**os.environ, "URL": url}, check=True)
    built = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    assert built.pop("urls")["Source"] == url
    assert built == PROJECT
    assert [p.name for p in tmp_path.iterdir()] == ["pyproject.toml"]


def test_notes_are_the_changelogs_section() -> None:
    done = subprocess.run([ROOT / ".ci" / "notes", __version__], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in (ROOT / "CHANGELOG.md").read_text()
    assert "## 0." not in re.sub("^###.*$", "", done.stdout, flags=re.MULTILINE)
    assert len(done.stdout.split("###")[0].split()) > 20  # it begins with what matters most
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([ROOT / ".ci" / "notes", "0.0.0"], capture_output=True, check=True)
