"""What comes with a library for its reader: README.txt, and a program that calls it."""

from __future__ import annotations

import textwrap

from services.compiler.codegen.names import comment_text
from services.compiler.codegen.writer import Writer
from services.compiler.library import EXAMPLE, IoTensor, LibraryManifest, TwinFacts

_WIDTH = 96


def readme_text(manifest: LibraryManifest) -> str:
    """Return README.txt: which files are what, and how the example is built."""
    host = manifest.twin or manifest
    compiler = "any C99 compiler" if manifest.kernels == "portable" else f"gcc or clang for {manifest.core}"
    paragraphs = [
        f"{comment_text(manifest.model_name)}, compiled by tinyfarm {manifest.tool_version} for {manifest.target} "
        f"({manifest.core}), {manifest.kernels} kernels.",
        f"{manifest.header} is the interface: a function, sizes, and of every input and output the place in the arena, "
        "name, shape and scale. Arrays lie in C order, the last axis fastest. manifest.json tells programs the same "
        "and more.",
        f"Firmware compiles, by {compiler}, at -O2:",
        _files(manifest.sources),
    ]
    if manifest.twin is not None:
        paragraphs += [
            f"{manifest.twin.header} is the same network with portable kernels, for other machines: the same results, "
            "bit for bit. Firmware needs none of the files that only it needs:",
            _files(tuple(name for name in manifest.twin.sources if name not in manifest.sources)),
        ]
    command = _files(("cc -std=c99 -O2 -o example -x c", EXAMPLE, *host.sources)).replace("\n", " \\\n")
    paragraphs += [f"{EXAMPLE} feeds zeros and prints the outputs. On this computer:", f"{command}\n    ./example"]
    return "\n\n".join(p if p.startswith(" ") else textwrap.fill(p, _WIDTH) for p in paragraphs) + "\n"


def _files(names: tuple[str, ...]) -> str:
    indent = "    "
    return textwrap.fill(
        " ".join(names), _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def example_text(part: LibraryManifest | TwinFacts) -> str:
    """Return a C99 program that runs the network once on zeros and prints its outputs."""
    upper, writer = part.name.upper(), Writer()
    pulled = any(tensor.pulled for tensor in part.inputs)
    writer.line(f"/* Runs {part.name} once on zeros and prints every output as real values: see README.txt. */")
    writer.lines(("#include <stdint.h>", "#include <stdio.h>", "#include <string.h>", "", f'#include "{part.header}"'))
    writer.lines(("", f"static int8_t arena[{upper}_ARENA_BYTES] __attribute__((aligned({upper}_ARENA_ALIGN)));", ""))
    if pulled:
        _read_rows(writer, upper, part.inputs[0])
    with writer.block("int main(void)"):
        writer.line("size_t i;")
        for number, tensor in enumerate(part.inputs):
            if not tensor.pulled:
                at = f"{upper}_INPUT_{number}"
                writer.line(f"memset(arena + {at}_OFFSET, {_zero(at, tensor)}, {at}_BYTES);")
        with writer.block(f"if ({part.name}_invoke(arena{', read_rows, NULL' if pulled else ''}) != 0)"):
            writer.line("return 1;")
        for number, tensor in enumerate(part.outputs):
            _print(writer, f"{upper}_OUTPUT_{number}", tensor)
        writer.line("return 0;")
    return writer.text()


def _zero(at: str, tensor: IoTensor) -> str:
    """Return the byte of a real zero: of wider integers that are quantized the zero point is 0."""
    return f"{at}_ZERO_POINT" if tensor.scale is not None and tensor.dtype in ("int8", "uint8") else "0"


def _read_rows(writer: Writer, upper: str, tensor: IoTensor) -> None:
    with writer.block("static int read_rows(void *context, void *rows, int32_t row, int32_t count)"):
        writer.lines(("(void)context;", "(void)row; /* a camera would hand out its rows [row, row + count) */"))
        size = f"(size_t)count * {upper}_INPUT_0_ROW_BYTES"
        writer.lines((f"memset(rows, {_zero(f'{upper}_INPUT_0', tensor)}, {size});", "return 0;"))
    writer.line()


def _print(writer: Writer, at: str, tensor: IoTensor) -> None:
    kind = {"float32": "float", "bool": "uint8_t"}.get(tensor.dtype, f"{tensor.dtype}_t")
    with writer.block(f"for (i = 0; i < {at}_BYTES / sizeof({kind}); i++)"):
        writer.line(f"{kind} value;")
        writer.line(f"memcpy(&value, arena + {at}_OFFSET + i * sizeof value, sizeof value);")
        real = "(double)value" if tensor.scale is None else f"((double)value - {at}_ZERO_POINT) * {at}_SCALE"
        writer.line(f'printf("%s%g", i ? " " : "", {real});')
    writer.line('printf("\\n");')
