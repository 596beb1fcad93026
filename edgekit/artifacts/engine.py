"""TensorRT engines as files: a plain plan, and beside it NAME.engine.json, which says what it is and where it may run.

A plan is native code and fits one library version and one kind of GPU. So it is a cache: its key is the hash of the
ONNX, the library's version, the compute capabilities and the build options. A plan whose hash is not the one in its
sidecar is refused before any library sees its bytes; one that does not fit is refused with what differs and the
command that makes one that does. The hashes protect against mix-ups and accidents, not against someone who forges them.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from edgekit.artifacts.atomic import reason, refuse_existing, write_bytes
from edgekit.artifacts.engine_key import TITLES, BuildOptions, Place, engine_key, numbers
from edgekit.artifacts.metadata import Metadata
from edgekit.errors import ArtifactError, InputError
from edgekit.reading import RefusedError, load_json, read_bytes
from edgekit.reading.limits import CARD, PLAN
from edgekit.spec import digest
from edgekit.version import __version__

FORMAT = 1


@dataclass(frozen=True)
class Card:
    """What the sidecar says.

    Attributes:
        plan_sha256, plan_bytes: of the plan file.
        onnx_sha256, onnx_name: of the file that it was built from.
        target: the target's name.
        built_on: where.
        options: how.
        profiles: input -> smallest, best and largest shape.
        metadata: the ONNX's own: classes, preprocessing, precision, lineage, verdict.
        layers: what the builder's log says about precision; empty where it says nothing.
        proof: the engine against its ONNX on the GPU, as a stage of the gate; empty when it was built without one.
        refused: the files that the board refused before this one, with the reason.
    """

    plan_sha256: str
    plan_bytes: int
    onnx_sha256: str
    onnx_name: str
    target: str
    built_on: Place
    options: BuildOptions
    profiles: Mapping[str, Any]
    metadata: Metadata
    layers: Mapping[str, Any] = field(default_factory=dict)
    proof: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[Mapping[str, str], ...] = ()

    @property
    def key(self) -> str:
        return engine_key(self.onnx_sha256, self.built_on.version, self.options)

    def to_dict(self) -> dict[str, Any]:
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        content.update(
            format=FORMAT,
            edgekit=__version__,
            key=self.key,
            built_on=asdict(self.built_on),
            options=self.options.to_dict(),
            metadata=self.metadata.to_dict(),
            profiles=dict(self.profiles),
            layers=dict(self.layers),
            proof=dict(self.proof),
            refused=[dict(item) for item in self.refused],
        )
        return content

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Card:
        """Inverse of `to_dict`. Raises InputError, KeyError, TypeError or ValueError when it is something else."""
        if data.get("format") != FORMAT:
            raise InputError("Another format version.", got=repr(data.get("format")), expected=str(FORMAT))
        values = {f.name: data[f.name] for f in fields(cls)}
        values["built_on"] = Place(**data["built_on"])
        values["options"] = BuildOptions.from_dict(data["options"])
        for kind, value in ((Place, values["built_on"]), (BuildOptions, values["options"])):
            TypeAdapter(kind).validate_python(asdict(value))  # a dataclass does not check its types
            if value.library not in TITLES:
                raise InputError("It names another library.", got=value.library, expected=" or ".join(TITLES))
        values["metadata"] = Metadata.from_dict(data["metadata"])
        values["refused"] = tuple(data["refused"])
        texts = ("plan_sha256", "onnx_sha256", "onnx_name", "target")
        whole = isinstance(data["plan_bytes"], int) and all(isinstance(data[name], str) for name in texts)
        tables = all(isinstance(data[name], Mapping) for name in ("profiles", "layers", "proof"))
        if not (whole and tables and all(isinstance(item, Mapping) for item in values["refused"])):
            raise InputError("It has values of another kind.", got="no text, number or table where one belongs")
        card = cls(**values)
        if card.key != data["key"]:
            raise InputError(
                "The key does not follow from the rest.", got=str(data["key"])[:12], expected=card.key[:12]
            )
        return card

    def flags(self) -> list[str]:
        """The options of `edgekit build` that lead to this engine's options."""
        words = ["--target", self.target]
        if self.options.library == "tensorrt_rtx":  # TensorRT builds for the GPU it runs on
            words += [word for sm in self.options.sms for word in ("--sm", sm)]
        if self.options.batch is not None:
            words += ["--batch", str(self.options.batch)]
        if self.options.workspace_mib is not None:
            words += ["--workspace", str(self.options.workspace_mib)]
        return words

    def rebuild(self) -> str:
        """The command that makes this engine again, on the machine where it is typed."""
        return shlex.join(["edgekit", "build", self.onnx_name, *self.flags(), "--force"])


class Difference(NamedTuple):
    """One thing that does not fit: its name, in the engine, and as it would have to be."""

    what: str
    engine: str
    wanted: str


@dataclass(frozen=True)
class Engine:
    """A plan whose hash is the one in its sidecar: nothing more is known to be safe about it."""

    path: Path
    plan: bytes
    card: Card


