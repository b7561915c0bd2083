"""The rewrites in the order they run."""

from __future__ import annotations

from collections.abc import Callable

from services.compiler.ir.graph import Graph
from services.compiler.ir.verify import verify
from services.compiler.options import Interface
from services.compiler.passes.convolve_one_channel import convolve_one_channel
from services.compiler.passes.drop_identities import drop_identities
from services.compiler.passes.fold_constants import fold_constants
from services.compiler.passes.fuse_activation import fuse_activation
from services.compiler.passes.fuse_pad import fuse_pad
from services.compiler.passes.fuse_tables import fuse_tables
from services.compiler.passes.hoist_quantize import hoist_quantize
from services.compiler.passes.merge_pads import merge_pads
from services.compiler.passes.merge_transposes import merge_transposes
from services.compiler.passes.reduce_images import reduce_images
from services.compiler.passes.remove_constant_channels import remove_constant_channels
from services.compiler.passes.remove_dead_code import remove_dead_code
from services.compiler.passes.strip_edge_quantize import strip_edge_quantize
from services.compiler.passes.zero_constant_filters import zero_constant_filters

Pass = Callable[[Graph], Graph]

_PASSES: tuple[Pass, ...] = (
    remove_dead_code,
    hoist_quantize,
    fold_constants,
    merge_transposes,
    merge_pads,
    drop_identities,
    reduce_images,
    fuse_pad,
    fuse_activation,
    fuse_tables,
    convolve_one_channel,
    zero_constant_filters,
    remove_constant_channels,
)


def passes_for(interface: Interface) -> tuple[Pass, ...]:
    """Return the rewrites in the order they run."""
    match interface:
        case Interface.INT8:
            return (*_PASSES, strip_edge_quantize, drop_identities)
        case Interface.FLOAT:
            return _PASSES


def optimize(graph: Graph, interface: Interface = Interface.INT8) -> Graph:
    """Return a graph that computes the same bits with less; inputs and outputs keep their order.

    Works on weight-free networks too. Every step is verified.
    """
    verify(graph)
    for rewrite in passes_for(interface):
        graph = verify(rewrite(graph))
    return graph
