"""Small float ONNX models, built by hand and exported by torch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]


class FloatBuilder:
    """A float network one layer at a time; methods return the name of the value that they made."""

    def __init__(self, seed: int, shape: Sequence[Any], opset: int = 17) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)

    def constant(self, array: Array) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def node(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> str:
        fan_in = inputs // group * kernel * kernel
        weights = self.rng.normal(scale=fan_in**-0.5, size=(outputs, inputs // group, kernel, kernel))
        bias = self.rng.normal(scale=0.1, size=outputs)
        pads = [kernel // 2] * 4
        parts = [x, self.constant(weights.astype(np.float32)), self.constant(bias.astype(np.float32))]
        return self.node("Conv", parts, pads=pads, strides=[stride, stride], group=group)

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        weights = self.rng.normal(scale=inputs**-0.5, size=(outputs, inputs)).astype(np.float32)
        return self.node("Gemm", [x, self.constant(weights), self.constant(np.zeros(outputs, np.float32))], transB=1)

    def build(self, output: str) -> bytes:
        info = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [self.input], [info], self.initializers)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10
        ).SerializeToString()


def small_cnn(seed: int = 0, opset: int = 17) -> bytes:
    b = FloatBuilder(seed, ("n", 3, 12, 12), opset)
    x = b.node("Relu", [b.conv("x", 3, 8, 3, stride=2)])
    y = b.node("Clip", [b.conv(x, 8, 8, 3, group=8), b.number(0), b.number(6)])
    x = b.node("Add", [x, b.conv(y, 8, 8, 1)])
    pooled = b.node("GlobalAveragePool", [x])
    return b.build(b.node("Softmax", [b.dense(b.node("Flatten", [pooled]), 8, 5)], axis=1))


def export_torch(module: Any, shape: tuple[int, ...], opset: int = 17) -> bytes:
    """The TorchScript exporter: the other one needs a package that is not a dependency."""
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, *shape),),
            buffer,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}},
        )
    return buffer.getvalue()
