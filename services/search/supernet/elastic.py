"""Layers whose weights are shared: every smaller layer is a slice of the largest one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.search.space.plan import ConvPlan


class ElasticConv(nn.Module):
    """Convolution, batch normalization and ReLU, of any size up to that of its plan.

    Fewer channels are the first ones; a smaller depthwise kernel is the center of the next larger one, passed
    through a learned square matrix that starts as the identity (Once-for-All, Cai et al., ICLR 2020).
    Layout: NCHW activations, OIHW weights.
    """

    def __init__(self, plan: ConvPlan) -> None:
        super().__init__()
        self.plan = plan
        inputs = 1 if plan.depthwise else plan.in_channels
        self.weight = nn.Parameter(torch.empty(plan.out_channels, inputs, plan.kernel, plan.kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_in" if plan.depthwise else "fan_out")
        self.norm = nn.BatchNorm2d(plan.out_channels)
        smaller = range(plan.kernel - 2, 1, -2) if plan.depthwise else ()
        self.crops = nn.ParameterDict({str(k): nn.Parameter(torch.eye(k * k)) for k in smaller})

    def active_weight(self, plan: ConvPlan) -> Tensor:
        """Return the weights of a layer of the plan's size, OIHW."""
        inputs = 1 if plan.depthwise else plan.in_channels
        weight = self.weight[: plan.out_channels, :inputs]
        for kernel in range(self.plan.kernel - 2, plan.kernel - 1, -2):
            center = weight[:, :, 1:-1, 1:-1].reshape(plan.out_channels, kernel * kernel)
            weight = (center @ self.crops[str(kernel)]).reshape(plan.out_channels, 1, kernel, kernel)
        return weight.contiguous()

    def forward(self, x: Tensor, plan: ConvPlan) -> Tensor:
        """Apply the layer at the plan's size to [N, C, H, W]."""
        groups = plan.out_channels if plan.depthwise else 1
        y = functional.conv2d(x, self.active_weight(plan), None, plan.stride, plan.kernel // 2, 1, groups)
        c, norm = plan.out_channels, self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        y = functional.batch_norm(
            y,
            norm.running_mean[:c],
            norm.running_var[:c],
            norm.weight[:c],
            norm.bias[:c],
            training=self.training,
            momentum=norm.momentum or 0.1,
            eps=norm.eps,
        )
        return functional.relu_(y) if plan.relu else y


class ElasticLinear(nn.Module):
    """Dense layer that reads the first features of the largest one's."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.normal_(self.weight, std=0.05)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, features] to [N, classes]."""
        return functional.linear(x, self.weight[:, : x.shape[1]].contiguous(), self.bias)
