"""The network of the transposed image: what runs by rows there runs by columns here.

A line buffer of an image that is wider than high is shorter along its columns. Sums are of integers, so their order
does not matter and results are equal bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op, Reshape, Transpose
from services.compiler.ir.planned_ops import PullRows, TransposeImage
from services.compiler.ir.tensor import Tensor, TensorId
from services.compiler.ir.verify import verify
from services.compiler.passes.swap_axes import has_axes, is_image, is_pixel, swap, swapped_op


def by_columns(graph: Graph) -> Graph | None:
    """Return the graph whose operators work on transposed images, as far as images are wider than high; None if none
    does, or the caller is asked for rows. Inputs and outputs are the same.

    Images are transposed in front of these operators and back behind them, in place where nothing else reads them.
    """
    if any(isinstance(op, PullRows) for op in graph.ops):
        return None
    swapped = _swapped_ops(graph)
    return verify(_Rewriting(graph, swapped).graph()) if swapped else None


def _swapped_ops(graph: Graph) -> dict[TensorId, Op]:
    """Return, by first output, the operators that can work on transposed images and read such, or a wide one."""
    found: dict[TensorId, Op] = {}
    transposed: set[TensorId] = set()
    for op in graph.ops:
        images = [t for t in op.inputs if is_image(graph.tensors[t]) and not graph.tensors[t].is_constant]
        reached = any(t in transposed or _is_wide(graph.tensors[t]) for t in images)
        if reached and (other := swapped_op(graph, op)) is not None:
            found[op.output] = other
            transposed |= {t for t in op.outputs if not is_pixel(graph.tensors[t])}
    return found


def _is_wide(image: Tensor) -> bool:
    return image.shape[2] > image.shape[1]


@dataclass
class _Rewriting:
    """The new graph as it grows. A tensor is there as it was (`plain`), transposed by another id, or both."""

    old: Graph
    swapped: dict[TensorId, Op]
    ops: list[Op] = field(default_factory=list)
    tensors: dict[TensorId, Tensor] = field(init=False)
    plain: set[TensorId] = field(init=False)
    transposed: dict[TensorId, TensorId] = field(default_factory=dict)
    readers: dict[TensorId, tuple[Op, ...]] = field(init=False)
    makers: dict[TensorId, Op] = field(init=False)

    def __post_init__(self) -> None:
        self.tensors = dict(self.old.tensors)
        self.plain = {*self.old.inputs, *(t for t, tensor in self.tensors.items() if tensor.is_constant)}
        self.readers = self.old.consumers()
        self.makers = self.old.producers()

    def graph(self) -> Graph:
        """Return the new graph."""
        for op in self.old.ops:
            if (other := self.swapped.get(op.output)) is None:
                self.ops.append(replace(op, inputs=tuple(map(self.as_it_was, op.inputs))))
                self.plain |= set(op.outputs)
            else:
                inputs = tuple(self.turned(t) if has_axes(op, t) else t for t in op.inputs)
                self.ops.append(replace(other, inputs=inputs, outputs=tuple(map(self.made_turned, op.outputs))))
        for t in self.old.outputs:
            self.as_it_was(t)
        return replace(self.old, tensors=self.tensors).with_ops(self.ops)

    def made_turned(self, tensor: TensorId) -> TensorId:
        """Return the transposition of a tensor, new; itself where it has one pixel."""
        if is_pixel(self.old.tensors[tensor]):
            self.plain.add(tensor)
            return tensor
        self.transposed[tensor] = self.added(swap(self.old.tensors[tensor]))
        return self.transposed[tensor]

    def added(self, tensor: Tensor) -> TensorId:
        """Return the id of a new tensor."""
        number = max(self.tensors) + 1
        self.tensors[number] = tensor
        return number

    def turned(self, tensor: TensorId) -> TensorId:
        """Return a tensor's transposition, which is made where it is not there yet."""
        old = self.old.tensors[tensor]
        if tensor in self.transposed:
            return self.transposed[tensor]
        if (new := swap(old)) is old:
            return tensor
        self.transposed[tensor] = self.added(new)
        if not old.is_constant:
            alone = all(op.output in self.swapped for op in self.readers[tensor])
            self.transpose(tensor, self.transposed[tensor], in_place=alone and self.has_own_bytes(tensor))
        return self.transposed[tensor]

    def as_it_was(self, tensor: TensorId) -> TensorId:
        """Return the tensor, which is transposed back where it is not there."""
        if tensor not in self.plain:
            alone = not any(op.output in self.swapped for op in self.readers[tensor])
            self.transpose(self.transposed[tensor], tensor, in_place=alone)
            self.plain.add(tensor)
        return tensor

    def has_own_bytes(self, tensor: TensorId) -> bool:
        """Whether nothing but operators on its transposition reads the bytes of a tensor, through reshapes too."""
        while tensor not in self.old.outputs:
            maker = self.makers.get(tensor)
            if not isinstance(maker, Reshape):
                return True
            tensor = maker.input
            if len(self.readers[tensor]) > 1 or self.old.tensors[tensor].is_constant:
                return False
        return False

    def transpose(self, source: TensorId, target: TensorId, *, in_place: bool) -> None:
        """Add the operator that makes one of the other: nothing moves where there is one row or column."""
        image = self.tensors[source]
        name, inputs, outputs = image.name, (source,), (target,)
        if 1 in image.shape[1:3]:
            self.ops.append(Reshape(name=name, inputs=inputs, outputs=outputs))
        elif in_place:
            self.ops.append(TransposeImage(name=name, inputs=inputs, outputs=outputs))
        else:
            self.ops.append(Transpose(name=name, inputs=inputs, outputs=outputs, permutation=(0, 2, 1, 3)))
