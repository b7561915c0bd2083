"""Make the network's input the image that a Reshape makes of it; let the caller keep it, and ask it for rows."""

from __future__ import annotations

from dataclasses import replace

from services.compiler.errors import UnsupportedModelError
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Quantize, Reshape
from services.compiler.ir.planned_ops import PullRows
from services.compiler.ir.tensor import quoted
from services.compiler.options import CompileOptions
from services.compiler.passes.replace_tensors import read_instead
from services.compiler.schedule.rows import is_row_wise

_ALLOWED = "one input, an image of batch 1 whose first operators need windows of its rows"


def with_input(graph: Graph, options: CompileOptions) -> Graph:
    """Return the graph with its input as the options need it: pulled, or where parts of it can be read at a time an
    image, where it is one.
    """
    if options.pull_input:
        return quantize_pulled(pull_input(graph)) if options.schedule.startswith("patch") else pull_input(graph)
    return graph if options.schedule == "per-layer" else input_as_image(graph)


def pull_input(graph: Graph) -> Graph:
    """Return the graph whose operators read what a first one, `PullRows`, holds of the input.

    An input that a `Reshape` makes an image is pulled as that image: its bytes are the same.

    Raises UnsupportedModelError where there are several inputs, or the first operators need more than some rows.
    """
    if len(graph.inputs) != 1:
        raise _refusal(graph, f"it has {len(graph.inputs)} inputs", len(graph.inputs))
    graph = input_as_image(graph)
    (source,) = graph.inputs
    tensor = graph.tensors[source]
    if len(tensor.shape) != 4 or tensor.shape[0] != 1:
        raise _refusal(graph, f"input {quoted(tensor.name)} is {list(tensor.shape)}", list(tensor.shape))
    if source in graph.outputs:
        raise _refusal(graph, f"input {quoted(tensor.name)} is an output, too", tensor.name)
    readers = graph.consumers()[source]
    if not readers:
        raise _refusal(graph, f"nothing reads input {quoted(tensor.name)}", tensor.name)
    for op in readers:
        if not is_row_wise(graph, op):
            raise _refusal(graph, f"{op.kind} {quoted(op.name)} does not run on rows of its inputs", op.kind)
    held = graph.fresh_id()
    pull = PullRows(name=tensor.name, inputs=(source,), outputs=(held,))
    ops = (pull, *(read_instead(op, {source: held}) for op in graph.ops))
    return replace(graph.with_tensors({held: tensor}), ops=ops)


def quantize_pulled(graph: Graph) -> Graph:
    """Return the graph whose pulled floats are quantized row by row as they come, where nothing else reads them.

    In patches all rows of one are pulled at once: so they are integers. Turns pull rows as they need them: there the
    ring of a Quantize is as small.
    """
    pull = next(op for op in graph.ops if isinstance(op, PullRows))
    readers = graph.consumers()
    quantize = readers[pull.output][0]
    if not isinstance(quantize, Quantize) or len(readers[pull.output]) > 1 or quantize.output in graph.outputs:
        return graph
    behind = readers[quantize.output]
    if not graph.tensors[pull.output].dtype.is_float or not all(is_row_wise(graph, op) for op in behind):
        return graph
    both = replace(pull, outputs=quantize.outputs)
    return graph.with_ops(both if op is pull else op for op in graph.ops if op is not quantize)


def input_as_image(graph: Graph) -> Graph:
    """Return the graph whose only input is the image that a Reshape makes of it, where nothing else reads it.

    A model from PyTorch with one channel begins so: [1, 1, H, W] and [1, H, W, 1] are the same bytes. Floats may be
    quantized before that.
    """
    if len(graph.inputs) != 1:
        return graph
    graph = _reshape_before_quantize(graph)
    (source,) = graph.inputs
    readers = graph.consumers()[source]
    if len(readers) != 1 or not isinstance(readers[0], Reshape) or source in graph.outputs:
        return graph
    image = readers[0].output
    before, after = graph.tensors[source], graph.tensors[image]
    if image in graph.outputs or len(after.shape) != 4 or after.quant != before.quant:
        return graph
    return replace(graph, inputs=(image,)).with_ops(op for op in graph.ops if op is not readers[0])


def _reshape_before_quantize(graph: Graph) -> Graph:
    """Return the graph with a Reshape that alone reads the quantized input swapped with that Quantize."""
    readers = graph.consumers()
    quantize = next(iter(readers[graph.inputs[0]]), None)
    if not isinstance(quantize, Quantize) or quantize.output in graph.outputs or len(readers[quantize.output]) != 1:
        return graph
    (reshape,) = readers[quantize.output]
    if not isinstance(reshape, Reshape) or graph.tensors[reshape.output].quant != graph.tensors[quantize.output].quant:
        return graph
    between = graph.fresh_id()
    image = replace(graph.tensors[quantize.input], shape=graph.tensors[reshape.output].shape)
    first = replace(reshape, inputs=quantize.inputs, outputs=(between,))
    second = replace(quantize, inputs=(between,), outputs=reshape.outputs)
    rest = [op for op in graph.ops if op is not quantize and op is not reshape]
    return graph.with_tensors({between: image}).with_ops((first, second, *rest))


def _refusal(graph: Graph, why: str, value: object) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"the input of {quoted(graph.name)} cannot be pulled by rows: {why}; needs {_ALLOWED}",
        reason="CANNOT_PULL_INPUT",
        subject="pull_input",
        value=value,
        allowed=_ALLOWED,
    )
