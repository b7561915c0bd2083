"""Search specifications with the services' defaults."""

from __future__ import annotations

from tinyfarm.client.budgets import Budgets
from tinyfarm.client.options import compile_options
from tinyfarm.v1 import exploration_pb2, task_pb2


def image_search(
    board: str,
    *,
    builtin: str = "",
    budgets: Budgets | None = None,
    seed: int = 0,
    finalists: int = 0,
    baselines: bool = False,
    schedule: str = "auto",
) -> exploration_pb2.SearchSpec:
    """A search for an image classifier; without `builtin` the data is given to `Client.submit_search`.

    Candidates are priced and compiled under `schedule`; `auto` streams or patches what is too large per layer for the
    budget of SRAM. Raises `InvalidInputError` for a schedule of another name.
    """
    return exploration_pb2.SearchSpec(
        task=task_pb2.Task(
            kind=task_pb2.TASK_KIND_IMAGE_CLASSIFICATION,
            dataset=task_pb2.Dataset(builtin=builtin) if builtin else None,
        ),
        board=board,
        budgets=budgets.message() if budgets is not None else None,
        seed=seed,
        finalists=finalists,
        baselines=baselines,
        options=compile_options(
            schedule=schedule, budgets=Budgets(budgets.sram_bytes) if budgets is not None else None
        ),
    )
