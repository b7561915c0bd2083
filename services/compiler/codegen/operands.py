"""Where the operands of one step are: in the arena, or among the constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.compiler.codegen.program import ArenaRef, ArrayRef, ConstArray, CType, Patch, Ring, Section
from services.compiler.ir.graph import Graph
from services.compiler.ir.shapes import row_stride
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.memory.arena import ArenaPlan
from services.compiler.quant.folding import constant_data
from services.compiler.schedule.rows import Window, window
from services.compiler.schedule.schedule import Buffer, BufferId, Step


@dataclass(frozen=True, slots=True)
class Operands:
    """Pointers of one step; `label` (the layer's number) makes the names of its constants, `first_op` is the operator
    with which its stage begins.
    """

    graph: Graph
    step: Step
    label: str
    buffers: Mapping[BufferId, Buffer]
    plan: ArenaPlan
    roots: Mapping[TensorId, TensorId]
    first_op: int = 0

    def read(self, tensor: TensorId) -> ArenaRef | ArrayRef:
        """Return the pointer to an input: arena bytes, or a constant array."""
        root = self.roots[tensor]
        if self.graph.tensors[root].is_constant:
            return ArrayRef(self._constant(root))
        return self._arena(tensor, self.step.reads)

    def write(self, tensor: TensorId) -> ArenaRef:
        """Return the pointer to an output."""
        return self._arena(tensor, self.step.writes)

    def scratch(self) -> ArenaRef | None:
        """Return the pointer to the step's scratch, if it has one."""
        return None if self.step.scratch is None else ArenaRef(self.plan.offsets[self.step.scratch])

    def needed_scratch(self, ctype: CType = CType.INT8) -> ArenaRef:
        """Return the pointer to the scratch that the schedule must have given the step."""
        if self.step.scratch is None:
            raise AssertionError(f"step of operator {self.step.op_index} has no scratch")
        return ArenaRef(self.plan.offsets[self.step.scratch], ctype)

    def rows(self) -> int | None:
        """Return the output rows that a call computes at most; None is all."""
        return None if self.step.extent is None else self.step.extent[0]

    def scratch_bytes(self) -> int:
        """Return the size of the step's scratch; 0 where it has none."""
        return 0 if self.step.scratch is None else self.buffers[self.step.scratch].size_bytes

    def _arena(self, tensor: TensorId, among: tuple[BufferId, ...]) -> ArenaRef:
        buffer = self.buffers[next(b for b in among if tensor in self.buffers[b].tensors)]
        ctype = element_ctype(self.graph.tensors[tensor].dtype)
        return ArenaRef(self.plan.offsets[buffer.id], ctype, self._ring(tensor, buffer), self._patch(tensor, buffer))

    def row_stride(self, tensor: TensorId) -> int:
        """Return the elements from one row of a tensor to the next, where it lies."""
        found = next((b for b in self.buffers.values() if tensor in b.tensors and b.columns is not None), None)
        if found is None or found.columns is None:
            return row_stride(self.graph, tensor)
        return found.columns * self.graph.tensors[tensor].shape[3]

    def _patch(self, tensor: TensorId, buffer: Buffer) -> Patch | None:
        if buffer.columns is None:
            return None
        column_bytes = self.graph.tensors[tensor].pixel_bytes
        # an operator that is lowered alone does not know who makes its input
        maker = next((n for n, op in enumerate(self.graph.ops) if tensor in op.outputs), self.first_op)
        return Patch(buffer.columns * column_bytes, column_bytes, maker - self.first_op)

    def _ring(self, tensor: TensorId, buffer: Buffer) -> Ring | None:
        if buffer.rows is None or buffer.columns is not None:
            return None
        op = self.graph.ops[self.step.op_index]
        own = Window(1, 0, 1, self.graph.tensors[tensor].shape[1])
        slid = own if tensor in op.outputs else window(self.graph, op, tensor)
        return Ring(buffer.rows, buffer.size_bytes // buffer.rows, slid)

    def _constant(self, tensor: TensorId) -> ConstArray:
        graph = self.graph
        ctype = element_ctype(graph.tensors[tensor].dtype)
        return ConstArray(
            f"{self.label}_constant_{tensor}",
            Section.WEIGHTS,
            ctype,
            graph.tensors[tensor].elements,
            lambda: constant_data(graph, tensor).view(ctype_numpy(ctype)).ravel(),
        )


def element_ctype(dtype: DType) -> CType:
    """Return the C type that kernels see an activation's elements as; 8 bits are int8, signed or not."""
    match dtype:
        case DType.FLOAT32:
            return CType.FLOAT32
        case DType.INT16:
            return CType.INT16
        case DType.INT32:
            return CType.INT32
        case _:
            return CType.INT8


def ctype_numpy(ctype: CType) -> str:
    """Return numpy's name of an element type."""
    return "float32" if ctype is CType.FLOAT32 else ctype.value.removesuffix("_t")
