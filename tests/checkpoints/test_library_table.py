"""The table of fingerprints that comes with edgekit is of the libraries that are installed."""

from __future__ import annotations

from importlib.resources import files

import pytest
import timm
import torchvision

from edgekit.checkpoints.fitting.fingerprint import fingerprint
from edgekit.checkpoints.fitting.layout import layout_of
from edgekit.checkpoints.fitting.table import FILE, known, look_up, written

NAMES = (
    *(f"timm:{name}" for name in timm.list_models()),
    *(f"torchvision:{name}" for name in torchvision.models.list_models(module=torchvision.models)),
)
SOME = (
    "timm:mobilenetv4_conv_small", "timm:levit_128s", "timm:test_vit4", "timm:edgenext_xx_small",
    "torchvision:regnet_y_400mf", "torchvision:shufflenet_v2_x0_5", "torchvision:googlenet",
)  # fmt: skip


def marks(names: tuple[str, ...]) -> dict[str, str]:
    layouts = {name: layout_of(name) for name in names}
    return {name: fingerprint(one.shapes, one.heads) for name, one in layouts.items()}


def test_it_has_every_net() -> None:
    """Written anew by benchmarks/known_nets.py after a new version of either."""
    assert sorted(set(NAMES) ^ known().names) == []
    text = (files("edgekit.checkpoints.fitting") / FILE).read_text(encoding="utf-8")
    assert text.startswith(f"# timm {timm.__version__}, torchvision {torchvision.__version__.partition('+')[0]}\n")


def test_nets_that_are_built_have_their_fingerprints() -> None:
    assert {name: name in known().nets.get(mark, ()) for name, mark in marks(SOME).items()} == dict.fromkeys(SOME, True)


@pytest.mark.slow
def test_nets_of_all_kinds_have_their_fingerprints() -> None:
    """Every thirtieth: all of them take minutes, and benchmarks/known_nets.py makes the table from all."""
    some = NAMES[::30]
    assert len(some) > 40
    assert [name for name in some if name not in known().nets.get(marks((name,))[name], ())] == []


def test_a_net_is_found_whatever_its_last_layer_and_its_counters() -> None:
    shapes = dict(layout_of("timm:mobilenetv4_conv_small").shapes)
    assert look_up(shapes) == ("timm:mobilenetv4_conv_small",)
    other = {k: v for k, v in shapes.items() if not k.endswith(("num_batches_tracked", "classifier.bias"))}
    other["classifier.weight"] = (3, 1280)
    assert look_up(other) == ("timm:mobilenetv4_conv_small",)
    assert look_up({k: v for k, v in shapes.items() if not k.startswith("classifier.")}) == look_up(shapes)
    assert look_up({**shapes, "conv_stem.weight": (48, 3, 3, 3)}) == ()
    assert look_up({"weight": (3, 3)}) == ()


def test_nets_of_one_fingerprint_share_a_line() -> None:
    text = written({"timm:b": ("12", ("fc",)), "timm:a": ("12", ("fc",)), "torchvision:c": ("34", ())}, "timm 1")
    assert text == "# timm 1\n12 fc timm:a timm:b\n34 - torchvision:c\n"
