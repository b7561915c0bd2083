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
    Turns,
)
from services.compiler.codegen.pulled import PulledInput, pulled_parameters, pulling_layer, read_rows_type
from services.compiler.codegen.turns import (
    Pulling,
    part_pointer,
    region_of_turn,
    stage_symbol,
    stage_text,
    turn_parameters,
)
from services.compiler.codegen.writer import Writer
from services.compiler.ir.graph import Graph

ARENA_ALIGN = 16


@dataclass(frozen=True, slots=True)
class IoSlot:
    """Where one input or output of the network lies in the arena (None: with the caller), what is told of it, and what
    its integers mean: real value = scale * (value - zero point).
    """

    offset_bytes: int | None
    size_bytes: int
    facts: tuple[str, ...] = ()
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, slots=True)
class NetworkText:
    """What the text needs besides the program: names, the facts told in the header, and the interface.

    An input that is `pulled`, the only one, has no place in the arena.
    """

    name: str
    facts: tuple[str, ...]
    arena_bytes: int
    headers: tuple[str, ...]
    inputs: tuple[IoSlot, ...]
    outputs: tuple[IoSlot, ...]
    pulled: PulledInput | None = None


def header_text(network: NetworkText) -> str:
    """Return `<name>.h`."""
    writer, upper = Writer(), network.name.upper()
    _comment(writer, network.facts)
    writer.lines((f"#ifndef {upper}_H", f"#define {upper}_H", ""))
    if network.pulled is not None:
        writer.lines(("#include <stdint.h>", ""))
    sizes = (f"#define {upper}_ARENA_BYTES {network.arena_bytes}u", f"#define {upper}_ARENA_ALIGN {ARENA_ALIGN}u")
    writer.lines((*sizes, ""))
    _slots(writer, f"{upper}_INPUT", network.inputs, network.pulled)
    _slots(writer, f"{upper}_OUTPUT", network.outputs)
    writer.lines(("#ifdef __cplusplus", 'extern "C" {', "#endif", ""))
    if network.pulled is not None:
        read_rows_type(writer, network.name, network.pulled)
    _invoke_declaration(writer, network)
    writer.lines(("", "#ifdef __cplusplus", "}", "#endif", "", "#endif"))
    return writer.text()


def _slots(writer: Writer, prefix: str, slots: tuple[IoSlot, ...], pulled: PulledInput | None = None) -> None:
    writer.line(f"#define {prefix}_COUNT {len(slots)}u")
    for number, slot in enumerate(slots):
        if slot.facts:
            writer.line()
            _comment(writer, slot.facts)
        if slot.offset_bytes is not None:
            writer.line(f"#define {prefix}_{number}_OFFSET {slot.offset_bytes}u")
        writer.line(f"#define {prefix}_{number}_BYTES {slot.size_bytes}u")
        if slot.scale is not None:
            writer.line(f"#define {prefix}_{number}_SCALE {slot.scale!r}f")
            writer.line(f"#define {prefix}_{number}_ZERO_POINT ({slot.zero_point})")
    if pulled is not None:
        writer.line(f"#define {prefix}_0_ROWS {pulled.rows}u")
        writer.line(f"#define {prefix}_0_ROW_BYTES {pulled.row_bytes}u")
    writer.line()


def _invoke_declaration(writer: Writer, network: NetworkText) -> None:
    upper = network.name.upper()
    arena = f"The arena has {upper}_ARENA_BYTES bytes, aligned to {upper}_ARENA_ALIGN;"
    if network.pulled is None:
        rest = (
            f"/* Runs the network once. {arena} write",
            " * the inputs into it before every call and read the outputs from it afterwards.",
            " * Returns 0, or -1 if the arena is null or misaligned. */",
        )
    else:
        rest = (
            f"/* Runs the network once. {arena} read",
            " * the outputs from it afterwards. The input comes from read_rows, called with `context`.",
            " * Returns 0, -1 if the arena is null or misaligned or read_rows null, or what read_rows returned. */",
        )
    writer.lines((*rest, f"int {network.name}_invoke(void *arena{pulled_parameters(network.name, network.pulled)});"))


def source_text(network: NetworkText, program: Program, graph: Graph) -> str:
    """Return `<name>.c`: tables, one function a layer, and invoke."""
    writer = Writer()
    _comment(writer, network.facts)
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
        stage_text(writer, network.name, stage, _pulling(network, program, stage))
    writer.line()
    _invoke(writer, network, program)
    return writer.text()


def weights_text(network: NetworkText, program: Program) -> str:
    """Return `<name>_weights.c`: weights, biases and other constant operands."""
    writer = Writer()
    _comment(writer, network.facts)
    writer.lines(("#include <stdint.h>", ""))
    for array in program.arrays(Section.WEIGHTS):
        writer.line(f"extern {_declaration(network, array)};")
        _definition(writer, network, array, storage="")
    return writer.text()


def _comment(writer: Writer, facts: tuple[str, ...]) -> None:
    first, *rest = facts
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
    if layer.pulls is not None and network.pulled is not None:
        held = graph.tensors[op.output]
        row_bytes, params = held.size_bytes // held.shape[1], _params_symbol(network, layer, 0)
        pulling_layer(writer, network.name, layer, layer.pulls, network.pulled, row_bytes=row_bytes, params=params)
        return
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
    parameters = pulled_parameters(network.name, network.pulled)
    wrong = "" if network.pulled is None else " || read_rows == 0"
    with writer.block(f"int {network.name}_invoke(void *arena{parameters})"):
        align = f"{network.name.upper()}_ARENA_ALIGN"
        with writer.block(f"if (arena == 0 || (uintptr_t)arena % {align} != 0u{wrong})"):
            writer.line("return -1;")
        if network.pulled is not None:
            writer.line("int code;")
        for _, function, pulls in sorted(_functions(network, program)):
            if pulls:
                writer.line(f"code = {function}((uint8_t *)arena, read_rows, context);")
                with writer.block("if (code != 0)"):
                    writer.line("return code;")
            else:
                writer.line(f"{function}((uint8_t *)arena);")
        writer.line("return 0;")


def _functions(network: NetworkText, program: Program) -> Iterator[tuple[int, str, bool]]:
    """Yield the functions that invoke calls, with the number of their first layer, and whether they pull."""
    for stage in program.stages:
        yield stage.start, stage_symbol(network.name, stage), _pulling(network, program, stage) is not None
    for layer in program.layers:
        if not layer.in_turns:
            yield layer.index, layer_symbol(network.name, layer.index), False


def _pulling(network: NetworkText, program: Program, stage: Turns) -> Pulling | None:
    """Return the stage's layer that pulls, if one does."""
    found = (layer.index for layer in program.layers[stage.start : stage.stop] if layer.pulls is not None)
    return next((Pulling(index, pulled_parameters(network.name, network.pulled)) for index in found), None)


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
