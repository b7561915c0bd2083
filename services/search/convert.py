"""Between the search's values and the messages of SearchService and of the services it asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from services.common.clients import error_from_proto
from services.common.errors import InvalidArgumentError, UnsupportedError
from services.search.context import SearchSettings
from services.search.data.dataset import Sampling
from services.search.objective import Budgets
from services.search.ports import Costs, Failure, Flash, Measurement, Sram
from services.search.space import network as graph
from services.search.space.image import SpaceChoices
from services.search.steps.measure import Point
from services.search.strategy.evolution import EvolutionSettings
from services.search.train import TrainSettings
from tinyfarm.v1 import (
    artifact_pb2,
    compile_pb2,
    evaluation_pb2,
    evaluator_pb2,
    exploration_pb2,
    metric_pb2,
    network_pb2,
    schedule_pb2,
    task_pb2,
)

SCHEMA_VERSION = 1


def settings_from_proto(spec: exploration_pb2.SearchSpec) -> SearchSettings:
    """Return the search's settings, defaults where the message says nothing; raises the error tree for bad values."""
    if spec.task.kind not in (task_pb2.TASK_KIND_UNSPECIFIED, task_pb2.TASK_KIND_IMAGE_CLASSIFICATION):
        kind = task_pb2.TaskKind.Name(spec.task.kind)
        raise UnsupportedError(
            f"task {kind} cannot be searched for by this version: use TASK_KIND_IMAGE_CLASSIFICATION",
            reason="UNSUPPORTED_TASK",
            subject="task.kind",
            value=kind,
            allowed="TASK_KIND_IMAGE_CLASSIFICATION",
        )
    settings = SearchSettings(budgets=budgets_from_proto(spec.budgets), seed=spec.seed, baselines=spec.baselines)
    space = spec.space
    return replace(
        settings,
        choices=SpaceChoices(
            resolutions=tuple(space.resolutions),
            width_multipliers=tuple(space.width_multipliers),
            kernels=tuple(space.kernel_sizes),
            expansions=tuple(space.expansion_ratios),
            depths=tuple(space.depths),
        ),
        training=_training(spec.training, settings.training),
        evolution=replace(
            _evolution(spec.evolution, settings.evolution), redistribution_probability=_redistributed(spec)
        ),
        finalists=spec.finalists or settings.finalists,
    )


def _redistributed(spec: exploration_pb2.SearchSpec) -> float:
    """Return how many children lose kernels in their first stages: some, where the planner may choose patches."""
    wish, limited = spec.options.schedule.kind, spec.options.budgets.HasField("sram_bytes")
    chosen = wish == schedule_pb2.STAGE_KIND_UNSPECIFIED and limited
    return 0.1 if wish == schedule_pb2.STAGE_KIND_PATCH or chosen else 0.0


def budgets_from_proto(budgets: metric_pb2.Budgets) -> Budgets:
    """Return the limits; InvalidArgumentError for a limit that is not above 0."""
    return Budgets(**{field.name: value for field, value in budgets.ListFields()})


def sampling_from_proto(dataset: task_pb2.Dataset, seed: int) -> Sampling:
    """Return how the data is split."""
    default = Sampling()
    return Sampling(
        validation=default.validation,
        test=dataset.test_fraction or default.test,
        seed=seed,
        max_samples=dataset.max_samples,
    )


def require_dataset(dataset: task_pb2.Dataset) -> None:
    """Raise InvalidArgumentError where no data is named."""
    if dataset.WhichOneof("source") is None:
        raise InvalidArgumentError(
            "the task names no data set",
            reason="MISSING_FIELD",
            subject="spec.task.dataset",
            allowed="builtin or npz",
        )


def targets_from_proto(farm: evaluator_pb2.ListBoardsResponse) -> dict[str, str]:
    """Return the target of every board by the board's name, in the farm's order."""
    return {board.name: board.target for board in farm.boards}


def _training(wanted: exploration_pb2.TrainingOptions, default: TrainSettings) -> TrainSettings:
    rate = wanted.learning_rate
    return replace(
        default,
        supernet_epochs=wanted.supernet_epochs or default.supernet_epochs,
        finetune_epochs=wanted.finetune_epochs or default.finetune_epochs,
        batch_size=wanted.batch_size or default.batch_size,
        learning_rate=rate or default.learning_rate,
        finetune_learning_rate=rate or default.finetune_learning_rate,
    )


def _evolution(wanted: exploration_pb2.EvolutionOptions, default: EvolutionSettings) -> EvolutionSettings:
    return replace(
        default,
        population=wanted.population or default.population,
        iterations=wanted.iterations or default.iterations,
        mutation_probability=wanted.mutation_probability or default.mutation_probability,
    )


def network_to_proto(network: graph.Network) -> network_pb2.Network:
    """Return the message of a weight-free network."""
    return network_pb2.Network(
        name=network.name,
        tensors=[
            network_pb2.Tensor(
                id=i,
                name=t.name,
                shape=t.shape,
                dtype=network_pb2.DataType.Value(f"DATA_TYPE_{t.dtype.name}"),
                is_constant=t.is_constant,
            )
            for i, t in enumerate(network.tensors)
        ],
        ops=[_op_to_proto(op) for op in network.ops],
        inputs=network.inputs,
        outputs=network.outputs,
        schema_version=SCHEMA_VERSION,
    )


