"""The names that builder and runner use exist in TensorRT 10.3, 10.16, 11.4 and RTX, or are asked for first."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from edgekit.artifacts.engine_key import Batch, BuildOptions
from edgekit.backends import tensorrt_, trt
from edgekit.backends.trt import library as library_module
from edgekit.backends.trt.build import build
from edgekit.backends.trt.library import Library
from edgekit.errors import BackendError
from tests.backends import graphs
from tests.backends.fake_tensorrt import ENUMS, SURFACES, World, make

FILES = [*sorted(Path(trt.__file__).parent.glob("*.py")), Path(tensorrt_.__file__)]
# what a variable of this name holds, in those files
CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
    "_engine": "ICudaEngine",
    "loaded": "ICudaEngine",
    "cache": "ITimingCache",
    "fault": "ParserError",
}
# used behind `if library.name == "tensorrt_rtx"`
RTX_ONLY = {("IBuilderConfig", "num_compute_capabilities"), ("IBuilderConfig", "set_compute_capability")}


class Use(NamedTuple):
    owner: str
    name: str
    line: int


def attributes(tree: ast.AST) -> set[Use]:
    """Attributes of TensorRT objects: read, called or set."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            holder = node.value
            name = (
                holder.id if isinstance(holder, ast.Name) else holder.attr if isinstance(holder, ast.Attribute) else ""
            )
            if name in CLASSES:
                found.add(Use(CLASSES[name], node.attr, node.lineno))
    return found


def enum_names(tree: ast.AST, method: str) -> set[tuple[str, str]]:
    """(kind, member) of `library.enum(...)` or `library.find(...)` with literal names."""
    return {
        tuple(argument.value for argument in node.args)  # type: ignore[misc, attr-defined]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == method
        and len(node.args) == 2
        and all(isinstance(a, ast.Constant) for a in node.args)
    }


def missing(uses: set[Use]) -> list[str]:
    return sorted(
        f"{use.owner}.{use.name} (line {use.line}) is not in {version}"
        for version, api in SURFACES.items()
        for use in uses
        if use.name not in api[use.owner] and not ((use.owner, use.name) in RTX_ONLY and version != "rtx")
    )


def trees() -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in FILES]


def test_every_attribute_exists_in_every_version() -> None:
    uses = {use for tree in trees() for use in attributes(tree)}
    assert len({(use.owner, use.name) for use in uses}) > 35  # the walk finds what there is
    assert {use.owner for use in uses} >= set(CLASSES.values()) - {"INetworkDefinition"}
    assert missing(uses) == []


def test_a_name_that_some_version_lacks_is_found() -> None:
    code = "config.int8_calibrator = x\nself._context.execute_v2(y)\nbuilder.platform_has_fast_int8\nconfig.set_flag(f)"
    lines = missing(attributes(ast.parse(code)))
    assert [line.split(" is not in ")[0] for line in lines] == [
        "Builder.platform_has_fast_int8 (line 3)", "Builder.platform_has_fast_int8 (line 3)",
        "IBuilderConfig.int8_calibrator (line 1)", "IBuilderConfig.int8_calibrator (line 1)",
    ]  # fmt: skip


def test_enum_members_exist_in_every_version_or_may_be_missing() -> None:
    needed = {name for tree in trees() for name in enum_names(tree, "enum")}
    optional = {name for tree in trees() for name in enum_names(tree, "find")}
    assert len(needed) >= 9
    for version, api in SURFACES.items():
        lacking = {(kind, member) for kind, member in needed if member not in api.get(kind, ())}
        assert not lacking, version
    # what is only looked for is really absent somewhere, or always there and then should be asked for outright
    for kind, member in optional - {("NetworkDefinitionCreationFlag", "STRONGLY_TYPED")}:
        assert any(member not in api.get(kind, ()) for api in SURFACES.values())


def test_nothing_of_the_module_is_used_but_its_classes() -> None:
    used = {
        node.attr
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ((isinstance(node.value, ast.Name) and node.value.id == "module")
        or (isinstance(node.value, ast.Attribute) and node.value.attr == "module"))
    }  # fmt: skip
    assert used == {"Builder", "OnnxParser", "Runtime", "ILogger", "IProgressMonitor", "__version__", "__path__"}
    for api in SURFACES.values():
        assert used - {"__version__", "__path__"} <= set(api)


def fake(surface: str, world: World) -> Library:
    module = make(surface, world)
    return Library(module.__name__, module, library_module._logger(module))


def options(surface: str, **others: object) -> BuildOptions:
    name = "tensorrt_rtx" if surface == "rtx" else "tensorrt"
    return BuildOptions(name, ("8.9",), Batch(1, 2, 4), **others)  # type: ignore[arg-type]


MODEL = graphs.convolutions("fp32", 1).SerializeToString()


def test_each_listener_hears_what_is_said_in_its_time() -> None:
    library = fake("10.3", World())
    with library.listening() as outer:
        with library.listening() as inner:
            library.log.log(World.severity.INFO, "both")
        library.log.log(World.severity.ERROR, "one")
    library.log.log(World.severity.ERROR, "nobody")
    assert outer == [("INFO", "both"), ("ERROR", "one")]
    assert inner == [("INFO", "both")]
    # lists that are equal are not the same listener
    with library.listening() as outer:
        with library.listening():
            pass
        library.log.log(World.severity.INFO, "still")
    assert outer == [("INFO", "still")]


