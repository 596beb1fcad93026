"""Configuration read from TOML: targets now. Unknown keys are errors that name the nearest known one."""

from __future__ import annotations

import difflib
import re
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edgekit.errors import UsageError
from edgekit.reading import exists, load_toml, read_text
from edgekit.reading.limits import SETTINGS

Precision = Literal["fp32", "fp16", "int8"]
Scheme = Literal["int8-trt", "int8-x86", "int8-arm"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Limits(_Table):
    """What the gate allows between the checkpoint and one precision of it."""

    max_abs: float = Field(gt=0, description="largest |difference| of any logit")
    top1_agreement: float = Field(gt=0, le=1, description="smallest share of pictures with the same first class")
    boxes_matched: float = Field(0.999, gt=0, le=1, description="smallest share of boxes that have a partner")
    boxes: Literal["all", "shown"] = Field("all", description="which count: down to a score of 0.05, or those shown")
    box_iou: float = Field(0.9, gt=0, le=1, description="from which on two boxes are the same")
    score_shift: float = Field(1e-3, gt=0, le=1, description="largest |difference| of a matched box's score")


class Runtime(_Table):
    """How the exported file is run, for the gate and as the target's default."""

    backend: Literal["onnxruntime", "openvino"] = "onnxruntime"
    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    threads: int = Field(0, ge=0, description="0: one per physical core")


class Pipelines(_Table):
    """GStreamer pipelines that decode in hardware, up to BGR, with `{uri}` and the like to fill in."""

    rtsp: str = ""
    csi: str = ""


class EngineTable(_Table):
    """How `edgekit build` compiles for the target; the attributes of `edgekit.artifacts.engine_key.BuildOptions`."""

    library: Literal["tensorrt", "tensorrt_rtx"] = "tensorrt"
    sms: tuple[str, ...] = Field(min_length=1, description="compute capabilities, such as 8.7")
    batch: tuple[int, int, int] = Field((1, 1, 8), description="smallest, best, largest; of a dynamic batch")
    workspace_mib: int | None = Field(None, ge=1)
    hardware: Literal["none", "same-sm", "ampere-plus"] = "none"
    version_compatible: bool = False
    dla: int | None = Field(None, ge=0, description="core; what it cannot run goes to the GPU")
    level: int | None = Field(None, ge=0, le=5, description="the builder's effort")

    @field_validator("sms")
    @classmethod
    def _capabilities(cls, sms: tuple[str, ...]) -> tuple[str, ...]:
        if any(not re.fullmatch(r"\d+\.\d", sm) for sm in sms):
            raise ValueError('compute capabilities such as "8.7"')
        return sms

    @field_validator("batch")
    @classmethod
    def _ascending(cls, batch: tuple[int, int, int]) -> tuple[int, int, int]:
        if not 1 <= batch[0] <= batch[1] <= batch[2]:
            raise ValueError("three sizes from 1 on, none smaller than the one before")
        return batch


class Target(_Table):
    """A kind of board: what its runtime takes, and what must hold there."""

    name: str
    description: str
    opset: int = Field(ge=18, le=25)
    runtimes: tuple[Literal["onnxruntime", "openvino", "tensorrt"], ...] = Field(min_length=1)
    runtime: Runtime = Field(default_factory=lambda: Runtime(threads=0))
    precisions: tuple[Precision, ...] = ("fp32",)
    scheme: Scheme | None = Field(None, description="how int8 is placed in the graph")
    engine: EngineTable | None = Field(None, description="for targets whose runtime compiles the graph")
    gate: dict[Precision, Limits]
    pipelines: Pipelines = Field(default_factory=Pipelines, description="how a camera's frames are decoded")

    @field_validator("gate")
    @classmethod
    def _complete(cls, gate: dict[Precision, Limits]) -> dict[Precision, Limits]:
        if "fp32" not in gate:  # every export begins there
            raise ValueError("a table [gate.fp32]")
        return gate

    @model_validator(mode="after")
    def _consistent(self) -> Target:
        without = [name for name in self.precisions if name not in self.gate]
        if without:
            raise ValueError(f"a table [gate.{without[0]}] for each of the precisions")
        if "int8" in self.precisions and self.scheme is None:
            raise ValueError("a scheme for int8")
        return self

    def limits(self, precision: str) -> Limits:
        """The gate's limits of `fp32`, `fp16` or `int8`, also by the name of an int8 scheme.

        Raises:
            UsageError: the target has none for it.
        """
        kind = precision.split("-", maxsplit=1)[0]
        found = {str(name): limits for name, limits in self.gate.items()}.get(kind)
        if found is None:
            raise UsageError(
                f"{self.name} has no limits for {precision}.",
                got=precision,
                expected="one of " + ", ".join(self.gate),
                fix=f"a table [gate.{kind}] in a target of your own",
            )
        return found


def target_names() -> tuple[str, ...]:
    """Names of the targets that edgekit ships."""
    found = (entry.name for entry in files("edgekit.targets").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def load_target(name: str) -> Target:
    """A shipped target by name, or one's own by the path of its TOML file.

    Raises:
        UsageError: unknown name, or a file that is not a target.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not exists(path):
            raise UsageError(
                f"There is no target file {path}.",
                got="no such file",
                expected="a TOML file, or a shipped target's name: " + ", ".join(target_names()),
            )
        try:
            text = read_text(path, SETTINGS)
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read as a target.", got=str(error), expected="a TOML file") from error
        return parse_target(text, str(path))
    if name not in target_names():
        raise UsageError(
            "Unknown target.",
            got=name,
            expected="one of " + ", ".join(target_names()) + ", or a path to a .toml",
            fix=nearest(name, target_names()),
        )
    return parse_target(files("edgekit.targets").joinpath(f"{name}.toml").read_text(encoding="utf-8"), name)


def parse_target(text: str, source: str) -> Target:
    """A target from TOML text; `source` is for the messages. Raises UsageError as `load_target`."""
    try:
        content = load_toml(text)
    except ValueError as error:
        raise UsageError(f"{source} is not TOML.", got=str(error), expected="key = value lines") from error
    try:
        return Target.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{source} is not a target.", **explain(error, Target)) from error


def explain(error: ValidationError, model: type[BaseModel]) -> dict[str, str]:
    """The first problem that pydantic found, as got / expected / fix."""
    problems = error.errors()
    # a misspelt key is missing and unknown; the word that was written says more
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        return {"got": f"no {where}", "expected": f"a value for {where}"}
    if problem["type"] != "extra_forbidden":
        return {"got": f"{where} = {problem.get('input')!r}", "expected": problem["msg"]}
    known = _fields(model, problem["loc"][:-1])
    return {
        "got": f"unknown key {where}",
        "expected": "one of " + ", ".join(known),
        "fix": nearest(str(problem["loc"][-1]), known) or f"remove {where}",
    }


def _fields(model: Any, path: tuple[int | str, ...]) -> tuple[str, ...]:
    for step in path:
        inner = model.model_fields[step].annotation if step in model.model_fields else None
        inner = next((part for part in get_args(inner) if part is not type(None)), inner)  # of `EngineTable | None`
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return tuple(Limits.model_fields)  # the only table inside a dictionary
        model = inner
    return tuple(model.model_fields)


def nearest(word: str, known: tuple[str, ...]) -> str | None:
    """A suggestion when `word` is close to a known one."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else None
