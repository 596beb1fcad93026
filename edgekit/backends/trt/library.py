"""TensorRT or TensorRT-RTX, whichever was asked for, with its enums looked up by name and its log in our hands.

Enum values are not the same numbers in all versions (STRONGLY_TYPED is 1 in 10.x and 0 in 11), and names come and go;
so names are what is asked for, and a name that may be missing is asked for with `find`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from edgekit.artifacts.engine_key import TITLES, numbers
from edgekit.errors import BackendError, UsageError

OLDEST = {"tensorrt": "10.3", "tensorrt_rtx": "1.2"}
INSTALL = {
    "tensorrt": "pip install 'edgekit[tensorrt]'; on a Jetson take JetPack's own: sudo apt install tensorrt, and make "
    "the virtual environment with --system-site-packages",
    "tensorrt_rtx": "pip install 'edgekit[rtx]'",
}


class Message(NamedTuple):
    """A line of the library's log; severity is ERROR, WARNING, INFO, VERBOSE or INTERNAL_ERROR."""

    severity: str
    text: str


@dataclass(frozen=True)
class Library:
    """A loaded library.

    Attributes:
        name: `tensorrt` or `tensorrt_rtx`.
        module: the Python module.
        log: the one logger of this process, which is what the library keeps whatever it is given later.
    """

    name: str
    module: Any
    log: Any

    @property
    def version(self) -> str:
        return str(self.module.__version__)

    @property
    def title(self) -> str:
        return f"{TITLES[self.name]} {self.version}"

    def find(self, kind: str, name: str) -> Any:
        """A member of an enum by name, or None where this version has no such thing."""
        return getattr(getattr(self.module, kind, None), name, None)

    def enum(self, kind: str, name: str) -> Any:
        """A member of an enum by name. Raises BackendError where this version has no such thing."""
        found = self.find(kind, name)
        if found is None:
            raise BackendError(
                f"{self.title} does not know {kind}.{name}.",
                got=name,
                expected="one of " + ", ".join(getattr(getattr(self.module, kind, None), "__members__", ())),
                fix="another value, or a version of the library that has this one",
            )
        return found

    @contextlib.contextmanager
    def listening(self) -> Iterator[list[Message]]:
        """The list that fills with what the library says while the block runs."""
        messages: list[Message] = []
        self.log.listeners.append(messages)
        try:
            yield messages
        finally:
            # by identity: an equal list may be another block's
            self.log.listeners[:] = [m for m in self.log.listeners if m is not messages]


def load_library(name: str) -> Library:
    """The library of this name, and never the other one.

    Raises:
        UsageError: unknown name.
        BackendError: not installed, not loadable, or too old.
    """
    if name not in TITLES:
        raise UsageError("Unknown library.", got=name, expected=" or ".join(TITLES))
    with _lock:
        if name not in _loaded:
            _loaded[name] = _load(name)
        return _loaded[name]


_loaded: dict[str, Library] = {}
_lock = threading.Lock()


def _load(name: str) -> Library:
    try:
        module = import_module(name)
    except (ImportError, OSError, RuntimeError) as error:  # a library of another CUDA fails in all three ways
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        raise BackendError(
            f"{TITLES[name]} is not installed." if missing else f"{TITLES[name]} is installed but cannot be loaded.",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            expected=f"the Python module {name}, {OLDEST[name]} or newer",
            fix=INSTALL[name],
        ) from error
    if not hasattr(module, "ILogger"):  # a folder of that name in the way, or what an uninstall left behind
        raise BackendError(
            f"{TITLES[name]} is not installed.",
            got=f"a module {name} without a builder: {getattr(module, '__file__', None) or list(module.__path__)}",
            expected=f"the Python module {name}, {OLDEST[name]} or newer",
            fix=INSTALL[name],
        )
    library = Library(name, module, _logger(module))
    if numbers(library.version) < numbers(OLDEST[name]):
        raise BackendError(
            f"{TITLES[name]} is too old.",
            got=library.version,
            expected=f"{OLDEST[name]} or newer",
            fix="JetPack 6.1 and newer have it" if name == "tensorrt" else INSTALL[name],
        )
    return library


def _logger(module: Any) -> Any:
    class Log(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.listeners: list[list[Message]] = []

        def log(self, severity: Any, msg: str) -> None:
            for messages in tuple(self.listeners):
                messages.append(Message(severity.name, msg))

    return Log()


def first_error(messages: list[Message]) -> str | None:
    """What the library gave as the reason; None when it gave none."""
    errors = [m.text for m in messages if m.severity in ("ERROR", "INTERNAL_ERROR")]
    # on a machine without a driver every error is followed by one about the driver, whatever it was about
    telling = [text for text in errors if "checkMacros.cpp::catchCudaError" not in text.partition("\n")[0]]
    return next(iter(telling or errors), None)