@pytest.mark.parametrize("surface", SURFACES)
def test_a_build_touches_nothing_that_the_version_lacks(surface: str, tmp_path: Path) -> None:
    world = World()
    chosen = options(surface, workspace_mib=512, level=4)
    made = build(MODEL, chosen, fake(surface, world), timing_cache=tmp_path / "a.timing")
    assert made.plan == b"plan"
    flags = world.names("create_network")[0][0]
    typed = SURFACES[surface]["NetworkDefinitionCreationFlag"]
    number = sorted(typed).index("STRONGLY_TYPED") + (surface == "11.4")
    assert flags == 1 << number  # by name: the number is another one in each version
    assert world.names("set_memory_pool_limit") == [("WORKSPACE", 512 << 20)]
    assert world.names("clear_flag") == [("TF32",)]
    assert world.names("builder_optimization_level") == [(4,)]
    shape = (8, 16, 16)
    assert world.names("set_shape") == [("x", (1, *shape), (2, *shape), (4, *shape))]
    expected = [("SM89", 0)] if surface == "rtx" else []
    assert world.names("set_compute_capability") == expected
    assert (tmp_path / "a.timing").read_bytes() == b"+"
    assert "progress_monitor" in world.order()


@pytest.mark.parametrize("surface", ["10.3", "10.16", "11.4"])
def test_compatibility_options(surface: str) -> None:
    world = World()
    build(MODEL, options(surface, hardware="ampere-plus", version_compatible=True), fake(surface, world))
    assert [level.name for (level,) in world.names("hardware_compatibility_level")] == ["AMPERE_PLUS"]
    # without a lean runtime inside, or loading it would mean to execute code out of the plan
    assert world.names("set_flag") == [("VERSION_COMPATIBLE",), ("EXCLUDE_LEAN_RUNTIME",)]


def test_an_enum_member_that_a_version_lacks_is_named() -> None:
    with pytest.raises(
        BackendError, match=r"10\.3\.0 does not know HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY"
    ):
        build(MODEL, options("10.3", hardware="same-sm"), fake("10.3", World()))
    build(MODEL, options("11.4", hardware="same-sm"), fake("11.4", World()))


@pytest.mark.parametrize("surface", ["10.3", "11.4"])
def test_a_dla_falls_back_to_the_gpu(surface: str) -> None:
    world = World()
    world.dla_cores = 2
    fixed = BuildOptions("tensorrt", ("8.7",), Batch(2, 2, 2), dla=1)
    build(MODEL, fixed, fake(surface, world))
    assert [kind.name for (kind,) in world.names("default_device_type")] == ["DLA"]
    assert world.names("DLA_core") == [(1,)]
    wanted = [("GPU_FALLBACK",)]
    if "ADJUST_FOR_DLA" in SURFACES[surface]["OnnxParserFlag"]:
        wanted.insert(0, ("ADJUST_FOR_DLA",))
    assert world.names("set_flag") == wanted
    with pytest.raises(BackendError, match="no DLA core 2"):
        build(MODEL, BuildOptions("tensorrt", ("8.7",), Batch(2, 2, 2), dla=2), fake(surface, world))


def test_a_foreign_timing_cache_is_replaced_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.timing"
    path.write_bytes(b"foreign")
    world, said = World(), list[str]()
    build(MODEL, options("10.3"), fake("10.3", world), timing_cache=path, say=said.append)
    assert world.names("set_timing_cache") == [(b"foreign", False), (b"", False)]
    assert path.read_bytes() == b"+"
    assert "another version or GPU" in said[0]
    path.write_bytes(b"ours")
    build(MODEL, options("10.3"), fake("10.3", world), timing_cache=path, say=said.append)
    assert path.read_bytes() == b"ours+"  # what was measured before is kept
    assert len(said) == 1


def test_no_file_is_left_by_a_build_that_fails(tmp_path: Path) -> None:
    world = World()
    world.fail = {"build_serialized_network": "OutOfMemory: Error Code 2: OutOfMemory (no further information)"}
    with pytest.raises(BackendError, match="ran out of memory") as caught:
        build(MODEL, options("10.3"), fake("10.3", world), timing_cache=tmp_path / "a.timing")
    assert "--workspace" in str(caught.value.fix)
    assert list(tmp_path.iterdir()) == []


def test_a_builder_that_cannot_be_made() -> None:
    world = World()
    world.fail = {"Builder": "CUDA initialization failure with error: 35"}
    with pytest.raises(BackendError, match="cannot make a builder here") as caught:
        build(MODEL, options("10.3"), fake("10.3", world))
    assert "--cpu-only" in str(caught.value.fix)


def test_a_profile_that_is_refused() -> None:
    world = World()
    world.fail = {"add_optimization_profile": "the profile is too wide"}
    with pytest.raises(BackendError, match="range of batch sizes") as caught:
        build(MODEL, options("10.3"), fake("10.3", world))
    assert caught.value.got == "the profile is too wide"


def test_the_fake_has_the_signatures_of_the_real_one() -> None:
    """Checked against RTX's, the only real one that can be imported without its libraries being there."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("tensorrt-rtx is not installed: the fake's signatures were not compared")
    import tensorrt_rtx

    module, compared = make("rtx", World()), 0
    for kind in set(SURFACES["rtx"]) - ENUMS - {"version", "IHostMemory"}:
        for name, method in vars(getattr(module, kind)).items():
            real = getattr(getattr(tensorrt_rtx, kind), name, None)
            if name.startswith("_") or not inspect.isfunction(method) or real is None:
                continue
            overloads = re.findall(
                rf"^(?:\d+\. )?{name}\(self: [^,)]+(?:, )?(.*)\) ->", real.__doc__ or "", re.MULTILINE
            )
            ours = list(inspect.signature(method).parameters)[1:]
            if (
                name != "create_execution_context"
            ):  # called without arguments, which all its overloads have defaults for
                assert any(re.findall(r"(\w+): ", text) == ours for text in overloads), (kind, name, overloads, ours)
            compared += 1
    assert compared > 30
