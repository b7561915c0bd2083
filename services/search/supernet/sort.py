"""Sort channels by importance, so that the first ones, which every subnet keeps, matter most.

Importance is the L1 norm of the weights that read a channel (Once-for-All, ICLR 2020). A sorted network
computes the same function.
"""

from __future__ import annotations

import torch
from torch import Tensor

from services.search.space.plan import BlockPlan, Plan
from services.search.supernet.elastic import ElasticConv
from services.search.supernet.net import ElasticNet


@torch.no_grad()
def sort_channels(net: ElasticNet) -> None:
    """Sort, in place, the hidden channels of every bottleneck and the output channels of every stage."""
    for block in net.plan.blocks:
        if _is_bottleneck(block):
            _sort_hidden(net, block)
    for first, stage in _stages(net.plan):
        _sort_outputs(net, stage, following=net.plan.blocks[first + len(stage) :][:1])


def _is_bottleneck(block: BlockPlan) -> bool:
    return len(block.convs) == 3 and block.convs[1].depthwise


def _stages(plan: Plan) -> list[tuple[int, tuple[BlockPlan, ...]]]:
    """Runs of bottlenecks that share their output channels: each starts at a block without residual."""
    starts = [i for i, block in enumerate(plan.blocks) if _is_bottleneck(block) and not block.residual]
    return [(a, plan.blocks[a:b]) for a, b in zip(starts, [*starts[1:], len(plan.blocks)], strict=True)]


def _sort_hidden(net: ElasticNet, block: BlockPlan) -> None:
    expand, depthwise, project = (net.conv(conv.name) for conv in block.convs)
    order = _order([project.weight])
    _permute_outputs(expand, order)
    _permute_outputs(depthwise, order)
    _permute_inputs(project, order)


def _sort_outputs(net: ElasticNet, stage: tuple[BlockPlan, ...], following: tuple[BlockPlan, ...]) -> None:
    """Every block of the stage writes these channels; its later blocks and whatever follows the stage read them."""
    readers = [net.conv(block.convs[0].name) for block in (*stage[1:], *following)]
    read_weights: list[Tensor] = [reader.weight for reader in readers]
    order = _order(read_weights if following else [*read_weights, net.classifier.weight])
    for block in stage:
        _permute_outputs(net.conv(block.convs[-1].name), order)
    for reader in readers:
        _permute_inputs(reader, order)
    if not following:
        net.classifier.weight.copy_(net.classifier.weight[:, order])


def _order(readers: list[Tensor]) -> Tensor:
    """Input channels from the most to the least important; weights are [outputs, inputs, ...]."""
    importance = torch.stack([w.abs().transpose(0, 1).flatten(1).sum(1) for w in readers]).sum(0)
    return importance.argsort(descending=True, stable=True)


def _permute_outputs(conv: ElasticConv, order: Tensor) -> None:
    conv.weight.copy_(conv.weight[order])
    for value in conv.norm.state_dict().values():
        if value.dim():
            value.copy_(value[order])


def _permute_inputs(conv: ElasticConv, order: Tensor) -> None:
    conv.weight.copy_(conv.weight[:, order])
