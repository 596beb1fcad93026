"""`edgekit demo` on a recipe of one step: it leaves and prints what the README promises, and says what it saw."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.metadata import MADE
from edgekit.artifacts.onnx_file import read_onnx
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.cli import demo
from edgekit.config import recipe as recipes

ROOT = Path(__file__).parents[2]
SMALL = ("schedule.epochs=1", "data.path=synthetic://hive?n=8&val=12&height=96&width=160", "precision=fp32",
         "input.train_size=64", "input.size=64")  # fmt: skip


@pytest.fixture(scope="module")
def done(cli: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The demo's outcome; the folder it ran in is the current one."""
    honest = recipes.load_recipe

    def watched(out: Path) -> int:  # tests/cli/test_camera.py has the real one
        out.mkdir()
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "load_recipe", lambda name: honest(name, SMALL))
        patch.setattr(demo, "watch", watched)
        patch.chdir(tmp_path_factory.mktemp("demo"))
        yield cli("demo")


def test_it_ends_with_the_places_of_what_the_readme_promises(done: Any) -> None:
    assert done.code == 0, done.text
    (promise,) = re.findall(r"and the places of(.*?)\(`demo-output/`\)", (ROOT / "README.md").read_text(), re.DOTALL)
    promised = re.findall(r"model|verdict|curves|pictures|camera", promise)
    assert promised == ["model", "verdict", "curves", "pictures", "camera"]
    places = dict(line.split(maxsplit=1) for line in done.out.splitlines() if re.match(r"\w+ +demo-output/", line))
    for name in promised:
        assert Path(places[name].partition(":")[0]).exists(), places
    assert Path(places["curves"]).read_bytes().startswith(b"\x89PNG")


def test_what_it_trained_says_that_it_saw_made_pictures_only(done: Any, cli: Any) -> None:
    checkpoint, model = Path("demo-output/hive.pt"), Path("demo-output/hive.onnx")
    assert load_checkpoint(checkpoint).trained_on == MADE
    assert read_onnx(model).metadata.trained_on == MADE
    (picture, *_) = sorted(Path("demo-output/pictures").iterdir())
    for path in (checkpoint, model):
        told = cli("predict", path, picture, "--format", "json")
        assert f"{path.name} was trained on made pictures only" in told.err
        assert "made pictures" not in told.out
