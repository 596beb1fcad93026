"""The `edgekit` command: its sub-commands, its exit codes, and how errors are shown."""

from __future__ import annotations

import errno
import gc
import os
import sys
from typing import Annotated, NoReturn

import typer

from edgekit.cli import bench, camera, data, demo, doctor, evaluate, label, predict, tune, verify
from edgekit.cli.making import adopt, build, export, train
from edgekit.cli.shared import complete
from edgekit.cli.shared.helptext import LOOKING, MAKING, RUNNING, Group, HelpfulCommand, HelpfulGroup
from edgekit.cli.shared.interrupt import INTERRUPTED, INTERRUPTION, STOPPED, TOO_LATE, guarded
from edgekit.cli.shared.teller import told
from edgekit.errors import EdgekitError
from edgekit.screen import screened
from edgekit.version import __version__

# which extra brings an optional package
EXTRA_OF = {
    **dict.fromkeys(
        ("torch", "torchvision", "onnxscript", "safetensors", "accelerate", "tensorboard", "matplotlib"), "train"
    ),
    "cv2": "cpu",
    **dict.fromkeys(("starlette", "uvicorn", "prometheus_client", "paho", "cryptography"), "camera"),
}

app = typer.Typer(
    name="edgekit",
    cls=HelpfulGroup,
    help="""From a PyTorch checkpoint to a verified model on an edge camera.

    Exit codes: 0 ok, 1 error, 2 usage, 3 verification failed, 4 regression, 5 environment or incompatible file, 6 a
    part of the camera stands still, 130 interrupted.

    Examples:
        edgekit demo
        edgekit predict hornet-mobile pictures/
        edgekit export --help
    """,
    no_args_is_help=True,
    rich_markup_mode=None,  # rich costs 60 ms at every start
    pretty_exceptions_enable=False,
    add_completion=False,  # below: typer's own prints colours, and guesses the shell
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, command, group, does in (
    ("data", data.data, MAKING, "What a data set is and what is wrong with it; other layouts"),
    ("train", train.train, MAKING, "Train a net as a recipe says"),
    ("export", export.export, MAKING, "A checkpoint becomes a verified ONNX file"),
    ("adopt", adopt.adopt, MAKING, "An ONNX from elsewhere becomes a verified file"),
    ("build", build.build, MAKING, "A verified ONNX becomes an engine on a board"),
    ("verify", verify.verify, LOOKING, "Are two models equal on pictures?"),
    ("eval", evaluate.evaluate, LOOKING, "How good is a model, and how sure is that?"),
    ("bench", bench.bench, LOOKING, "Speed, accuracy, memory and energy side by side"),
    ("tune", tune.tune, LOOKING, "The best file, runtime and settings on this machine"),
    ("predict", predict.predict, RUNNING, "What is on these pictures?"),
    ("label", label.label, MAKING, "Give pictures boxes, on a page in a browser"),
    ("camera", camera.camera, RUNNING, "Watch a hive: find, follow and tell who came"),
    ("doctor", doctor.doctor, LOOKING, "What is here, and what is missing for which job"),
    ("demo", demo.demo, RUNNING, "The whole path on made pictures, in a few minutes"),
):
    app.command(name, cls=HelpfulCommand, rich_help_panel=group, short_help=does)(command)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"edgekit {__version__}")
        raise typer.Exit


COMMON = Group("Options")


@app.callback()
def _options(
    debug: Annotated[bool, COMMON("--debug", "Show the traceback of an error.")] = False,
    version: Annotated[
        bool, COMMON("--version", "Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
    installed: Annotated[
        complete.Shell | None,
        COMMON(
            "--install-completion SHELL",
            "Make bash, zsh or fish complete commands, options and names.",
            callback=complete.install,
            is_eager=True,
        ),
    ] = None,
    shown: Annotated[
        complete.Shell | None,
        COMMON("--show-completion SHELL", "Print the script for it instead.", callback=complete.show, is_eager=True),
    ] = None,
) -> None:
    if debug:
        os.environ["EDGEKIT_DEBUG"] = "1"


def main() -> NoReturn:
    """Runs a command and ends the process with its exit code, as `edgekit.cli.start` does, which starts sooner."""
    guarded(lambda: prepared(sys.argv[1:]))


def prepared(arguments: list[str]) -> int:
    """`run` in a process that does nothing else."""
    gc.set_threshold(100_000, 50, 50)  # importing torch makes millions of objects that all stay: 1 s of 20
    code = run(arguments)
    gc.freeze()  # and looking through them once more at the end costs another second
    return code


def run(arguments: list[str]) -> int:
    """Runs the command line `arguments` and returns the exit code; an error is told on stderr, in words."""
    first = os.environ.get("RANK", "0") == "0"  # of several training processes only the first prints
    lasting = {"camera", "label"} & {*arguments[:2]}  # they run all day, and print nothing while all is well
    with told(first, silence=not lasting) as clear, screened(clear):
        code = _run(arguments)
        if INTERRUPTION.heard and code != INTERRUPTED:  # swallowed on the way: the code must not say success
            sys.stderr.write(f"error: {TOO_LATE}\n")
            return INTERRUPTED
        return code


def _run(arguments: list[str]) -> int:
    try:
        complete.prepare()
        # color: typer would take a name's escape sequences away from pipes, where the screen writes them out
        result = app(arguments, standalone_mode=False, color=True)
        if result == INTERRUPTED:  # typer turns Ctrl-C into this code and says nothing
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except EdgekitError as error:
        return _tell(str(error), error.exit_code)
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _tell(STOPPED, INTERRUPTED)
    except (BrokenPipeError, SystemExit) as stop:
        if isinstance(stop, SystemExit) and not isinstance(stop.__context__, BrokenPipeError):
            raise  # typer turns a broken pipe into sys.exit(1)
        # the reader of stdout went away (`edgekit ... | head`): not an error, but nothing more can be printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ImportError as error:
        missing = (error.name or "").split(".")[0]
        extra = EXTRA_OF.get(missing)
        if extra == "camera" and "label" in arguments[:2]:
            extra = "label"
        if extra is None:
            return _tell(f"A package cannot be imported: {error}\n  fix:      edgekit doctor says what is missing", 5)
        return _tell(f"This needs {missing}, which is not installed.\n  fix:      pip install 'edgekit[{extra}]'", 5)
    except MemoryError:
        return _tell("There is not enough memory for this.\n  fix:      use fewer pictures or a smaller batch", 1)
    except Exception as error:  # noqa: BLE001 - the last line of defence: words instead of a traceback
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            name = os.fsdecode(error.filename or "")
            return _tell(
                f"{name[:60]}... is no path.\n  got:      {len(name)} characters\n  expected: a name of at most 255 "
                "bytes a step\n  fix:      check the path",
                1,
            )
        if _is_usage(error):
            error.show()  # type: ignore[attr-defined]
            return 2
        return _tell(f"Unexpected {type(error).__name__}: {error}\n  fix:      edgekit --debug ... shows where", 1)


def _is_usage(error: Exception) -> bool:
    """Whether it is the option parser's own error; typer brings its parser along, in another place in each version."""
    return getattr(error, "exit_code", None) == 2 and hasattr(error, "show")


def _tell(message: str, code: int) -> int:
    if os.environ.get("EDGEKIT_DEBUG"):
        import traceback

        traceback.print_exc()
    if INTERRUPTION.heard:  # a library may have turned Ctrl-C into an error of its own
        message, code = STOPPED, INTERRUPTED
    sys.stderr.write(f"error: {message}\n")
    return code
