"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.shared.helptext import DATA, MODEL, OUTPUT, RUNTIME
from edgekit.cli.shared.interrupt import INTERRUPTION
from edgekit.errors import UsageError
from edgekit.screen import as_typed, printable, quoted

if TYPE_CHECKING:
    from edgekit.artifacts.opening import CheckpointOptions
    from edgekit.spec import PreprocessSpec


class Format(str, Enum):
    """How a result is printed."""

    text = "text"
    json = "json"


class Scenario(str, Enum):
    """A scenario of MLPerf Inference's edge rules."""

    SingleStream = "SingleStream"
    MultiStream = "MultiStream"
    Offline = "Offline"


class Input(str, Enum):
    """What an exported file takes."""

    uint8 = "uint8"
    float = "float"


class Precision(str, Enum):
    """Of an exported file; int8 is in the target's scheme."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


class Provider(str, Enum):
    """An execution provider of onnxruntime."""

    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"


FormatOption = Annotated[Format, OUTPUT("--format", "How the result is printed on stdout.")]
ClassesOption = Annotated[
    Path | None, MODEL("--classes FILE", "Class names, one a line, for a checkpoint that has none.")
]
PreprocessOption = Annotated[
    Path | None,
    MODEL("--preprocess FILE", "TOML with the PreprocessSpec of a checkpoint that has none."),
]
NormOption = Annotated[
    str | None, MODEL("--norm NORM", "group, layer or instance, for a state dict that does not tell.")
]
ArchOption = Annotated[
    str | None,
    MODEL("--arch NET", "The net of a state dict: resnet18, timm:NAME, torchvision:NAME; keys are no proof."),
]
WeightsKeyOption = Annotated[
    str | None, MODEL("--weights-key KEY", "Which weights of a file that holds several, such as model_ema.")
]
MultiLabelOption = Annotated[
    bool,
    MODEL("--multi-label", "Of a state dict: a picture may have several labels; sigmoids, no softmax."),
]
ExpectOption = Annotated[
    Path | None,
    DATA("--expect FILE", "An .npz of recorded pairs, images and outputs, that the model must answer alike."),
]
MapOption = Annotated[
    list[str] | None,
    DATA(
        "--map NAMES",
        "Classes with two names: MODEL'S=OTHER,..., -=NAME leaves one out, -=* the rest; or a .toml. Repeatable.",
    ),
]
ProviderOption = Annotated[Provider, RUNTIME("--provider", "onnxruntime's execution provider.")]
ThreadsOption = Annotated[int, RUNTIME("--threads N", "CPU threads; 0 is one per physical core.", min=0)]
ForceOption = Annotated[bool, OUTPUT("--force", "Replace existing files.")]
_FORGED = re.compile(r"\n(?=[^\s])")


def say(line: str) -> None:
    """A line of progress: stderr, so that stdout stays the result. From any thread.

    Raises KeyboardInterrupt where Ctrl-C was lost on the way here, so that what goes on stops at its next step.
    """
    INTERRUPTION.check()
    line = _FORGED.sub(r"\\x0a", line)  # a line break in a name; in error messages spaces follow
    typer.echo(printable(line), err=True)


def tell_origin(name: str, trained_on: str) -> None:
    """Says it of a model that never saw a real picture, and whose pictures a model was trained on, where it says so."""
    from edgekit.artifacts.metadata import MADE, RECORDED

    if trained_on == MADE:
        say(f"{name} was trained on {MADE} only: what it does on real ones is not known")
    elif trained_on not in ("", RECORDED):
        say(f"{name} was trained on {trained_on}")


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def next_command(*words: str | os.PathLike[str]) -> None:
    """Ends a command with the next one to copy."""
    given = [*program(), *words[1:]] if words[0] == "edgekit" else list(words)
    say("next: " + " ".join(quoted(pasted(word)) for word in given))


def program() -> list[str]:
    """`edgekit`, where a shell finds this one by that name; else as it was started, such as .venv/bin/edgekit."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py" and started.parent.name == "edgekit":
        return [_by_name("python", Path(sys.executable)), "-m", "edgekit"]
    return [_by_name("edgekit", started)] if started.name == "edgekit" else ["edgekit"]


def _by_name(name: str, started: Path) -> str:
    found = shutil.which(name)
    return name if found is not None and Path(found).absolute() == started.absolute() else str(started)


def pasted(word: object) -> str:
    """A word as a command takes it: Path drops a slash of synthetic:// and the ./ before a name that begins with -."""
    text = str(word)
    if isinstance(word, os.PathLike):
        text = as_typed(f"./{text}" if text.startswith("-") else text)
    return text


def read_classes(path: Path | None) -> Sequence[str] | None:
    """Names from a text file, one a line; empty lines at the end don't count.

    Raises:
        UsageError: not readable, no names, an empty line between names, or a name that comes twice.
    """
    if path is None:
        return None
    from edgekit.reading import read_text
    from edgekit.reading.limits import SETTINGS

    try:
        names = read_text(path, SETTINGS).rstrip().splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as class names.", got=str(error), expected="a text file") from error
    names = [name.strip() for name in names]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if not names or "" in names or twice:
        problem = "no names" if not names else "an empty line" if "" in names else "twice: " + ", ".join(twice[:5])
        raise UsageError(f"{path} is not a list of class names.", got=problem, expected="one name a line, each once")
    return names


def checkpoint_options(
    classes: Path | None,
    preprocess: Path | None,
    norm: str | None,
    arch: str | None,
    weights_key: str | None,
    multi_label: bool = False,
) -> CheckpointOptions:
    """The options of a checkpoint, their files read. Raises UsageError as `read_classes` and `read_preprocess`."""
    from edgekit.artifacts.opening import CheckpointOptions

    several = True if multi_label else None  # without it the file's word counts
    return CheckpointOptions(read_classes(classes), read_preprocess(preprocess), norm, arch, weights_key, several)


def read_preprocess(path: Path | None) -> PreprocessSpec | None:
    """A PreprocessSpec from TOML. Raises UsageError with the key that is wrong."""
    if path is None:
        return None
    from dataclasses import fields

    from edgekit.config.keys import unknown_key
    from edgekit.config.tables import read_content
    from edgekit.errors import InputError
    from edgekit.spec import PreprocessSpec

    content = read_content(path, "a preprocessing table")
    known = tuple(f.name for f in fields(PreprocessSpec))
    for key in content:
        if key not in known:
            raise UsageError(f"{path} is not a preprocessing table.", **unknown_key(key, known))
    try:
        return PreprocessSpec.from_dict(content)
    except InputError as error:
        told = f"{path} is not a preprocessing table: {error.what}"
        raise UsageError(told, got=error.got, expected=error.expected, fix=error.fix) from error
    except TypeError as error:
        raise UsageError(
            f"{path} is not a preprocessing table.",
            got=str(error),
            expected="values of a PreprocessSpec (docs/commands.md)",
        ) from error


def read_size(given: str | None) -> tuple[int, int] | None:
    """(height, width) in pixels of `480x640`, or of one number for both. Raises UsageError for anything else."""
    if given is None:
        return None
    found = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", given)
    sides = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not all(1 <= side <= 16384 for side in sides):
        raise UsageError(
            "--size is a height and a width in pixels.", got=given, expected="HEIGHTxWIDTH, such as 480x640"
        )
    return sides
