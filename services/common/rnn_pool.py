"""RNNPool in ONNX: operator `tinyfarm.RnnPool`, defined by a function of standard operators that any runtime can run.

Inputs X [N, C, H, W], then input weights [hidden, inputs], recurrent weights [hidden, hidden] and biases [2, hidden]
of the sweep and of the summary; output [N, 4 * hidden, OH, OW]. Attributes kernel_shape, strides and pads as those of
Conv; zeta and nu, two floats each. The function is the float meaning; docs/rnnpool.md defines the integers.
Source: Saha et al., NeurIPS 2020; FastGRNN: Kusupati et al., NeurIPS 2018.
"""

from __future__ import annotations

import onnx
from onnx import helper, parser

DOMAIN = "tinyfarm"
OP_TYPE = "RnnPool"
VERSION = 1
OPSET = 17

# Patches come of a convolution with every filter that picks one value of a patch.
_BODY = """
<opset_import: ["" : 17], domain: "tinyfarm">
RnnPool <kernel_shape, strides, pads, zeta, nu> (X, W1, U1, B1, W2, U2, B2) => (Y)
{
    zero = Constant <value_ints: ints = [0]> ()
    rest = Constant <value_ints: ints = [-1]> ()
    kernel = Constant <value_ints: ints = @kernel_shape> ()
    zetas = Constant <value_floats: floats = @zeta> ()
    nus = Constant <value_floats: floats = @nu> ()
    first = Constant <value_int: int = 0> ()
    second = Constant <value_int: int = 1> ()
    one = Constant <value_float: float = 1.0> ()
    low = Constant <value_float: float = -1.0> ()
    zeta1 = Gather (zetas, first)
    zeta2 = Gather (zetas, second)
    nu1 = Gather (nus, first)
    nu2 = Gather (nus, second)

    channels = Shape <start: int = 1, end: int = 2> (W1)
    patch_shape = Concat <axis: int = 0> (channels, kernel)
    size = ReduceProd <axes: ints = [0], keepdims: int = 1> (patch_shape)
    square = Concat <axis: int = 0> (size, size)
    empty = ConstantOfShape (square)
    identity = EyeLike (empty)
    filters_shape = Concat <axis: int = 0> (size, patch_shape)
    filters = Reshape (identity, filters_shape)
    columns = Conv <strides: ints = @strides, pads: ints = @pads> (X, filters)
    batch = Shape <start: int = 0, end: int = 1> (X)
    parts_shape = Concat <axis: int = 0> (batch, patch_shape, rest)
    parts = Reshape (columns, parts_shape)
    pixels = Transpose <perm: ints = [2, 3, 0, 4, 1]> (parts)

    W1T = Transpose <perm: ints = [1, 0]> (W1)
    U1T = Transpose <perm: ints = [1, 0]> (U1)
    W2T = Transpose <perm: ints = [1, 0]> (W2)
    U2T = Transpose <perm: ints = [1, 0]> (U2)
    gate1 = Gather <axis: int = 0> (B1, first)
    update1 = Gather <axis: int = 0> (B1, second)
    gate2 = Gather <axis: int = 0> (B2, first)
    update2 = Gather <axis: int = 0> (B2, second)

    sums = MatMul (pixels, W1T)
    row_sum = Gather <axis: int = 1> (sums, first)
    row_start = Sub (row_sum, row_sum)
    column_sum = Gather <axis: int = 0> (sums, first)
    column_start = Sub (column_sum, column_sum)
    rows = Scan <num_scan_inputs: int = 1, scan_input_axes: ints = [1], body: graph = SWEEP> (row_start, sums)
    cols = Scan <num_scan_inputs: int = 1, scan_input_axes: ints = [0], body: graph = SWEEP> (column_start, sums)

    rows_sums = MatMul (rows, W2T)
    cols_sums = MatMul (cols, W2T)
    any_sum = Gather <axis: int = 0> (rows_sums, first)
    start = Sub (any_sum, any_sum)
    rf = Scan <num_scan_inputs: int = 1, body: graph = SUMMARY> (start, rows_sums)
    rb = Scan <num_scan_inputs: int = 1, scan_input_directions: ints = [1], body: graph = SUMMARY> (start, rows_sums)
    cf = Scan <num_scan_inputs: int = 1, body: graph = SUMMARY> (start, cols_sums)
    cb = Scan <num_scan_inputs: int = 1, scan_input_directions: ints = [1], body: graph = SUMMARY> (start, cols_sums)
    joined = Concat <axis: int = -1> (rf, rb, cf, cb)
    by_channel = Transpose <perm: ints = [0, 2, 1]> (joined)
    image = Shape <start: int = 2, end: int = 4> (columns)
    out_shape = Concat <axis: int = 0> (batch, rest, image)
    Y = Reshape (by_channel, out_shape)
}
"""
_CELL = """
step{n} (float[] h, float[] s) => (float[] next)
{{
    past = MatMul (h, U{n}T)
    a = Add (s, past)
    a_gate = Add (a, gate{n})
    z = Sigmoid (a_gate)
    a_update = Add (a, update{n})
    t = Tanh (a_update)
    open = Sub (one, z)
    weighed = Mul (zeta{n}, open)
    gain = Add (weighed, nu{n})
    fresh = Mul (gain, t)
    kept = Mul (z, h)
    grown = Add (fresh, kept)
    next = Clip (grown, low, one)
}}
"""


def rnn_pool_function() -> onnx.FunctionProto:
    """Return the function that defines the operator."""
    text = _BODY
    for name in ("SWEEP", "SUMMARY"):
        text = text.replace(f"body: graph = {name}", f'mark: string = "{name}"')
    function = parser.parse_function(text)
    cells = {"SWEEP": parser.parse_graph(_CELL.format(n=1)), "SUMMARY": parser.parse_graph(_CELL.format(n=2))}
    for node in function.node:
        for attribute in node.attribute:
            if attribute.name == "mark":
                body = helper.make_attribute("body", cells[attribute.s.decode()])
                attribute.CopyFrom(body)
    return function
