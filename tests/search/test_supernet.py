from random import Random

import pytest
import torch

from services.search.space.image import ImageSpace, SpaceChoices, image_spaces
from services.search.space.plan import plan_of
from services.search.space.sample import sample
from services.search.supernet.calibrate import recalibrate
from services.search.supernet.net import ElasticNet, extract, seeded_net
from services.search.supernet.sort import sort_channels


def trained_like(net: ElasticNet) -> ElasticNet:
    """Random crops and statistics, so that nothing is equal by being the identity."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if "crops" in name or "norm.weight" in name or "norm.bias" in name:
                value.add_(0.2 * torch.randn(value.shape, generator=generator))
            elif "running" in name:
                value.add_(0.2 * torch.rand(value.shape, generator=generator))
    return net.eval()


@pytest.fixture
def supernet(space: ImageSpace) -> ElasticNet:
    return trained_like(seeded_net(plan_of(space, space.largest()), 3))


@pytest.mark.parametrize("seed", range(6))
def test_slice_of_the_supernet_equals_the_extracted_subnet_bit_for_bit(
    space: ImageSpace, supernet: ElasticNet, seed: int
) -> None:
    plan = plan_of(space, sample(space, Random(seed)))
    x = torch.rand(4, 1, plan.resolution, plan.resolution, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        assert torch.equal(supernet(x, plan), extract(supernet, plan)(x))


def test_extracted_subnet_shares_no_memory_with_the_supernet(space: ImageSpace, supernet: ElasticNet) -> None:
    subnet = extract(supernet, plan_of(space, space.smallest()))
    before = supernet.conv("stem").weight.clone()
    with torch.no_grad():
        subnet.conv("stem").weight.zero_()
    assert torch.equal(supernet.conv("stem").weight, before)


@pytest.mark.parametrize("pick", ["largest", "smallest"])
def test_every_part_of_the_largest_network_has_the_elastic_shape(
    space: ImageSpace, supernet: ElasticNet, pick: str
) -> None:
    plan = plan_of(space, getattr(space, pick)())
    for conv in plan.convs():
        inputs = 1 if conv.depthwise else conv.in_channels
        expected = (conv.out_channels, inputs, conv.kernel, conv.kernel)
        assert tuple(supernet.conv(conv.name).active_weight(conv).shape) == expected


def test_smaller_kernel_is_the_center_of_the_larger_while_crops_are_the_identity(space: ImageSpace) -> None:
    net = seeded_net(plan_of(space, space.largest()), 3)
    small = next(c for c in plan_of(space, space.smallest()).convs() if c.depthwise)
    layer = net.conv(small.name)
    cut = (layer.plan.kernel - small.kernel) // 2
    assert cut > 0 and small.kernel == 3
    center = layer.weight[: small.out_channels, :, cut:-cut, cut:-cut]
    assert torch.equal(layer.active_weight(small), center)


def test_sorting_channels_does_not_change_the_largest_network(space: ImageSpace) -> None:
    net = trained_like(seeded_net(plan_of(space, space.largest()), 3)).double()
    x = torch.rand(4, 1, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        before = net(x)
        weights = {n: p.clone() for n, p in net.named_parameters()}
        sort_channels(net)
        torch.testing.assert_close(net(x), before, rtol=1e-9, atol=1e-9)
    assert any(not torch.equal(p, weights[n]) for n, p in net.named_parameters())


def importance(net: ElasticNet, reader: str) -> torch.Tensor:
    return net.conv(reader).weight.abs().sum((0, 2, 3))


def test_sorted_channels_fall_in_importance(space: ImageSpace, supernet: ElasticNet) -> None:
    sort_channels(supernet)
    # hidden channels; channels between blocks, behind the depthwise layer that keeps them apart
    reader = {"inverted bottlenecks": "s1b0.project", "separable blocks": "s1b0.pointwise"}[space.blocks]
    sums = importance(supernet, reader)
    assert torch.all(sums[:-1] >= sums[1:])
    last = supernet.classifier.weight.abs().sum(0)
    if space.blocks == "separable blocks":
        assert torch.all(last[:-1] >= last[1:])


def test_recalibration_gives_the_statistics_of_the_images(space: ImageSpace, supernet: ElasticNet) -> None:
    subnet = extract(supernet, plan_of(space, space.smallest()))
    images = torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    recalibrate(subnet, images, batch_size=64)
    stem = subnet.conv("stem")
    small = torch.nn.functional.interpolate(images, (12, 12), mode="bilinear", antialias=True)
    outputs = torch.nn.functional.conv2d(small, stem.weight, stride=2, padding=1)
    assert not subnet.training
    torch.testing.assert_close(stem.norm.running_mean, outputs.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stem.norm.running_var, outputs.var((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator() -> None:
    space = image_spaces((16, 16, 1), 3, SpaceChoices())[0]
    plan = plan_of(space, space.smallest())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, other = seeded_net(plan, 1), seeded_net(plan, 1)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
