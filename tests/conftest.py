"""A small net in which every defect matters, its checkpoint, a good export of it, and the command line in-process."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image
from torch import nn

from edgekit import nets
from edgekit.artifacts.onnx_file import read_onnx
from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.cli.app import run
from edgekit.data import made_pictures
from edgekit.graph import to_onnx
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.vision.preprocess import normalise, preprocess
from tests import exports

# a busy day is no failure
settings.register_profile("edgekit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgekit")

# not in alphabetical order, so that sorting them somewhere is a defect
CLASSES = ("wasp", "bee", "hornet", "fly", "moth", "leaf", "air")
# not square, so that height and width cannot be swapped unseen, and shrinking, so that antialiasing matters
SPEC = ModelSpec("resnet18", CLASSES, PreprocessSpec(48, 64, shorter_side=72), temperature=1.7)
# the same net with a quarter of its channels, 3 MB and not 46
NARROW = replace(SPEC, arch_args={"width": 0.25})
PICTURES = 8


class Outcome(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch on one thread: layers of a few numbers are done before another one has woken."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return SPEC


@pytest.fixture(scope="session")
def cli() -> Cli:
    """`edgekit ARGUMENTS` in this process."""

    def call(*arguments: object) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([str(a) for a in arguments])
        return Outcome(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session", autouse=True)
def _known_exports() -> Iterator[None]:
    """torch exports a net once; the next of its structure has that graph with its own weights (`tests.exports`)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_onnx, "_export", exports.keeping(exports.TORCHS_OWN))
        yield


@pytest.fixture(scope="module")
def torchs_own_exports() -> Iterator[None]:
    """torch exports everything, for tests of the export itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_onnx, "_export", exports.TORCHS_OWN)
        yield


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight small pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, sample in enumerate(made_pictures(PICTURES, seed=3).samples):
        Image.fromarray(np.ascontiguousarray(sample.read()[::2, ::2, ::-1])).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def net() -> nn.Module:
    """Of torchvision's own width, for plain state dicts."""
    return lively(SPEC)


def lively(spec: ModelSpec) -> nn.Module:
    """A ResNet with random weights, gammas of both signs, and the running statistics of real activations."""
    torch.manual_seed(0)
    net = nets.build(spec)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                shape = module.weight.shape
                sign = 1 - 2 * (torch.rand(shape, generator=rng) < 0.3).float()
                module.weight.copy_((0.5 + torch.rand(shape, generator=rng)) * sign)
                module.bias.copy_(0.3 * torch.randn(shape, generator=rng))
                module.momentum = None  # the mean of what was seen
        net.fc.weight *= 6  # logits as large as a trained net's
        net.train()(net_input())
    return net.eval()


def net_input() -> torch.Tensor:
    pixels = [preprocess(sample.read(), SPEC.preprocess) for sample in made_pictures(24, seed=5).samples]
    return torch.from_numpy(normalise(np.stack(pixels), SPEC.preprocess))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow net in edgekit's own format: tiny.pt."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pt"
    save_checkpoint(path, Checkpoint(NARROW, lively(NARROW).state_dict()))
    return path


@pytest.fixture(scope="session")
def preprocess_toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a plain state dict of the net does not say about its pictures."""
    path = tmp_path_factory.mktemp("spec") / "preprocess.toml"
    path.write_text("height = 48\nwidth = 64\nshorter_side = 72\n")
    return path


@pytest.fixture(scope="session")
def good(cli: Cli, checkpoint: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verified export of the checkpoint: tiny.onnx with tiny.verify.json beside it."""
    out = tmp_path_factory.mktemp("good")
    outcome = cli("export", checkpoint, "--data", pictures, "--out", out)
    assert outcome.code == 0, outcome.text
    return out / "tiny.onnx"


@pytest.fixture(scope="session")
def good_graph(good: Path) -> Callable[[], onnx.ModelProto]:
    """Copies of the good export's graph, to break."""
    model = read_onnx(good).model
    return lambda: copy.deepcopy(model)
