"""What is no update is refused before anything of it is used, and says why."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from edgekit.camera.config import parse_config
from edgekit.errors import ArtifactError, InputError, UsageError, VerificationError
from edgekit.updating.keys import SigningKey, is_signed
from edgekit.updating.package import MANIFEST, SIGNED, open_package
from tests.updating.conftest import new_key, rewritten


def opened(path: Path, key: Path, folder: Path) -> None:
    open_package(path, [SigningKey(key).public]).unpack(folder)


def test_a_package_gives_back_what_was_packed(package: Path, newer: Path, key: Path, tmp_path: Path) -> None:
    opened(package, key, tmp_path / "there")
    assert (tmp_path / "there" / "better.onnx").read_bytes() == newer.read_bytes()
    names = sorted(p.name for p in (tmp_path / "there" / "golden").iterdir())
    assert names == [*(f"{i:03}.png" for i in range(8)), "answers.npz"]


def test_any_of_several_keys_may_sign(package: Path, key: Path, tmp_path: Path) -> None:
    other = SigningKey(new_key(tmp_path / "other.pem")).public
    assert open_package(package, [other, SigningKey(key).public]).manifest.model == "better.onnx"
    with pytest.raises(VerificationError, match="not signed by a key that this camera trusts"):
        open_package(package, [other])
    with pytest.raises(VerificationError, match="not signed"):
        open_package(package, [])


def test_a_signature_of_something_else_is_none_of_an_update(key: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    signing, raw = SigningKey(key), load_pem_private_key(key.read_bytes(), None)
    assert is_signed(b"text", signing.sign(b"text"), [signing.public])
    assert not is_signed(b"text", raw.sign(b"text"), [signing.public])  # type: ignore[union-attr, call-arg]


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99, "a byte"])
def test_a_truncated_file(share: float | str, package: Path, key: Path, tmp_path: Path) -> None:
    data = package.read_bytes()
    cut = tmp_path / "cut.update"
    cut.write_bytes(data[:-1] if isinstance(share, str) else data[: int(len(data) * share)])
    with pytest.raises(ArtifactError, match="no update, or a broken one"):
        opened(cut, key, tmp_path / "there")


def one_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("file", ["better.onnx", "golden/003.png", "golden/answers.npz"])
def test_a_changed_file_in_a_whole_zip(file: str, package: Path, key: Path, tmp_path: Path) -> None:
    wrong = rewritten(package, tmp_path / "w.update", lambda name, data: one_bit(data) if name == file else data)
    with pytest.raises(ArtifactError, match=f"{file} was changed"):
        opened(wrong, key, tmp_path / "there")
    longer = rewritten(package, tmp_path / "l.update", lambda name, data: data + b"x" if name == file else data)
    with pytest.raises(ArtifactError, match=f"{file} was changed"):
        opened(longer, key, tmp_path / "there too")


def test_a_bit_in_the_raw_file_is_found_wherever_it_is(package: Path, key: Path, tmp_path: Path) -> None:
    """In the directory of the zip a few bits mean nothing (times, rights): what is unpacked then is what was signed."""
    data, refused, steps = package.read_bytes(), 0, 24
    for i in range(steps):
        place = i * len(data) // steps
        broken = tmp_path / "b.update"
        broken.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        try:
            opened(broken, key, tmp_path / str(i))
        except (ArtifactError, VerificationError):
            refused += 1
    assert refused >= steps - 2


@pytest.mark.parametrize("which", [MANIFEST, SIGNED])
def test_a_changed_manifest_or_signature(which: str, package: Path, key: Path, tmp_path: Path) -> None:
    wrong = rewritten(package, tmp_path / "w.update", lambda name, data: one_bit(data) if name == which else data)
    with pytest.raises(VerificationError, match="not signed"):
        opened(wrong, key, tmp_path / "there")
    without = rewritten(package, tmp_path / "n.update", lambda name, data: None if name == which else data)
    with pytest.raises(ArtifactError, match=f"no {which}"):
        opened(without, key, tmp_path / "there")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "../tiny.onnx"}, "another kind"),
        ({"model": "a b.onnx"}, "another kind"),
        ({"model": "better.pt"}, "another kind"),
        ({"format": 2}, "format 2"),
        ({"serial": "soon"}, "another kind"),
        ({"limits": {"max_abs": -1}}, "another kind"),
        ({"files": {}}, "another kind"),
        ({"files": {"better.onnx": {"sha256": "0", "bytes": 1}, "/etc/passwd": {"sha256": "0", "bytes": 1}}}, "kind"),
    ],
)
def test_a_signed_manifest_is_read_with_care(
    change: dict[str, object], told: str, package: Path, key: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(package) as archive:
        text = json.dumps({**json.loads(archive.read(MANIFEST)), **change}).encode()
    signed = {MANIFEST: text, SIGNED: SigningKey(key).sign(text)}
    wrong = rewritten(package, tmp_path / "w.update", lambda name, data: signed.get(name, data))
    with pytest.raises(ArtifactError, match=told):
        opened(wrong, key, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_files_that_nobody_signed_and_compression_are_refused(package: Path, key: Path, tmp_path: Path) -> None:
    more = rewritten(package, tmp_path / "m.update", lambda name, data: data)
    with zipfile.ZipFile(more, "a") as archive:
        archive.writestr("../../evil", b"x")
    with pytest.raises(ArtifactError, match="evil"):
        opened(more, key, tmp_path / "there")
    fewer = rewritten(package, tmp_path / "f.update", lambda name, data: None if name.endswith(".npz") else data)
    with pytest.raises(ArtifactError, match="only in the manifest"):
        opened(fewer, key, tmp_path / "there")
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(tmp_path / "z.update", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(ArtifactError, match="compressed"):
        opened(tmp_path / "z.update", key, tmp_path / "there")


def test_keys_of_another_kind(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path = tmp_path / "k.pem"
    with pytest.raises(InputError, match="cannot be read"):
        SigningKey(path)
    path.write_text("no key")
    with pytest.raises(UsageError, match="no private key"):
        SigningKey(path)
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(other)
    with pytest.raises(UsageError, match="of another kind"):
        SigningKey(path)
    for text in ("", "AAAA", "MCowBQYDK2VwAyEA" + "x" * 43, "MFowBQYDK2VwAyEA" + "x" * 43 + "="):
        with pytest.raises(UsageError):
            parse_config("", "a test", [f"update.keys={json.dumps([text])}"])
