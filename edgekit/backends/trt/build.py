"""ONNX in, plan out: one builder for TensorRT 10.3 to 11 and TensorRT-RTX, strongly typed.

Precision is what the graph says, so there are no precision flags and no calibrators (11 has none). TF32, which rounds
the inputs of float32 products to 10 bits and is on by default, is off: the gate compared float32 with float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from edgekit.artifacts.engine_key import Batch, BuildOptions
from edgekit.backends.trt import timing
from edgekit.backends.trt.layers import EngineLayer, read_layers
from edgekit.backends.trt.library import Library, Message, first_error
from edgekit.backends.trt.progress import Progress, Report, monitor
from edgekit.backends.trt.refusal import refused_build, refused_parse
from edgekit.errors import BackendError, UsageError
from edgekit.screen import count_of

Shape = tuple[int, ...]
HARDWARE = {"same-sm": "SAME_COMPUTE_CAPABILITY", "ampere-plus": "AMPERE_PLUS"}


@dataclass(frozen=True)
class Built:
    """A plan and what is known about it.

    Attributes:
        profiles: input -> smallest, best and largest shape.
        layers: as the log lists them; empty where it does not.
        warnings: what the library warned about.
    """

    plan: bytes
    profiles: Mapping[str, tuple[Shape, Shape, Shape]]
    layers: tuple[EngineLayer, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def build(
    model: bytes,
    options: BuildOptions,
    library: Library,
    *,
    timing_cache: Path | None = None,
    report: Report = lambda share, phase: None,
    say: Callable[[str], None] = lambda line: None,
) -> Built:
    """Compiles a serialized ONNX.

    Args:
        options: `library` in it must be the given one's name.
        timing_cache: file that is read before and written after; see `timing.timing_file`.
        report: gets progress; what it raises ends the build and is raised here.
        say: gets a line for what is not as usual.

    Raises:
        RefusedError: the library does not take the graph.
        BackendError: the machine, or this version, lacks what the options ask for.
        UsageError: options that this library does not have, or a batch that does not fit the graph.
    """
    assert options.library == library.name
    refuse_options(options)
    profiles = input_profiles(onnx.load_from_string(model), options.batch)
    module, progress = library.module, Progress(report)
    with library.listening() as messages:
        builder = _made(library, messages, "builder", lambda: module.Builder(library.log))
        network = builder.create_network(_strongly_typed(library))
        parser = module.OnnxParser(network, library.log)
        for_dla = library.find("OnnxParserFlag", "ADJUST_FOR_DLA")
        if options.dla is not None and for_dla is not None:
            parser.set_flag(for_dla)
        if not parser.parse(model):
            raise refused_parse(library, parser, model, messages)
        config = _made(library, messages, "configuration", builder.create_builder_config)
        _configure(config, builder, options, library)
        if options.batch is not None:  # also of one size: a dynamic graph has no other way to learn it
            _add_profile(config, builder, profiles, library, messages)
        if timing_cache is not None:
            timing.attach(config, timing_cache, library, say)
        if hasattr(module, "IProgressMonitor"):
            config.progress_monitor = monitor(module, progress)
        plan = builder.build_serialized_network(network, config)
        if progress.stopped is not None:
            raise progress.stopped
        if plan is None:
            raise refused_build(library, messages)
        if timing_cache is not None:
            timing.keep(config, timing_cache)
        data = bytes(plan)
    return Built(data, profiles, read_layers(messages), tuple(_warnings(messages)))


def refuse_options(options: BuildOptions) -> None:
    """Raises UsageError for what the chosen library does not have: it would ignore it, or fail late."""
    rtx = options.library == "tensorrt_rtx"
    wrong = {
        "hardware compatibility": rtx and options.hardware != "none",
        "version compatibility": rtx and options.version_compatible,
        "a DLA": rtx and options.dla is not None,
        "several GPUs in one plan": not rtx and len(options.sms) != 1,
    }
    for what, asked in wrong.items():
        if asked:
            raise UsageError(
                f"{'TensorRT-RTX' if rtx else 'TensorRT'} does not have {what}.",
                got=", ".join(f"SM {sm}" for sm in options.sms) if what.startswith("several") else what,
                fix="name the GPUs with --sm instead" if rtx else "build on each GPU",
            )
    if options.dla is not None and options.batch is not None and len(set(options.batch)) > 1:
        raise UsageError("A DLA takes one batch size only.", got=f"--batch {options.batch}", fix="--batch N")


def input_profiles(model: onnx.ModelProto, batch: Batch | None) -> dict[str, tuple[Shape, Shape, Shape]]:
    """The smallest, best and largest shape of each input; only the first dimension may be dynamic.

    Raises:
        UsageError: a batch for a graph whose batch is fixed at another size, or none where it is dynamic.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    profiles = {}
    for value in model.graph.input:
        if value.name in stored:
            continue
        dims = [d.dim_value if d.HasField("dim_value") else 0 for d in value.type.tensor_type.shape.dim]
        if 0 in dims[1:]:
            raise UsageError(
                f"Input {value.name} has a dynamic dimension behind the batch.",
                got=str([d or "?" for d in dims]),
                expected="a fixed height and width",
                fix="export again: edgekit writes fixed ones",
            )
        if dims and not dims[0]:
            if batch is None:
                raise UsageError("The graph has a dynamic batch.", got="no batch", fix="--batch MIN:OPT:MAX")
            smallest, best, largest = ((size, *dims[1:]) for size in batch)
        else:
            if batch is not None and set(batch) != {dims[0] if dims else 1}:
                raise UsageError(
                    "The graph has a fixed batch.",
                    got=f"--batch {batch}",
                    expected=f"batch {dims[0] if dims else 1}",
                    fix="leave --batch out, or export with a dynamic one",
                )
            smallest = best = largest = tuple(dims)
        profiles[value.name] = (smallest, best, largest)
    return profiles


