"""Functions of one element as tables: exactly what dequantizing, the float function and quantizing come to."""

from __future__ import annotations

from collections.abc import Callable
from math import erf, sqrt

import numpy as np
import numpy.typing as npt

from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.quantization import QuantType
from services.compiler.importers.onnx.refusals import unsupported
from services.compiler.importers.onnx.target import Target
from services.compiler.importers.onnx.view import View
from services.compiler.ir.ops import Table
from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.quant.requantize import activation_range

Reals = npt.NDArray[np.float64]
Function = Callable[[Reals], Reals]

# TFLite fixes the output of these (8-bit quantization specification).
PROBABILITY = QuantType(DType.INT8, QuantParams((1 / 256,), (-128,)))
SYMMETRIC_UNIT = QuantType(DType.INT8, QuantParams((1 / 128,), (0,)))

# The output's type where nothing quantizes it: what TFLite fixes, and otherwise the input's.
_FIXED = {"Sigmoid": PROBABILITY, "HardSigmoid": PROBABILITY, "Tanh": SYMMETRIC_UNIT}


def lower_function(lowering: Lowering, node: Node) -> None:
    """Emit a Table for a node of one input, with its attributes."""
    view = lowering.view(node)
    write_table(lowering, node, view, _FUNCTIONS[node.op_type](node), _FIXED.get(node.op_type))


def write_table(lowering: Lowering, node: Node, view: View, function: Function, fixed: QuantType | None = None) -> None:
    """Emit the table of a real function of a view; `fixed` is the output's type where nothing quantizes it."""
    source, target = lowering.type_of(view), lowering.target(node)
    type_ = target.type or fixed or source
    if type_.dtype is not DType.INT8:
        raise unsupported(node, f"its output is {type_.dtype.value}", "use int8 activations")
    results = _results(function, source, type_, target)
    table = lowering.builder.add_constant(f"{node.name}/table", results, DType.INT8, None)
    lowering.map_stored(
        view, target.value, type_, lambda out: Table(name=node.name, inputs=(view.tensor, table), outputs=(out,))
    )


def _results(function: Function, source: QuantType, type_: QuantType, target: Target) -> npt.NDArray[np.int8]:
    """Return the 256 results; float32 between the steps and ties to even, as the ONNX operators are defined.

    What is not a number (the logarithm of a negative one) counts as the smallest.
    """
    steps = np.arange(-128, 128) - source.quant.zero_point[0]
    real = steps.astype(np.float32) * np.float32(source.quant.scale[0])
    with np.errstate(all="ignore"):
        values = np.asarray(function(real.astype(np.float64)), np.float64)
        values = np.where(np.isnan(values), -np.inf, values).astype(np.float32)
        scaled = np.rint(values / np.float32(type_.quant.scale[0])).astype(np.float64) + type_.quant.zero_point[0]
    low, high = activation_range(target.activation, type_.quant, type_.dtype)
    return np.asarray(np.clip(scaled, low, high), dtype=np.int8)


def _sigmoid(x: Reals) -> Reals:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _softplus(x: Reals) -> Reals:
    return np.asarray(np.logaddexp(0.0, x))


def _elu(x: Reals, alpha: float) -> Reals:
    return np.asarray(np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x))


def _gelu(node: Node) -> Function:
    if node.text("approximate", "none") == "tanh":
        return lambda x: 0.5 * x * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return lambda x: 0.5 * x * (1 + _erf(x / sqrt(2)))


_erf = np.vectorize(erf, otypes=[np.float64])


def _hard_sigmoid(alpha: float, beta: float) -> Function:
    return lambda x: np.clip(alpha * x + beta, 0.0, 1.0)


def _selu(node: Node) -> Function:
    alpha, gamma = node.real("alpha", 1.6732632), node.real("gamma", 1.0507010)
    return lambda x: gamma * _elu(x, alpha)


def _celu(node: Node) -> Function:
    alpha = node.real("alpha", 1.0)
    return lambda x: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))


def _shrink(node: Node) -> Function:
    bias, limit = node.real("bias", 0.0), node.real("lambd", 0.5)
    return lambda x: np.where(x < -limit, x + bias, np.where(x > limit, x - bias, 0.0))


# Source of the definitions: ONNX operator specification.
_FUNCTIONS: dict[str, Callable[[Node], Function]] = {
    "Abs": lambda _: np.abs,
    "Ceil": lambda _: np.ceil,
    "Celu": _celu,
    "Cos": lambda _: np.cos,
    "Elu": lambda node: lambda x: _elu(x, node.real("alpha", 1.0)),
    "Erf": lambda _: _erf,
    "Exp": lambda _: np.exp,
    "Floor": lambda _: np.floor,
    "Gelu": _gelu,
    "HardSigmoid": lambda node: _hard_sigmoid(node.real("alpha", 0.2), node.real("beta", 0.5)),
    "HardSwish": lambda _: lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0),
    "LeakyRelu": lambda node: lambda x: np.where(x < 0, node.real("alpha", 0.01) * x, x),
    "Log": lambda _: np.log,
    "Mish": lambda _: lambda x: x * np.tanh(_softplus(x)),
    "Neg": lambda _: np.negative,
    "Reciprocal": lambda _: lambda x: 1.0 / x,
    "Round": lambda _: np.rint,
    "Selu": _selu,
    "Shrink": _shrink,
    "Sigmoid": lambda _: _sigmoid,
    "Sign": lambda _: np.sign,
    "Sin": lambda _: np.sin,
    "Softplus": lambda _: _softplus,
    "Softsign": lambda _: lambda x: x / (1 + np.abs(x)),
    "Sqrt": lambda _: np.sqrt,
    "Swish": lambda node: lambda x: x * _sigmoid(node.real("alpha", 1.0) * x),
    "Tanh": lambda _: np.tanh,
    "ThresholdedRelu": lambda node: lambda x: np.where(x > node.real("alpha", 1.0), x, 0.0),
}

FUNCTIONS = tuple(_FUNCTIONS)
