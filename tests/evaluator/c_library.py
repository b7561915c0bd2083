"""Small hand-written C libraries that keep the compiler's contract: a good one and some that go wrong."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

IN, OUT = 64, 10
_RNG = np.random.default_rng(7)
WEIGHTS = _RNG.integers(-127, 128, (OUT, IN), dtype=np.int8)
BIAS = _RNG.integers(-2000, 2000, OUT, dtype=np.int32)

HEADER = """
#ifndef TINY_H
#define TINY_H
#define TINY_ARENA_BYTES {arena}u
#define TINY_ARENA_ALIGN 16u
#define TINY_INPUT_COUNT 1u
{input}
#define TINY_INPUT_0_BYTES 64u
#define TINY_OUTPUT_COUNT 1u
#define TINY_OUTPUT_0_OFFSET 64u
#define TINY_OUTPUT_0_BYTES 10u
int tiny_invoke(void *arena{parameters});
#endif
"""

# what differs where the input, 8 rows of 8 bytes, is pulled: two rows at a time to the start of the arena
_PULL = ", int (*read_rows)(void *, void *, int, int), void *context"
_PULL_ROWS = """
    for (int row = 0; row < 8; row += 2) {
        int code = read_rows(context, (signed char *)arena + 8 * row, row, 2);
        if (code != 0) return code;
    }"""

FULLY_CONNECTED = """
static __attribute__((noinline)) void tiny_layer_000(const signed char *in, signed char *out)
{
    for (int o = 0; o < 10; o++) {
        int acc = tiny_weights_bias[o];
        for (int repeat = 0; repeat < REPEATS; repeat++) {
            for (int i = 0; i < 64; i++) {
                acc += in[i] * tiny_weights_fc[o * 64 + i];
            }
        }
        acc = (acc / REPEATS * tiny_table_multiplier[0]) >> 12;
        out[o] = (signed char)(acc > 127 ? 127 : acc < -128 ? -128 : acc);
    }
}
"""

BODIES: dict[str, str] = {
    "good": FULLY_CONNECTED,
    "endless": "static __attribute__((noinline)) void tiny_layer_000(const signed char *in, signed char *out)"
    "{ volatile signed char *p = out; for (;;) { *p = in[0]; } }",
    "stack": "static __attribute__((noinline)) int deep(volatile int n) { volatile char frame[64]; frame[0] = (char)n;"
    " return deep(n + 1) + frame[0]; }\n"
    "static __attribute__((noinline)) void tiny_layer_000(const signed char *in, signed char *out)"
    "{ out[0] = (signed char)deep(in[0]); }",
    "wild": "static __attribute__((noinline)) void tiny_layer_000(const signed char *in, signed char *out)"
    "{ out[0] = *(volatile signed char *)0xB0000000; (void)in; }",
    "flash_write": "static __attribute__((noinline)) void tiny_layer_000(const signed char *in, signed char *out)"
    "{ ((volatile signed char *)tiny_weights_fc)[0] = in[0]; (void)out; }",
    "undefined": "static __attribute__((noinline)) void tiny_layer_000(const signed char *in, signed char *out)"
    "{ TRAP(); (void)in; (void)out; }",
    "uses_memcpy": "static __attribute__((noinline)) void tiny_layer_000(const signed char *in, signed char *out)"
    "{ volatile int n = 10; __builtin_memcpy(out, in, (unsigned)n); }",
}


@dataclass(frozen=True)
class Recipe:
    """What kind of library to write."""

    body: str = "good"
    arena: int = 80
    repeats: int = 1
    flash_filler: int = 0
    interface: str = "int8"
    returns: int = 0
    pulled: bool = False


def manifest(recipe: Recipe) -> dict[str, Any]:
    return {
        "schema": "tinyfarm.library/1",
        "name": "tiny",
        "model_name": '"; rm -rf ~',
        "tool_version": "0.1.0",
        "target": "nucleo-l4r5zi",
        "core": "cortex-m4",
        "kernels": "portable",
        "interface": "int8",
        "schedule": "per-layer",
        "macs": IN * OUT * recipe.repeats,
        "header": "tiny.h",
        "sources": ["tiny.c", "tiny_weights.c"],
        "inputs": [_input(recipe)],
        "outputs": [_slot(recipe, "out", [1, OUT], IN, OUT)],
        "memory": {
            "input": 64,
            "activations": recipe.arena - 64,
            "line_buffers": 0,
            "scratch": 0,
            "arena": recipe.arena,
        },
        "peak_layer": 0,
        "plan": {"lower_bound_bytes": recipe.arena, "gap_bytes": 0, "algorithm": "by hand"},
        "weights_bytes": IN * OUT + 4 * OUT + recipe.flash_filler,
        "tables_bytes": 4,
        "layers": [_layer(recipe)],
    }


def _input(recipe: Recipe) -> dict[str, Any]:
    shape = [1, 8, 8, 1] if recipe.pulled else [1, IN]
    return {**_slot(recipe, '"; rm -rf ~', shape, 0, IN), "pulled": recipe.pulled}


def _slot(recipe: Recipe, name: str, shape: list[int], offset_bytes: int, size_bytes: int) -> dict[str, Any]:
    return {
        "name": name,
        "shape": shape,
        "dtype": "int8",
        "scale": 0.5,
        "zero_point": 3,
        "offset_bytes": offset_bytes,
        "size_bytes": size_bytes,
        "model_dtype": "float32" if recipe.interface == "int8" else "int8",
    }


def _layer(recipe: Recipe) -> dict[str, Any]:
    return {
        "index": 0,
        "name": "fc",
        "op": "FullyConnected",
        "symbol": "tiny_layer_000",
        "macs": IN * OUT * recipe.repeats,
        "output_shape": [1, OUT],
        "live_bytes": recipe.arena,
        "buffers": [
            {"name": "in", "kind": "input", "offset_bytes": 0, "size_bytes": IN},
            {"name": "out", "kind": "activation", "offset_bytes": 64, "size_bytes": OUT},
        ],
    }


def files(recipe: Recipe) -> dict[str, str]:
    filler = f"const signed char tiny_weights_filler[{recipe.flash_filler}] = {{1}};\n" if recipe.flash_filler else ""
    declare = "extern const signed char tiny_weights_filler[];\n" if recipe.flash_filler else ""
    use = "if (arena == (void *)tiny_weights_filler) return 2;" if recipe.flash_filler else ""
    return {
        "manifest.json": json.dumps(manifest(recipe)),
        "tiny.h": HEADER.format(
            arena=recipe.arena,
            input=f"#define TINY_INPUT_0_{'ROW_BYTES 8u' if recipe.pulled else 'OFFSET 0u'}",
            parameters=_PULL if recipe.pulled else "",
        ),
        "tiny.c": f'#include "tiny.h"\n#include <stddef.h>\n#define REPEATS {recipe.repeats}\n'
        '#if defined(__arm__)\n#define TRAP() __asm__ volatile("udf #0")\n'
        "#else\n#define TRAP() __builtin_trap()\n#endif\n"
        "extern const signed char tiny_weights_fc[640];\nextern const int tiny_weights_bias[10];\n"
        f"static const int tiny_table_multiplier[1] = {{33}};\n{declare}{BODIES[recipe.body]}\n"
        f"int tiny_invoke(void *arena{_PULL if recipe.pulled else ''})\n{{\n    if (arena == NULL) return -1;\n    "
        + use
        + (_PULL_ROWS if recipe.pulled else "")
        + "\n    tiny_layer_000(arena, (signed char *)arena + 64);\n    (void)tiny_table_multiplier;\n"
        + f"    return {recipe.returns};\n}}\n",
        "tiny_weights.c": f"const signed char tiny_weights_fc[640] = {{{','.join(map(str, WEIGHTS.ravel()))}}};\n"
        f"const int tiny_weights_bias[10] = {{{','.join(map(str, BIAS))}}};\n{filler}",
    }


def zipped(contents: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            archive.writestr(zipfile.ZipInfo(name), contents[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def library(recipe: Recipe | None = None) -> bytes:
    """Return the zip for a recipe."""
    return zipped(files(recipe or Recipe()))


def expected(x: np.ndarray) -> np.ndarray:
    """What the good library computes without repeats, x int8 [IN] -> int8 [OUT]."""
    acc = BIAS + WEIGHTS.astype(np.int32) @ x.astype(np.int32)
    return np.clip((acc * 33) >> 12, -128, 127).astype(np.int8)