def _op_to_proto(op: graph.Op) -> network_pb2.Op:
    message = network_pb2.Op(name=op.name, inputs=op.inputs, outputs=op.outputs)
    match op:
        case graph.Conv2D():
            message.conv_2d.CopyFrom(
                network_pb2.Conv2D(
                    stride=_size(op.stride_hw), padding=_padding(op.padding), activation=_activation(op.relu)
                )
            )
        case graph.DepthwiseConv2D():
            message.depthwise_conv_2d.CopyFrom(
                network_pb2.DepthwiseConv2D(
                    stride=_size(op.stride_hw), padding=_padding(op.padding), activation=_activation(op.relu)
                )
            )
        case graph.RnnPool():
            message.rnn_pool.CopyFrom(
                network_pb2.RnnPool(
                    patch=_size(op.kernel_hw),
                    stride=_size(op.stride_hw),
                    padding=_padding(op.padding),
                    zeta=(1.0, 1.0),
                    nu=(0.0, 0.0),
                )
            )
        case graph.Add():
            message.add.SetInParent()
        case graph.Mean():
            message.mean.CopyFrom(network_pb2.Mean(axes=op.axes))
        case graph.FullyConnected():
            message.fully_connected.SetInParent()
        case _:
            assert_never(op)
    return message


def _activation(relu: bool) -> network_pb2.Activation.ValueType:
    return network_pb2.ACTIVATION_RELU if relu else network_pb2.ACTIVATION_UNSPECIFIED


def _size(hw: tuple[int, int]) -> network_pb2.SizeHw:
    return network_pb2.SizeHw(height=hw[0], width=hw[1])


def _padding(every_side: int) -> network_pb2.Padding:
    return network_pb2.Padding(top=every_side, bottom=every_side, left=every_side, right=every_side)


def costs_from_estimate(estimate: compile_pb2.NetworkEstimate) -> Costs | Failure:
    """Return what the compiler estimates."""
    if estimate.HasField("error"):
        return Failure(error_from_proto(estimate.error).message)
    return _costs(estimate)


def misfit_text(misfit: metric_pb2.Misfit) -> str:
    """Return why a network does not fit, in a sentence."""
    where = f" at layer {misfit.layer}" if misfit.layer else ""
    return f"needs {misfit.needed_bytes} bytes of {misfit.memory}{where}, the chip has {misfit.available_bytes}"


def measurement_from_proto(
    result: evaluation_pb2.EvaluationResult, estimate: Costs, model: bytes, reference: str, manifest: str
) -> Measurement:
    """Return what the farm measured."""
    return Measurement(
        costs=_costs(result),
        estimate=estimate,
        accuracy=result.accuracy.value,
        model=model,
        instructions=int(result.instructions.value) if result.HasField("instructions") else None,
        cycles=result.cycles.value if result.HasField("cycles") else None,
        twin_equal=result.twin_equal if result.HasField("twin_equal") else None,
        reference=reference,
        manifest=manifest,
    )


def _costs(found: compile_pb2.NetworkEstimate | evaluation_pb2.EvaluationResult) -> Costs:
    return Costs(
        sram=_sram(found.sram),
        flash=_flash(found.flash),
        macs=found.macs,
        latency_us=found.latency.value if found.HasField("latency") else None,
        energy_uj=found.energy.value if found.HasField("energy") else None,
        misfits=tuple(misfit_text(m) for m in found.misfits),
    )


def _sram(sram: metric_pb2.SramBytes) -> Sram:
    return Sram(sram.input, sram.activations, sram.line_buffers, sram.scratch, sram.static, sram.stack)


def _flash(flash: metric_pb2.FlashBytes) -> Flash:
    return Flash(flash.code, flash.weights, flash.tables)


def point_to_proto(
    point: Point,
    is_baseline: bool,
    results: Mapping[str, evaluation_pb2.EvaluationResult],
    models: Mapping[str, artifact_pb2.Artifact],
) -> exploration_pb2.FrontPoint:
    """Return the message of a point with the farm's full record of it."""
    trained = point.trained
    message = exploration_pb2.FrontPoint(
        name=trained.name,
        description=trained.description,
        is_baseline=is_baseline,
        on_front=point.on_front,
        network=network_to_proto(trained.network),
        predicted=costs_to_proto(trained.predicted),
        float_accuracy=_accuracy("float_accuracy", trained.float_accuracy, "test part, float network"),
    )
    if isinstance(point.measured, Failure):
        message.not_measured = point.measured.message
    else:
        result = results[point.measured.reference]
        message.measured.CopyFrom(result)
        message.compiled_estimate.CopyFrom(costs_to_proto(point.measured.estimate))
        message.accuracy.CopyFrom(_accuracy("accuracy", point.measured.accuracy, "test part, int8 host twin"))
        message.model.CopyFrom(models[point.measured.reference])
        message.library.CopyFrom(result.library)
    return message


def costs_to_proto(costs: Costs) -> compile_pb2.NetworkEstimate:
    """Return predicted costs as the compiler gave them."""
    sram, flash = costs.sram, costs.flash
    estimate = compile_pb2.NetworkEstimate(
        sram=metric_pb2.SramBytes(
            input=sram.input,
            activations=sram.activations,
            line_buffers=sram.line_buffers,
            scratch=sram.scratch,
            arena=sram.arena,
            static=sram.static,
            stack=sram.stack,
            total=sram.total,
        ),
        flash=metric_pb2.FlashBytes(code=flash.code, weights=flash.weights, tables=flash.tables, total=flash.total),
        macs=costs.macs,
        fits=not costs.misfits,
    )
    for name, value, unit in (("latency", costs.latency_us, "us"), ("energy", costs.energy_uj, "uJ")):
        if value is not None:
            metric = metric_pb2.Metric(name=name, value=value, unit=unit, provenance=metric_pb2.PROVENANCE_MODELLED)
            getattr(estimate, name).CopyFrom(metric)
    return estimate


def _accuracy(name: str, value: float, source: str) -> metric_pb2.Metric:
    exact = metric_pb2.PROVENANCE_EXACT
    return metric_pb2.Metric(name=name, value=value, unit="ratio", provenance=exact, source=source)
