"""What a deployment.json refers to, and that the model beside it is still the one that was tuned."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.deployment import Deployed, model_path, name_from, read_deployment, resolve, shipped_models
from edgekit.errors import ArtifactError, UsageError

CONTENT = b"weights as they were tuned"


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    (tmp_path / "a.onnx").write_bytes(CONTENT)
    return written(tmp_path / "deployment.json")


def written(path: Path, **changes: Any) -> Path:
    runtime = {"backend": "openvino", "provider": "gpu", "threads": 2}
    content = {"format": 1, "artifact": "a.onnx", "sha256": hashlib.sha256(CONTENT).hexdigest(), "runtime": runtime}
    path.write_text(json.dumps(content | changes))
    return path


def test_it_says_what_to_open_and_how(deployment: Path) -> None:
    wanted = Deployed(deployment.with_name("a.onnx"), "openvino", "gpu", 2)
    assert read_deployment(deployment) == wanted
    assert resolve(deployment) == wanted


@pytest.mark.parametrize("content", [CONTENT + b" ", CONTENT[:-1], b"", CONTENT.replace(b"weights", b"Weights")])
def test_a_model_that_changed_after_it_was_tuned_is_refused(deployment: Path, content: bytes) -> None:
    deployment.with_name("a.onnx").write_bytes(content)
    now, tuned = (hashlib.sha256(c).hexdigest()[:12] for c in (content, CONTENT))
    with pytest.raises(ArtifactError, match="not the file that was tuned") as found:
        read_deployment(deployment)
    assert (found.value.got, found.value.expected) == (f"sha256 {now}", f"sha256 {tuned}")
    assert "tune again" in str(found.value.fix)


def test_a_model_that_is_gone_is_refused(deployment: Path) -> None:
    deployment.with_name("a.onnx").unlink()
    with pytest.raises(ArtifactError, match="names a model that is not there"):
        read_deployment(deployment)
    deployment.with_name("a.onnx").mkdir()
    with pytest.raises(ArtifactError, match="names a model that is not there"):
        read_deployment(deployment)


@pytest.mark.parametrize("settings", [("openvino", "cpu", 0), ("onnxruntime", "cuda", 0), ("onnxruntime", "cpu", 1)])
def test_settings_beside_it_are_refused_and_beside_a_model_taken(
    deployment: Path, settings: tuple[str, str, int]
) -> None:
    with pytest.raises(UsageError, match="says itself"):
        resolve(deployment, *settings)
    model = deployment.with_name("a.onnx")
    assert resolve(model, *settings) == Deployed(model, *settings)


def test_a_shipped_model_goes_by_its_name(tmp_path: Path) -> None:
    name = shipped_models()[0]
    place = model_path(Path(name))
    assert place.is_file()
    assert name_from(place, tmp_path) == name
    sha256 = hashlib.sha256(place.read_bytes()).hexdigest()
    path = written(tmp_path / "deployment.json", artifact=name, sha256=sha256)
    assert read_deployment(path).path == place
    (tmp_path / name).write_bytes(CONTENT)  # a file of that name beside it is nearer
    with pytest.raises(ArtifactError, match=re.escape(str(tmp_path / name))):
        read_deployment(path)
    assert model_path(tmp_path / name) == tmp_path / name
    assert model_path(Path("nobody")) == Path("nobody")


def test_a_model_beside_the_folder_is_named_from_there(tmp_path: Path) -> None:
    (tmp_path / "tuned").mkdir()
    assert Path(name_from(tmp_path / "a.onnx", tmp_path / "tuned")) == Path("../a.onnx")
