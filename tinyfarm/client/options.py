"""How a model is compiled, from what a user says."""

from __future__ import annotations

from tinyfarm.client.budgets import Budgets, schedule_request
from tinyfarm.v1 import compile_pb2


def compile_options(
    *,
    schedule: str = "auto",
    budgets: Budgets | None = None,
    pull_input: bool = False,
    interface: compile_pb2.Interface.ValueType = compile_pb2.INTERFACE_UNSPECIFIED,
    kernels: compile_pb2.Kernels.ValueType = compile_pb2.KERNELS_UNSPECIFIED,
) -> compile_pb2.CompileOptions:
    """The options of a compile job; `auto` keeps to the budget of SRAM if it can.

    Raises `InvalidInputError` for a schedule of another name.
    """
    return compile_pb2.CompileOptions(
        schedule=schedule_request(schedule),
        pull_input=pull_input,
        interface=interface,
        kernels=kernels,
        budgets=budgets.message() if budgets is not None else None,
    )
