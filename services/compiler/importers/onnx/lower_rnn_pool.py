"""RNNPool: operator `tinyfarm.RnnPool` with float weights, which become int8 with one scale a matrix."""

from __future__ import annotations

import numpy as np

from services.compiler.importers.onnx.layout import image_layout
from services.compiler.importers.onnx.lower_function import SYMMETRIC_UNIT
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.quantization import Constant, quantize_constant
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.windows import read_windows
from services.compiler.ir.ops import RnnPool
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.quant.rnn_pool import SUM_ONE

_PARAMETERS = ("sweep/weights", "sweep/recurrent", "sweep/bias", "summary/weights", "summary/recurrent", "summary/bias")


def lower_rnn_pool(lowering: Lowering, node: Node) -> None:
    """Emit RnnPool; its output is in 128ths."""
    if len(node.inputs) != 1 + len(_PARAMETERS):
        raise invalid(f"the number of inputs of {node.op_type} {node.name!r}", len(node.inputs), "must be 7")
    view = lowering.view(node)
    layout = image_layout(len(view.shape))
    if layout is None or len(view.shape) != 4:
        raise unsupported(node, f"its input has rank {len(view.shape)}", "use images [N, C, H, W]")
    parameters = [_parameter(lowering, node, i, name) for i, name in enumerate(_PARAMETERS, start=1)]
    kernel = node.integers("kernel_shape", ())
    if len(kernel) != 2:
        raise invalid(f"kernel_shape of {node.op_type} {node.name!r}", kernel, "must have two entries")
    windows = read_windows(node, kernel, view.shape[2:])
    if windows.dilation_hw != (1, 1):
        raise unsupported(node, f"its dilation is {windows.dilation_hw}", "use dilation 1")
    channels = 4 * lowering.builder.tensors[parameters[4]].shape[0]
    source = lowering.builder.in_layout(view, layout)

    def make(output: TensorId) -> RnnPool:
        return RnnPool(
            name=node.name,
            inputs=(source, *parameters),
            outputs=(output,),
            kernel_hw=windows.kernel_hw,
            stride_hw=windows.stride_hw,
            padding=windows.padding,
            zeta=_gains(node, "zeta"),
            nu=_gains(node, "nu"),
        )

    lowering.write(node.output, (1, channels, *windows.output_hw), layout, SYMMETRIC_UNIT, make)


def _parameter(lowering: Lowering, node: Node, index: int, name: str) -> TensorId:
    """Add weights as int8 with one scale, biases as integers in Q12."""
    constant = lowering.constant(node, index)
    real = constant.real()
    if real.ndim != 2 or not np.isfinite(real).all():
        raise invalid(
            f"input {index} of {node.op_type} {node.name!r}",
            list(real.shape),
            "must be a finite matrix of 2 dimensions",
        )
    if name.endswith("bias"):
        data = np.rint(np.clip(real, -(2.0**15), 2.0**15) * SUM_ONE).astype(np.int32)
        return lowering.builder.add_constant(f"{node.name}/{name}", data, DType.INT32, None)
    held = constant if constant.type is not None and constant.type.dtype is DType.INT8 else quantize_constant(real)
    return _add(lowering, f"{node.name}/{name}", held)


def _add(lowering: Lowering, name: str, constant: Constant) -> TensorId:
    assert constant.type is not None  # quantized before, or just now
    return lowering.builder.add_constant(name, constant.data, constant.type.dtype, constant.type.quant)


def _gains(node: Node, name: str) -> tuple[float, float]:
    values = node.attributes.get(name)
    if not isinstance(values, tuple) or len(values) != 2 or not all(isinstance(v, float) for v in values):
        raise invalid(f"{name} of {node.op_type} {node.name!r}", values, "must be 2 numbers, of the sweep and summary")
    return float(values[0]), float(values[1])
