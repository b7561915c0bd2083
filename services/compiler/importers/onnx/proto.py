"""From bytes to a checked `Model`: parse, refuse what cannot be read safely, set the batch to 1."""

from __future__ import annotations

from collections import Counter
from math import prod

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from services.common.rnn_pool import DOMAIN as OWN_DOMAIN
from services.common.rnn_pool import rnn_pool_function
from services.compiler.importers.onnx.model import Array, Attribute, Model, Node, Port
from services.compiler.importers.onnx.refusals import invalid

MAX_ELEMENTS = 1 << 28
MAX_RANK = 8
OPSETS = range(7, 27)
_DOMAINS = ("", "ai.onnx", "com.microsoft", OWN_DOMAIN)


def read_model(model_bytes: bytes) -> Model:
    """Return the model. Raises the importer's error for a malformed file, external data or dynamic shapes."""
    proto = parse(model_bytes)
    if not proto.graph.node:
        raise invalid("the number of nodes of the ONNX graph", 0, "must be at least 1")
    _check_names(proto.graph)
    for tensor in proto.graph.initializer:
        _check_tensor(tensor)
    set_batch_to_one(proto)
    return read_graph(proto)


def parse(model_bytes: bytes) -> onnx.ModelProto:
    """Return the parsed file. Raises the importer's error if it is not an ONNX model of a known opset."""
    try:
        proto = onnx.load_model_from_string(model_bytes)
    except (DecodeError, ValueError, RuntimeError) as error:
        found = "a TFLite file" if model_bytes[4:8] == b"TFL3" else f"{len(model_bytes)} bytes of neither format"
        raise invalid("the model file", found, "must be ONNX, or TFLite where a model is compiled") from error
    if not proto.HasField("graph"):
        raise invalid("the ONNX file", "a protobuf without a graph", "must be an ONNX ModelProto")
    for function in proto.functions:
        _check_function(function)
    if (version := opset(proto)) not in OPSETS:
        raise invalid("the opset", version, f"must be {OPSETS.start} to {OPSETS.stop - 1}")
    return proto


def _check_function(function: onnx.FunctionProto) -> None:
    """Refuse local functions other than our own operators', whose names stand for exactly these bodies."""
    name = f"{function.domain}.{function.name}"
    own = rnn_pool_function()
    if (function.domain, function.name) != (own.domain, own.name):
        raise invalid("a local function", name, f"must be {own.domain}.{own.name}: inline others before export")
    bodies = [[node.SerializeToString(deterministic=True) for node in f.node] for f in (function, own)]
    if bodies[0] != bodies[1]:
        raise invalid(f"the body of local function {name}", "another one", "must be as tinyfarm exports it")


def _check_names(graph: onnx.GraphProto) -> None:
    """Names that are not UTF-8 reach Python as bytes, whatever the types say."""
    names: list[object] = [graph.name, *(tensor.name for tensor in graph.initializer)]
    names += [value.name for value in (*graph.input, *graph.output)]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute)]
    if broken := [name for name in names if not isinstance(name, str)]:
        raise invalid("a name", repr(broken[0]), "must be UTF-8")


