"""A torch network of any make as ONNX, its RNNPools as one operator each."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from services.common.errors import InvalidArgumentError
from services.common.rnn_pool import DOMAIN, OP_TYPE, OPSET, VERSION, rnn_pool_function
from services.search.operators.rnn_pool import RnnPool, onnx_attributes, onnx_parameters
from services.search.space.plan import RnnPoolPlan


def export_torch(net: nn.Module, image: Tensor) -> bytes:
    """Return a network as ONNX that maps float32 `input`, shaped as the image [1, C, H, W], to `output`.

    torch's own exporter writes all but the RNNPools, of which it would unroll every step; they become the operator
    `tinyfarm.RnnPool`. Export is of inference: batch normalization is folded in, dropout is gone. Raises
    InvalidArgumentError where the image is not one of batch 1.
    """
    if image.dim() != 4 or image.shape[0] != 1:
        raise InvalidArgumentError(
            f"image is {list(image.shape)}: must be [1, C, H, W]", subject="image", value=list(image.shape)
        )
    with tempfile.TemporaryDirectory(prefix="tinyfarm-export-") as folder:
        file = Path(folder) / "network.onnx"
        torch.onnx.export(
            _with_operators(copy.deepcopy(net).eval()),
            (image,),
            file,
            input_names=["input"],
            output_names=["output"],
            opset_version=OPSET,
            custom_opsets={DOMAIN: VERSION},
            dynamo=False,  # the other one calls no symbolic functions
        )
        model = onnx.load(file)
    if any(node.op_type == OP_TYPE and node.domain == DOMAIN for node in model.graph.node):
        model.functions.append(rnn_pool_function())
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _with_operators(net: nn.Module) -> nn.Module:
    if isinstance(net, RnnPool):
        return _Operator(net)
    for name, child in net.named_children():
        setattr(net, name, _with_operators(child))
    return net


class _Operator(nn.Module):
    """An RNNPool that the exporter does not look into."""

    def __init__(self, pool: RnnPool) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        parameters = onnx_parameters(self.pool).values()
        return _Call.apply(x, *parameters, self.pool)  # type: ignore[no-any-return, no-untyped-call]


class _Call(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor, *rest: Any) -> Tensor:
        """Return an output's shape alone: values are of no use to the exporter, which would write them down."""
        return torch.zeros(_output_shape(rest[-1].plan, x.shape))

    @staticmethod
    def symbolic(graph: Any, x: Any, *rest: Any) -> Any:
        """Return the node; the exporter takes an attribute's type from its name's end."""
        pool: RnnPool = rest[-1]
        ends = {int: "i", float: "f"}
        attributes = {f"{name}_{ends[type(values[0])]}": values for name, values in onnx_attributes(pool).items()}
        made = graph.op(f"{DOMAIN}::{OP_TYPE}", x, *rest[:-1], **attributes)
        made.setType(x.type().with_sizes(_output_shape(pool.plan, x.type().sizes())))
        return made


def _output_shape(plan: RnnPoolPlan, shape: Sequence[int]) -> list[int]:
    sides = ((side + 2 * plan.padding - plan.patch) // plan.stride + 1 for side in shape[2:])
    return [shape[0], plan.out_channels, *sides]
