"""The three C files of a network: header, source with one function a layer, weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from services.compiler.codegen.names import comment_text
from services.compiler.codegen.program import (
    ArenaRef,
    ArrayRef,
    ConstArray,
    CType,
    Fields,
    FieldValue,
    KernelCall,
    Layer,
    Program,
    RegionArg,
    Ring,
    Section,
    Symbol,
    Turns,
)
from services.compiler.codegen.writer import Writer
from services.compiler.ir.graph import Graph

ARENA_ALIGN = 16


@dataclass(frozen=True, slots=True)
class IoSlot:
    """Where one input or output of the network lies in the arena."""

    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class NetworkText:
    """What the text needs besides the program: names, the facts told in the header, and the interface."""

    name: str
    facts: tuple[str, ...]
    arena_bytes: int
    headers: tuple[str, ...]
    inputs: tuple[IoSlot, ...]
    outputs: tuple[IoSlot, ...]


def layer_symbol(name: str, index: int) -> str:
    """Return the C function of a layer."""
    return f"{name}_layer_{index:03}"


def header_text(network: NetworkText) -> str:
    """Return `<name>.h`."""
    writer, upper = Writer(), network.name.upper()
    _head(writer, network)
    writer.lines((f"#ifndef {upper}_H", f"#define {upper}_H", ""))
    writer.lines((f"#define {upper}_ARENA_BYTES {network.arena_bytes}u", f"#define {upper}_ARENA_ALIGN {ARENA_ALIGN}u"))
    for kind, slots in (("INPUT", network.inputs), ("OUTPUT", network.outputs)):
        writer.line(f"#define {upper}_{kind}_COUNT {len(slots)}u")
        for number, slot in enumerate(slots):
            writer.line(f"#define {upper}_{kind}_{number}_OFFSET {slot.offset_bytes}u")
            writer.line(f"#define {upper}_{kind}_{number}_BYTES {slot.size_bytes}u")
    writer.lines(("", "#ifdef __cplusplus", 'extern "C" {', "#endif", ""))
    writer.lines(
        (
            f"/* Runs the network once. The arena has {upper}_ARENA_BYTES bytes, aligned to {upper}_ARENA_ALIGN; write",
            " * the inputs into it before every call and read the outputs from it afterwards.",
            " * Returns 0, or -1 if the arena is null or misaligned. */",
            f"int {network.name}_invoke(void *arena);",
        )
    )
    writer.lines(("", "#ifdef __cplusplus", "}", "#endif", "", "#endif"))
    return writer.text()


def source_text(network: NetworkText, program: Program, graph: Graph) -> str:
    """Return `<name>.c`: tables, one function a layer, and invoke."""
    writer = Writer()
    _head(writer, network)
    writer.lines((*(f'#include "{header}"' for header in (f"{network.name}.h", *network.headers)), ""))
    writer.lines(declaration for source in program.sources() for declaration in source.declarations)
    for number, region in enumerate(program.regions()):
        writer.line(f"static const tf_region {network.name}_table_region_{number} = {_region(region)};")
    regions = {region: number for number, region in enumerate(program.regions())}
    for layer in program.layers:
        writer.line()
        _layer(writer, network, layer, graph, regions)
    for stage in program.stages:
        writer.line()
        _stage(writer, network, stage)
    writer.line()
    _invoke(writer, network, program)
    return writer.text()


def weights_text(network: NetworkText, program: Program) -> str:
    """Return `<name>_weights.c`: weights, biases and other constant operands."""
    writer = Writer()
    _head(writer, network)
    writer.lines(("#include <stdint.h>", ""))
    for array in program.arrays(Section.WEIGHTS):
        writer.line(f"extern {_declaration(network, array)};")
        _definition(writer, network, array, storage="")
    return writer.text()


def _head(writer: Writer, network: NetworkText) -> None:
    first, *rest = network.facts
    writer.line(f"/* {comment_text(first)}")
    writer.lines(f" * {comment_text(fact)}" for fact in rest)
    writer.line(" */")


def _layer(writer: Writer, network: NetworkText, layer: Layer, graph: Graph, regions: dict[RegionArg, int]) -> None:
    op = graph.ops[layer.op_index]
    writer.line(f"/* {op.kind} {comment_text(op.name)} -> {list(graph.tensors[op.output].shape)} */")
    for array in layer.arrays():
        if array.section is Section.WEIGHTS:
            writer.line(f"extern {_declaration(network, array)};")
        else:
            _definition(writer, network, array, storage="static ")
    for number, call in enumerate(layer.calls):
        with writer.block(f"static const {call.params_type} {_params_symbol(network, layer, number)} =", ";"):
            _fields(writer, network, call.fields())
    rows = ", int32_t row_start, int32_t row_stop" if layer.in_turns else ""
    with writer.block(
        f"static __attribute__((noinline)) void {layer_symbol(network.name, layer.index)}(uint8_t *arena{rows})"
    ):
        if layer.in_turns:
            for number, call in enumerate(layer.calls):
                writer.line(f"const tf_region region_{number} = {_region_of_turn(call)};")
        for number, call in enumerate(layer.calls):
            region = f"region_{number}" if layer.in_turns else f"{network.name}_table_region_{regions[call.region]}"
            writer.line(_call(network, layer, number, call, region))


def _call(network: NetworkText, layer: Layer, number: int, call: KernelCall, region: str) -> str:
    arguments = [f"&{_params_symbol(network, layer, number)}", f"&{region}"]
    arguments += [_pointer(network, p) for p in call.pointers]
    return f"{call.function}({', '.join(arguments)});"


def _region_of_turn(call: KernelCall) -> str:
    """Return the rows asked for; where a window slides over a ring, also where that turns."""
    cols = f"{call.region.cols[0]}, {call.region.cols[1]}"
    rings = [p.ring for p in call.pointers if isinstance(p, ArenaRef) and p.ring is not None]
    sliding = [ring for ring in rings if ring.window.slides]
    if not sliding:
        return f"{{row_start, row_stop, {cols}, TF_NO_WRAP, 0}}"
    (ring,) = sliding
    return f"{{row_start, row_stop, {cols}, tf_ring_end({_first_row(ring)}, {ring.rows}), {ring.size_bytes}}}"


def _first_row(ring: Ring) -> str:
    if ring.window.whole:
        return "0"
    if (ring.window.stride, ring.window.offset) == (1, 0):
        return "row_start"
    return f"tf_first_row(row_start, {ring.window.stride}, {ring.window.offset})"


def _stage(writer: Writer, network: NetworkText, stage: Turns) -> None:
    """Write the table of turns and the function that takes them."""
    table = _turns_symbol(network, stage)
    with writer.block(f"static const tf_turn {table}[{len(stage.turns)}] =", ";"):
        writer.values(
            f"{{{turn.layer - stage.start}, {turn.rows[1] - turn.rows[0]}, {turn.rows[0]}}}" for turn in stage.turns
        )
    writer.line()
    with writer.block(f"static __attribute__((noinline)) void {_stage_symbol(network, stage)}(uint8_t *arena)"):
        writer.line("const tf_turn *turn;")
        with writer.block(f"for (turn = {table}; turn != {table} + {len(stage.turns)}; ++turn)"):
            writer.line("const int32_t row_start = turn->row_start, row_stop = row_start + turn->rows;")
            with writer.block("switch (turn->layer)"):
                for layer in range(stage.start, stage.stop):
                    label = f"case {layer - stage.start}" if layer + 1 < stage.stop else "default"
                    writer.lines((f"{label}:", f"    {layer_symbol(network.name, layer)}(arena, row_start, row_stop);",
                                  "    break;"))  # fmt: skip


def _turns_symbol(network: NetworkText, stage: Turns) -> str:
    return f"{network.name}_table_turns_{stage.start:03}"


def _stage_symbol(network: NetworkText, stage: Turns) -> str:
    return f"{network.name}_stage_{stage.start:03}"


def _invoke(writer: Writer, network: NetworkText, program: Program) -> None:
    with writer.block(f"int {network.name}_invoke(void *arena)"):
        with writer.block(f"if (arena == 0 || (uintptr_t)arena % {network.name.upper()}_ARENA_ALIGN != 0u)"):
            writer.line("return -1;")
        for _, function in sorted(_functions(network, program)):
            writer.line(f"{function}((uint8_t *)arena);")
        writer.line("return 0;")


def _functions(network: NetworkText, program: Program) -> Iterator[tuple[int, str]]:
    """Yield the functions that invoke calls, with the number of their first layer."""
    yield from ((stage.start, _stage_symbol(network, stage)) for stage in program.stages)
    for layer in program.layers:
        if not layer.in_turns:
            yield layer.index, layer_symbol(network.name, layer.index)


def _params_symbol(network: NetworkText, layer: Layer, number: int) -> str:
    return f"{network.name}_table_{layer.index:03}_call_{number}"


def _symbol(network: NetworkText, array: ConstArray) -> str:
    return f"{network.name}_{array.section.value}_{array.suffix}"


def _declaration(network: NetworkText, array: ConstArray) -> str:
    return f"const {array.ctype.value} {_symbol(network, array)}[{array.count}]"


def _definition(writer: Writer, network: NetworkText, array: ConstArray, storage: str) -> None:
    values = array.values()
    if values.shape != (array.count,):
        raise AssertionError(f"array {array.suffix} has values of shape {values.shape}: declared {array.count}")
    with writer.block(f"{storage}{_declaration(network, array)} =", ";"):
        if array.ctype is CType.FLOAT32:
            writer.values(_float(v) for v in values.tolist())
        else:
            writer.values(values.tolist())


def _fields(writer: Writer, network: NetworkText, fields: Fields) -> None:
    for name, value in fields:
        writer.line(f".{name} = {_value(network, value)},")


def _value(network: NetworkText, value: FieldValue) -> str:
    match value:
        case int():
            return str(value)
        case float():
            return _float(value)
        case ArrayRef():
            return _symbol(network, value.array)
        case Symbol():
            return value.name
        case tuple():
            items = (f".{v[0]} = {_value(network, v[1])}" if isinstance(v, tuple) else str(v) for v in value)
            return f"{{{', '.join(items)}}}"
        case _:
            assert_never(value)


def _pointer(network: NetworkText, pointer: ArenaRef | ArrayRef) -> str:
    match pointer:
        case ArenaRef():
            if pointer.ring is not None:
                ring = pointer.ring
                return f"tf_ring(arena + {pointer.offset_bytes}, {_first_row(ring)}, {ring.rows}, {ring.row_bytes})"
            return f"({pointer.ctype.value} *)(void *)(arena + {pointer.offset_bytes})"
        case ArrayRef():
            return _symbol(network, pointer.array)
        case _:
            assert_never(pointer)


def _region(region: RegionArg) -> str:
    return f"{{{region.rows[0]}, {region.rows[1]}, {region.cols[0]}, {region.cols[1]}, TF_NO_WRAP, 0}}"


def _float(value: float) -> str:
    """Return a float32 as a C99 hexadecimal constant, which loses nothing."""
    return f"{float(np.float32(value)).hex()}f"
