"""`edgekit camera`: the runtime beside the hive, from frames to events."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.shared import after, ending, updates
from edgekit.cli.shared.helptext import OUTPUT, Group, argument
from edgekit.cli.shared.options import Format, FormatOption, next_command, say, tell_origin

if TYPE_CHECKING:
    from edgekit.camera.config import CameraConfig
    from edgekit.camera.rules import Model
    from edgekit.camera.runtime import Camera

_STORE = "store"
_PLACES = ("source", "source.uri")  # keys that bring an address
_ADDRESS = "HIVE_SOURCE"  # of the environment, in a next line
WATCHED = Group("What is watched")
KEEPING = Group("The model and its updates")


def camera(
    context: typer.Context,
    config: Annotated[Path | None, argument("FILE", "A TOML (export/deploy/hive.toml is one to start from).")] = None,
    source: Annotated[
        str | None, WATCHED("-s, --source URI", "0, rtsp://, http://, a file, a folder, synthetic://hive")
    ] = None,
    model: Annotated[Path | None, WATCHED("-m, --model MODEL", "An exported model.")] = None,
    out: Annotated[
        Path | None, OUTPUT("-o, --out DIR", "Folder for visits and, of a file, video, events and summary.")
    ] = None,
    changes: Annotated[
        list[str] | None, WATCHED("--set KEY=VALUE", "A key of the TOML, e.g. web.port=8090; repeatable.")
    ] = None,
    video: Annotated[Path | None, OUTPUT("--video FILE", "Write an annotated video here.")] = None,
    json_lines: Annotated[bool, OUTPUT("--json-lines", "Events on stdout, one JSON object a line.")] = False,
    web: Annotated[bool, OUTPUT("--web", "Serve the page on this machine.")] = False,
    learn: Annotated[
        bool, KEEPING("--learn", "Show no more what looks as marked false alarms did, if that passes.")
    ] = False,
    seconds: Annotated[float | None, WATCHED("--seconds S", "Stop after so long.", min=0)] = None,
    update: Annotated[
        Path | None, KEEPING("--update FILE", "Take this signed model, on trial; the running camera notices.")
    ] = None,
    sign: Annotated[
        Path | None,
        KEEPING("--sign KEY", "Sign --model with this key, with the golden pictures of --source, into --out."),
    ] = None,
    check: Annotated[bool, KEEPING("--check", "Only check configuration and model.")] = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Watch a hive: find insects in a camera's frames, follow them, and tell who came.

    SIGHUP reads the TOML again; SIGTERM and Ctrl-C end open visits and stop.

    Examples:
        edgekit camera -s synthetic://hive -m hornet-mobile
        edgekit camera -s 0 -m hornets.onnx --web -o visits
        edgekit camera hive.toml
    """
    from edgekit.camera.config import load_config
    from edgekit.memory import few_arenas

    few_arenas()
    if sign is not None:
        updates.sign(sign, model, source, out)
        after.look(context, Path(str(model)), Path(str(source)))
        return 0
    settings = list(changes or [])
    settings += [f"source.uri={source}"] if source is not None else []
    settings += [f"model.path={model}"] if model is not None else []
    settings += ["web.enabled=true"] if web else []
    settings += ["learn.enabled=true"] if learn else []
    settings += ["output.json_lines=true"] if json_lines else []
    settings += [f"store.folder={out / _STORE}"] if out is not None else []
    settings += [f"output.video={video}"] if video is not None else []

    def read() -> CameraConfig:
        loaded = _deployed(load_config(config, settings))
        wanted = _video_beside(loaded, out) if out is not None and video is None else None
        if wanted is None:
            return loaded
        return loaded.model_copy(update={"output": loaded.output.model_copy(update={"video": wanted})})

    chosen = read()
    if check:
        code = _check(chosen)
        _next(context, chosen, check=None)
        return code
    if update is not None:
        updates.take(update, chosen)
        _next(context, chosen, update=None)
        return 0
    from edgekit.camera.runtime import Camera

    events: list[dict[str, Any]] = []
    bounded = out is not None and _is_file(chosen)  # a live camera's would grow for ever
    with updates.looked_after(chosen) as updating:
        told = (events.append,) if bounded else ()
        runtime = Camera(chosen, open_model, say=say, listeners=told, update=updating.message)
        page = _page(runtime, updating.last) if chosen.web.enabled else None
        _on_signals(runtime, read)
        updating.start(runtime)
        try:
            with _counted(chosen, runtime):
                summary = runtime.run(seconds)
        finally:
            if page is not None:
                page.stop()
    ending.tell(summary, chosen, output_format)
    if chosen.output.video:
        say(f"annotated video: {chosen.output.video}")
    if out is not None and bounded:
        ending.keep(events, summary, out)
    if chosen.store.folder is None and out is None:
        _next(context, chosen, out=after.fresh("watched"))
    elif not chosen.web.enabled and _page_can_start(chosen):
        _next(context, chosen, web=True)
    else:
        after.look(context, model or chosen.model.path)
    return 0


