"""Everything edgekit raises on purpose. Each class carries the exit code the command line ends with.

    EdgekitError                 1   something went wrong and it says what
    ├── UsageError               2   an option or its value makes no sense
    ├── InputError               1   what was read cannot be used
    │   ├── CheckpointError          a .pt/.pth/.safetensors file
    │   ├── PictureError             an image file
    │   ├── SourceError              a camera or stream of frames
    │   └── DataError                a folder or table of labelled pictures
    │       ├── SplitError           a data set that has not the split asked for
    │       └── LayoutError          labels in a layout that is not read
    ├── OutputError              1   what should be written cannot be
    │   └── BusyError            5   another process is writing there
    ├── StandstillError          6   a part of a camera hangs, and only a new process can help
    ├── FoldError                1   a BatchNorm that must not be folded
    ├── VerificationError        3   two models that should be equal are not
    ├── RegressionError          4   a measured figure got worse than allowed
    ├── ArtifactError            5   a model file that must not run here: broken, foreign or changed
    └── BackendError             5   a runtime, provider or device that is not there

Every message answers three questions: what was got, what was expected, and how to fix it.
"""

from __future__ import annotations

_BREAK = "\n"
_INDENT = "\n" + 12 * " "
_LONGEST = 4000  # characters


class EdgekitError(Exception):
    """Base of all edgekit errors.

    Args:
        what: one sentence, the problem.
        got: what was found.
        expected: what would have been right.
        fix: what to do now, a command where there is one.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        got: str | None = None,
        expected: str | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(_clipped(what))
        self.what = _clipped(what)
        self.got = None if got is None else _clipped(got)
        self.expected = None if expected is None else _clipped(expected)
        self.fix = None if fix is None else _clipped(fix)

    def __str__(self) -> str:
        lines = [self.what.replace("\n", "\\x0a")]  # a file's name may hold one, and forge the line after it
        for label, text in (("got", self.got), ("expected", self.expected), ("fix", self.fix)):
            if text:
                lines.append(f"  {label + ':':<9} {_INDENT.join(text.split(_BREAK))}")
        return "\n".join(lines)


def _clipped(text: str) -> str:
    """`text` of a bearable length: it may quote a name out of a file, and that may have a million letters."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 200]} ... ({len(text)} characters) ... {text[-100:]}"


class UsageError(EdgekitError):
    exit_code = 2


class InputError(EdgekitError):
    pass


class CheckpointError(InputError):
    pass


class PictureError(InputError):
    pass


class SourceError(InputError):
    pass


class DataError(InputError):
    pass


class SplitError(DataError):
    """`splits`: the names of those that are there."""

    splits: tuple[str, ...] = ()


class LayoutError(DataError):
    pass


class StandstillError(EdgekitError):
    """A part of a camera stands still, and starting it again did not help: a new process is needed."""

    exit_code = 6


class OutputError(EdgekitError):
    pass


class BusyError(OutputError):
    exit_code = 5


class FoldError(EdgekitError):
    pass


class VerificationError(EdgekitError):
    exit_code = 3


class RegressionError(EdgekitError):
    exit_code = 4


class ArtifactError(EdgekitError):
    exit_code = 5


class BackendError(EdgekitError):
    exit_code = 5
