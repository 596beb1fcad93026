"""Reads files of tensors without running code from them."""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from edgekit.artifacts.atomic import reason
from edgekit.artifacts.kinds import HUB
from edgekit.checkpoints.pickles import refusals
from edgekit.checkpoints.pickles.bounds import check_checkpoint
from edgekit.checkpoints.pickles.stubs import STAND_INS, plain, stand_ins
from edgekit.checkpoints.pickles.unknown import stand_ins_for
from edgekit.errors import CheckpointError
from edgekit.reading import RefusedError, load_json, regular_size
from edgekit.reading.limits import SAFETENSORS_HEADER, over, size

COPY_AGAIN = "copy or download it again and compare its size or hash"
# What torch.load raises on broken bytes beside UnpicklingError, found by feeding it cut and flipped files
BROKEN = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    MemoryError,
)


def read_tensors(path: Path) -> Mapping[str, Any]:
    """What `torch.save` or safetensors wrote, as long as it is a dictionary of tensors and plain data.

    Namespaces, numbers of numpy, paths and dates beside the weights become plain values
    (`edgekit.checkpoints.pickles.stubs`).

    Raises:
        CheckpointError: missing, empty, another kind of file, truncated, or a pickle that would have to run code.
    """
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder without weights.",
            got=", ".join(sorted(entry.name for entry in path.iterdir())[:4]) or "nothing in it",
            expected="a folder of the Hugging Face Hub, with config.json and " + " or ".join(HUB),
            fix="name the file with the weights",
        )
    try:
        length = regular_size(path)
        with path.open("rb") as stream:
            head = stream.read(64)
    except (OSError, RefusedError) as error:
        raise CheckpointError(
            f"{path} cannot be read.",
            got=reason(error) if isinstance(error, OSError) else str(error),
            expected="a checkpoint: .pt, .pth, .ckpt or .safetensors",
            fix="check the path",
        ) from error
    if length == 0:
        raise CheckpointError(f"{path} is empty.", got="0 bytes", expected="a checkpoint", fix=COPY_AGAIN)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if not (head.startswith(b"PK") or head[:1] == b"\x80"):
        raise refusals.tar(path) or CheckpointError(
            f"{path} is not a checkpoint.",
            got=f"a file that begins with {head[:16]!r}",
            expected="what torch.save writes, or .safetensors",
            fix=f"an ONNX is adopted, not exported: edgekit adopt {path.name} --task TASK"
            if path.suffix.lower() == ".onnx"
            else "name the checkpoint itself; a page or a Git LFS pointer that was saved in its place is not one",
        )
    try:
        try:
            content = _loaded(path, {})
        except pickle.UnpicklingError:
            more = stand_ins_for(path, _globals_of(path))
            if more is None:
                raise
            content = _loaded(path, more)
    except pickle.UnpicklingError as error:
        raise _refused_pickle(path, error) from error
    except RefusedError as error:
        raise refusals.archive(path) or CheckpointError(
            f"{path} asks for more than edgekit gives to a file of its size.",
            got=str(error),
            expected="tensors that are as large as what is stored of them",
            fix="torch.save(net.state_dict(), path) writes such a file",
        ) from error
    except BROKEN as error:
        raise refusals.archive(path) or CheckpointError(
            f"{path} is broken or truncated.",
            got=f"{length} bytes: {(str(error) or type(error).__name__).splitlines()[0][:200]}",
            expected="a whole checkpoint",
            fix=COPY_AGAIN,
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} does not hold a state dict.",
            got=type(content).__name__,
            expected="a dictionary of tensors, or an edgekit checkpoint",
            fix="torch.save(net.state_dict(), path)",
        )
    found: Mapping[str, Any] = plain(content)
    return found


def _loaded(path: Path, more: Mapping[str, Callable[..., Any]]) -> Any:
    """What torch's restricted unpickler makes of the file, with `more` classes that something stands for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle protocols; what cannot be read is told by the caller
        check_checkpoint(path, more)
        with torch.serialization.safe_globals(stand_ins(more)):
            return torch.load(path, map_location="cpu", weights_only=True)


def _refused_pickle(path: Path, error: pickle.UnpicklingError) -> CheckpointError:
    wanted = _globals_of(path)
    if not wanted:  # not a refused object but a stream that ends or breaks off
        return CheckpointError(
            f"{path} is broken or truncated.",
            got=f"{path.stat().st_size} bytes with a pickle that breaks off",  # torch's text advises to run code
            expected="a whole checkpoint",
            fix=COPY_AGAIN,
        )
    return refusals.pickled(path, wanted)


def _globals_of(path: Path) -> list[str]:
    """Names that a pickle would import, read without executing anything; torch's own tensor rebuilding left out."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                data = archive.read(name)
        else:
            data = path.read_bytes()
        found: list[str] = []
        strings: list[str] = []
        stream = io.BytesIO(data)
        with contextlib.suppress(ValueError, IndexError):  # after its pickles an old file has raw weights
            while stream.tell() < len(data):  # which are several: magic number, version, system, object, keys
                for code, value, _ in pickletools.genops(stream):
                    if code.name == "GLOBAL":
                        found.append(str(value).replace(" ", "."))
                    elif code.name == "STACK_GLOBAL":
                        found.append(".".join(strings[-2:]))
                    elif isinstance(value, str):
                        strings.append(value)
    except (StopIteration, *BROKEN):
        return []
    harmless = ("torch._utils._rebuild", "collections.OrderedDict", "torch.FloatStorage", "torch.LongStorage")
    return [name for name in dict.fromkeys(found) if not name.startswith(harmless) and name not in STAND_INS]


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file
    except ImportError as error:
        raise CheckpointError(
            f"{path} needs the safetensors package.", got=str(error), fix="pip install 'edgekit[train]'"
        ) from error
    try:
        with path.open("rb") as stream:
            header = int.from_bytes(stream.read(8), "little")
        if header > SAFETENSORS_HEADER:
            raise over("the header", size(header), size(SAFETENSORS_HEADER))
        with safe_open(path, framework="pt") as opened:
            said = opened.metadata() or {}
        return {**{key: _json(text) for key, text in said.items() if key != "format"}, **load_file(path)}
    except (SafetensorError, *BROKEN) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file.",
            got=str(error)[:200],
            expected="a whole checkpoint",
            fix=COPY_AGAIN,
        ) from error


def _json(text: str) -> Any:
    """A safetensors file says everything as text, lists and tables as JSON."""
    with contextlib.suppress(ValueError):
        return load_json(text)
    return text
