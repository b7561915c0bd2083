"""What a finished job found, as text; the commands that wait for one print the same as `tinyfarm get` later."""

from __future__ import annotations

from tinyfarm.cli.figures import amount, board_of, counted, describe, label, schedule_of
from tinyfarm.cli.front import print_front
from tinyfarm.cli.memory import print_memory
from tinyfarm.cli.output import print_line
from tinyfarm.client.budgets import schedule_kept
from tinyfarm.v1 import compile_pb2, evaluation_pb2, job_pb2


def print_result(job: job_pb2.Job) -> None:
    """Memory and figures of whatever the job made; nothing where it has no result."""
    match job.WhichOneof("result"):
        case "compile_result":
            print_compiled(job.compile_result)
        case "quantize_result":
            print_quantized(job.quantize_result)
        case "evaluation_result":
            print_measured(job.evaluation_result)
        case "search_result":
            found = job.search_result
            print_front("", found.points, found.baselines, found.winner)


def print_compiled(result: compile_pb2.CompileResult) -> None:
    """Planned memory of a C library, and its MACs."""
    title = f"{result.name} for {result.target}, {result.schedule}"
    print_memory(title, result.sram, result.flash, result.misfits, linked=False)
    if not result.flash.code:
        print_line("code: not known for these kernels before linking; tinyfarm check measures it")
    print_line(f"schedule: {result.schedule_reason}")
    print_line(f"{result.macs:,} MACs")


def print_quantized(result: compile_pb2.QuantizeResult) -> None:
    """How far the quantized model is from the float one."""
    for metric in result.metrics:
        print_line(f"{metric.name.replace('_', ' ')}: {amount(metric)} ({metric.source})")


def schedule_unkept(asked: str, result: compile_pb2.CompileResult | evaluation_pb2.EvaluationResult) -> str | None:
    """A line for a grid of patches that was named and cannot be; None where it is kept, or none was named."""
    if schedule_kept(asked, result.schedule):
        return None
    return f"broken: --schedule {asked} cannot be kept: {result.schedule_reason}"


def print_measured(result: evaluation_pb2.EvaluationResult) -> None:
    """Memory of the firmware, what its run took, and whether the host twin agreed."""
    title = f"{result.model_name} on {board_of(result)}, {schedule_of(result)}"
    print_memory(title, result.sram, result.flash, result.misfits)
    print_line(f"schedule: {result.schedule_reason}")
    for name in ("instructions", "core_cycles", "cycles", "latency", "energy", "accuracy"):
        if result.HasField(name):
            metric = getattr(result, name)
            print_line(f"{label(metric)}: {describe(metric)}")
    if result.HasField("twin_equal"):
        samples = f"{counted(result.samples_on_board, 'sample')} on the board"
        print_line(f"{samples}: {'equal to' if result.twin_equal else 'DIFFERENT from'} the host twin")
