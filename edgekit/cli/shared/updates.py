"""Models that come to a camera under way: signing one, taking one, and looking after its trial."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from edgekit.cli.shared.options import say
from edgekit.errors import BusyError, OutputError, SourceError, UsageError
from edgekit.screen import count_of

if TYPE_CHECKING:
    from edgekit.camera.config import CameraConfig
    from edgekit.camera.runtime import Camera


def sign(key: Path, model: Path | None, golden: str | None, out: Path | None) -> None:
    """Writes the model as an update, and says what a camera must know to take it."""
    from edgekit.updating.pack import pack

    missing = [name for name, given in (("--model", model), ("--source", golden), ("--out", out)) if given is None]
    if model is None or golden is None or out is None:
        raise UsageError(
            "An update is a model with golden pictures, and goes to a folder.",
            got=f"no {', no '.join(missing)}",
            expected="edgekit camera --sign KEY --model MODEL --source PICTURES --out FOLDER",
        )
    packed = pack(model, Path(golden), key, out)
    typer.echo(f"signed: {packed.path} ({packed.model}, {packed.pictures} golden pictures)")
    typer.echo(f'a camera takes it with [update] keys = ["{packed.public}"]')


def take(package: Path, config: CameraConfig) -> None:
    """Checks an update and puts it on trial. Raises as `edgekit.updating.install.install`."""
    from edgekit.updating.install import install

    taken = install(package, config)
    answer = taken.answer
    before = f", the one in use {1000 * answer.standing:.1f}" if answer.standing else ""
    typer.echo(f"checked: {answer.why}; {1000 * answer.seconds:.1f} ms a look{before}")
    rules = config.update
    typer.echo(
        f"{taken.new.model} is on trial in the camera that runs, or from its next start on: for {rules.trial_minutes:g}"
        f" minutes and {count_of(rules.trial_looks, 'look')}; its log says whether it was kept"
    )


class Updates(NamedTuple):
    """What is done with a camera's updates: `start` when it is there, `message` with one that was published. `last` is
    what came of the last one."""

    start: Callable[[Camera], None]
    message: Callable[[bytes], object]
    last: Callable[[], dict[str, str]]


@contextlib.contextmanager
def looked_after(config: CameraConfig) -> Iterator[Updates]:
    """Takes updates and ends trials while the block runs; the camera is handed over when it is there.

    A block that ends in an error that the model may have caused leaves its trial as it was, so that the next start
    gives the model back.
    """
    from edgekit.updating.inbox import Inbox
    from edgekit.updating.install import models_of
    from edgekit.updating.record import last_outcome
    from edgekit.updating.trial import seen_of
    from edgekit.updating.watch import Watch

    models = models_of(config) if config.update.keys else None
    now = [lambda: config]
    watch = None
    if models is not None:
        try:
            watch = Watch(models, lambda: now[0](), say)
        except (BusyError, OutputError) as error:  # the store, which has the same reason, may be an error or not
            say(f"error: updates are not looked after: {error.what}")

    def start(runtime: Camera) -> None:
        now[0] = lambda: runtime.config
        if watch is not None:
            watch.start(
                lambda: seen_of(
                    runtime.model_sha256, [one.health for one in runtime.lookouts.values()], runtime.config.motion
                ),
                lambda: runtime.reload(runtime.config),
            )

    try:
        yield Updates(start, Inbox(lambda: now[0](), say), lambda: last_outcome(models) if models is not None else {})
    except BaseException as error:
        if watch is not None:
            watch.stop(orderly=isinstance(error, (BusyError, OutputError, SourceError)))
        raise
    if watch is not None:
        watch.stop(orderly=True)
