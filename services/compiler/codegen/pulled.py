"""The C text of an input that is pulled: the caller's function, who hands it on, and the layer that calls it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from services.compiler.codegen.names import layer_symbol
from services.compiler.codegen.program import ArenaRef, CType, Layer
from services.compiler.codegen.turns import part_pointer, turn_parameters
from services.compiler.codegen.writer import Writer
from services.compiler.schedule.schedule import StageKind


@dataclass(frozen=True, slots=True)
class PulledInput:
    """An input that the caller keeps: an image [1, rows, columns, channels] of elements of a type."""

    shape: tuple[int, ...]
    dtype: str
    row_bytes: int
    once: bool  # every row is asked for once, in order

    @property
    def rows(self) -> int:
        """The rows of the image."""
        return self.shape[1]


def pulled_parameters(name: str, source: PulledInput | None) -> str:
    """Return what functions that lead to the layer that pulls are given beside the rest."""
    return "" if source is None else f", {name}_read_rows_fn read_rows, void *context"


def read_rows_type(writer: Writer, name: str, source: PulledInput) -> None:
    """Write the type of the caller's function, and what is asked of it."""
    order = (
        "Rows are asked for from the top, each once: a camera's lines will do."
        if source.once
        else "Rows are asked for patch by patch, and again where patches share them."
    )
    writer.lines(
        (
            f"/* Writes rows [row, row + count) of the input, {source.dtype}{list(source.shape)} with channels last,",
            f" * to `rows`: {source.row_bytes} bytes each. {order}",
            " * What is still needed of rows that came before is in the arena. `context` is what invoke was given.",
            " * Returns 0; anything else ends invoke, which returns it. */",
            f"typedef int (*{name}_read_rows_fn)(void *context, void *rows, int32_t row, int32_t count);",
            "",
        )
    )


def pulling_layer(
    writer: Writer, name: str, layer: Layer, pulls: ArenaRef, source: PulledInput, *, row_bytes: int, params: str
) -> None:
    """Write the function of the layer that asks the caller for rows, each of which is held in so many bytes.

    Where they are converted on their way, by a call with these parameters, they are asked for one by one.
    """
    first, stop, rows = _rows(layer, pulls, row_bytes)
    parameters = f"uint8_t *arena{turn_parameters(layer)}{pulled_parameters(name, source)}"
    with writer.block(f"static __attribute__((noinline)) int {layer_symbol(name, layer.index)}({parameters})"):
        if not layer.calls:
            writer.line(f"return read_rows(context, {rows}, {first}, {stop} - {first});")
            return
        (call,) = layer.calls
        row, held = (p for p in call.pointers if isinstance(p, ArenaRef))
        columns = f"0, {source.shape[2]}"
        if layer.kind is StageKind.PATCH:
            columns = f"patch[{layer.place}].col_start, patch[{layer.place}].col_stop"
        writer.line(f"const tf_region a_row = {{0, 1, {columns}, TF_NO_WRAP, 0}};")
        writer.line(f"uint8_t *rows = (uint8_t *)({rows});")
        writer.line("int32_t row;")
        step = held.patch.row_bytes if held.patch else row_bytes
        with writer.block(f"for (row = {first}; row < {stop}; ++row, rows += {step})"):
            to = f"({held.ctype.value} *)(void *)"
            writer.line(f"const int code = read_rows(context, {_start(row)}, row, 1);")
            with writer.block("if (code != 0)"):
                writer.line("return code;")
            writer.line(f"{call.function}(&{params}, &a_row, (const float *)(void *)({_start(row)}), {to}rows);")
        writer.line("return 0;")


def _rows(layer: Layer, pulls: ArenaRef, row_bytes: int) -> tuple[str, str, str]:
    """Return the first row that a turn asks for, the one behind the last, and where they go."""
    match layer.kind:
        case StageKind.PER_LAYER:
            raise AssertionError("rows are pulled in turns only")
        case StageKind.STREAMING:
            rows = part_pointer(replace(pulls, ctype=CType.INT8)) or _start(pulls)
            return "row_start", "row_stop", f"{rows} + row_start * {row_bytes}"
        case StageKind.PATCH:
            box = f"patch[{layer.place}]"
            # what is read behind the patches, too, is held whole
            rows = f"{_start(pulls)} + {box}.row_start * {row_bytes}"
            if pulls.patch:
                skipped = f" - {box}.col_start * {pulls.patch.column_bytes}" if layer.calls else ""
                rows = f"{_start(pulls)}{skipped}"
            return f"{box}.row_start", f"{box}.row_stop", rows
        case _:
            assert_never(layer.kind)


def _start(pulls: ArenaRef) -> str:
    return f"arena + {pulls.offset_bytes}"
