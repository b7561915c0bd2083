"""Sort channels by importance, so that the first ones, which every subnet keeps, matter most.

Importance is the L1 norm of the weights that read a channel (Once-for-All, ICLR 2020). A sorted network
computes the same function.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from services.search.space.plan import BlockPlan, Plan
from services.search.supernet.elastic import ElasticConv
from services.search.supernet.net import ElasticNet


@torch.no_grad()
def sort_channels(net: ElasticNet) -> None:
    """Sort, in place, the hidden channels of every bottleneck and the channels that run between blocks.

    The stem's stay as they are: its width is not elastic.
    """
    blocks = net.plan.blocks
    for block in blocks:
        if _is_bottleneck(block):
            _sort_hidden(net, block)
    for first, after in _runs(net.plan):
        _sort_outputs(net, blocks[first:after], following=blocks[after : after + 1])


def _is_bottleneck(block: BlockPlan) -> bool:
    return len(block.convs) == 3 and block.convs[1].depthwise


def _runs(plan: Plan) -> list[tuple[int, int]]:
    """Blocks that share their output channels, as first and one past the last: each starts where no residual is."""
    starts = [i for i, block in enumerate(plan.blocks) if i > 0 and not block.residual]
    return list(pairwise([*starts, len(plan.blocks)]))


def _sort_hidden(net: ElasticNet, block: BlockPlan) -> None:
    expand, depthwise, project = (net.conv(conv.name) for conv in block.convs)
    order = _order([project.weight])
    _permute_outputs(expand, order)
    _permute_outputs(depthwise, order)
    _permute_inputs(project, order)


def _sort_outputs(net: ElasticNet, run: tuple[BlockPlan, ...], following: tuple[BlockPlan, ...]) -> None:
    """Every block of the run writes these channels; its later blocks and whatever follows the run read them."""
    readers = [_Reader.of(net, block) for block in (*run[1:], *following)]
    read_weights: list[Tensor] = [reader.mixing.weight for reader in readers]
    order = _order(read_weights if following else [*read_weights, net.classifier.weight])
    for block in run:
        _permute_outputs(net.conv(block.convs[-1].name), order)
    for reader in readers:
        if reader.depthwise is not None:
            _permute_outputs(reader.depthwise, order)
        _permute_inputs(reader.mixing, order)
    if not following:
        net.classifier.weight.copy_(net.classifier.weight[:, order])


@dataclass(frozen=True, slots=True)
class _Reader:
    """How a block reads its input: by a layer that mixes channels, behind a depthwise one where it starts with that.

    What passes the depthwise layer is normalized after it, so its weights tell nothing of a channel's importance.
    """

    depthwise: ElasticConv | None
    mixing: ElasticConv

    @classmethod
    def of(cls, net: ElasticNet, block: BlockPlan) -> _Reader:
        first, second, *_ = block.convs
        if first.depthwise:
            return cls(net.conv(first.name), net.conv(second.name))
        return cls(None, net.conv(first.name))


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
