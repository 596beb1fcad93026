"""The runtimes. `BACKENDS` names the ones that open an exported file; each is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edgekit.backends.base import Arrays, Session
from edgekit.config.backends import BACKENDS
from edgekit.errors import BackendError

__all__ = ["BACKENDS", "Arrays", "Session", "open_session"]


def open_session(model: bytes, backend: str = "onnxruntime", **options: Any) -> Session:
    """A session of `backend` on a serialized model; `options` are that backend's own.

    Raises:
        BackendError: unknown backend, or one that is not installed or not working here.
        ArtifactError: the runtime refuses the model.
    """
    if backend not in BACKENDS:
        raise BackendError("Unknown backend.", got=backend, expected="one of " + ", ".join(BACKENDS))
    module, name = BACKENDS[backend]
    session: Session = getattr(import_module(module), name)(model, **options)
    return session