def opset(proto: onnx.ModelProto) -> int:
    """Return the version of the default operator set, 0 if none is named."""
    return max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def set_batch_to_one(proto: onnx.ModelProto) -> None:
    """Make a dynamic first dimension of the inputs 1."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    for value in proto.graph.input:
        if value.name not in constants:
            _fix_batch(value)


def _fix_batch(value: onnx.ValueInfoProto) -> None:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise invalid(f"the shape of input {value.name!r}", "unknown", "must be declared")
    dims = value.type.tensor_type.shape.dim
    if dims and (dims[0].WhichOneof("value") != "dim_value" or dims[0].dim_value <= 0):
        dims[0].Clear()
        dims[0].dim_value = 1
    shape = tuple(d.dim_value if d.WhichOneof("value") == "dim_value" else 0 for d in dims)
    if any(d <= 0 for d in shape):
        shown = [d.dim_value or d.dim_param or "?" for d in dims]
        raise invalid(f"the shape of input {value.name!r}", shown, "only the batch (first) dimension may be dynamic")
    if len(shape) > 1 and shape[0] != 1:
        raise invalid(f"the batch of input {value.name!r}", shape[0], "must be 1 or dynamic")
    _check_size(value.name, shape)


def _check_size(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) > MAX_RANK:
        raise invalid(f"the rank of {name!r}", len(shape), f"must be at most {MAX_RANK}")
    if prod(shape) > MAX_ELEMENTS:
        raise invalid(f"the size of {name!r}", f"{list(shape)}", f"must be at most {MAX_ELEMENTS} elements")


def _check_tensor(tensor: TensorProto) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise invalid(
            f"the data of initializer {tensor.name!r}",
            "in another file",
            "save the model as one file (PyTorch: torch.onnx.export(..., external_data=False))",
        )
    if any(d < 0 for d in tensor.dims):
        raise invalid(f"the shape of initializer {tensor.name!r}", list(tensor.dims), "must not be negative")
    _check_size(tensor.name, tuple(tensor.dims))


def read_graph(proto: onnx.ModelProto) -> Model:
    """Return the model of a proto whose batch is 1."""
    graph = proto.graph
    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    inputs = tuple(_port(value) for value in graph.input if value.name not in constants)
    nodes = _nodes(graph, opset(proto))
    _check_wiring(nodes, constants, inputs)
    outputs = tuple(_port(value) for value in graph.output)
    return Model(proto.graph.name, opset(proto), nodes, constants, inputs, outputs)


def _static_shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    if any(d.WhichOneof("value") != "dim_value" or d.dim_value < 0 for d in dims):
        return None
    return tuple(d.dim_value for d in dims)


def _port(value: onnx.ValueInfoProto) -> Port:
    element = value.type.tensor_type.elem_type
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(element)).name
    except (KeyError, TypeError) as error:
        raise invalid(f"the element type of {value.name!r}", element, "must be a number type") from error
    return Port(value.name, dtype, _static_shape(value) or ())


def _nodes(graph: onnx.GraphProto, version: int) -> tuple[Node, ...]:
    nodes = []
    for index, node in enumerate(graph.node):
        name = node.name or f"{node.op_type}_{index}"
        if node.domain not in _DOMAINS:
            raise invalid(f"the domain of {node.op_type} {name!r}", repr(node.domain), "must be ONNX or com.microsoft")
        if not node.output or not node.output[0]:
            raise invalid(f"the number of outputs of {node.op_type} {name!r}", 0, "must be at least 1")
        _check_arity(node, name, version)
        attributes = {a.name: _attribute(a, name) for a in node.attribute}
        nodes.append(Node(name, node.op_type, tuple(node.input), tuple(node.output), attributes))
    return tuple(nodes)


def _check_arity(node: onnx.NodeProto, name: str, version: int) -> None:
    """Hold the number of inputs and outputs against ONNX's schema; operators without one are refused later."""
    try:
        schema = onnx.defs.get_schema(node.op_type, version, "")
    except onnx.defs.SchemaError:
        return
    given = len(node.input)
    if not schema.min_input <= given <= schema.max_input or any(not v for v in node.input[: schema.min_input]):
        allowed = f"must be {schema.min_input} to {schema.max_input}"
        raise invalid(f"the number of inputs of {node.op_type} {name!r}", given, allowed)
    if not schema.min_output <= len(node.output) <= schema.max_output:
        allowed = f"must be {schema.min_output} to {schema.max_output}"
        raise invalid(f"the number of outputs of {node.op_type} {name!r}", len(node.output), allowed)


def _attribute(attribute: onnx.AttributeProto, node: str) -> Attribute:
    value = helper.get_attribute_value(attribute)
    match value:
        case bytes():
            return value.decode("utf-8", "replace")
        case int() | float():
            return value
        case TensorProto():
            _check_tensor(value)
            return _array(value)
        case _ if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
            return tuple(value)
        case _ if attribute.type == onnx.AttributeProto.STRINGS:
            return tuple(v.decode("utf-8", "replace") for v in value)
        case _:
            kind = onnx.AttributeProto.AttributeType.Name(attribute.type)
            raise invalid(f"attribute {attribute.name!r} of {node!r}", kind, "must be a number, text or tensor")


def _array(tensor: TensorProto) -> Array:
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # raises TypeError, ValueError, KeyError and struct errors on bad data
        raise invalid(
            f"the data of {tensor.name!r}", "not readable", f"must match its type and shape ({error})"
        ) from error


def _check_wiring(nodes: tuple[Node, ...], constants: dict[str, Array], inputs: tuple[Port, ...]) -> None:
    names = Counter([*constants, *(p.name for p in inputs), *(v for n in nodes for v in n.outputs if v)])
    if doubled := [name for name, count in names.items() if count > 1]:
        raise invalid(f"value {doubled[0]!r}", "written more than once", "every value has one writer")
    known = {*constants, *(p.name for p in inputs)}
    for node in nodes:
        if missing := [v for v in node.inputs if v and v not in known]:
            raise invalid(
                f"input {missing[0]!r} of {node.op_type} {node.name!r}", "written by no earlier node", "sort the graph"
            )
        known |= set(node.outputs)
