"""Random networks whose branches are joined and cut: what chains of bottlenecks do not have.

Blocks as of SqueezeNet (Iandola et al., 2016), ShuffleNet V2 without its shuffle (Ma et al., ECCV 2018), Inception
(Szegedy et al., CVPR 2015) and squeeze-and-excitation networks (Hu et al., CVPR 2018).
"""

from __future__ import annotations

import numpy as np

from benchmarks.networks import Layers
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import TensorId


def branching_network(seed: int) -> Graph:
    """Return the network of a seed: a stem, blocks of every kind in any order, a classifier."""
    random = np.random.default_rng((0xB, seed))
    layers = Layers(f"branching_{seed}", seed)
    resolution = int(random.choice((48, 64, 80)))
    x = layers.conv(layers.input(resolution, resolution, 3), int(random.choice((8, 12, 16))), 3, 2)
    blocks = [_fire, _halves, _pooled, _excited]
    for number, block in enumerate(random.permutation(np.repeat(np.arange(len(blocks)), 2))):
        x = blocks[block](layers, x, random)
        if number in (1, 4, 6):
            x = layers.max_pool(x, 2, 2) if random.random() < 0.5 else layers.conv(x, layers.channels(x), 3, 2)
    return layers.build(layers.dense(layers.mean(x), 4))


def _width(random: np.random.Generator) -> int:
    return int(random.choice((6, 8, 12, 16, 24)))


def _fire(layers: Layers, x: TensorId, random: np.random.Generator) -> TensorId:
    """Few channels, then those of one pixel beside those of a window."""
    squeezed, wide = layers.conv(x, _width(random)), _width(random)
    return layers.concatenate(layers.conv(squeezed, wide), layers.conv(squeezed, wide, 3))


def _halves(layers: Layers, x: TensorId, random: np.random.Generator) -> TensorId:
    """Half of the channels are kept, the others go through a bottleneck."""
    kept, other = layers.halves(x)
    channels = layers.channels(other)
    other = layers.depthwise(layers.conv(other, channels), channels, int(random.choice((3, 5))))
    return layers.concatenate(kept, layers.conv(other, channels))


def _pooled(layers: Layers, x: TensorId, random: np.random.Generator) -> TensorId:
    """An averaged image beside a convolved one."""
    averaged = layers.conv(layers.average_pool(x, 3, 1), _width(random))
    return layers.concatenate(layers.conv(x, _width(random), 3), averaged)


def _excited(layers: Layers, x: TensorId, random: np.random.Generator) -> TensorId:
    """Depthwise, with gates for the channels."""
    wide = layers.conv(x, 2 * layers.channels(x))
    gated = layers.squeeze_and_excite(layers.depthwise(wide, layers.channels(wide), int(random.choice((3, 5)))))
    return layers.conv(gated, _width(random))
