"""What the TFLite importer makes of a file, as text."""

from __future__ import annotations

import numpy as np
import pytest

from services.compiler.errors import UnsupportedModelError
from services.compiler.importers.tflite import import_tflite
from services.compiler.ir.text import print_graph
from services.compiler.quant.reference import run_graph
from tests.compiler import tflite_models as m
from tests.compiler.tflite_builder import SAME, ModelBuilder


def text(data: bytes) -> str:
    return print_graph(import_tflite(data, "model"))


def test_same_padding_is_explicit_and_odd_rows_go_after() -> None:
    data = m.conv2d((1, 8, 7, 3), 5, (3, 3), padding=SAME, stride_hw=(2, 2), activation="relu6")
    assert text(data) == (
        "inputs %0 : int8[1,8,7,3] s=0.05 z=0\n"
        "%3 = Conv2D(%0, const int8[5,3,3,3] s[5]@0, const int32[5] s[5]@0) stride_hw=(2, 2) padding=0,1,1,1 "
        "activation=relu6 : int8[1,4,4,5] s=0.1 z=3\n"
        "outputs %3"
    )


def test_depth_multiplier_is_told_by_the_shapes() -> None:
    data = m.depthwise_conv2d((1, 4, 4, 2), 3, (2, 2), bias=False, per_channel=False)
    assert text(data) == ("inputs %0 : int8[1,4,4,2] s=0.05 z=0\n" + text(data).split("\n")[1] + "\noutputs %2")
    assert "DepthwiseConv2D(%0, const int8[1,2,2,6]" in text(data)


def test_strided_slice_masks_are_resolved() -> None:
    constants = [[5, 2, -1], [0, -1, 9], [1, 2, 1]]
    data = m.with_constants(
        "STRIDED_SLICE", "StridedSliceOptions", (1, 8, 9), [(1, 3)], constants, BeginMask=1, EndMask=1, ShrinkAxisMask=4
    )
    assert "StridedSlice(%0) begin=(0, 2, 8) end=(1, 7, 9) strides=(1, 2, 1) : int8[1,3]" in text(data)


def test_negative_axes_become_positive() -> None:
    assert "axis=1" in text(m.concatenation([(1, 3), (1, 4)], -1))


def test_shape_operators_become_reshapes() -> None:
    data = m.with_constants("EXPAND_DIMS", "ExpandDimsOptions", (1, 4, 5), [(1, 4, 1, 5)], [[2]])
    assert "%2 = Reshape(%0) : int8[1,4,1,5]" in text(data)


def test_relu6_with_another_output_scale_clamps_in_the_inputs_scale() -> None:
    """TFLM does not requantize RELU6: the bytes are clamped and relabeled."""
    data = m.unary("RELU6", "", (1, 4), source=m.Quant(0.05, 3), result=m.Quant(0.02, -128))
    assert text(data) == (
        "inputs %0 : int8[1,4] s=0.05 z=3\n"
        "%2 = Relu(%0) activation=relu6 : int8[1,4] s=0.05 z=3\n"
        "%1 = Reshape(%2) : int8[1,4] s=0.02 z=-128\n"
        "outputs %1"
    )


def test_bias_with_a_quantized_dimension_out_of_range_is_read() -> None:
    """The person_detect model of tflite-micro has dimension 3 on rank-1 biases; TFLM runs it."""
    model = ModelBuilder()
    x = model.activation((1, 1, 1, 1), 0.5)
    weights = model.constant([[[[1]]], [[[2]]]], [0.5, 0.25])
    model.tensors[weights] = m.replace_dtype(model.tensors[weights], "int8")
    bias = model.constant([1, 2], [0.25, 0.125], axis=3)
    model.tensors[bias] = m.replace_dtype(model.tensors[bias], "int32")
    y = model.activation((1, 1, 1, 2), 0.5)
    model.operator("CONV_2D", [x, weights, bias], [y], "Conv2DOptions", StrideH=1, StrideW=1, Padding=1)
    graph = import_tflite(model.build([x], [y]), "model")
    quant = graph.tensors[bias].quant
    assert quant is not None
    assert quant.axis == 0


def test_names_are_kept_as_they_are() -> None:
    name = '"; rm -rf ~ \n */'
    model = ModelBuilder()
    x = model.activation((1, 4), 0.1, name=name)
    y = model.activation((1, 4), 0.1, name=name)
    model.operator("RELU", [x], [y], "")
    graph = import_tflite(model.build([x], [y]), name)
    assert (graph.name, graph.tensors[x].name, graph.ops[0].name) == (name, name, name)


def test_computed_shape_of_a_reshape_is_not_looked_at() -> None:
    """Keras writes SHAPE, STRIDED_SLICE and PACK for a Flatten; the output's shape is in the file."""
    model = ModelBuilder()
    x = model.activation((1, 2, 3), 0.5)
    shape = model.activation((3,), dtype="int32")
    y = model.activation((1, 6), 0.5)
    model.operator("SHAPE", [x], [shape], "ShapeOptions", OutType=2)
    model.operator("RESHAPE", [x, shape], [y], "")
    assert text(model.build([x], [y])) == (
        "inputs %0 : int8[1,2,3] s=0.5 z=0\n%2 = Reshape(%0) : int8[1,6] s=0.5 z=0\noutputs %2"
    )


@pytest.mark.parametrize("depthwise", [False, True])
def test_convolution_between_batches_of_blocks_is_a_dilated_one(depthwise: bool) -> None:
    """The padding of the blocks is real zero, so the zero point of the input must count."""
    quants = {"source": m.Quant(0.05, -9), "result": m.Quant(0.1, 3)}
    image, kernel = (1, 9, 10, 3), (3, 2)
    by_batches = import_tflite(m.dilated_by_batches(image, 3, kernel, 2, depthwise=depthwise, **quants), "batches")
    options = {"dilation_hw": (2, 2), "padding": SAME, "activation": "relu", **quants}
    make = m.depthwise_conv2d(image, 1, kernel, **options) if depthwise else m.conv2d(image, 3, kernel, **options)
    dilated = import_tflite(make, "dilated")
    assert [op.kind for op in by_batches.ops] == [op.kind for op in dilated.ops]
    weights = {op.inputs[1]: dilated.tensors[dilated.ops[0].inputs[1]] for op in by_batches.ops}
    biases = {op.inputs[2]: dilated.tensors[dilated.ops[0].inputs[2]] for op in by_batches.ops}
    same = by_batches.with_tensors({**weights, **biases})
    x = np.random.default_rng(1).integers(-128, 128, image).astype(np.int8)
    np.testing.assert_array_equal(run_graph(same, [x])[0], run_graph(dilated, [x])[0])


def test_batches_of_blocks_around_anything_else_are_refused() -> None:
    model = ModelBuilder()
    x, y = model.activation((4, 2, 2, 3), 0.5), model.activation((1, 4, 4, 3), 0.5)
    constants = [model.constant(np.array(v, np.int32)) for v in ([2, 2], [[0, 0], [0, 0]])]
    model.operator("BATCH_TO_SPACE_ND", [x, *constants], [y], "BatchToSpaceNDOptions")
    with pytest.raises(UnsupportedModelError, match="ends no dilated convolution"):
        import_tflite(model.build([x], [y]), "model")
