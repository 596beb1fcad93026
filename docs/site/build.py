"""The documentation as a site: `python -m docs.site.build --out docs-output`, from the root of the repository.

The pages are the repository's own Markdown files, laid out as they lie here, so that a link that works in the
repository works in the site. What would be a copy is written as the site is built: the commands from `--help`, the
Python reference from docstrings, the refusals from where they are raised, the notebooks from their cells.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from docs.site import commands, notebooks, python_reference, refusals

ROOT = Path(__file__).parents[2]
SITE = Path(__file__).parent
PAGES = ("*.md", "docs/**/*.md", "models/*.md", "benchmarks/*.md", "benchmarks/results/*.md", "export/deploy/*.md")
# what pages link to or show
BESIDE = ("LICENSE", "docs/pictures/*", "docs/notebooks/*.ipynb", "benchmarks/results/*.json", "export/deploy/*")


def assemble(source: Path) -> None:
    """Fills the folder `source` with every page and what pages link to."""
    for pattern in (*PAGES, *BESIDE):
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and SITE not in path.parents:
                to = source / path.relative_to(ROOT)
                to.parent.mkdir(parents=True, exist_ok=True)
                if path.suffix == ".md":  # the page of a notebook, not its file
                    to.write_text(path.read_text().replace(".ipynb)", ".md)"))
                else:
                    shutil.copyfile(path, to)
    made = {
        "docs/reference/commands.md": commands.page(),
        "docs/reference/python.md": python_reference.page(),
        "docs/reference/refusals.md": refusals.page(),
        **{f"docs/notebooks/{path.stem}.md": notebooks.page(path) for path in notebooks.NOTEBOOKS},
    }
    for name, text in made.items():
        to = source / name
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(text)
    shutil.copyfile(SITE / "site.css", source / "site.css")


def build(out: Path) -> subprocess.CompletedProcess[str]:
    """Writes the site to `out`, made anew; a link or an anchor that leads nowhere is an error."""
    work = out.resolve().with_name(out.name + ".work")
    shutil.rmtree(work, ignore_errors=True)
    assemble(work / "pages")
    config = (SITE / "mkdocs.yml").read_text().replace("ROOT", str(ROOT))
    (work / "mkdocs.yml").write_text(config)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", str(work / "mkdocs.yml")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=work)
    if done.returncode == 0:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(work / "site", out)
        shutil.rmtree(work)
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs-output")
    out = parser.parse_args().out
    done = build(out)
    sys.stderr.write(done.stdout + done.stderr)
    if done.returncode == 0:
        pages = sum(1 for _ in out.rglob("*.html"))
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        sys.stdout.write(f"{out}/index.html  {pages} pages, {size / 1e6:.1f} MB\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
