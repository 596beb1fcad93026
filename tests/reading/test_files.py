"""Files, zips and arrays are looked at before they are read."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgekit.reading import RefusedError, exists, is_file, read_bytes, read_text, regular_size
from edgekit.reading.archive import read_npz, zip_sizes


def test_a_pipe_among_files_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.yaml")
    with pytest.raises(RefusedError, match="pipe"):
        read_bytes(tmp_path / "data.yaml", 100)
    with pytest.raises(RefusedError, match="pipe"):
        regular_size(tmp_path / "data.yaml")


def test_a_pipe_of_the_shell_is_read() -> None:
    code = "from pathlib import Path; from edgekit.reading import read_text; print(read_text(Path('/dev/stdin'), 100))"
    done = subprocess.run([sys.executable, "-c", code], input="bee\n", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "bee"


def test_a_device_has_a_limit() -> None:
    with pytest.raises(RefusedError, match="limit of 5 MB"):
        read_bytes(Path("/dev/zero"), 5_000_000)


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    for name in ("x" * 5000, "a\0b", "\ud800"):
        assert not is_file(tmp_path / name)
        assert not exists(tmp_path / name)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfbee")
    assert read_text(tmp_path / "a", 10) == "bee"


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_sizes_without_unpacking(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", a=bytes(1000), b=b"b")
    assert zip_sizes(path) == {"a": 1000, "b": 1}
    with pytest.raises(RefusedError, match="1 KB unpacked, over edgekit's limit of 900 bytes"):
        zip_sizes(path, 900)


def test_a_zip64_is_read(tmp_path: Path) -> None:
    """torch writes its directory so for files over 4 GB or with 65,535 records and more."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(65_600):
            archive.writestr(f"{i}", b"")
    assert len(zip_sizes(path)) == 65_600


@pytest.mark.parametrize("damage", ["a comment", "a tail", "cut", "no zip", "empty"])
def test_two_readers_must_find_one_directory(damage: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", a=b"a")
    data = path.read_bytes()
    comment = data[:-2] + struct.pack("<H", 3) + b"abc"
    path.write_bytes(
        {"a comment": comment, "a tail": data + b"x", "cut": data[:-9], "no zip": b"x" * 90, "empty": b""}[damage]
    )
    with pytest.raises(RefusedError):
        zip_sizes(path)


def test_arrays(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.arange(5), b=np.zeros((2, 3), np.float32))
    (tmp_path / "a.npz").write_bytes(stream.getvalue())
    found = read_npz(tmp_path / "a.npz", 10_000)
    assert found["a"].tolist() == [0, 1, 2, 3, 4]
    assert found["b"].shape == (2, 3)


@pytest.mark.parametrize("shape", [(10**12,), (-1,), (2**62, 2**62), (3, "x")])
def test_an_array_that_claims_more_than_it_holds(shape: tuple[int, ...], tmp_path: Path) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<i8", "fortran_order": False, "shape": shape})
    path = zipped(tmp_path / "a.npz", **{"a.npy": head.getvalue() + bytes(80)})
    with pytest.raises(ValueError, match="a"):
        read_npz(path, 10_000)


def test_objects_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="a"):
        read_npz(tmp_path / "a.npz", 10_000)
