"""A network with shared weights: run at its full size it is an ordinary network, run at a smaller plan a subnet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from services.search.operators.rnn_pool import RnnPool
from services.search.space.plan import ConvPlan, Plan
from services.search.supernet.elastic import ElasticConv, ElasticLinear


class ElasticNet(nn.Module):
    """Weights for `plan` and for every plan whose layers are no larger.

    Layers are found by their names in the plan, so a shallower network leaves some unused.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.convs = nn.ModuleDict({_key(conv.name): ElasticConv(conv) for conv in plan.convs()})
        self.pools = nn.ModuleDict({_key(pool.name): RnnPool(pool) for pool in plan.pools()})
        self.classifier = ElasticLinear(plan.features, plan.classes)

    def conv(self, name: str) -> ElasticConv:
        """Return the layer of a name."""
        layer = self.convs[_key(name)]
        assert isinstance(layer, ElasticConv)
        return layer

    def pool(self, name: str) -> RnnPool:
        """Return the RNNPool of a name; it has one size only."""
        layer = self.pools[_key(name)]
        assert isinstance(layer, RnnPool)
        return layer

    def forward(self, images: Tensor, plan: Plan | None = None) -> Tensor:
        """Map images [N, C, H, W], already at the plan's resolution, to logits [N, classes]."""
        x = images
        for block in (plan or self.plan).blocks:
            y = x
            for conv in block.convs:
                y = self.conv(conv.name)(y, conv)
            x = x + y if block.residual else y
            x = self.pool(block.pool.name)(x) if block.pool else x
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def seeded_net(plan: Plan, seed: int) -> ElasticNet:
    """Return a network with random weights that depend on the seed alone; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ElasticNet(plan)


@torch.no_grad()
def extract(supernet: ElasticNet, plan: Plan) -> ElasticNet:
    """Return a network of its own for the plan, with the weights it had as a part of the supernet."""
    subnet = ElasticNet(plan)
    for conv in plan.convs():
        _copy(supernet.conv(conv.name), subnet.conv(conv.name), conv)
    for pool in plan.pools():
        subnet.pool(pool.name).load_state_dict(supernet.pool(pool.name).state_dict())
    subnet.classifier.weight.copy_(supernet.classifier.weight[:, : plan.features])
    subnet.classifier.bias.copy_(supernet.classifier.bias)
    return subnet.train(supernet.training)


def _copy(source: ElasticConv, target: ElasticConv, plan: ConvPlan) -> None:
    target.weight.copy_(source.active_weight(plan))
    for key, crop in target.crops.items():
        crop.copy_(source.crops[key])
    for name, value in target.norm.state_dict().items():
        state = source.norm.state_dict()[name]
        value.copy_(state[: plan.out_channels] if state.dim() else state)


def _key(name: str) -> str:
    """Module names must not hold dots."""
    return name.replace(".", "_")
