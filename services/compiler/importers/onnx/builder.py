"""Collects the tensors and operators of the graph being built, and moves bytes only where a view must be stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from services.compiler.importers.onnx.layout import Layout, candidates
from services.compiler.importers.onnx.model import Array
from services.compiler.importers.onnx.quantization import QuantType
from services.compiler.importers.onnx.view import View, plain, reshaped, stored_axes
from services.compiler.ir.ops import Op, Reshape, Transpose
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId

MAX_RANK = 4


class GraphBuilder:
    """Tensors by id and operators in order; what has been stored in one layout is not stored in it again."""

    def __init__(self) -> None:
        self.tensors: dict[TensorId, Tensor] = {}
        self.ops: list[Op] = []
        self._stored: dict[tuple[TensorId, tuple[int, ...], tuple[int, ...], tuple[int, ...]], TensorId] = {}

    def add(self, name: str, shape: Sequence[int], dtype: DType, quant: QuantParams | None) -> TensorId:
        """Add an activation tensor and return its id."""
        return self._put(Tensor(name, tuple(shape), dtype, quant))

    def add_typed(self, name: str, shape: Sequence[int], type_: QuantType) -> TensorId:
        """Add an activation tensor of a quantized type and return its id."""
        return self.add(name, shape, type_.dtype, type_.quant)

    def add_constant(self, name: str, data: Array, dtype: DType, quant: QuantParams | None) -> TensorId:
        """Add a constant and return its id."""
        held = np.ascontiguousarray(data, dtype=dtype.numpy)
        return self._put(Tensor(name, held.shape, dtype, quant, held, is_constant=True))

    def emit(self, op: Op) -> None:
        """Append an operator."""
        self.ops.append(op)

    def rename(self, tensor: TensorId, name: str) -> None:
        """Give a tensor another name."""
        self.tensors[tensor] = replace(self.tensors[tensor], name=name)

    def type_of(self, tensor: TensorId) -> QuantType | None:
        """Return the quantized type of a tensor, None for a float one."""
        found = self.tensors[tensor]
        return None if found.quant is None else QuantType(found.dtype, found.quant)

    def stored_shape(self, view: View) -> tuple[int, ...]:
        """Return the shape of the tensor below a view."""
        return self.tensors[view.tensor].shape

    def store(self, view: View) -> TensorId:
        """Return a tensor that holds the view's elements row by row in the view's shape, moving bytes if it must."""
        key = (view.tensor, view.factors, view.order, view.shape)
        if key not in self._stored:
            self._stored[key] = self._store(view)
        return self._stored[key]

    def _store(self, view: View) -> TensorId:
        stored_shape = self.stored_shape(view)
        if view.is_plain:
            return view.tensor if stored_shape == view.shape else self._reshape(view.tensor, view.shape)
        axes = stored_axes(view, stored_shape)
        if axes is not None:
            return self._transpose(view.tensor, axes)
        if len(view.factors) > MAX_RANK:
            return self.store(plain(self._in_steps(view), view.shape))
        cut = self.store(plain(view.tensor, view.factors))
        return self.store(
            reshaped(plain(moved := self._transpose(cut, view.order), self.tensors[moved].shape), view.shape)
        )

    def _in_steps(self, view: View) -> TensorId:
        """Bring more factors than a Transpose can take into order one by one: each is moved before a run of others."""
        source, remaining = view.tensor, list(range(len(view.factors)))
        for position, factor in enumerate(view.order):
            found = remaining.index(factor)
            if found == position:
                continue
            sizes = [view.factors[f] for f in remaining]
            cut = (prod(sizes[:position]), prod(sizes[position:found]), sizes[found], prod(sizes[found + 1 :]))
            source = self._transpose(self.store(plain(source, cut)), (0, 2, 1, 3))
            remaining.insert(position, remaining.pop(found))
        return source

    def _reshape(self, source: TensorId, shape: tuple[int, ...]) -> TensorId:
        output = self._like(source, "reshape", shape)
        self.emit(Reshape(name=self.tensors[output].name, inputs=(source,), outputs=(output,)))
        return output

    def _transpose(self, source: TensorId, axes: tuple[int, ...]) -> TensorId:
        shape = tuple(self.tensors[source].shape[a] for a in axes)
        output = self._like(source, "transpose", shape)
        name = self.tensors[output].name
        self.emit(Transpose(name=name, inputs=(source,), outputs=(output,), permutation=axes))
        return output

    def in_layout(self, view: View, layout: Layout) -> TensorId:
        """Return a tensor that holds the view in a layout."""
        moved = layout.of(view)
        if moved is None:
            moved = layout.of(plain(self.store(view), view.shape))
        assert moved is not None  # a plain view can always be transposed
        return self.store(moved)

    def cheapest_layout(self, views: Sequence[View], rank: int) -> Layout:
        """Return the layout in which the fewest bytes of the views (of equal rank) have to be moved."""
        return min(candidates(rank), key=lambda layout: sum(self._moved_bytes(v, layout) for v in views))

    def _moved_bytes(self, view: View, layout: Layout) -> int:
        """Bytes that storing moves; a mere change of shape counts as one, so that the exact shape wins."""
        moved = layout.of(view)
        if moved is None or not moved.is_plain:
            return 2 * self.tensors[view.tensor].size_bytes
        return 0 if moved.shape == self.stored_shape(view) else 1

    def _like(self, source: TensorId, suffix: str, shape: Sequence[int]) -> TensorId:
        tensor = self.tensors[source]
        return self.add(f"{tensor.name}/{suffix}", shape, tensor.dtype, tensor.quant)

    def _put(self, tensor: Tensor) -> TensorId:
        identifier = len(self.tensors)
        self.tensors[identifier] = tensor
        return identifier
