"""TFLite functions of one element as tables, in TFLM's arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from services.compiler.errors import UnsupportedModelError
from services.compiler.importers.tflite_file import FileOperator
from services.compiler.importers.tflite_graph_builder import GraphBuilder
from services.compiler.importers.tflite_windows import Converter
from services.compiler.ir.ops import Op, Table
from services.compiler.ir.tensor import DType, QuantParams, Tensor
from services.compiler.quant.requantize import quantize_multiplier, requantize

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
TableOf = Callable[[QuantParams, QuantParams], Int64s]


def table(results: TableOf) -> Converter:
    """Return the converter of an operator whose 256 results (not yet clamped) follow from both quantizations."""

    def convert_table(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        (source,), output, name = builder.inputs(operator, 1), builder.output(operator), builder.name(operator)
        quants = [builder.tensors[t].quant for t in (source, output)]
        types = [builder.tensors[t].dtype for t in (source, output)]
        if types != [DType.INT8, DType.INT8] or quants[0] is None or quants[1] is None:
            found = ", ".join(t.value for t in types)
            raise UnsupportedModelError(f"{operator} is of types {found}: must be int8 with a scale and zero point")
        data = np.clip(results(quants[0], quants[1]), -128, 127).astype(np.int8)
        constant = builder.add(Tensor(f"{name}/table", (256,), DType.INT8, None, data, is_constant=True))
        return (Table(name=name, inputs=(source, constant), outputs=(output,)),)

    return convert_table


def _centered(source: QuantParams) -> Int64s:
    return np.arange(-128, 128, dtype=np.int64) - source.zero_point[0]


def absolute(source: QuantParams, result: QuantParams) -> Int64s:
    """ABS; rescaled only where the scales differ."""
    magnitude = np.abs(_centered(source))
    if source.scale != result.scale:
        multiplier = quantize_multiplier(float(np.float32(source.scale[0]) / np.float32(result.scale[0])))
        magnitude = requantize(magnitude, multiplier.value, multiplier.shift)
    return np.asarray(magnitude + result.zero_point[0], np.int64)


def of_floats(function: Callable[[Floats], Floats]) -> TableOf:
    """Return the results of a float32 function between dequantizing and quantizing, halves away from zero."""

    def results(source: QuantParams, result: QuantParams) -> Int64s:
        real = function(np.float32(source.scale[0]) * _centered(source).astype(np.float32))
        scaled = real * (np.float32(1.0) / np.float32(result.scale[0]))
        rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
        return np.asarray(np.clip(rounded, -(2.0**30), 2.0**30).astype(np.int64) + result.zero_point[0])

    return results


def elu(x: Floats) -> Floats:
    """ELU with alpha 1."""
    return np.asarray(np.where(x < 0, np.expm1(np.minimum(x, 0)), x), np.float32)
