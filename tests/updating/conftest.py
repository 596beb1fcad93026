"""A key, a camera with a model and a store, and updates for it: right ones and wrong ones."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edgekit.artifacts.onnx_file import embed, file_sha256, read_onnx
from edgekit.camera.config import CameraConfig, parse_config
from edgekit.updating.install import bytes_at, usable
from edgekit.updating.keys import SigningKey
from edgekit.updating.pack import pack
from edgekit.updating.probe import Answer, Question

pytest.importorskip("onnxruntime")


def new_key(path: Path) -> Path:
    """A private key in a PEM file, as `openssl genpkey -algorithm ed25519` writes one."""
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_key(tmp_path_factory.mktemp("key") / "maker.pem")


@pytest.fixture(scope="session")
def newer(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The good model in other bytes."""
    artifact = read_onnx(good)
    artifact.model.doc_string = "another one"
    embed(artifact.model, artifact.metadata)
    path = tmp_path_factory.mktemp("newer") / "better.onnx"
    path.write_bytes(artifact.model.SerializeToString())
    return path


@pytest.fixture(scope="session")
def package(newer: Path, pictures: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An update to `newer`, as it should be."""
    return pack(newer, pictures, key, tmp_path_factory.mktemp("package")).path


@dataclass(frozen=True)
class Hive:
    """A camera's configuration with updates."""

    config: CameraConfig

    @property
    def models(self) -> Path:
        assert self.config.store.folder is not None
        return self.config.store.folder / "models"

    @property
    def of(self) -> tuple[str, ...]:
        return bytes_at(self.config.model.path)

    def used(self) -> str:
        """The name of the model that it would look with now, which can be read; the configuration's is `tiny.onnx`."""
        read_onnx(self.path)
        return self.path.name

    @property
    def path(self) -> Path:
        return next((path for path, _ in usable(self.config, self.models, self.of)), self.config.model.path)

    def sha256(self) -> str:
        """Of the model that it would look with."""
        return file_sha256(self.path)


@pytest.fixture
def hive(good: Path, key: Path, tmp_path: Path) -> Hive:
    return made_hive(good, key, tmp_path / "store")


def made_hive(model: Path, key: Path, store: Path, *changes: str) -> Hive:
    keys = json.dumps([SigningKey(key).public])
    settings = [f"store.folder={store}", f"model.path={model}", f"update.keys={keys}", *changes]
    return Hive(parse_config("", "a test", ["source.uri=synthetic://hive?seed=1", *settings]))


def passes(_: Question) -> Answer:
    """A check that is content without looking."""
    return Answer(True, "as asked", 0.01, 0.01)


def rewritten(package: Path, place: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The package with its files changed, one by one; None leaves one out. The zip itself is a good one."""
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return place
