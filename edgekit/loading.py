"""Opens any model file as a predictor: an exported one in a runtime, a checkpoint in torch itself."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgekit.artifacts.deployment import model_path, resolve, shipped_models
from edgekit.artifacts.kinds import CHECKPOINTS, is_checkpoint, weights_file
from edgekit.artifacts.metadata import Metadata
from edgekit.artifacts.onnx_file import file_sha256, read_onnx
from edgekit.artifacts.opening import BY_DEFAULT, NOTHING_TOLD, CheckpointOptions, RunOptions
from edgekit.errors import ArtifactError, UsageError, VerificationError
from edgekit.predictor import Predictor, require_verified
from edgekit.spec import ModelSpec, PreprocessSpec

__all__ = [
    "ENGINE",
    "REJECTED",
    "metadata_of",
    "model_path",
    "open_model",
    "open_predictor",
    "refuse_stale",
    "shipped_models",
]
ENGINE = ".engine"
REJECTED = ".rejected"


def open_predictor(
    path: str | os.PathLike[str],
    *,
    backend: str = "onnxruntime",
    provider: str = "cpu",
    threads: int = 0,
    classes: Sequence[str] | None = None,
    preprocess_spec: PreprocessSpec | None = None,
    norm: str | None = None,
    arch: str | None = None,
    weights_key: str | None = None,
    multi_label: bool | None = None,
    unverified: bool = False,
    frugal: bool = False,
    streams: int = 1,
    fallback: ModelSpec | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Predictor:
    """A predictor of an exported file, or of a checkpoint run by torch itself.

    Args:
        path: .onnx, .engine, a checkpoint (`edgekit.artifacts.kinds`), a shipped model's name, or a deployment.json.
        backend, provider, threads: how an exported ONNX is run; a checkpoint runs in torch on the CPU, an engine on
            the GPU that it was built for. A deployment.json says it itself.
        classes, preprocess_spec, norm, arch, weights_key, multi_label: what a foreign checkpoint does not say; see
            `edgekit.checkpoints.checkpoint.load_checkpoint`. A file that says it itself is not contradicted.
        unverified: accept a file that did not pass the gate, to look into why.
        frugal: of onnxruntime: keep less memory.
        streams: of an exported ONNX: runs at once, sharing `threads`; see the backends.
        fallback: what is taken for a foreign checkpoint where it and the options say nothing.
        say: gets a line for each thing that a foreign checkpoint said of itself, or that was guessed.

    Raises:
        EdgekitError: of the kind that says why it cannot be opened.
    """
    return open_model(
        path,
        RunOptions(backend, provider, threads, streams, frugal),
        CheckpointOptions(classes, preprocess_spec, norm, arch, weights_key, multi_label),
        unverified=unverified,
        fallback=fallback,
        say=say,
    )


def open_model(
    path: str | os.PathLike[str],
    run: RunOptions = BY_DEFAULT,
    checkpoint: CheckpointOptions = NOTHING_TOLD,
    *,
    unverified: bool = False,
    fallback: ModelSpec | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Predictor:
    """As `open_predictor`, with the options in two objects as the commands hand them on."""
    found = resolve(Path(path), run.backend, run.provider, run.threads)
    path = found.path
    if is_checkpoint(path):
        from edgekit.backends.torch_ import TorchSession
        from edgekit.checkpoints.checkpoint import load_checkpoint
        from edgekit.nets.detector import with_decoding

        loaded = load_checkpoint(path, **checkpoint.arguments(), fallback=fallback)
        for note in loaded.notes:
            say(note)
        session = TorchSession(with_decoding(loaded.net(), loaded.spec), loaded.spec)
        what = f"{loaded.what}, run by torch"
        return Predictor(
            session, loaded.spec, name=path.name, sha256=loaded.sha256, trained_on=loaded.trained_on, what=what
        )
    if checkpoint.weights_key is not None and path.suffix in (".onnx", ENGINE, REJECTED):
        raise UsageError(f"{path} has one set of weights.", got="--weights-key", expected="a checkpoint with several")
    if path.suffix == ENGINE:
        return _engine(path, unverified, checkpoint)
    if path.suffix not in (".onnx", REJECTED):
        raise UsageError(
            f"{path} is not a kind of model file that edgekit opens.",
            got=path.suffix or "no suffix",
            expected=", ".join((".onnx", ENGINE, *CHECKPOINTS, "deployment.json", *shipped_models())),
        )
    artifact = read_onnx(path)
    _refuse_contradiction(path, artifact.metadata.model, checkpoint)
    if not unverified:
        require_verified(artifact)
    # the others have one device by name
    own: dict[str, Any] = {"provider": found.provider, "frugal": run.frugal} if found.backend == "onnxruntime" else {}
    return Predictor.from_artifact(artifact, found.backend, threads=found.threads, streams=run.streams, **own)


def _refuse_contradiction(path: Path, spec: ModelSpec, given: CheckpointOptions) -> None:
    """Raises UsageError where an option says another thing than a file that says all of it itself."""
    classes = None if given.classes is None else tuple(given.classes)
    for option, said, own in (
        ("--classes", classes, spec.classes),
        ("--preprocess", given.preprocess, spec.preprocess),
        ("--norm", given.norm, (spec.arch_args or {}).get("norm")),
        ("--arch", given.arch and given.arch.partition(".")[0], spec.arch),  # the tag is of published weights
        ("--multi-label", given.multi_label, spec.multi_label),
    ):
        if said is not None and said != own:
            raise UsageError(
                f"{option} contradicts {path.name}, which says itself what it is.",
                got=_shown(said),
                expected=_shown(own),
                fix=f"leave {option} out",
            )


def _shown(value: Any) -> str:
    from edgekit.screen import some

    if isinstance(value, PreprocessSpec):
        return value.describe()
    return some(value, 5) if isinstance(value, tuple) else str(value)


def _engine(path: Path, unverified: bool, given: CheckpointOptions) -> Predictor:
    from edgekit.artifacts.engine import read_engine
    from edgekit.backends.tensorrt_ import TensorRTSession

    engine = read_engine(path)
    _refuse_contradiction(path, engine.card.metadata.model, given)
    if not unverified and engine.card.proof.get("passed") is not True:
        raise VerificationError(
            f"{path} was not compared with its ONNX on this kind of GPU.",
            got="an engine that was built without one" if not engine.card.proof else "a comparison that failed",
            expected="an engine that answers as its ONNX does",
            fix=engine.card.rebuild() + " (on this machine)",
        )
    session = TensorRTSession(engine)
    described, sha256, what = engine.card.metadata, engine.card.plan_sha256, "this engine"
    return Predictor(
        session, described.model, name=path.name, sha256=sha256, trained_on=described.trained_on, what=what
    )


def metadata_of(path: Path) -> Metadata | None:
    """What an exported file or an engine says of itself; None for a checkpoint. Raises as reading it does."""
    path = resolve(path).path
    if is_checkpoint(path):
        return None
    if path.suffix == ENGINE:
        from edgekit.artifacts.engine import read_engine

        return read_engine(path).card.metadata
    return read_onnx(path).metadata


def refuse_stale(path: Path, described: Metadata, checkpoint: Path) -> None:
    """Raises ArtifactError when an exported file was not made from this checkpoint file."""
    sha256 = file_sha256(weights_file(checkpoint))
    if described.lineage.checkpoint != sha256:
        raise ArtifactError(
            f"{path} was not made from {checkpoint}.",
            got=f"lineage of checkpoint {described.lineage.checkpoint[:12]}",
            expected=f"checkpoint {sha256[:12]}",
            fix=shlex.join(["edgekit", "export", str(checkpoint), "--force"]),
        )
