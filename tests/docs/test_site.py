"""The site builds without a warning, needs nothing from elsewhere, and its generated pages are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.site import build, commands, notebooks, python_reference, refusals
from edgekit import errors

ROOT = Path(__file__).parents[2]
EXPLAINED = (ROOT / "docs" / "refusals.md").read_text()
ELSEWHERE = re.compile(r"""(?:src|href)=["']?(https?:)?//[^"' >]+\.(?:js|css|woff2?|png|svg|jpg)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "out"
    done = build.build(out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_it_builds_without_a_warning_and_fetches_nothing(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    assert [str(page) for page in pages if ELSEWHERE.search(page.read_text())] == []
    assert [str(page) for page in pages if "fonts.googleapis" in page.read_text()] == []
    assert (site / "search.js").stat().st_size > 100_000, "searched from file:// too"


@pytest.mark.slow
def test_every_page_of_the_repository_is_in_it_and_in_its_menu(site: Path) -> None:
    menu = set(re.findall(r": (\S+\.md)$", (build.SITE / "mkdocs.yml").read_text(), re.MULTILINE))
    made = {str(path.relative_to(site).with_suffix(".md")) for path in site.rglob("*.html")} - {"404.md"}
    named = {"index.md" if name == "README.md" else name.replace("README", "index") for name in menu}
    assert sorted(made - named) == []
    assert sorted(named - made) == []


@pytest.mark.slow
def test_the_reference_has_every_command_and_every_public_name(site: Path) -> None:
    helps = (site / "docs/reference/commands.html").read_text()
    assert [name for name in commands.names() if f'id="edgekit-{name}"' not in helps] == []
    python = (site / "docs/reference/python.html").read_text()
    names = [name for group in python_reference.GROUPS.values() for name in group]
    assert [name for name in names if f"edgekit.{name}" not in python] == []
    assert "to_supervision" in python, "members of classes"


@pytest.mark.slow
def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assemble = build.assemble

    def planted(source: Path) -> None:
        assemble(source)
        page = source / "docs" / "lint.md"
        page.write_text(page.read_text() + "\n[nowhere](commands.md#planted)\n")

    monkeypatch.setattr(build, "assemble", planted)
    done = build.build(tmp_path / "out")
    assert done.returncode != 0
    assert "anchor does not exist" in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


def test_every_kind_of_refusal_is_explained_with_its_exit_code() -> None:
    """One section each, in the order of edgekit/errors.py; and no section of one that is gone."""
    sections = re.findall(r"^## (\w+)\n\nExit code (\d)\.", EXPLAINED, re.MULTILINE)
    drawn = re.findall(r"(\w+Error)\b", errors.__doc__ or "")
    kinds = refusals.classes()
    assert {name: int(code) for name, code in sections} == {name: kind.exit_code for name, kind in kinds.items()}
    assert set(drawn) == set(kinds)
    codes = {kind.exit_code for kind in kinds.values()} | {0, 130}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", EXPLAINED, re.MULTILINE)} == codes


def test_refusals_are_read_from_the_code() -> None:
    found = list(refusals.refusals())
    assert len(found) > 700
    by_kind = {kind: [one for one in found if one.error == kind] for kind in refusals.classes()}
    assert [kind for kind, ones in by_kind.items() if not ones] == []
    assert any("exists already" in one.what and "--force" in one.fix for one in by_kind["OutputError"])
    assert any("evaluation mode" in one.expected for one in by_kind["FoldError"])


def test_every_public_name_has_a_group() -> None:
    assert python_reference.missing(python_reference.GROUPS) == []
    assert python_reference.missing({"": ("load", "planted")})


def test_a_notebook_becomes_a_page() -> None:
    (page,) = [notebooks.page(path) for path in notebooks.NOTEBOOKS if path.stem == "verified"]
    assert page.startswith("# From a checkpoint to a verified model\n")
    assert "```python\nimport tempfile" in page
    assert re.search(r"```text\npreprocess +max\|d\| 0", page)


def test_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()}
    assert len(sizes) >= 3
    assert max(sizes.values()) < 100_000
    assert sum(sizes.values()) < 500_000
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "models").glob("*.md")]
    shown = "".join(path.read_text() for path in pages)
    assert [name for name in sizes if f"pictures/{name}" not in shown] == []
