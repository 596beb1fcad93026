"""A first head for a pretrained trunk: logistic regression on its features, before anything else learns.

A random head sends large, wrong gradients into a good trunk; a fitted one does not (Kumar et al. 2022, "Fine-Tuning
can Distort Pretrained Features", LP-FT). Features are computed once, so this costs one forward pass a view.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekit.errors import UsageError

DECAY = 0.05  # of the squared weights, on a mean loss; 0.01 to 0.1 gave the same on small sets


@torch.no_grad()
def features(net: nn.Module, head: nn.Linear, inputs: Tensor) -> Tensor:
    """float32 [N, head.in_features]: what `head` is fed when `net` (evaluation mode) sees `inputs`."""
    kept: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, args: kept.append(args[0].detach().float()))
    try:
        net(inputs)
    finally:
        hook.remove()
    return kept[0]


def fit_head(head: nn.Linear, x: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """Fits `head` in place to features [N, in_features] and integer labels [N]; returns the mean loss.

    Full-batch L-BFGS from zero: the same result whatever the head was.

    Args:
        weights: of each class, float32 [C].
    """
    weight = torch.zeros_like(head.weight, dtype=torch.float64).requires_grad_()
    bias = torch.zeros(head.out_features, dtype=torch.float64, device=head.weight.device).requires_grad_()
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
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    return float(last.detach())


def linear_head(net: nn.Module, heads: tuple[str, ...]) -> nn.Linear:
    """The net's one linear head. Raises UsageError where it has another kind."""
    module = net.get_submodule(heads[0]) if len(heads) == 1 else None
    if not isinstance(module, nn.Linear):
        raise UsageError("This net has no linear head to fit first.", got=", ".join(heads), fix="probe_views = 0")
    return module
