"""From the options of a request to `CompileOptions`: enumerations to words, the target's name to its chip."""

from __future__ import annotations

from services.common.targets import load_target
from services.compiler.options import CompileOptions, Interface, Kernels, parse_core
from tinyfarm.v1 import compile_pb2, schedule_pb2

_INTERFACES = {
    compile_pb2.INTERFACE_UNSPECIFIED: Interface.INT8,
    compile_pb2.INTERFACE_INT8: Interface.INT8,
    compile_pb2.INTERFACE_FLOAT: Interface.FLOAT,
}
_KERNELS = {
    compile_pb2.KERNELS_UNSPECIFIED: Kernels.CORE,
    compile_pb2.KERNELS_PORTABLE: Kernels.PORTABLE,
    compile_pb2.KERNELS_CORE: Kernels.CORE,
    compile_pb2.KERNELS_SMALL: Kernels.SMALL,
}


def options_from_proto(target: str, options: compile_pb2.CompileOptions) -> CompileOptions:
    """Return the options; raises the error tree for an unknown target or schedule."""
    chip = load_target(target)
    return CompileOptions(
        target=target,
        core=parse_core(chip.core),
        schedule=schedule_name(options.schedule),
        interface=_INTERFACES[options.interface],
        kernels=_KERNELS[options.kernels],
        sram_bytes=chip.sram.size_bytes,
        pull_input=options.pull_input,
        sram_budget_bytes=options.budgets.sram_bytes if options.budgets.HasField("sram_bytes") else None,
    )


def schedule_name(request: schedule_pb2.ScheduleRequest) -> str:
    """Return what was asked for in a word: auto, per-layer, patch, patch:HxW or streaming."""
    match request.kind:
        case schedule_pb2.STAGE_KIND_PER_LAYER:
            return "per-layer"
        case schedule_pb2.STAGE_KIND_PATCH:
            grid = f":{request.patch_rows}x{request.patch_cols}" if request.patch_rows or request.patch_cols else ""
            return f"patch{grid}"
        case schedule_pb2.STAGE_KIND_STREAMING:
            return "streaming"
        case _:
            return "auto"
