"""State dicts of timm's and torchvision's nets, as people's training leaves them: found, named, loaded, judged."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.checkpoints.fitting.fit import fit
from edgekit.checkpoints.fitting.layout import _KEPT, layout_of
from edgekit.checkpoints.fitting.naming import nets_called
from edgekit.checkpoints.pretrained import read_weights
from edgekit.errors import BackendError, CheckpointError, UsageError
from edgekit.nets.library import library_net
from edgekit.pipeline.verdict import basis_of
from tests.checkpoints.states import loaded

State = dict[str, Tensor]
CLASSES = ("wasp", "bee", "air")
TINY = ("test_resnet", "test_efficientnet", "test_vit", "test_maxvit")


def net_of(name: str, classes: int = 3, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, num_classes=classes, **arguments).eval()


def light_of(arch: str, classes: int = 3, **arguments: Any) -> State:
    """The keys and shapes of a net, each tensor one number: a file of kilobytes."""
    layout = layout_of(arch, arguments)
    heads = {f"{head}.{kind}" for head in layout.heads for kind in ("weight", "bias")}
    shapes = {k: (classes, *s[1:]) if k in heads else s for k, s in layout.shapes.items()}
    return {k: torch.tensor(float(i % 7) + 1).expand(s) for i, (k, s) in enumerate(shapes.items())}


def equal(path: Path, content: Any, net: nn.Module, size: int = 160, **options: Any) -> list[str]:
    """Asserts that the net which is read of `content` gives what `net` gives; the notes."""
    found = loaded(path, content, **{"classes": CLASSES, **options})
    x = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(found.net()(x), net(x), atol=1e-5, rtol=0)
    return list(found.notes)


def moved(state: State, old: str, new: str) -> State:
    return {new + k.removeprefix(old) if k.startswith(old) else k: v for k, v in state.items()}


def prefixed(state: State, prefix: str) -> State:
    return {prefix + k: v for k, v in state.items()}


LEFT: dict[str, Callable[[State, str], Any]] = {
    "timm's training": lambda w, h: {
        "epoch": 10, "arch": "ARCH", "state_dict": w, "state_dict_ema": w, "version": 2, "metric": 70.1,
        "args": argparse.Namespace(model="ARCH", gp=None, img_size=None, model_kwargs={}),
    },
    "Lightning": lambda w, h: {
        "state_dict": {**prefixed(w, "net."), "criterion.weight": torch.ones(3)}, "hyper_parameters": {"arch": "ARCH"},
        "pytorch-lightning_version": "2.6.6", "callbacks": {}, "loops": {},
    },
    "DDP and compile": lambda w, h: prefixed(w, "module._orig_mod."),
    "compiled blocks": lambda w, h: {k.replace("blocks.0.", "blocks.0._orig_mod."): v for k, v in w.items()},
    "thop": lambda w, h: {**w, "total_ops": torch.zeros(1), f"{h}.total_ops": torch.zeros(1)},
    "no counters": lambda w, h: {k: v for k, v in w.items() if "num_batches" not in k},
    "a loss inside": lambda w, h: {**prefixed(w, "model."), "bce_loss.pos_weight": torch.ones(3)},
    "dropout head": lambda w, h: moved(w, f"{h}.", f"{h}.1."),
    "averaged parameters": lambda w, h: {"net": w, "ema": {
        "decay": 0.99, "shadow": {k: v for k, v in w.items() if "running" not in k and "num_batches" not in k}}},
    "averaging": lambda w, h: {"model": {k: v + 1 for k, v in w.items()}, "model_ema": {
        "n_averaged": torch.tensor(7), **prefixed(w, "module.")}},
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "test_maxvit" else n for n in TINY])
def test_what_training_scripts_leave_is_read(name: str, tmp_path: Path) -> None:
    net = net_of(name)
    state = dict(net.state_dict())
    head = layout_of(f"timm:{name}").heads[0]
    for kind, make in LEFT.items():
        content = make(state, head)
        text = name if kind != "Lightning" else f"timm:{name}.r160_in1k"
        for said in (content, content.get("args"), content.get("hyper_parameters")):
            if isinstance(said, argparse.Namespace):
                said.model = text
            elif isinstance(said, dict) and said.get("arch") == "ARCH":
                said["arch"] = text
        notes = equal(tmp_path / "net.pth", content, net)
        assert any(note.startswith(f"plain state dict of timm:{name}, 3 classes") for note in notes), kind
    bare = {k: v for k, v in state.items() if k != f"{head}.bias"}
    with torch.no_grad():
        net.get_submodule(head).bias.zero_()  # type: ignore[union-attr, operator]
    assert any("no bias: zeros" in note for note in equal(tmp_path / "net.pth", bare, net))


@pytest.mark.parametrize(
    ("arch", "takes"),
    [
        ("timm:mobilenetv3_small_050", "timm:mobilenetv3_small_050"), ("timm:regnetx_002", "timm:regnetx_002"),
        ("timm:swin_tiny_patch4_window7_224", "timm:swin_tiny_patch4_window7_224"),
        ("torchvision:mobilenet_v3_small", "torchvision:mobilenet_v3_small"),
        ("torchvision:swin_t", "torchvision:swin_t"), ("torchvision:squeezenet1_1", "torchvision:squeezenet1_1"),
        ("timm:resnet18d", "timm:resnet18d"), ("torchvision:efficientnet_b0", "torchvision:efficientnet_b0"),
    ],
)  # fmt: skip
def test_one_net_that_fits_is_a_guess(arch: str, takes: str, tmp_path: Path) -> None:
    found = loaded(tmp_path / "net.pth", {"model": prefixed(light_of(arch), "backbone.")}, classes=CLASSES)
    assert (found.spec.arch, found.named_by) == (takes, "")
    assert "the net is a guess from keys and shapes" in found.notes[0]
    assert any(line.startswith("the net: its keys and shapes fit") for line in basis_of(found).guessed)


def test_several_that_fit_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    with pytest.raises(CheckpointError, match="fit 2") as caught:
        loaded(path, light_of("timm:tf_efficientnet_lite0"), classes=CLASSES)
    assert str(caught.value.got) == "timm:efficientnet_lite0, timm:tf_efficientnet_lite0"
    assert "--arch timm:efficientnet_lite0" in str(caught.value.fix)
    named = load_checkpoint(path, classes=CLASSES, arch="timm:tf_efficientnet_lite0")
    assert (named.spec.arch, named.named_by) == ("timm:tf_efficientnet_lite0", "--arch")
    bare = load_checkpoint(path, classes=CLASSES, arch="efficientnet_lite0")
    assert bare.spec.arch == "timm:efficientnet_lite0"


def test_a_bare_name_that_both_libraries_have_is_the_one_that_fits(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    timms = loaded(path, light_of("timm:efficientnet_b0"), classes=CLASSES, arch="efficientnet_b0")
    assert timms.spec.arch == "timm:efficientnet_b0"
    theirs = loaded(path, light_of("torchvision:efficientnet_b0"), classes=CLASSES, arch="efficientnet_b0")
    assert theirs.spec.arch == "torchvision:efficientnet_b0"
    assert "efficientnet_b0 is taken for torchvision:efficientnet_b0, not for timm:efficientnet_b0" in theirs.notes


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EfficientNet-B0", ("torchvision:efficientnet_b0", "timm:efficientnet_b0")),
        ("MobileNetV2", ("torchvision:mobilenet_v2",)), ("ResNet-18", ("resnet18",)), ("timm/resnet18", ("resnet18",)),
        ("resnet18.a1_in1k", ("timm:resnet18.a1_in1k",)), ("hf-hub:timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k",
         ("timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k",)), ("convnext_tiny.my_own", ("timm:convnext_tiny",)),
        ("torchvision.models.regnet_y_400mf", ("torchvision:regnet_y_400mf",)), ("my_net", ()), ("model", ()),
    ],
)  # fmt: skip
def test_names_as_people_write_them(name: str, meant: tuple[str, ...]) -> None:
    assert nets_called(name) == meant


def test_timm_that_is_not_installed_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(light_of("timm:test_vit"), tmp_path / "net.pth")
    monkeypatch.setitem(sys.modules, "timm", None)
    _KEPT.clear()
    library_net.cache_clear()
    with pytest.raises(BackendError, match="timm is not installed") as caught:
        load_checkpoint(tmp_path / "net.pth", classes=CLASSES, arch="timm:test_vit")
    assert caught.value.fix == "pip install timm"


def test_another_net_than_is_said_is_refused(tmp_path: Path) -> None:
    path, state = tmp_path / "net.pth", light_of("timm:regnetx_002")
    with pytest.raises(CheckpointError, match="another net than its keys") as caught:
        loaded(path, {"arch": "regnetx_004", "state_dict": state}, classes=CLASSES)
    assert caught.value.expected == "timm:regnetx_002, of its weights"
    with pytest.raises(UsageError, match="--arch contradicts the keys") as used:
        loaded(path, state, classes=CLASSES, arch="timm:regnetx_004")
    assert used.value.fix == "--arch timm:regnetx_002, or another file"
    with pytest.raises(CheckpointError, match="name that edgekit does not know") as caught:
        loaded(path, {"arch": "my_net", "state_dict": state}, classes=CLASSES)
    assert str(caught.value.fix).startswith("--arch timm:regnetx_002")


def test_what_lacks_a_layer_or_has_one_too_many_is_refused(tmp_path: Path) -> None:
    path, state = tmp_path / "net.pth", light_of("timm:test_vit")
    lost = {k: v for k, v in state.items() if k != "blocks.1.norm1.weight"}
    with pytest.raises(UsageError) as caught:
        loaded(path, lost, classes=CLASSES, arch="timm:test_vit")
    assert "1 missing (blocks.1.norm1.weight)" in str(caught.value.got)
    with pytest.raises(CheckpointError, match="only a part"):
        loaded(path, {**prefixed(state, "net."), "decoder.weight": torch.ones(3, 3)}, classes=CLASSES,
               arch="timm:test_vit")  # fmt: skip
    grey = {**state, "patch_embed.proj.weight": state["patch_embed.proj.weight"][:, :1]}
    with pytest.raises(CheckpointError, match="pictures of 1 channel") as refused:
        loaded(path, grey, classes=CLASSES, arch="timm:test_vit")
    assert "state['patch_embed.proj.weight'].repeat(1, 3, 1, 1) / 3" in str(refused.value.fix)


def test_a_net_without_its_last_layer_gives_features(tmp_path: Path) -> None:
    net = net_of("test_vit", classes=0, img_size=224)
    torch.save({"state_dict": prefixed(net.state_dict(), "backbone.")}, tmp_path / "net.pth")
    found = load_checkpoint(tmp_path / "net.pth", arch="timm:test_vit")
    assert (found.spec.task, found.spec.dimensions, found.spec.arch_args) == ("features", 64, {"img_size": 224})
    x = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(found.net()(x), net(x))
    light = light_of("timm:mobilenetv3_small_050")
    guessed = loaded(tmp_path / "net.pth", {k: v for k, v in light.items() if "classifier" not in k}, classes=None)
    assert (guessed.spec.task, guessed.named_by) == ("features", "")


def test_the_input_of_a_position_embedding_is_told_by_its_shape(tmp_path: Path) -> None:
    net = net_of("test_vit", img_size=224)
    path, state = tmp_path / "net.pth", net.state_dict()
    notes = equal(path, state, net, 224, arch="timm:test_vit")
    assert "input of 224x224 pixels, by the shape of pos_embed" in notes
    found = load_checkpoint(path, classes=CLASSES, arch="timm:test_vit")
    assert (found.spec.arch_args, found.spec.preprocess.height) == ({"img_size": 224}, 224)
    with pytest.raises(CheckpointError, match="another size than is said"):
        loaded(path, {"img_size": 160, "model": state}, classes=CLASSES, arch="timm:test_vit")


def test_a_net_of_one_input_size_is_built_for_the_one_that_is_said(tmp_path: Path) -> None:
    net = net_of("test_maxvit", img_size=256)
    content = {"args": argparse.Namespace(model="test_maxvit", img_size=256), "state_dict": net.state_dict()}
    equal(tmp_path / "net.pth", content, net, 256)


def test_arguments_that_the_file_says_are_used_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    net = net_of("test_vit", global_pool="avg", class_token=False, fc_norm=False)
    said = {"model_args": {"class_token": False, "fc_norm": False}, "global_pool": "avg", "architecture": "test_vit"}
    equal(path, {**said, "state_dict": net.state_dict()}, net)
    net = net_of("test_efficientnet", bn_eps=0.1)
    content = {"arch": "test_efficientnet", "args": argparse.Namespace(bn_eps=0.1), "state_dict": net.state_dict()}
    equal(path, content, net)
    with pytest.raises(UsageError, match="cannot be built so"):
        loaded(path, {**content, "arch": "test_vit"}, classes=CLASSES)


def test_a_resnet_of_another_function_is_not_ours(tmp_path: Path) -> None:
    path, state = tmp_path / "net.pth", light_of("timm:resnet18")
    said = {"args": argparse.Namespace(model="resnet18", gp="max", bn_eps=None), "state_dict": state}
    found = loaded(path, said)
    assert (found.spec.arch, found.spec.arch_args) == ("timm:resnet18", {"global_pool": "max"})
    assert found.what == "timm's resnet18 with these weights, as named by the file (args.model)"
    assert "pool_type=max" in str(found.net().global_pool)
    assert loaded(path, {"args": argparse.Namespace(gp="avg"), "state_dict": state}).spec.arch == "resnet18"
    with pytest.raises(UsageError, match="cannot be built so") as caught:
        loaded(path, {"args": argparse.Namespace(bn_eps=0.001), "state_dict": state})
    assert "bn_eps = 0.001" in str(caught.value.got)


def test_buffers_of_another_version_come_and_go(tmp_path: Path) -> None:
    net = net_of("test_maxvit")
    old = {**net.state_dict(), "stages.0.blocks.0.attn_block.attn.rel_pos.relative_position_index": torch.zeros(4, 4)}
    notes = equal(tmp_path / "net.pth", old, net, arch="timm:test_maxvit")
    assert any("answers do not depend on them: stages.0.blocks.0" in note for note in notes)
    light = light_of("torchvision:swin_t")
    without = {k: v for k, v in light.items() if not k.endswith("relative_position_index")}
    made = fit("torchvision:swin_t", without)
    assert any("computed as the net does" in note for note in made.notes)
    index = next(k for k in light if k.endswith("relative_position_index"))
    assert int(made.state[index].max()) == 13 * 13 - 1


def test_a_distilled_net_has_two_heads(tmp_path: Path) -> None:
    state = light_of("timm:deit_tiny_distilled_patch16_224")
    found = loaded(tmp_path / "net.pth", state, classes=CLASSES)
    assert (found.spec.arch, len(found.spec.classes)) == ("timm:deit_tiny_distilled_patch16_224", 3)
    with pytest.raises(CheckpointError, match="different widths"):
        loaded(tmp_path / "net.pth", {**state, "head_dist.weight": torch.ones(4, 192)}, classes=CLASSES)


def test_older_and_official_names_are_brought_to_todays(tmp_path: Path) -> None:
    dense = light_of("torchvision:densenet121")
    old = {k.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v for k, v in dense.items()}
    found = loaded(tmp_path / "net.pth", old, classes=CLASSES, arch="torchvision:densenet121")
    assert any("old DenseNet (norm.1)" in note for note in found.notes)
    assert found.state_dict.keys() == dense.keys()
    net = net_of("test_convnext")
    meta = {k: v for k, v in net.state_dict().items() if not k.startswith("head.")}
    official = {_facebooks(k): v for k, v in meta.items()}
    for kind in ("weight", "bias"):
        official[f"norm.{kind}"] = net.state_dict()[f"head.norm.{kind}"]
        official[f"head.{kind}"] = net.state_dict()[f"head.fc.{kind}"]
    notes = equal(tmp_path / "net.pth", {"model": official}, net, arch="timm:test_convnext")
    assert any("its own checkpoint_filter_fn" in note for note in notes)


def _facebooks(name: str) -> str:
    """ConvNeXt's names in its authors' code."""
    name = name.replace("stem.", "downsample_layers.0.")
    for stage in range(4):
        name = name.replace(f"stages.{stage}.downsample.", f"downsample_layers.{stage}.")
    for ours, theirs in ((".blocks.", "."), ("conv_dw", "dwconv"), ("mlp.fc1", "pwconv1"), ("mlp.fc2", "pwconv2")):
        name = name.replace(ours, theirs)
    return name


def test_a_recipe_says_which_of_several_nets_its_weights_are_of(tmp_path: Path) -> None:
    state = light_of("timm:tf_efficientnet_lite0", 1000)
    torch.save(state, tmp_path / "net.pth")
    found = read_weights(str(tmp_path / "net.pth"), "timm:tf_efficientnet_lite0", {})
    assert found is not None
    assert found.state.keys() == state.keys()
    with pytest.raises(UsageError, match="--arch contradicts the keys"):
        read_weights(str(tmp_path / "net.pth"), "timm:test_vit", {})


# -- a folder of the Hugging Face Hub -----------------------------------------------------------------------------

CONFIG = {
    "architecture": "test_vit", "num_classes": 3, "num_features": 64, "global_pool": "token",
    "label_names": list(CLASSES), "model_args": {"img_size": 224},
    "pretrained_cfg": {
        "tag": "r160_in1k", "custom_load": False, "input_size": [3, 224, 224], "fixed_input_size": True,
        "interpolation": "bilinear", "crop_pct": 0.9, "crop_mode": "center", "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25], "num_classes": 3, "pool_size": None, "first_conv": "patch_embed.proj",
        "classifier": "head",
    },
}  # fmt: skip


def hub(folder: Path, config: Any, name: str = "model.safetensors") -> nn.Module:
    from safetensors.torch import save_file

    net = net_of("test_vit", img_size=224)
    if name.endswith(".safetensors"):
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / name)
    else:
        torch.save(net.state_dict(), folder / name)
    (folder / "config.json").write_text(json.dumps(config))
    return net


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_of_the_hub(name: str, tmp_path: Path) -> None:
    net = hub(tmp_path, CONFIG, name)
    found = load_checkpoint(tmp_path)
    x = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(found.net()(x), net(x))
    assert (found.spec.classes, found.guesses) == (CLASSES, ())
    assert (found.spec.preprocess.shorter_side, found.spec.preprocess.mean) == (248, (0.5, 0.5, 0.5))
    assert found.named_by == "the file (config.json: architecture)"


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a folder without weights"):
        load_checkpoint(tmp_path)
    hub(tmp_path, {"architectures": ["ViTForImageClassification"], "model_type": "vit"})
    with pytest.raises(CheckpointError, match="a net of the transformers library"):
        load_checkpoint(tmp_path)
    hub(tmp_path, {**CONFIG, "model_args": {"img_size": 192}})
    with pytest.raises(CheckpointError, match="two different things"):
        load_checkpoint(tmp_path)
