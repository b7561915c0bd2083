"""The comments of a library's C files: what it was made from and how, its memory; each input and output."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from services.compiler.codegen.names import COMMENT_WIDTH
from services.compiler.ir.tensor import quoted
from services.compiler.library import IoTensor, LibraryManifest


def header_facts(manifest: LibraryManifest) -> tuple[str, ...]:
    """Return the lines of the comment."""
    memory, made_for = manifest.memory, f"{manifest.target} ({manifest.core})"
    return (
        *_wrapped((f"{manifest.model_name} compiled by tinyfarm {manifest.tool_version} for {made_for}",)),
        f"{manifest.schedule} schedule, {manifest.kernels} kernels, {manifest.interface} interface",
        *_wrapped((manifest.schedule_reason,)),
        f"arena {memory.arena} bytes at layer {manifest.peak_layer} = input {memory.input} + activations "
        f"{memory.activations}",
        f"  + line buffers {memory.line_buffers} + scratch {memory.scratch}",
        f"plan {manifest.plan.algorithm}: bound {manifest.plan.lower_bound_bytes}, gap {manifest.plan.gap_bytes} bytes",
        f"weights {manifest.weights_bytes} bytes, tables {manifest.tables_bytes} bytes, {manifest.macs} MACs",
    )


def edge_facts(kind: str, number: int, tensor: IoTensor) -> tuple[str, ...]:
    """Return what the header says of one input or output beside its place: name, type, axes and what integers mean."""
    what = f"{kind} {number}: {_edge(tensor, 'transposed' if kind == 'input' else 'to be transposed')}"
    named = f"name {quoted(tensor.name)}"
    if tensor.scale is not None:
        zero = tensor.zero_point or 0
        named += f", an integer q is {tensor.scale!r} times (q {'+' if zero < 0 else '-'} {abs(zero)})"
    return tuple(_wrapped((what, named)))


def _edge(tensor: IoTensor, what: str) -> str:
    """Return what an input or output is in C, and in the model where that is something else."""
    held = f"{tensor.dtype}{list(tensor.shape)}"
    declared = f"{tensor.model_dtype}{list(tensor.model_shape)}"
    axes = "" if tensor.permutation is None else f", {what} by {tensor.permutation}"
    return held if held == declared and not axes else f"{held}, the model's {declared}{axes}"


def _wrapped(facts: Iterable[str]) -> Iterator[str]:
    for fact in facts:
        yield from textwrap.wrap(fact, COMMENT_WIDTH, subsequent_indent="  ")