def _strongly_typed(library: Library) -> int:
    flag = library.find("NetworkDefinitionCreationFlag", "STRONGLY_TYPED")
    return 0 if flag is None else 1 << int(flag)  # from 11 on there is no other kind of network


def _configure(config: Any, builder: Any, options: BuildOptions, library: Library) -> None:
    config.profiling_verbosity = library.enum("ProfilingVerbosity", "DETAILED")  # names of the ONNX nodes in the plan
    config.clear_flag(library.enum("BuilderFlag", "TF32"))
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(library.enum("MemoryPoolType", "WORKSPACE"), options.workspace_mib << 20)
    if options.level is not None:
        config.builder_optimization_level = options.level
    if options.hardware != "none":
        config.hardware_compatibility_level = library.enum("HardwareCompatibilityLevel", HARDWARE[options.hardware])
    if options.version_compatible:
        config.set_flag(library.enum("BuilderFlag", "VERSION_COMPATIBLE"))
        # with it the plan would carry a library inside, and the runner does not execute code out of plans
        config.set_flag(library.enum("BuilderFlag", "EXCLUDE_LEAN_RUNTIME"))
    if options.dla is not None:
        _use_dla(config, builder, options.dla, library)
    if library.name == "tensorrt_rtx":
        config.num_compute_capabilities = len(options.sms)
        for i, sm in enumerate(options.sms):
            config.set_compute_capability(library.enum("ComputeCapability", f"SM{sm.replace('.', '')}"), i)


def _use_dla(config: Any, builder: Any, core: int, library: Library) -> None:
    if core >= builder.num_DLA_cores:
        raise BackendError(
            f"There is no DLA core {core} here.",
            got=f"{count_of(builder.num_DLA_cores, 'core')}, as far as {library.title} sees",
            expected="an AGX Orin or Orin NX, and a TensorRT that supports its DLA (10.3 to 10.7, or 11.4.1)",
            fix="take dla out of the target's [engine] table",
        )
    config.default_device_type = library.enum("DeviceType", "DLA")
    config.DLA_core = core
    config.set_flag(library.enum("BuilderFlag", "GPU_FALLBACK"))


def _add_profile(
    config: Any,
    builder: Any,
    profiles: Mapping[str, tuple[Shape, Shape, Shape]],
    library: Library,
    messages: list[Message],
) -> None:
    profile = builder.create_optimization_profile()
    for name, shapes in profiles.items():
        profile.set_shape(name, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise BackendError(
            f"{library.title} does not take the range of batch sizes.",
            got=first_error(messages) or str(dict(profiles)),
            fix="a narrower --batch",
        )


def _made(library: Library, messages: list[Message], what: str, make: Callable[[], Any]) -> Any:
    """What `make` gives; without a working driver the bindings raise, or give None."""
    try:
        made = make()
    except (RuntimeError, TypeError) as error:  # pybind11's "factory function returned nullptr" is a TypeError
        made, told = None, str(error)
    else:
        told = "nothing"
    if made is None:
        raise BackendError(
            f"{library.title} cannot make a {what} here.",
            got=first_error(messages) or told,
            expected="an NVIDIA GPU and its driver",
            fix="build on the board itself; a target of TensorRT-RTX can be built without a GPU (--cpu-only)",
        )
    return made


def _warnings(messages: list[Message]) -> Iterator[str]:
    yield from dict.fromkeys(m.text for m in messages if m.severity == "WARNING")
