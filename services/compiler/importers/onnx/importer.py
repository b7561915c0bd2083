"""The import as a list of steps, and which function compiles which operator."""

from __future__ import annotations

from collections.abc import Callable

from services.compiler.importers.onnx.edges import lower_input, lower_output
from services.compiler.importers.onnx.fold import FOLDABLE, evaluate, fold_constants
from services.compiler.importers.onnx.lower_activation import lower_clamp, lower_softmax
from services.compiler.importers.onnx.lower_conv import lower_conv
from services.compiler.importers.onnx.lower_conv_transpose import lower_conv_transpose
from services.compiler.importers.onnx.lower_dense import lower_gemm, lower_matmul
from services.compiler.importers.onnx.lower_elementwise import lower_binary, lower_pow
from services.compiler.importers.onnx.lower_extremum import lower_extremum, lower_prelu
from services.compiler.importers.onnx.lower_factors import lower_batch_normalization
from services.compiler.importers.onnx.lower_function import FUNCTIONS, lower_function
from services.compiler.importers.onnx.lower_movement import (
    lower_concat,
    lower_gather,
    lower_pad,
    lower_slice,
    lower_split,
)
from services.compiler.importers.onnx.lower_pool import (
    lower_global_average_pool,
    lower_global_max_pool,
    lower_pool,
    lower_reduction,
)
from services.compiler.importers.onnx.lower_qdq import lower_dequantize, lower_quantize
from services.compiler.importers.onnx.lower_resize import lower_resize
from services.compiler.importers.onnx.lower_rnn_pool import lower_rnn_pool
from services.compiler.importers.onnx.lower_shape import (
    lower_identity,
    lower_shape_of,
    lower_shape_op,
    lower_space_depth,
)
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Model, Node
from services.compiler.importers.onnx.patterns import rewrite_patterns
from services.compiler.importers.onnx.proto import read_model
from services.compiler.importers.onnx.qlinear import expand_qlinear
from services.compiler.importers.onnx.quantization import Constant
from services.compiler.importers.onnx.refusals import unsupported
from services.compiler.importers.onnx.write_each_type import write_each_type
from services.compiler.importers.supported import check_supported
from services.compiler.ir.graph import Graph
from services.compiler.ir.verify import verify

_LOWERINGS: dict[str, Callable[[Lowering, Node], None]] = {
    **dict.fromkeys(FUNCTIONS, lower_function),
    "Add": lower_binary,
    "AveragePool": lower_pool,
    "BatchNormalization": lower_batch_normalization,
    "Clip": lower_clamp,
    "Concat": lower_concat,
    "Conv": lower_conv,
    "ConvTranspose": lower_conv_transpose,
    "DepthToSpace": lower_space_depth,
    "DequantizeLinear": lower_dequantize,
    "Div": lower_binary,
    "Dropout": lower_identity,
    "Flatten": lower_shape_op,
    "Gather": lower_gather,
    "Gemm": lower_gemm,
    "GlobalAveragePool": lower_global_average_pool,
    "GlobalMaxPool": lower_global_max_pool,
    "Identity": lower_identity,
    "MatMul": lower_matmul,
    "Max": lower_extremum,
    "MaxPool": lower_pool,
    "Min": lower_extremum,
    "Mul": lower_binary,
    "PRelu": lower_prelu,
    "Pad": lower_pad,
    "Pow": lower_pow,
    "QuantizeLinear": lower_quantize,
    "ReduceMax": lower_global_max_pool,
    "ReduceMean": lower_reduction,
    "ReduceSum": lower_reduction,
    "Relu": lower_clamp,
    "Reshape": lower_shape_op,
    "Resize": lower_resize,
    "RnnPool": lower_rnn_pool,
    "Shape": lower_shape_of,
    "Size": lower_shape_of,
    "Slice": lower_slice,
    "Softmax": lower_softmax,
    "SpaceToDepth": lower_space_depth,
    "Split": lower_split,
    "Squeeze": lower_shape_op,
    "Sub": lower_binary,
    "Transpose": lower_shape_op,
    "Unsqueeze": lower_shape_op,
    "Upsample": lower_resize,
}

_AT_RUN_TIME = ("it quantizes at run time", "use static quantization (tinyfarm quantize)")
_INDEX = ("its output is an index", "leave it out: the scores become the output")
_REASONS = {
    "ArgMax": _INDEX,
    "ArgMin": _INDEX,
    "ConvInteger": _AT_RUN_TIME,
    "DynamicQuantizeLinear": _AT_RUN_TIME,
    "MatMulInteger": _AT_RUN_TIME,
    "TopK": _INDEX,
}

SUPPORTED_OPS = tuple(sorted(_LOWERINGS))


def import_onnx(model_bytes: bytes, name: str) -> Graph:
    """Return the graph of an ONNX model in QDQ or QLinear int8 form; `name` is the model's own name, any text.

    Raises InvalidModelError if the file is broken and UnsupportedModelError if a node cannot be compiled.
    """
    graph = build_graph(model_bytes, name)
    check_supported(graph)
    return graph


def build_graph(model_bytes: bytes, name: str) -> Graph:
    """As `import_onnx`, without asking whether kernels exist for what the graph holds."""
    model = read_model(model_bytes)
    model = expand_qlinear(model)
    model = fold_constants(model)
    model = rewrite_patterns(model)
    model = write_each_type(model)
    return _lower(model, name)


def _lower(model: Model, name: str) -> Graph:
    lowering = Lowering(model)
    inputs = tuple(lower_input(lowering, port) for port in model.inputs)
    for node in model.nodes:
        if not all(v in lowering.values for v in node.outputs if v):
            _lower_node(lowering, node)
    outputs = tuple(lower_output(lowering, port) for port in model.outputs)
    graph = Graph(name, lowering.builder.tensors, tuple(lowering.builder.ops), inputs, outputs)
    return verify(graph.with_ops(graph.ops))


def _lower_node(lowering: Lowering, node: Node) -> None:
    values = [lowering.values[v] if v else None for v in node.inputs]
    if node.op_type in FOLDABLE and all(v is None or (isinstance(v, Constant) and v.type is None) for v in values):
        arrays = [v.data if isinstance(v, Constant) else None for v in values]
        for output, array in evaluate(node, arrays, lowering.model.opset).items():
            lowering.bind(output, Constant(array))
        return
    lower = _LOWERINGS.get(node.op_type)
    if lower is None and node.op_type in _REASONS:
        raise unsupported(node, *_REASONS[node.op_type])
    if lower is None:
        raise unsupported(node, "the operator is not supported", f"use one of {', '.join(SUPPORTED_OPS)}")
    lower(lowering, node)
