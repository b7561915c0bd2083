"""The C text of stages that run in turns: what a layer is asked for, where operands lie, and the loop over turns."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import assert_never

from services.compiler.codegen.names import layer_symbol
from services.compiler.codegen.program import ArenaRef, CType, KernelCall, Layer, LayerTurn, Ring, Turns
from services.compiler.codegen.writer import Writer
from services.compiler.schedule.schedule import StageKind


def turn_parameters(layer: Layer) -> str:
    """Return what a layer's function is given beside the arena: rows of its output, or a patch's boxes."""
    match layer.kind:
        case StageKind.PER_LAYER:
            return ""
        case StageKind.STREAMING:
            return ", int32_t row_start, int32_t row_stop"
        case StageKind.PATCH:
            return ", const tf_box *patch"
        case _:
            assert_never(layer.kind)


def region_of_turn(layer: Layer, call: KernelCall) -> str:
    """Return the initializer of a turn's region; where a window slides over a ring, it tells where that turns."""
    if layer.kind is StageKind.PATCH:
        return f"tf_region_of(patch + {layer.place})"
    cols = f"{call.region.cols[0]}, {call.region.cols[1]}"
    rings = [p.ring for p in call.pointers if isinstance(p, ArenaRef) and p.ring is not None]
    sliding = [ring for ring in rings if ring.window.slides]
    if not sliding:
        return f"{{row_start, row_stop, {cols}, TF_NO_WRAP, 0}}"
    (ring,) = sliding
    return f"{{row_start, row_stop, {cols}, tf_ring_end({_first_row(ring)}, {ring.rows}), {ring.size_bytes}}}"


def part_pointer(pointer: ArenaRef) -> str | None:
    """Return the pointer to a tensor of which a part is held; None if all of it is."""
    start = f"arena + {pointer.offset_bytes}"
    cast = "" if pointer.ctype is CType.INT8 else f"({pointer.ctype.value} *)(void *)"
    if (patch := pointer.patch) is not None:
        return f"{cast}tf_patch({start}, patch + {patch.maker}, {patch.row_bytes}, {patch.column_bytes})"
    if (ring := pointer.ring) is not None:
        return f"{cast}tf_ring({start}, {_first_row(ring)}, {ring.rows}, {ring.row_bytes})"
    return None


def stage_symbol(name: str, stage: Turns) -> str:
    """Return the C function of a stage."""
    return f"{name}_stage_{stage.start:03}"


@dataclass(frozen=True, slots=True)
class Pulling:
    """The layer of a stage that asks the caller for rows, and what it is given for that beside the rest."""

    layer: int
    parameters: str


def stage_text(writer: Writer, name: str, stage: Turns, pulling: Pulling | None = None) -> None:
    """Write the table of turns and the function that takes them; with a layer that pulls, it returns what that did."""
    table = f"{name}_table_turns_{stage.start:03}"
    kind = "tf_box" if stage.kind is StageKind.PATCH else "tf_turn"
    with writer.block(f"static const {kind} {table}[{len(stage.turns)}] =", ";"):
        writer.values(_box(turn) if stage.kind is StageKind.PATCH else _rows(stage, turn) for turn in stage.turns)
    writer.line()
    result, parameters = ("void", "") if pulling is None else ("int", pulling.parameters)
    head = f"static __attribute__((noinline)) {result} {stage_symbol(name, stage)}(uint8_t *arena{parameters})"
    with writer.block(head):
        (_patches if stage.kind is StageKind.PATCH else _streams)(writer, name, stage, table, pulling)
        if pulling is not None:
            writer.line("return 0;")


def _patches(writer: Writer, name: str, stage: Turns, table: str, pulling: Pulling | None) -> None:
    layers = stage.stop - stage.start
    writer.line("const tf_box *patch;")
    with writer.block(f"for (patch = {table}; patch != {table} + {len(stage.turns)}; patch += {layers})"):
        writer.line("TF_KEEP_LOOP(patch);")  # every turn written out would be a call a layer more
        for layer in range(stage.start, stage.stop):
            _call(writer, name, layer, "patch", pulling)


def _streams(writer: Writer, name: str, stage: Turns, table: str, pulling: Pulling | None) -> None:
    writer.line("const tf_turn *turn;")
    with writer.block(f"for (turn = {table}; turn != {table} + {len(stage.turns)}; ++turn)"):
        writer.line("TF_KEEP_LOOP(turn);")
        writer.line("const int32_t row_start = turn->row_start, row_stop = row_start + turn->rows;")
        with writer.block("switch (turn->layer)"):
            for layer in range(stage.start, stage.stop):
                label = f"case {layer - stage.start}" if layer + 1 < stage.stop else "default"
                with writer.block(f"{label}:"):
                    _call(writer, name, layer, "row_start, row_stop", pulling)
                    writer.line("break;")


def _call(writer: Writer, name: str, layer: int, part: str, pulling: Pulling | None) -> None:
    """Write the call of a layer for a part of its output; an error of the one that pulls ends the stage."""
    if pulling is None or layer != pulling.layer:
        writer.line(f"{layer_symbol(name, layer)}(arena, {part});")
        return
    writer.line(f"const int code = {layer_symbol(name, layer)}(arena, {part}, read_rows, context);")
    with writer.block("if (code != 0)"):
        writer.line("return code;")


def _rows(stage: Turns, turn: LayerTurn) -> str:
    return f"{{{turn.layer - stage.start}, {turn.rows[1] - turn.rows[0]}, {turn.rows[0]}}}"


def _box(turn: LayerTurn) -> str:
    return f"{{{', '.join(str(edge) for edge in itertools.chain(turn.rows, turn.cols))}}}"


def _first_row(ring: Ring) -> str:
    if ring.window.whole:
        return "0"
    if (ring.window.stride, ring.window.offset) == (1, 0):
        return "row_start"
    return f"tf_first_row(row_start, {ring.window.stride}, {ring.window.offset})"
