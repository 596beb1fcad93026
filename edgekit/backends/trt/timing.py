"""The builder's measurements of its kernels, kept in a file, so that the next build of a like graph is quick."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.artifacts.atomic import write_bytes
from edgekit.artifacts.engine_key import SHORT
from edgekit.backends.trt.library import Library


def timing_file(folder: Path, library: Library, sm: str) -> Path:
    """One file per library version and compute capability: measurements hold for no other."""
    return folder / f"{SHORT[library.name]}{library.version}-sm{sm.replace('.', '')}.timing"


def attach(config: Any, path: Path, library: Library, say: Callable[[str], None]) -> None:
    """Gives the builder the measurements in `path`; an empty start, said aloud, where they cannot be used."""
    if library.name == "tensorrt_rtx":
        say("TensorRT-RTX measures nothing when it builds: its timing cache stays empty")
    old = b""
    if path.exists():
        old = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # RTX keeps the calls and does nothing in them
        cache = config.create_timing_cache(old)
        if cache is None or not config.set_timing_cache(cache, False):
            say(f"the timing cache {path} was made by another version or GPU: starting an empty one")
            config.set_timing_cache(config.create_timing_cache(b""), False)


def keep(config: Any, path: Path) -> None:
    """Writes the measurements, old and new, to `path`. Raises OutputError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        cache = config.get_timing_cache()
        data = bytes(cache.serialize()) if cache is not None else b""
    if data:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data, overwrite=True)
