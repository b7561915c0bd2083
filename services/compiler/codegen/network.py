"""The three C files of a network: header, source with one function a layer, weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from services.compiler.codegen.names import comment_text, layer_symbol
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
    Section,
    Symbol,
)
from services.compiler.codegen.turns import part_pointer, region_of_turn, stage_symbol, stage_text, turn_parameters
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
        stage_text(writer, network.name, stage)
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
    symbol, asked = layer_symbol(network.name, layer.index), turn_parameters(layer)
    with writer.block(f"static __attribute__((noinline)) void {symbol}(uint8_t *arena{asked})"):
        if layer.in_turns:
            for number, call in enumerate(layer.calls):
                writer.line(f"const tf_region region_{number} = {region_of_turn(layer, call)};")
        for number, call in enumerate(layer.calls):
            region = f"region_{number}" if layer.in_turns else f"{network.name}_table_region_{regions[call.region]}"
            writer.line(_call(network, layer, number, call, region))


def _call(network: NetworkText, layer: Layer, number: int, call: KernelCall, region: str) -> str:
    arguments = [f"&{_params_symbol(network, layer, number)}", f"&{region}"]
    arguments += [_pointer(network, p) for p in call.pointers]
    return f"{call.function}({', '.join(arguments)});"


def _invoke(writer: Writer, network: NetworkText, program: Program) -> None:
    with writer.block(f"int {network.name}_invoke(void *arena)"):
        with writer.block(f"if (arena == 0 || (uintptr_t)arena % {network.name.upper()}_ARENA_ALIGN != 0u)"):
            writer.line("return -1;")
        for _, function in sorted(_functions(network, program)):
            writer.line(f"{function}((uint8_t *)arena);")
        writer.line("return 0;")


def _functions(network: NetworkText, program: Program) -> Iterator[tuple[int, str]]:
    """Yield the functions that invoke calls, with the number of their first layer."""
    yield from ((stage.start, stage_symbol(network.name, stage)) for stage in program.stages)
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
            return part_pointer(pointer) or f"({pointer.ctype.value} *)(void *)(arena + {pointer.offset_bytes})"
        case ArrayRef():
            return _symbol(network, pointer.array)
        case _:
            assert_never(pointer)


def _region(region: RegionArg) -> str:
    return f"{{{region.rows[0]}, {region.rows[1]}, {region.cols[0]}, {region.cols[1]}, TF_NO_WRAP, 0}}"


def _float(value: float) -> str:
    """Return a float32 as a C99 hexadecimal constant, which loses nothing."""
    return f"{float(np.float32(value)).hex()}f"
