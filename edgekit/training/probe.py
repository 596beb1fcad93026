"""A first head for a pretrained trunk: logistic regression on its features, before anything else learns.

A random head sends large, wrong gradients into a good trunk; a fitted one does not (Kumar et al. 2022, "Fine-Tuning
can Distort Pretrained Features", LP-FT). Features are computed once, so this costs one forward pass a view.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgekit.errors import UsageError

Head = nn.Linear | nn.Conv2d

DECAY = 0.05  # of the squared weights, on a mean loss; 0.01 to 0.1 gave the same on small sets


@torch.no_grad()
def features(net: nn.Module, head: Head, inputs: Tensor) -> Tensor:
    """float32 [N, inputs of `head`]: what `head` is fed when `net` (evaluation mode) sees `inputs`.

    Of a convolution it is the mean over all places.
    """
    kept: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, args: kept.append(args[0].detach().float()))
    try:
        net(inputs)
    finally:
        hook.remove()
    return kept[0] if isinstance(head, nn.Linear) else kept[0].mean((2, 3))


def fit_head(head: Head, x: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """Fits `head` in place to features [N, inputs] and integer labels [N]; returns the mean loss.

    Full-batch L-BFGS from zero: the same result whatever the head was.

    Args:
        weights: of each class, float32 [C].
    """
    weight = torch.zeros_like(head.weight.flatten(1), dtype=torch.float64).requires_grad_()
    bias = torch.zeros(len(head.weight), dtype=torch.float64, device=head.weight.device).requires_grad_()
    data = x.double()
    class_weights = None if weights is None else weights.double()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")
    last = torch.zeros(())

    def closure() -> Tensor:
        nonlocal last
        optimizer.zero_grad()
        last = nn.functional.cross_entropy(data @ weight.T + bias, labels, class_weights)
        (total := last + DECAY * weight.square().sum()).backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        head.weight.copy_(weight.reshape(head.weight.shape))
        _bias_of(head).copy_(bias)
    return float(last.detach())


@torch.no_grad()
def lift(net: nn.Module, head: nn.Conv2d, batches: Iterable[Tensor]) -> float:
    """Adds one number to all biases of a fitted convolution, so that it gives nothing below 0; returns the number.

    A ReLU that follows then cuts nothing off, the mean behind it is that of the features, and the softmax, which does
    not see what all logits have in common, gives what was fitted. Without a ReLU nothing is added.

    Args:
        net: evaluation mode.
        batches: inputs of the net, float32 [N, 3, H, W].
    """
    lowest, worst, plain = 0.0, 0.0, torch.zeros(())

    def look(_: nn.Module, __: object, output: Tensor) -> None:
        nonlocal lowest, plain
        lowest, plain = min(lowest, float(output.min())), output.mean((2, 3))

    hook = head.register_forward_hook(look)
    try:
        for batch in batches:
            worst = max(worst, float((net(batch) - plain).abs().max()))
    finally:
        hook.remove()
    if worst <= 1e-3 * max(1.0, -lowest):  # what follows is a mean and nothing else
        return 0.0
    _bias_of(head).sub_(lowest)
    return -lowest


def linear_head(net: nn.Module, heads: tuple[str, ...]) -> Head:
    """The net's one head: a linear layer, or a 1x1 convolution. Raises UsageError where it has another kind."""
    module = net.get_submodule(heads[0]) if len(heads) == 1 else None
    fits = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and _pointwise(module))
    if not fits or module is None or module.bias is None:
        raise UsageError("This net has no linear head to fit first.", got=", ".join(heads), fix="probe_views = 0")
    assert isinstance(module, nn.Linear | nn.Conv2d)
    return module


def _pointwise(layer: nn.Conv2d) -> bool:
    """Whether it does to each place what a linear layer does to a vector."""
    return (layer.kernel_size, layer.stride, layer.padding, layer.groups) == ((1, 1), (1, 1), (0, 0), 1)


def _bias_of(head: Head) -> Tensor:
    assert head.bias is not None  # `linear_head` has seen to it
    return head.bias
