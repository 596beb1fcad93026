"""From the checkpoint to the folded net: the stages `preprocess`, `net` and `fold`.

The folded net answers a few pictures only: each fold was measured on its own, and the graph that is made of it is
compared with the checkpoint on all.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.gate.compare import Gate, first_wrong
from edgekit.pipeline.expected import Pairs, expect_stage
from edgekit.pipeline.pictures import few
from edgekit.predictor import Answers
from edgekit.progress import track
from edgekit.tasks import task_of
from edgekit.tasks.stage import FirstWrong
from edgekit.vision.preprocess import normalise, preprocess

if TYPE_CHECKING:
    from torch import nn

    from edgekit.checkpoints.checkpoint import Checkpoint
    from edgekit.graph.fold_bn import FoldReport

AT_ONCE = 2  # what is computed stays in the cache: 8 at once take half as much again (centernet-mobile at 384)
NET_PICTURES = 16  # enough to tell two nets apart; every later stage sees all pictures


def fold_stages(
    loaded: Checkpoint, net: nn.Module, gate: Gate, pairs: Pairs | None = None
) -> tuple[nn.Module, FoldReport | None]:
    """preprocess, net, expect (where there are recorded pairs) and fold; returns the folded net."""
    import torch

    from edgekit.backends.torch_ import TorchSession
    from edgekit.checkpoints.reference import reference_net, reference_transform
    from edgekit.graph.fold_bn import fold_bn

    spec = loaded.spec

    def session(module: nn.Module) -> TorchSession:
        return TorchSession(module, spec)

    def run(module: nn.Module, inputs: NDArray[np.float32]) -> Answers:
        with session(module) as opened:
            starts = track(range(0, len(inputs), AT_ONCE), "running the checkpoint")
            blocks = [opened.run({"image": inputs[i : i + AT_ONCE]}) for i in starts]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    origin = (reference_net(loaded) if loaded.source != "edgekit" else None) or net
    theirs = []
    whose, transform = reference_transform(loaded)
    for sample in track(gate.dataset.samples, "reading the gate's pictures"):
        frame = sample.read()
        gate.pixels.append(preprocess(frame, spec.preprocess))
        theirs.append(transform(frame))
    ours = normalise(np.stack(gate.pixels), spec.preprocess)
    gate.spent.mark("pictures")
    if loaded.pictures is not None:
        gate.notes.append(f"preprocess: compared with {whose}")
    if all(tensor is not None for tensor in theirs):
        independent = torch.stack([t for t in theirs if t is not None]).numpy()
        gate.reference = run(origin, independent)
        gate.spent.mark("checkpoint")
        same = np.array_equal(independent, ours)
        answers = gate.reference if same else run(origin, ours)
        worst = float(np.abs(independent - ours).max())
        if not gate.judge("preprocess", answers, lambda: FirstWrong("image", worst, float(np.abs(independent).max()))):
            return net, None
    else:
        gate.reference = run(origin, ours)
        gate.spent.mark("checkpoint")
        gate.notes.append("preprocess: torchvision has no such resize, so it was not compared with one")
    if origin is not net and not gate.judge(
        "net", run(net, ours[:NET_PICTURES]), lambda: _blame_torch(session(origin), session(net), ours[:2], ())
    ):
        return net, None
    if pairs is not None:
        recorded = task_of(spec.task).recorded
        stage = expect_stage("expect", pairs, spec, gate.limits, lambda inputs: run(net, inputs)[recorded])
        if not gate.add(stage):
            return net, None
    folded, report = fold_bn(net, torch.from_numpy(ours[:4]))
    rows = few(len(ours))
    gate.judge(
        "fold",
        run(folded, ours[rows]),
        lambda: _blame_torch(session(net), session(folded), ours[:2], report.changed),
        rows,
    )
    return folded, report


def _blame_torch(
    reference: Any, candidate: Any, inputs: NDArray[np.float32], skip: Collection[str]
) -> FirstWrong | None:
    want = reference.intermediates({"image": inputs})
    got = candidate.intermediates({"image": inputs})
    return first_wrong(want, got, [name for name in want if name not in skip])