def _next(context: typer.Context, chosen: CameraConfig, **changes: object) -> None:
    """This command again with `changes`; an address with a password in it and a page's token are not repeated."""
    from edgekit.camera.source.uri import printed

    typed: list[str] = context.params.get("changes") or []
    # in a whole table too: web={token="..."}, cameras=[{source={uri="..."}}]
    if any("token" in change or _key(change) == "cameras" for change in typed):
        after.look(context, chosen.model.path)
        return
    told = context.params.get("source") is not None or any(_key(change) in _PLACES for change in typed)
    if told and printed(chosen.source) is None:  # here, not in the TOML
        say(f"the source's address has secrets and is not repeated: put it into the environment as {_ADDRESS}")
        rest = [change for change in typed if _key(change) not in _PLACES]
        changes |= {"source": f"${{{_ADDRESS}}}", "changes": rest or None}
    next_command(*after.again(context, **changes))


def _key(change: str) -> str:
    return ".".join(step.strip() for step in change.partition("=")[0].split("."))


def _page_can_start(config: CameraConfig) -> bool:
    """Whether what it needs is installed, and its host and token are allowed."""
    from edgekit.camera.web.token import check_web
    from edgekit.cli.shared import installed
    from edgekit.errors import UsageError

    if not installed.look_at("camera").ok:
        return False
    try:
        check_web(config.web)
    except UsageError:
        return False
    return True


@contextlib.contextmanager
def _counted(config: CameraConfig, runtime: Camera) -> Iterator[None]:
    """Tells how far it is in a file; a camera has no end."""
    from edgekit.camera.source.uri import frames_in
    from edgekit.progress import working

    if not _is_file(config):
        yield
        return
    over = threading.Event()
    frames = [frames_in(one.source) for one in config.each()]
    with working("looking at frames", None if None in frames else sum(filter(None, frames))) as work:

        def count() -> None:
            while not over.wait(0.2):
                work.done = runtime.frames

        counter = threading.Thread(target=count, name="progress-frames", daemon=True)
        counter.start()
        try:
            yield
        finally:
            over.set()
            counter.join()


def open_model(config: CameraConfig) -> Model:
    """Opens the model that the configuration names, and says what it learnt from."""
    from edgekit.api.watching import open_model as opened

    model = opened(config, say)
    tell_origin(model.info["name"], model.info.get("trained_on", ""))
    return model


def _deployed(config: CameraConfig) -> CameraConfig:
    """With what a deployment.json says in the place of its path."""
    from edgekit.artifacts.deployment import resolve

    model = config.model
    found = resolve(model.path, model.backend, model.provider, model.threads)
    update = {"path": found.path, "backend": found.backend, "provider": found.provider, "threads": found.threads}
    return config.model_copy(update={"model": model.model_copy(update=update)})


def _video_beside(config: CameraConfig, out: Path) -> Path | None:
    """Of a file the annotated video is what one wants to see; of a camera it would fill the disk."""
    return out / "annotated.mp4" if _is_file(config) and not config.cameras else None


def _is_file(config: CameraConfig) -> bool:
    from edgekit.camera.source.uri import is_file

    return all(is_file(one.source) for one in config.each())


def _check(config: CameraConfig) -> int:
    from edgekit.camera.runtime import Camera
    from edgekit.camera.source.uri import parse_source
    from edgekit.camera.web.token import check_web

    checked = config.model_copy(update={"store": config.store.model_copy(update={"folder": None})})
    sources = [parse_source(one.source) for one in config.each()]
    if config.web.enabled:
        check_web(config.web)
    Camera(checked, open_model, say=say)
    named = ", ".join(f"{source.kind} {source.shown}" for source in sources)
    opened = "the source was" if len(sources) == 1 else "the sources were"
    typer.echo(f"ok: {named}, {config.model.path.name}; {opened} not opened")
    return 0


def _page(runtime: Camera, updated: Callable[[], dict[str, str]]) -> Any:
    from edgekit.camera.web.server import Page

    page = Page(runtime, say, updated)
    page.start()
    runtime.watch(page.part)
    say(f"page: {page.url}")
    return page


def _on_signals(runtime: Camera, read: Any) -> None:
    def reload(*_: object) -> None:
        try:
            runtime.reload(read())
        except Exception as error:  # noqa: BLE001 - raised in the midst of the loop, it would end it
            say(f"error: the configuration was not taken, and all goes on as it was: {error}")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runtime.stop())
    signal.signal(signal.SIGHUP, reload)
