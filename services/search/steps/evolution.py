"""Step 4: search the supernet for architectures that fit, guided by their quality with shared weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor

from services.search.context import Context
from services.search.data.dataset import Images
from services.search.data.preprocess import to_tensor
from services.search.objective import fits
from services.search.ports import Costs, Flash, Sram
from services.search.seeding import random_for
from services.search.space.architecture import Architecture, from_json, to_json
from services.search.space.plan import plan_of
from services.search.steps.space import ChosenSpace, corrected
from services.search.strategy.evolution import Evolution
from services.search.strategy.explore import Evaluation, Quality, Scored, explore
from services.search.supernet.calibrate import recalibrate
from services.search.supernet.net import ElasticNet, extract
from services.search.train import run

CALIBRATION_IMAGES = 384
VALIDATION_IMAGES = 1000


def search_architectures(context: Context, chosen: ChosenSpace, supernet: ElasticNet) -> tuple[Scored, ...]:
    """Return every architecture that was scored, in the order of trial. All fit the corrected limits."""
    evaluation, settings = _evaluation(context, chosen, supernet), context.settings.evolution
    saved = context.load("evolution")
    history = [_from_record(r) for r in json.loads(cast(str, saved["history"]))] if saved else []
    start = cast(int, saved["generation"]) if saved else 0
    if saved:
        context.estimated.networks = cast(int, saved["estimated"])
    strategy = Evolution(chosen.space, settings)
    with context.clock.phase("evolution"):
        for generation in range(start, settings.iterations):
            context.report("evolution", generation, settings.iterations, _best(history))
            random = random_for(context.settings.seed, "evolution", generation)
            history += explore(strategy, evaluation, history, settings.population, random)
            context.save(
                "evolution",
                {
                    "generation": generation + 1,
                    "history": json.dumps([_record(s) for s in history]),
                    "estimated": context.estimated.networks,
                },
            )
        context.report("evolution", settings.iterations, settings.iterations, _best(history))
    return tuple(history)


@torch.no_grad()
def quality_of(net: ElasticNet, images: Images) -> Quality:
    """Return accuracy and cross entropy of a network on images, both of the float network."""
    labels = torch.from_numpy(images.labels)
    logits = torch.cat([run(net, batch, net.plan) for batch in to_tensor(images.pixels).split(256)])
    accuracy = float((logits.argmax(1) == labels).double().mean())
    return Quality(accuracy, float(torch.nn.functional.cross_entropy(logits, labels)))


def calibration_images(context: Context, count: int) -> Tensor:
    """Return the first training images as a tensor [N, C, H, W]."""
    return to_tensor(context.dataset.train.pixels[:count])


def _evaluation(context: Context, chosen: ChosenSpace, supernet: ElasticNet) -> Evaluation:
    space = chosen.space
    statistics = calibration_images(context, CALIBRATION_IMAGES)
    validation = Images(
        context.dataset.validation.pixels[:VALIDATION_IMAGES], context.dataset.validation.labels[:VALIDATION_IMAGES]
    )

    def quality(architecture: Architecture) -> Quality:
        subnet = recalibrate(extract(supernet, plan_of(space, architecture)), statistics)
        return quality_of(subnet, validation)

    def qualities(architectures: Sequence[Architecture]) -> Sequence[Quality]:
        with ThreadPoolExecutor(context.settings.threads) as pool:
            return list(pool.map(quality, architectures))

    return Evaluation(
        costs=lambda asked: corrected(context.costs([plan_of(space, a) for a in asked]), chosen.correction),
        fits=lambda costs: fits(costs, context.settings.budgets),
        qualities=qualities,
    )


def _best(history: Sequence[Scored]) -> str:
    if not history:
        return ""
    return f"{len(history)} scored, best {max(s.quality.accuracy for s in history):.1%} with shared weights"


def _record(scored: Scored) -> dict[str, object]:
    return {
        "architecture": to_json(scored.architecture),
        "costs": asdict(scored.costs),
        "quality": asdict(scored.quality),
    }


def _from_record(record: dict[str, Any]) -> Scored:
    costs = record["costs"]
    rest = {k: v for k, v in costs.items() if k not in ("sram", "flash", "misfits")}
    return Scored(
        from_json(record["architecture"]),
        Costs(Sram(**costs["sram"]), Flash(**costs["flash"]), misfits=tuple(costs["misfits"]), **rest),
        Quality(**record["quality"]),
    )
