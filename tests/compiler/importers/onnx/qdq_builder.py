"""Builds small QDQ models one node at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]


class QdqBuilder:
    """Nodes and initializers so far; methods return the name of the value that they made."""

    def __init__(self, seed: int = 0, activations: str = "int8", opset: int = 17) -> None:
        self.rng = np.random.default_rng(seed)
        self.activations = np.dtype(activations)
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[str] = []

    def name(self, prefix: str) -> str:
        return f"{prefix}_{len(self.nodes)}_{len(self.initializers)}"

    def initializer(self, array: Array, prefix: str = "c") -> str:
        name = self.name(prefix)
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op_type: str, inputs: Sequence[str], outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        names = [f"{op_type.lower()}_{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, name=names[0], domain=domain, **attributes))
        return names[0]

    def float_input(self, shape: Sequence[Any], name: str = "x") -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def integer_input(self, shape: Sequence[Any], name: str = "x") -> str:
        element = helper.np_dtype_to_tensor_dtype(self.activations)
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def input(self, shape: Sequence[Any], scale: float = 0.05, zero: int = 3, name: str = "x") -> str:
        return self.qdq(self.float_input(shape, name), scale, zero)

    def _zero(self, zero: int) -> Array:
        """`zero` is meant for int8; uint8 has it 128 higher."""
        return np.array(zero + (128 if self.activations == np.uint8 else 0), self.activations)

    def quantize(self, value: str, scale: float, zero: int) -> str:
        parts = [self.initializer(np.array(scale, np.float32)), self.initializer(self._zero(zero))]
        return self.node("QuantizeLinear", [value, *parts])

    def dequantize(self, value: str, scale: float, zero: int) -> str:
        parts = [self.initializer(np.array(scale, np.float32)), self.initializer(self._zero(zero))]
        return self.node("DequantizeLinear", [value, *parts])

    def qdq(self, value: str, scale: float = 0.05, zero: int = 0) -> str:
        return self.dequantize(self.quantize(value, scale, zero), scale, zero)

    def constant(self, data: Array, scale: Any, axis: int | None = None, zero: int = 0) -> str:
        """A DequantizeLinear of an integer initializer."""
        scales = np.asarray(scale, np.float32)
        zeros = np.full(scales.shape, zero, data.dtype)
        parts = [self.initializer(data, "w"), self.initializer(scales), self.initializer(zeros)]
        return self.node("DequantizeLinear", parts, **({} if axis is None else {"axis": axis}))

    def weights(self, shape: Sequence[int], axis: int | None = 0, scale: float = 0.01) -> str:
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        axis = axis if self.opset >= 13 else None
        scales = scale if axis is None else self.rng.uniform(0.5, 1.5, shape[axis]) * scale
        return self.constant(data, scales, axis)

    def bias(self, channels: int, scale: float = 5e-4) -> str:
        if self.opset < 13:
            return self.constant(self.rng.integers(-2000, 2000, channels).astype(np.int32), scale)
        return self.constant(self.rng.integers(-2000, 2000, channels).astype(np.int32), np.full(channels, scale), 0)

    def model(self, *outputs: str, output_type: int = TensorProto.FLOAT) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(name, output_type, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.initializers)
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=10)

    def build(self, *outputs: str, output_type: int = TensorProto.FLOAT) -> bytes:
        return self.model(*outputs, output_type=output_type).SerializeToString()
