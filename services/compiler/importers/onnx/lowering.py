"""The state of one import: what every ONNX value became, and the ways operators read and write values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.compiler.importers.onnx.builder import GraphBuilder
from services.compiler.importers.onnx.layout import Layout, image_layout
from services.compiler.importers.onnx.model import Model, Node
from services.compiler.importers.onnx.quantization import Constant, QuantType, quantize_constant
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.target import Lookahead, Target, keeps_type
from services.compiler.importers.onnx.view import View, plain, reshaped, transposed
from services.compiler.ir.ops import Op, Quantize
from services.compiler.ir.tensor import DType, TensorId

Value = View | Constant
NOT_QUANTIZED = "quantize the model first (tinyfarm quantize), so that a QuantizeLinear stands behind every operator"


class Lowering:
    """Values by ONNX name, the graph so far, and the look-ahead over the model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.builder = GraphBuilder()
        self.lookahead = Lookahead(model)
        self.values: dict[str, Value] = {name: Constant(data) for name, data in model.constants.items()}
        # Integer values whose type no zero point tells, and float inputs that are images in NCHW.
        self.integer_names: dict[str, str] = {}
        self.image_inputs: set[TensorId] = set()
        self._quantized: dict[tuple[View, QuantType], View] = {}

    # Reading

    def value(self, node: Node, index: int) -> Value:
        """Return what an input became."""
        name = node.input_or_none(index)
        if name is None:
            raise invalid(f"input {index} of {node.op_type} {node.name!r}", "left out", "is needed")
        return self.values[name]

    def view(self, node: Node, index: int = 0) -> View:
        """Return a quantized activation; a float model input is quantized before a node that keeps its type.

        Raises the refusal of the node if the input is float or constant.
        """
        value = self.value(node, index)
        if isinstance(value, Constant):
            raise unsupported(node, f"its input {node.inputs[index]!r} is a constant", "fold it before export")
        if self.builder.type_of(value.tensor) is None and keeps_type(node, node.inputs[index]):
            type_ = self.lookahead.type_of(node.output)
            if type_ is not None:
                return self.quantized_input(value, type_, f"{node.inputs[index]}/quantized")
        self._check_quantized(node, index, value)
        return value

    def _check_quantized(self, node: Node, index: int, view: View) -> None:
        type_ = self.builder.type_of(view.tensor)
        if type_ is None:
            raise unsupported(node, f"its input {node.inputs[index]!r} is float", NOT_QUANTIZED)
        if type_.dtype is not DType.INT8:
            raise unsupported(node, f"its input {node.inputs[index]!r} is {type_.dtype.value}", "use int8 activations")

    def type_of(self, view: View) -> QuantType:
        """Return the type of a quantized activation."""
        type_ = self.builder.type_of(view.tensor)
        assert type_ is not None  # `view` has checked it
        return type_

    def constant(self, node: Node, index: int) -> Constant:
        """Return a constant input, quantized or not."""
        value = self.value(node, index)
        if isinstance(value, View):
            raise unsupported(node, f"its input {node.inputs[index]!r} is not a constant", "make it one before export")
        return value

    def optional_constant(self, node: Node, index: int) -> Constant | None:
        """Return a constant input, or None where it is left out."""
        return None if node.input_or_none(index) is None else self.constant(node, index)

    def integers(self, node: Node, index: int, attribute: str) -> tuple[int, ...] | None:
        """Return integers that newer opsets give as an input and older ones as an attribute; None if neither does."""
        constant = self.optional_constant(node, index)
        if constant is None:
            found = node.integers(attribute, ())
            return found if attribute in node.attributes else None
        if constant.data.dtype.kind not in "iu":
            raise invalid(f"input {index} of {node.op_type} {node.name!r}", constant.data.dtype, "must be integers")
        return tuple(int(v) for v in constant.data.reshape(-1))

    def axes(self, node: Node, values: Sequence[int], rank: int) -> tuple[int, ...]:
        """Return axes counted from the front. Raises the importer's error for one out of range."""
        if bad := [a for a in values if not -rank <= a < rank]:
            raise invalid(f"axis of {node.op_type} {node.name!r}", bad[0], f"must be -{rank} to {rank - 1}")
        return tuple(a % rank for a in values)

    # Writing

    def bind(self, name: str, value: Value) -> None:
        """Record what an ONNX value became."""
        self.values[name] = value

    def target(self, node: Node) -> Target:
        """Return what the node should write (its first output, or a fused clamp's)."""
        return self.lookahead.target(node.output)

    def required_target(self, node: Node) -> tuple[Target, QuantType]:
        """As `target`, for operators whose output type nothing but a QuantizeLinear can tell."""
        target = self.target(node)
        if target.type is None:
            raise unsupported(node, f"its output {node.output!r} is not quantized", NOT_QUANTIZED)
        if target.type.dtype is not DType.INT8:
            raise unsupported(node, f"its output is {target.type.dtype.value}", "use int8 activations")
        return target, target.type

    def write(
        self, target: str, shape: Sequence[int], layout: Layout, type_: QuantType, make: Callable[[TensorId], Op]
    ) -> None:
        """Add the tensor of ONNX value `target` in a layout, emit the operator that writes it and bind the value."""
        output = self.builder.add_typed(target, layout.stored_shape(shape), type_)
        self.builder.emit(make(output))
        self.bind(target, layout.restore(output, shape))

    def map_stored(self, source: View, target: str, type_: QuantType, make: Callable[[TensorId], Op]) -> None:
        """Emit an operator that treats every element alike on the stored tensor as it is, and bind the value."""
        output = self.builder.add_typed(target, self.builder.stored_shape(source), type_)
        self.builder.emit(make(output))
        self.bind(target, View(output, source.factors, source.order, source.shape))

    def requantized(self, view: View, type_: QuantType, name: str) -> View:
        """Return the view in another type: itself where it has it, else what a Quantize writes."""
        if self.builder.type_of(view.tensor) == type_:
            return view
        output = self.builder.add_typed(name, self.builder.stored_shape(view), type_)
        self.builder.emit(Quantize(name=name, inputs=(view.tensor,), outputs=(output,)))
        return View(output, view.factors, view.order, view.shape)

    def quantized_input(self, view: View, type_: QuantType, name: str) -> View:
        """As `requantized`; a float model input that is an image is stored channels-last behind its Quantize.

        It is quantized once for all that read it in one type.
        """
        if (view, type_) not in self._quantized:
            result = self.requantized(view, type_, name)
            self._quantized[view, type_] = self.stored_as_image(result) if view.tensor in self.image_inputs else result
        return self._quantized[view, type_]

    def stored_as_image(self, view: View) -> View:
        """Return the same value stored channels-last; only the Transpose moves bytes, a Reshape adds the unit axis."""
        layout = image_layout(len(view.shape))
        assert layout is not None  # the caller has checked that it is an image
        rank = len(view.shape)
        last = self.builder.store(moved_axes(self, view, (0, *range(2, rank), 1)))
        stored = self.builder.store(plain(last, layout.stored_shape(view.shape)))
        return layout.restore(stored, view.shape)

    def operand(self, node: Node, index: int, view_shape: tuple[int, ...]) -> Value:
        """Return an operand of an element-wise operator at the rank of the result, constants as int8."""
        value = self.value(node, index)
        rank = len(view_shape)
        if isinstance(value, View):
            self._check_quantized(node, index, value)
            return reshaped(value, (1,) * (rank - len(value.shape)) + value.shape)
        data = value.data.reshape((1,) * (rank - value.data.ndim) + value.data.shape)
        if value.type is not None and value.type.dtype is DType.INT8 and not value.type.quant.per_channel:
            return Constant(data, value.type)
        return quantize_constant(value.real().reshape(data.shape))


def moved_axes(lowering: Lowering, view: View, permutation: Sequence[int]) -> View:
    """Return the view with its axes permuted, storing it first where a view cannot say so."""
    moved = transposed(view, permutation)
    if moved is None:
        moved = transposed(plain(lowering.builder.store(view), view.shape), permutation)
    assert moved is not None  # a plain view can always be transposed
    return moved
