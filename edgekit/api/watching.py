"""The model that a camera looks with, opened: the wiring between loading, learning and the camera room."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from edgekit import loading
from edgekit.artifacts.onnx_file import read_onnx
from edgekit.artifacts.opening import RunOptions
from edgekit.camera.clock import Clock
from edgekit.camera.config import CameraConfig
from edgekit.camera.detect.detectors import make_detector
from edgekit.camera.detect.lookahead import streams_of
from edgekit.camera.rules import Model, least_scores, make_rules
from edgekit.errors import EdgekitError, UsageError
from edgekit.memory import give_back as give_back_memory
from edgekit.updating.install import bytes_at, models_of, usable
from edgekit.updating.record import Installed, give_back, read_record

Say = Callable[[str], None]


def open_model(config: CameraConfig, say: Say) -> Model:
    """Opens the model that the configuration names, an update that stands in for it, or what either learnt from marks.

    An update on trial that cannot be opened is given back; one that was kept and can be opened no more is passed over,
    and both are said.

    Raises:
        UsageError: no model is named, or learning lacks what it needs.
        EdgekitError: as `edgekit.load`.
    """
    if config.model.path == Path():
        raise UsageError("No model is given.", expected="--model FILE, or model.path in the TOML")
    named = config.model.path
    # before it is read: what is put there meanwhile is another one. What is not there the loader names best
    before = bytes_at(named) if loading.model_path(named).is_file() else ()
    models = models_of(config) if config.update.keys else None
    if models is None:
        return _opened(config, say, lambda: bytes_at(named) != before)

    def used() -> Installed | None:
        return next((one for _, one in usable(config, models, before)), None)

    for path, update in usable(config, models, before):
        chosen = config.model_copy(update={"model": config.model.model_copy(update={"path": path})})
        try:
            found = _opened(
                chosen,
                say,
                lambda update=update: bytes_at(named) != before or used() != update,  # type: ignore[misc]
                learning=read_record(models).trial is None,
            )
            with contextlib.ExitStack() as undone:
                undone.callback(found.close)
                for camera in config.each():
                    make_rules(camera, found, Clock())
                undone.pop_all()
        except Exception as error:  # noqa: BLE001 - whatever a runtime raises, there is the model before it
            told = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            back = give_back(models, update.ident, told)
            say(f"error: update: {update.model} {'is given back' if back else 'is passed over'}: {told}")
            continue
        return found
    return _opened(config, say, lambda: bytes_at(named) != before or used() is not None)


def _opened(config: CameraConfig, say: Say, replaced: Callable[[], bool], *, learning: bool = True) -> Model:
    model = config.model
    path = learnt_model(config, say) if config.learn.enabled and learning else model.path
    run = RunOptions(model.backend, model.provider, model.threads, streams_of(config), frugal=True)
    predictor = loading.open_model(path, run)
    described = loading.metadata_of(path)
    give_back_memory()
    spec = predictor.spec
    return Model(
        make=lambda wanted, floor: make_detector(predictor, wanted, floor),
        classes=spec.classes,
        thresholds=spec.thresholds,
        alarms=spec.alarm_thresholds,
        info={
            "name": predictor.name,
            "sha256": predictor.sha256,
            "precision": described.precision if described else "fp32",
            **({"trained_on": predictor.trained_on} if predictor.trained_on else {}),
        },
        close=predictor.close,
        replaced=replaced,
    )


def learnt_model(config: CameraConfig, say: Say) -> Path:
    """The model fitted to what was marked in the camera's store, where that passed its gate, or the last that did.

    The fit is made anew from the configuration's own model where marks, golden pictures or that model are others than
    last time. What cannot be learnt from is said, and the camera watches with what it has.

    Raises:
        UsageError: no store, no golden pictures, or a model whose last layer cannot be fitted.
    """
    from edgekit.artifacts.marks import read_marks
    from edgekit.data import load_dataset
    from edgekit.data.classes.class_map import class_map
    from edgekit.refit.learn import LEARNT, digest_of, learn
    from edgekit.refit.record import current, recorded

    learning, store = config.learn, config.store.folder
    if store is None or learning.golden is None:
        raise UsageError(
            "Learning needs marks and pictures that judge what is learnt.",
            got="no store.folder" if store is None else "no learn.golden",
            expected="--set learn.golden=DIR, labelled pictures with boxes, and store.folder or --out",
        )
    base = loading.model_path(config.model.path)
    if base.suffix != ".onnx":
        raise UsageError(
            "Only an exported ONNX learns.", got=base.name, expected="an .onnx, which an engine is built from"
        )
    artifact, folder, marks = read_onnx(base), store / LEARNT, read_marks(store)
    spec = artifact.metadata.model
    named = current(folder, artifact.sha256)
    if not marks:
        say("learning: no visit is marked yet")
        return named or base
    names = class_map(learning.map)
    golden = load_dataset(learning.golden, spec.classes, learning.split, names, truth="boxes")
    if (before := recorded(folder, digest_of(artifact, marks, golden))) is None:
        least = least_scores(config, spec.classes, spec.thresholds, spec.alarm_thresholds)
        try:
            before = learn(artifact, marks, golden, folder, thresholds=tuple(least.values()), say=say).to_dict()
        except EdgekitError as error:
            say(f"learning: {error}")
            return named or base
    used = current(folder, artifact.sha256)
    kept = f"; {used.name if used else base.name} goes on" if not before["passed"] else ""
    say(f"learning from {before['marks']} marks: {'passed' if before['passed'] else 'rejected'}: {before['why']}{kept}")
    return used or base
