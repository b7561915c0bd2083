"""Batch-normalization statistics of a subnet: a slice of the supernet's would be those of another network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from services.search.data.preprocess import resize
from services.search.supernet.net import ElasticNet


@torch.no_grad()
def recalibrate(net: ElasticNet, images: Tensor, batch_size: int = 128) -> ElasticNet:
    """Set running means and variances to those of images [N, C, H, W]; return the network, in evaluation mode."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    net.train()
    for norm in norms:
        norm.reset_running_stats()
    inputs = resize(images, net.plan.resolution).contiguous(memory_format=torch.channels_last)
    for count, batch in enumerate(inputs.split(batch_size), start=1):
        for norm in norms:
            norm.momentum = 1 / count  # a running average with this momentum is the plain mean so far
        net(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return net.eval()