def sidecar_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def write_engine(path: Path, plan: bytes, card: Card, *, overwrite: bool = False) -> None:
    """The plan, then its sidecar. Whatever stops in between leaves no plan that a loader would take.

    Raises:
        OutputError: as `edgekit.artifacts.atomic.atomic`.
    """
    sidecar = sidecar_of(path)
    content = card.to_dict()
    text = json.dumps({**content, "digest": digest(content)}, indent=2, sort_keys=True, allow_nan=False) + "\n"
    for file in (path, sidecar):
        refuse_existing(file, overwrite)
    write_bytes(path, plan, overwrite=overwrite)
    try:
        write_bytes(sidecar, text.encode(), overwrite=overwrite)
    except BaseException:  # Ctrl-C too
        path.unlink(missing_ok=True)
        raise


def read_engine(path: Path) -> Engine:
    """A plan and its sidecar, both whole and belonging together. No TensorRT is involved.

    Raises:
        ArtifactError: anything else, with what was found.
    """
    sidecar = sidecar_of(path)
    again = f"build it again: edgekit build {path.name.split('.')[0]}.onnx --target BOARD --force"
    texts = []
    beside = "the sidecar that edgekit build wrote beside the plan"
    for file, what, limit in ((path, "an engine", PLAN), (sidecar, beside, CARD)):
        try:
            texts.append(read_bytes(file, limit))
        except OSError as error:
            raise ArtifactError(f"{file} cannot be read.", got=reason(error), expected=what, fix=again) from error
        except RefusedError as error:
            raise ArtifactError(f"{file} cannot be read.", got=str(error), expected=what, fix=again) from error
    plan, text = texts
    card = _card(text, sidecar, again)
    found = hashlib.sha256(plan).hexdigest()
    if found != card.plan_sha256:
        cut = ": it is cut off" if len(plan) < card.plan_bytes else ""
        raise ArtifactError(
            f"{path} is not the plan that its sidecar describes{cut}.",
            got=f"{len(plan)} bytes, hash {found[:12]}",
            expected=f"{card.plan_bytes} bytes, hash {card.plan_sha256[:12]}",
            fix=card.rebuild(),
        )
    return Engine(path, plan, card)


def _card(text: bytes, sidecar: Path, again: str) -> Card:
    try:
        content = load_json(text)
        stored = content.pop("digest", None)
        if stored != digest(content):
            raise InputError("It was changed after it was written, or is not whole.")
        return Card.from_dict(content)
    except (InputError, ValueError, TypeError, AttributeError, KeyError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ArtifactError(
            f"{sidecar} cannot be used.", got=said, expected="what edgekit build wrote beside the plan", fix=again
        ) from error


def differences(card: Card, place: Place, *, lean_runtime: bool = False) -> list[Difference]:
    """Why an engine may not run at `place`; empty when it may.

    Args:
        lean_runtime: whether the lean runtime of the engine's own version is at hand, which a version-compatible plan
            runs on.
    """
    built, found = card.built_on, []
    if built.library != place.library:
        found.append(Difference("library", TITLES[built.library], TITLES[place.library]))
    elif built.version != place.version and not _runs_on_version(card, place, lean_runtime):
        found.append(Difference(TITLES[place.library], built.version, place.version))
    if not _runs_on_sm(card.options, place.sm):
        found.append(Difference("SM", " and ".join(card.options.sms), place.sm))
    return found


def _runs_on_version(card: Card, place: Place, lean_runtime: bool) -> bool:
    older = numbers(card.built_on.version) <= numbers(place.version)
    return card.options.version_compatible and lean_runtime and older


def _runs_on_sm(options: BuildOptions, sm: str) -> bool:
    # the builder takes ampere-plus on 8.0 and newer only, and on no Jetson
    return sm in options.sms or (options.hardware == "ampere-plus" and numbers(sm) >= (8, 0))


def require_fit(engine: Engine, place: Place, *, lean_runtime: bool = False) -> None:
    """Raises ArtifactError, with what differs, when an engine was not built for `place`."""
    wrong = differences(engine.card, place, lean_runtime=lean_runtime)
    if wrong:
        raise ArtifactError(
            f"{engine.path} was built for another machine: {' and '.join(d.what for d in wrong)} differ"
            f"{'s' if len(wrong) == 1 else ''}.",
            got=", ".join(f"{d.what} {d.engine}" for d in wrong) + " in the engine",
            expected=", ".join(f"{d.what} {d.wanted}" for d in wrong) + " here",
            fix=engine.card.rebuild() + " (on this machine)",
        )


def changes(card: Card, onnx_sha256: str, version: str, options: BuildOptions) -> list[Difference]:
    """What would be different in an engine built now; empty when the key is the same."""
    found = []
    if card.onnx_sha256 != onnx_sha256:
        found.append(Difference("ONNX", card.onnx_sha256[:12], onnx_sha256[:12]))
    if card.built_on.version != version:
        found.append(Difference(TITLES[options.library], card.built_on.version, version))
    was, now = card.options.to_dict(), options.to_dict()
    found += [Difference(name, str(was[name]), str(now[name])) for name in now if was[name] != now[name]]
    return found
