"""TFLite int8 models to graphs."""

from __future__ import annotations

import struct

from services.compiler.errors import InvalidModelError
from services.compiler.importers.supported import check_supported
from services.compiler.importers.tflite_file import TfliteFile, read_file
from services.compiler.importers.tflite_graph_builder import GraphBuilder
from services.compiler.importers.tflite_ops import convert
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.tensor import quoted
from services.compiler.ir.verify import InvalidGraphError, verify

# what flatbuffers and numpy raise when an offset or a length in the file is wrong
_BROKEN_FILE = (
    struct.error,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    AttributeError,
    AssertionError,
)


def import_tflite(data: bytes, name: str) -> Graph:
    """Return the graph of a .tflite file; `name` is the model's own name, any text.

    Raises InvalidModelError if the file is broken and UnsupportedModelError if it cannot be compiled.
    """
    try:
        return check_supported(_build(data, name))
    except InvalidGraphError as error:
        raise InvalidModelError(f"model {quoted(name)} is inconsistent: {error}", subject=name) from error
    except _BROKEN_FILE as error:
        # a ValueError may be our own and say what is wrong; what the others say is of a reader's insides
        why = error if isinstance(error, ValueError) else "an offset or a length in it points outside of the file"
        raise InvalidModelError(
            f"model {quoted(name)} of {len(data)} bytes is truncated or corrupt: {why}",
            subject=name,
            value=f"{len(data)} bytes",
            allowed="a whole TFLite file",
        ) from error


def _build(data: bytes, name: str) -> Graph:
    file = read_file(data)
    builder = GraphBuilder(file)
    ops = _needed_operators(builder, file)
    inputs = tuple(builder.tensor_id(i) for i in file.inputs)
    outputs = tuple(builder.tensor_id(i) for i in file.outputs)
    graph = Graph(name, builder.tensors, tuple(ops), inputs, outputs)
    return verify(graph.with_ops(ops))


def _needed_operators(builder: GraphBuilder, file: TfliteFile) -> tuple[Op, ...]:
    """Convert the operators that the outputs depend on.

    Shapes are static here, so what computes the shape input of a RESHAPE (SHAPE, PACK and the like, which Keras
    writes for a Flatten) is not needed and never looked at.
    """
    needed = set(file.outputs)
    kept: list[tuple[Op, ...]] = []
    for operator in reversed(file.operators):
        if needed.isdisjoint(operator.outputs):
            continue
        ops = convert(builder, operator)
        needed.update(t for op in ops for t in op.inputs)
        kept.append(ops)
    return tuple(op for ops in reversed(kept) for op in ops)
