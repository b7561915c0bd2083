"""Pools and means. Pools keep their input's type; what a QuantizeLinear wants else is a Quantize behind them."""

from __future__ import annotations

from dataclasses import replace

from services.compiler.importers.onnx.layout import Layout, image_layout
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.refusals import unsupported
from services.compiler.importers.onnx.view import View, reshaped
from services.compiler.importers.onnx.windows import Windows, read_windows
from services.compiler.ir.ops import AveragePool2D, MaxPool2D, Mean, Pad, Padding, Sum
from services.compiler.ir.tensor import TensorId


def lower_pool(lowering: Lowering, node: Node) -> None:
    """Emit MaxPool or AveragePool."""
    view = lowering.view(node)
    layout = _image(node, view)
    if len(node.outputs) > 1 and any(lowering.lookahead.consumers(v) for v in node.outputs[1:]):
        raise unsupported(node, "its indices are used", "use the values only")
    kernel = node.integers("kernel_shape", ())
    windows = read_windows(node, (1,) * (2 - len(kernel)) + kernel, layout.lifted(view.shape)[2:])
    if windows.dilation_hw != (1, 1):
        raise unsupported(node, f"its dilation is {windows.dilation_hw}", "use dilation 1")
    if node.op_type == "AveragePool" and _sees_all(windows, layout.lifted(view.shape)[2:]):
        lower_global_average_pool(lowering, node)
        return
    source = lowering.builder.in_layout(view, layout)
    if node.op_type == "AveragePool" and node.integer("count_include_pad", 0):
        source, windows = _pad_first(lowering, node, source, windows)
    spatial = windows.output_hw if len(view.shape) == 4 else windows.output_hw[1:]
    kind = MaxPool2D if node.op_type == "MaxPool" else AveragePool2D

    def make(output: TensorId) -> MaxPool2D | AveragePool2D:
        return kind(
            name=node.name,
            inputs=(source,),
            outputs=(output,),
            kernel_hw=windows.kernel_hw,
            stride_hw=windows.stride_hw,
            padding=windows.padding,
        )

    lowering.write(node.output, (*view.shape[:2], *spatial), layout, lowering.type_of(view), make)


def _sees_all(windows: Windows, image_hw: tuple[int, ...]) -> bool:
    return windows.kernel_hw == image_hw and windows.padding == Padding()


def _image(node: Node, view: View) -> Layout:
    layout = image_layout(len(view.shape))
    if layout is None:
        raise unsupported(node, f"its input has rank {len(view.shape)}", "use 1-D or 2-D images")
    return layout


def _pad_first(lowering: Lowering, node: Node, source: TensorId, windows: Windows) -> tuple[TensorId, Windows]:
    """Padding that counts towards the divisor becomes real zeros."""
    padding = windows.padding
    if padding == Padding():
        return source, windows
    if node.integer("ceil_mode", 0):
        raise unsupported(node, "count_include_pad with ceil_mode", "use one of them")
    tensor = lowering.builder.tensors[source]
    assert tensor.quant is not None  # it is a quantized view
    before, after = (0, padding.top, padding.left, 0), (0, padding.bottom, padding.right, 0)
    shape = tuple(b + size + a for b, size, a in zip(before, tensor.shape, after, strict=True))
    padded = lowering.builder.add(f"{node.output}/padded", shape, tensor.dtype, tensor.quant)
    value = tensor.quant.zero_point[0]
    lowering.builder.emit(
        Pad(name=f"{node.name}/pad", inputs=(source,), outputs=(padded,), before=before, after=after, value=value)
    )
    return padded, replace(windows, padding=Padding())


def lower_global_max_pool(lowering: Lowering, node: Node) -> None:
    """Emit GlobalMaxPool, or ReduceMax over the image, as a MaxPool2D with a window of the image's size."""
    view = lowering.view(node)
    layout, rank = _image(node, view), len(view.shape)
    spatial = tuple(range(2, rank))
    keep = True
    if node.op_type == "ReduceMax":
        axes = lowering.axes(node, lowering.integers(node, 1, "axes") or tuple(range(rank)), rank)
        keep = bool(node.integer("keepdims", 1))
        if tuple(sorted(axes)) != spatial:
            raise unsupported(node, f"it reduces axes {axes}", f"reduce the image's axes {spatial}")
    source = lowering.builder.in_layout(view, layout)
    _, height, width, _ = lowering.builder.tensors[source].shape

    def make(output: TensorId) -> MaxPool2D:
        return MaxPool2D(name=node.name, inputs=(source,), outputs=(output,), kernel_hw=(height, width))

    lowering.write(node.output, (*view.shape[:2], *(1,) * len(spatial)), layout, lowering.type_of(view), make)
    if not keep:
        result = lowering.values[node.output]
        assert isinstance(result, View)  # just written
        lowering.bind(node.output, reshaped(result, view.shape[:2]))


def lower_global_average_pool(lowering: Lowering, node: Node) -> None:
    """Emit GlobalAveragePool, or an AveragePool whose one window is the image, as a Mean over the image axes."""
    view = lowering.view(node)
    _emit_mean(lowering, node, view, tuple(range(2, len(view.shape))), keep=True)


def lower_reduction(lowering: Lowering, node: Node) -> None:
    """Emit ReduceMean or ReduceSum over constant axes (all of them where none are given)."""
    view = lowering.view(node)
    rank = len(view.shape)
    given = lowering.integers(node, 1, "axes")
    if not given and node.integer("noop_with_empty_axes", 0):
        lowering.bind(node.output, view)
        return
    axes = lowering.axes(node, given or tuple(range(rank)), rank)
    _emit_mean(lowering, node, view, tuple(sorted(set(axes))), keep=bool(node.integer("keepdims", 1)))


def _emit_mean(lowering: Lowering, node: Node, view: View, axes: tuple[int, ...], *, keep: bool) -> None:
    rank = len(view.shape)
    layout = lowering.builder.cheapest_layout([view], rank)
    source = lowering.builder.in_layout(view, layout)
    type_ = lowering.lookahead.type_of(node.output) or lowering.type_of(view)
    stored_axes = tuple(sorted(_with_units(layout, axes, rank)))
    kind = Sum if node.op_type == "ReduceSum" else Mean
    kept = tuple(1 if a in axes else size for a, size in enumerate(view.shape))
    lowering.write(
        node.output,
        kept,
        layout,
        type_,
        lambda out: kind(name=node.name, inputs=(source,), outputs=(out,), axes=stored_axes),
    )
    if not keep:
        result = lowering.values[node.output]
        assert isinstance(result, View)  # just written
        lowering.bind(node.output, reshaped(result, [size for a, size in enumerate(view.shape) if a not in axes]))


def _with_units(layout: Layout, axes: tuple[int, ...], rank: int) -> set[int]:
    """Return the stored axes of `axes`; where a whole image is averaged, the unit axis put in is averaged with it."""
    stored = {layout.axis(a) for a in axes}
    if rank == 3 and len(layout.permutation) == 4 and stored == {2}:
        return {1, 2}
    return stored
