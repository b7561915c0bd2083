"""RNNPool as a torch module: Saha et al., NeurIPS 2020 (arXiv 2002.11921)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.search.space.plan import RnnPoolPlan


class FastGrnn(nn.Module):
    """FastGRNN cell: a = W x + U h, z = sigmoid(a + b_z), h' = (zeta (1 - z) + nu) tanh(a + b_h) + z h.

    States are clamped to [-1, 1], as the integers hold them; they stay inside by themselves where nu is 0. zeta and nu
    are sigmoids of what is learned. Source: Kusupati et al., NeurIPS 2018, equations 3 and 4.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hidden, inputs))
        self.recurrent = nn.Parameter(torch.empty(hidden, hidden))
        self.bias = nn.Parameter(torch.ones(2, hidden))
        self.zeta_logit = nn.Parameter(torch.tensor(4.0))
        self.nu_logit = nn.Parameter(torch.tensor(-4.0))
        nn.init.xavier_uniform_(self.weight)
        nn.init.orthogonal_(self.recurrent)

    @property
    def zeta(self) -> Tensor:
        """How much of the update an open gate lets in."""
        return torch.sigmoid(self.zeta_logit)

    @property
    def nu(self) -> Tensor:
        """How much of the update comes in whatever the gate."""
        return torch.sigmoid(self.nu_logit)

    def sums(self, x: Tensor) -> Tensor:
        """Return what inputs [..., inputs] add to the sums [..., hidden]."""
        return functional.linear(x, self.weight)

    def forward(self, sums: Tensor) -> Tensor:
        """Return the last state [..., hidden] of the sums of a sequence [steps, ..., hidden], from a state of zeros."""
        h, (gate_bias, update_bias) = torch.zeros_like(sums[0]), self.bias
        for step in sums:
            a = step + functional.linear(h, self.recurrent)
            z = torch.sigmoid(a + gate_bias)
            h = ((self.zeta * (1 - z) + self.nu) * torch.tanh(a + update_bias) + z * h).clamp(-1, 1)
        return h


class RnnPool(nn.Module):
    """Every patch of the image as one pixel of 4 * summary channels, by recurrent sweeps over its rows and columns."""

    def __init__(self, plan: RnnPoolPlan) -> None:
        super().__init__()
        self.plan = plan
        self.sweep = FastGrnn(plan.in_channels, plan.hidden)
        self.summary = FastGrnn(plan.hidden, plan.summary)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, 4 * summary, OH, OW]: rows forwards and backwards, then columns."""
        n, _, height, width = x.shape
        size, stride, padding = self.plan.patch, self.plan.stride, self.plan.padding
        out_h, out_w = ((side + 2 * padding - size) // stride + 1 for side in (height, width))
        columns = functional.unfold(x, size, padding=padding, stride=stride)
        pixels = columns.reshape(n, self.plan.in_channels, size, size, out_h * out_w).permute(2, 3, 0, 4, 1)
        sums = self.sweep.sums(pixels)  # [rows, columns, N, patches, hidden]
        states = [self.sweep(sums.transpose(0, 1)), self.sweep(sums)]
        read = [self.summary.sums(s) for s in states]
        passes = [self.summary(s) for along in read for s in (along, along.flip(0))]
        return torch.cat(passes, dim=-1).transpose(1, 2).reshape(n, self.plan.out_channels, out_h, out_w)


def onnx_parameters(pool: RnnPool) -> dict[str, Tensor]:
    """Return the inputs of `tinyfarm.RnnPool` behind the image, in order, by name."""
    return {
        f"{cell_name}.{name}": value
        for cell_name, cell in (("sweep", pool.sweep), ("summary", pool.summary))
        for name, value in (("weight", cell.weight), ("recurrent", cell.recurrent), ("bias", cell.bias))
    }


def onnx_attributes(pool: RnnPool) -> dict[str, list[int] | list[float]]:
    """Return the attributes of `tinyfarm.RnnPool`."""
    plan, cells = pool.plan, (pool.sweep, pool.summary)
    return {
        "kernel_shape": [plan.patch] * 2,
        "strides": [plan.stride] * 2,
        "pads": [plan.padding] * 4,
        "zeta": [cell.zeta.item() for cell in cells],
        "nu": [cell.nu.item() for cell in cells],
    }
