"""What travels inside an exported file: the model, its lineage, the versions that made it and the gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from edgekit.errors import InputError
from edgekit.spec import ModelSpec

FORMAT = 1
# what a model learnt from, where its file says it
MADE, RECORDED = "made pictures", "recorded pictures"
# what each kind of file needs to be run again
EXPORT_AGAIN = "export it again from its checkpoint: edgekit export CHECKPOINT"


@dataclass(frozen=True)
class Lineage:
    """sha256 (hex) of the checkpoint file, of the folded weights and of the graph of this file."""

    checkpoint: str
    folded: str
    graph: str = ""


@dataclass(frozen=True)
class Metadata:
    """What travels inside the model file.

    Attributes:
        model: task, classes, preprocessing, temperature.
        lineage: where it came from.
        input: `uint8` (picture as resized, preprocessing in the graph) or `float` (normalized NCHW).
        precision: `fp32`, `fp16` or an int8 scheme such as `int8-x86`; `fp32-w16` computes in float32 with weights that
            are stored as float16.
        target: name of the target it was made for.
        tools: versions that made it.
        verification: the gate's verdict, as in the .verify.json beside the file; empty before the gate ran.
        trained_on: MADE, RECORDED or, of recorded ones, whose they are; empty in files that do not say it.
    """

    model: ModelSpec
    lineage: Lineage
    input: str
    precision: str
    target: str
    tools: Mapping[str, str] = field(default_factory=dict)
    verification: Mapping[str, Any] = field(default_factory=dict)
    trained_on: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "model": self.model.to_dict(),
            "preprocess_digest": self.model.preprocess.digest,
            "lineage": asdict(self.lineage),
            "input": self.input,
            "precision": self.precision,
            "target": self.target,
            "tools": dict(self.tools),
            "verification": dict(self.verification),
            **({"trained_on": self.trained_on} if self.trained_on else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Metadata:
        """Inverse of `to_dict`. Raises InputError when a key is missing, unknown or has a wrong value."""
        if data.get("format") != FORMAT:
            raise InputError(
                "The metadata has another format version.",
                got=repr(data.get("format")),
                expected=str(FORMAT),
                fix="use the edgekit that wrote it, or " + EXPORT_AGAIN,
            )
        names = {f.name for f in fields(cls)}
        missing = sorted(names - set(data) - {"trained_on"})
        if missing:
            raise InputError("The metadata is incomplete.", got="no " + ", ".join(missing), fix=EXPORT_AGAIN)
        unknown = sorted(set(data) - names - {"format", "preprocess_digest"})
        if unknown:
            raise InputError("The metadata has unknown keys.", got=", ".join(unknown), fix="upgrade edgekit")
        values = {name: data[name] for name in names if name in data}
        texts: dict[str, Any] = {n: values[n] for n in ("input", "precision", "target", "trained_on") if n in values}
        texts.update(data["lineage"])
        wrong = [name for name, value in texts.items() if not isinstance(value, str)]
        wrong += [name for name in ("tools", "verification") if not isinstance(data[name], Mapping)]
        if wrong:
            raise InputError("The metadata has values of another kind.", got=", ".join(wrong), fix=EXPORT_AGAIN)
        values["model"] = ModelSpec.from_dict(data["model"])
        values["lineage"] = Lineage(**data["lineage"])
        if data.get("preprocess_digest") != values["model"].preprocess.digest:
            raise InputError(
                "The preprocessing in the metadata does not have the hash it was written with.",
                got=values["model"].preprocess.digest[:12],
                expected=str(data.get("preprocess_digest"))[:12],
                fix=EXPORT_AGAIN,
            )
        return cls(**values)
