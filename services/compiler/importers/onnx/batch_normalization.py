"""What a BatchNormalization computes: one factor and one offset a channel."""

from __future__ import annotations

import numpy as np

from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Array, Node
from services.compiler.importers.onnx.refusals import invalid


def read_affine(lowering: Lowering, node: Node, channels: int) -> tuple[Array, Array]:
    """Return (factor, offset) with output = factor * input + offset. Raises the importer's error if they do not fit."""
    gain, offset, mean, variance = (lowering.constant(node, i).real().reshape(-1) for i in range(1, 5))
    if any(array.size != channels for array in (gain, offset, mean, variance)) or np.any(variance < 0):
        raise invalid(f"the constants of {node.op_type} {node.name!r}", gain.shape, f"must be {channels} numbers each")
    factor = gain / np.sqrt(variance + node.real("epsilon", 1e-5))
    shift = offset - mean * factor
    if not np.all(np.isfinite(factor) & np.isfinite(shift)):
        raise invalid(f"the constants of {node.op_type} {node.name!r}", "not finite", "must make finite factors")
    return factor, shift
