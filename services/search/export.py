"""A trained network as a float ONNX file: batch normalization folded, written node by node (no torch exporter)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper

from services.common.rnn_pool import DOMAIN, OP_TYPE, VERSION, rnn_pool_function
from services.search.operators.rnn_pool import RnnPool, onnx_attributes, onnx_parameters
from services.search.space.plan import BlockPlan, ConvPlan, Plan
from services.search.supernet.elastic import ElasticConv
from services.search.supernet.net import ElasticNet

OPSET = 17
IR_VERSION = 9
INPUT, OUTPUT = "input", "logits"

Array = npt.NDArray[np.float32]


def export_onnx(net: ElasticNet, name: str) -> bytes:
    """Return the network as ONNX: float32 `input` [1, H, W, C] to `logits` [1, classes].

    The input is NHWC, as cameras and C code have it: a transpose to ONNX's own layout comes first, which the
    compiler, whose layout is NHWC, drops again.

    Operators: Transpose, Conv, Relu, Add, GlobalAveragePool, Flatten, Gemm; RNNPool is a function of the model's own.
    Source of the folding: Jacob et al., CVPR 2018, 3.2.
    """
    writer = _Writer()
    current = writer.node("Transpose", "nchw", [INPUT], perm=[0, 3, 1, 2])
    for block in net.plan.blocks:
        current = _block(writer, net, block, current)
    _classifier(writer, net, current)
    model = helper.make_model(
        helper.make_graph(
            writer.nodes,
            name,
            [_value(INPUT, _input_shape(net.plan))],
            [_value(OUTPUT, (1, net.plan.classes))],
            writer.weights,
        ),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in _opsets(net.plan)],
        functions=[rnn_pool_function()] if net.plan.pools() else [],
        ir_version=IR_VERSION,
        producer_name="tinyfarm",
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _opsets(plan: Plan) -> tuple[tuple[str, int], ...]:
    return (("", OPSET), *([(DOMAIN, VERSION)] if plan.pools() else []))


@torch.no_grad()
def fold(conv: ElasticConv, plan: ConvPlan) -> tuple[Array, Array]:
    """Return weights OIHW and bias of a convolution with its batch normalization folded in."""
    norm, count = conv.norm, plan.out_channels
    assert norm.running_mean is not None and norm.running_var is not None
    gain = norm.weight[:count].double() / (norm.running_var[:count].double() + norm.eps).sqrt()
    weight = conv.active_weight(plan).double() * gain[:, None, None, None]
    bias = norm.bias[:count].double() - norm.running_mean[:count].double() * gain
    return weight.float().numpy(), bias.float().numpy()


@dataclass(slots=True)
class _Writer:
    """Nodes and weights in the order they are written."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, op: str, name: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node whose one output has its name; return that."""
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: Array) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name


def _block(writer: _Writer, net: ElasticNet, block: BlockPlan, source: str) -> str:
    current = source
    for conv in block.convs:
        current = _conv(writer, net.conv(conv.name), conv, current)
    if block.residual:
        current = writer.node("Add", f"{block.convs[-1].name}.add", [current, source])
    return current if block.pool is None else _pool(writer, net.pool(block.pool.name), current)


@torch.no_grad()
def _pool(writer: _Writer, layer: RnnPool, source: str) -> str:
    name = layer.plan.name
    parameters = [writer.constant(f"{name}.{part}", value.numpy()) for part, value in onnx_parameters(layer).items()]
    return writer.node(OP_TYPE, name, [source, *parameters], domain=DOMAIN, **onnx_attributes(layer))


def _conv(writer: _Writer, layer: ElasticConv, conv: ConvPlan, source: str) -> str:
    weight, bias = fold(layer, conv)
    parameters = [writer.constant(f"{conv.name}.weight", weight), writer.constant(f"{conv.name}.bias", bias)]
    name = f"{conv.name}.conv" if conv.relu else conv.name
    current = writer.node(
        "Conv",
        name,
        [source, *parameters],
        kernel_shape=[conv.kernel] * 2,
        strides=[conv.stride] * 2,
        pads=[conv.kernel // 2] * 4,
        group=conv.out_channels if conv.depthwise else 1,
    )
    return writer.node("Relu", conv.name, [current]) if conv.relu else current


def _classifier(writer: _Writer, net: ElasticNet, source: str) -> None:
    layer = net.classifier
    parameters = [
        writer.constant("classifier.weight", layer.weight.detach().numpy()),
        writer.constant("classifier.bias", layer.bias.detach().numpy()),
    ]
    flat = writer.node("Flatten", "flatten", [writer.node("GlobalAveragePool", "mean", [source])])
    writer.node("Gemm", OUTPUT, [flat, *parameters], transB=1)


def _input_shape(plan: Plan) -> tuple[int, ...]:
    return (1, plan.resolution, plan.resolution, plan.input_channels)


def _value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
