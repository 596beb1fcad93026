"""BatchNorm over the batches of all processes, so that two with half the batch each learn what one would.

torch's SyncBatchNorm does this on GPUs only: with processes on CPUs (gloo) it raises, up to torch 2.14 at least, hence
the one here. Parameter names stay the same in both.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class SharedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, except that in training mode the mean and variance are those of all processes' batches."""

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C, H, W]
        if not self.training:
            return super().forward(x)
        count = x.new_tensor([x.numel() / x.shape[1]])
        mine = torch.cat([x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), count])
        total = all_reduce(mine)  # type: ignore[no-untyped-call]
        c, n = x.shape[1], total[-1]
        mean = total[:c] / n
        var = (total[c : 2 * c] / n - mean.square()).clamp(min=0)
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                assert self.num_batches_tracked is not None
                self.num_batches_tracked.add_(1)
                momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(var * n / (n - 1), momentum)  # unbiased, as torch keeps it
        scale = torch.rsqrt(var + self.eps)
        bias = -mean * scale
        if self.affine:
            scale = scale * self.weight
            bias = self.bias - mean * scale
        return torch.addcmul(bias.view(1, -1, 1, 1), x, scale.view(1, -1, 1, 1))


def shared_norms(net: nn.Module, processes: int, device: torch.device) -> nn.Module:
    """`net` with BatchNorms that look at the batches of all `processes`; itself where there is one."""
    if processes == 1:
        return net
    if device.type == "cuda":
        synced: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
        return synced
    for module in list(net.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                shared = copy.copy(child)  # same parameters, same buffers
                shared.__class__ = SharedBatchNorm2d
                setattr(module, name, shared)
    return net
