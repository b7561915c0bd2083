"""Graphs for every kernel of a core's own and its edges, by name: shapes first, then hostile numbers."""

from __future__ import annotations

from tests.compiler.kernels.thumb2.core_case import CoreCase
from tests.compiler.kernels.thumb2.core_depthwise import depthwise_cases
from tests.compiler.kernels.thumb2.core_elementwise import (
    addition_cases,
    constant_cases,
    difference_cases,
    pool_cases,
    product_cases,
    quantize_cases,
    softmax_cases,
)
from tests.compiler.kernels.thumb2.core_int16 import wide_cases
from tests.compiler.kernels.thumb2.core_numbers import dilated_cases, four_bit_cases, number_cases
from tests.compiler.kernels.thumb2.core_shapes import (
    activation_cases,
    convolution_cases,
    dense_cases,
    pointwise_cases,
    signal_cases,
)

CORE_CASES: dict[str, CoreCase] = {
    **pointwise_cases(),
    **convolution_cases(),
    **signal_cases(),
    **depthwise_cases(),
    **dilated_cases(),
    **dense_cases(),
    **activation_cases(),
    **number_cases(),
    **addition_cases(),
    **four_bit_cases(),
    **product_cases(),
    **pool_cases(),
    **softmax_cases(),
    **difference_cases(),
    **constant_cases(),
    **wide_cases(),
    **quantize_cases(),
}
