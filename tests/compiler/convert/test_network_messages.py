"""Networks survive the wire: every operator, every type, with and without quantization."""

from __future__ import annotations

from typing import get_args

import pytest

from services.common.errors import InvalidArgumentError
from services.compiler.convert.network import network_from_proto, network_to_proto
from services.compiler.ir import ops
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.planned_ops import PLANNED_ONLY
from services.compiler.ir.tensor import DType, QuantParams, Tensor
from tinyfarm.v1 import network_pb2

RELU6, PADDING = Activation.RELU6, ops.Padding(1, 2, 3, 4)
CASES: dict[str, ops.Op] = {
    op.kind: op
    for op in (
        ops.Conv2D(
            name="a",
            inputs=(0, 1, 2),
            outputs=(3,),
            stride_hw=(2, 1),
            dilation_hw=(1, 3),
            padding=PADDING,
            activation=RELU6,
        ),
        ops.DepthwiseConv2D(name="a", inputs=(0, 1), outputs=(3,), stride_hw=(1, 2), padding=PADDING),
        ops.FullyConnected(name="a", inputs=(0, 1, 2), outputs=(3,), activation=Activation.RELU),
        ops.Add(name="a", inputs=(0, 1), outputs=(3,), activation=Activation.RELU_N1_TO_1),
        ops.Sub(name="a", inputs=(0, 1), outputs=(3,), activation=RELU6),
        ops.Mul(name="a", inputs=(0, 1), outputs=(3,), activation=RELU6),
        ops.Maximum(name="a", inputs=(0, 1), outputs=(3,)),
        ops.Minimum(name="a", inputs=(0, 1), outputs=(3,)),
        ops.AveragePool2D(name="a", inputs=(0,), outputs=(3,), kernel_hw=(25, 5), stride_hw=(2, 3), padding=PADDING),
        ops.MaxPool2D(name="a", inputs=(0,), outputs=(3,), kernel_hw=(2, 3), activation=RELU6),
        ops.Mean(name="a", inputs=(0,), outputs=(3,), axes=(1, 2)),
        ops.Sum(name="a", inputs=(0,), outputs=(3,), axes=(1, 2)),
        ops.Pad(name="a", inputs=(0,), outputs=(3,), before=(0, 1, 0), after=(2, 0, 0), value=-128),
        ops.Reshape(name="a", inputs=(0,), outputs=(3,)),
        ops.Softmax(name="a", inputs=(0,), outputs=(3,), beta=0.5),
        ops.Logistic(name="a", inputs=(0,), outputs=(3,)),
        ops.Tanh(name="a", inputs=(0,), outputs=(3,)),
        ops.HardSwish(name="a", inputs=(0,), outputs=(3,)),
        ops.Relu(name="a", inputs=(0,), outputs=(3,), activation=RELU6),
        ops.LeakyRelu(name="a", inputs=(0,), outputs=(3,), alpha=0.25),
        ops.PRelu(name="a", inputs=(0, 1), outputs=(3,)),
        ops.Table(name="a", inputs=(0, 1), outputs=(3,)),
        ops.Concatenation(name="a", inputs=(0, 1), outputs=(3,), axis=3, activation=RELU6),
        ops.StridedSlice(name="a", inputs=(0,), outputs=(3,), begin=(0, 1), end=(2, 9), strides=(1, 2)),
        ops.Split(name="a", inputs=(0,), outputs=(3, 1), axis=2),
        ops.Transpose(name="a", inputs=(0,), outputs=(3,), permutation=(0, 3, 1, 2)),
        ops.ResizeNearestNeighbor(name="a", inputs=(0,), outputs=(3,), half_pixel_centers=True),
        ops.RnnPool(
            name="a",
            inputs=(0, 1, 1, 2, 1, 1, 2),
            outputs=(3,),
            kernel_hw=(6, 5),
            stride_hw=(4, 3),
            padding=PADDING,
            zeta=(1.0, 0.5),
            nu=(0.0, 0.25),
        ),
        ops.ResizeBilinear(name="a", inputs=(0,), outputs=(3,), align_corners=True),
        ops.Quantize(name="a", inputs=(0,), outputs=(3,)),
        ops.Dequantize(name="a", inputs=(0,), outputs=(3,)),
    )
}


def graph_of(op: ops.Op) -> Graph:
    tensors = {
        0: Tensor('"; rm -rf ~', (1, 4, 4, 8), DType.INT8, QuantParams((0.5,), (-3,))),
        1: Tensor("weights", (2, 3), DType.INT4, QuantParams((0.5, 0.25), (0, 0), 0), is_constant=True),
        2: Tensor("bias", (2,), DType.INT32, is_constant=True),
        3: Tensor("out", (), DType.FLOAT32),
    }
    return Graph("net", tensors, (op,), (0,), (3,))


def test_every_operator_has_a_case() -> None:
    assert {kind.__name__ for kind in set(get_args(ops.Op)) - set(PLANNED_ONLY)} == CASES.keys()


def test_every_message_is_told_of_one_operator() -> None:
    told = [network_to_proto(graph_of(op)).ops[0].WhichOneof("kind") for op in CASES.values()]
    assert sorted(told) == sorted(field.name for field in network_pb2.Op.DESCRIPTOR.oneofs_by_name["kind"].fields)


@pytest.mark.parametrize("op", CASES.values(), ids=CASES.keys())
def test_operator_survives_the_wire(op: ops.Op) -> None:
    graph = graph_of(op)
    sent = network_to_proto(graph).SerializeToString()
    assert network_from_proto(network_pb2.Network.FromString(sent)) == graph


@pytest.mark.parametrize("dtype", DType)
def test_every_type_survives_the_wire(dtype: DType) -> None:
    graph = Graph("net", {0: Tensor("t", (1,), dtype)}, (), (0,), (0,))
    assert network_from_proto(network_to_proto(graph)) == graph


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (network_pb2.Network(ops=[network_pb2.Op(name="x")]), "no known kind"),
        (network_pb2.Network(tensors=[network_pb2.Tensor(shape=[0], dtype=network_pb2.DATA_TYPE_INT8)]), "shape"),
        (network_pb2.Network(tensors=[network_pb2.Tensor(shape=[1])]), "UNSPECIFIED"),
        (
            network_pb2.Network(
                tensors=[
                    network_pb2.Tensor(
                        shape=[1],
                        dtype=network_pb2.DATA_TYPE_INT8,
                        quant=network_pb2.QuantParams(scale=[float("nan")], zero_point=[0]),
                    )
                ]
            ),
            "scale",
        ),
    ],
)
def test_what_is_no_graph_is_refused(network: network_pb2.Network, told: str) -> None:
    with pytest.raises(InvalidArgumentError, match=told):
        network_from_proto(network)
