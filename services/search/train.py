"""Training of networks and supernets: epochs over augmented images, one-cycle learning rate, sandwich sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.common.errors import InvalidArgumentError
from services.search.data.augment import Augmentation, augment
from services.search.data.dataset import Images
from services.search.data.preprocess import resize, to_tensor
from services.search.seeding import generator_for, random_for
from services.search.space.image import ImageSpace
from services.search.space.plan import Plan, plan_of
from services.search.space.sample import sample
from services.search.supernet.net import ElasticNet

StepLoss = Callable[[ElasticNet, Tensor, Tensor, Random], Tensor]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How long and how fast. Warm-up epochs of the supernet train its largest network alone and come on top."""

    warmup_epochs: int = 4
    supernet_epochs: int = 8
    finetune_epochs: int = 24
    batch_size: int = 64
    learning_rate: float = 0.006
    finetune_learning_rate: float = 0.012
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name in ("warmup_epochs", "supernet_epochs", "finetune_epochs", "batch_size"):
            if not 1 <= getattr(self, name) <= 100_000:
                raise InvalidArgumentError(
                    f"{name} is {getattr(self, name)}: must be 1 to 100000",
                    reason="TRAINING",
                    subject=name,
                    value=getattr(self, name),
                    allowed="1 to 100000",
                )
        for name in ("learning_rate", "finetune_learning_rate"):
            if not 0 < getattr(self, name) <= 10:
                raise InvalidArgumentError(
                    f"{name} is {getattr(self, name)}: must be above 0, at most 10",
                    reason="TRAINING",
                    subject=name,
                    value=getattr(self, name),
                    allowed="above 0, at most 10",
                )


class Training:
    """A run of epochs that can stop after any of them and go on from `state_dict`.

    `phase` names the run's random numbers; `loss` computes one step's loss and may draw from the given generator.
    """

    def __init__(
        self,
        net: ElasticNet,
        images: Images,
        settings: TrainSettings,
        *,
        epochs: int,
        peak_rate: float,
        loss: StepLoss,
        seed: int,
        phase: str,
    ) -> None:
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.epochs = epochs
        self.epoch = 0
        self._pixels, self._labels = to_tensor(images.pixels), torch.from_numpy(images.labels)
        self._settings, self._peak_rate, self._loss = settings, peak_rate, loss
        self._seed, self._phase = seed, phase
        self._optimizer = torch.optim.AdamW(_groups(net, settings.weight_decay), lr=peak_rate, fused=True)

    def run_epoch(self) -> float:
        """Train for one epoch and return its mean loss."""
        self.net.train()
        random = random_for(self._seed, self._phase, self.epoch)
        total, steps = 0.0, 0
        for step, (images, labels) in enumerate(self._batches()):
            self._set_rate((self.epoch + step / self._steps()) / self.epochs)
            self._optimizer.zero_grad()
            loss = self._loss(self.net, images, labels, random)
            loss.backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
            self._optimizer.step()
            total, steps = total + float(loss.detach()), steps + 1
        self.epoch += 1
        return total / steps

    def state_dict(self) -> dict[str, object]:
        """Return all that the next epoch depends on."""
        return {"epoch": self.epoch, "net": self.net.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on where `state_dict` was taken."""
        self.epoch = int(str(state["epoch"]))
        self.net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]

    def _steps(self) -> int:
        return max(1, len(self._labels) // self._settings.batch_size)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield augmented batches in a new order; a last batch that is not full is left for another epoch."""
        generator = generator_for(self._seed, self._phase, self.epoch)
        order = torch.randperm(len(self._labels), generator=generator)
        size = min(self._settings.batch_size, len(order))
        for start in range(0, len(order) - size + 1, size):
            batch = order[start : start + size]
            yield augment(self._pixels[batch], self._settings.augmentation, generator), self._labels[batch]

    def _set_rate(self, progress: float) -> None:
        """Rise over the first 15 % of the run, then fall to zero along a cosine."""
        rise = 0.15
        share = progress / rise if progress < rise else 0.5 * (1 + math.cos(math.pi * (progress - rise) / (1 - rise)))
        for group in self._optimizer.param_groups:
            group["lr"] = self._peak_rate * max(share, 0.01)


def label_loss(settings: TrainSettings) -> StepLoss:
    """Return the loss of an ordinary network: cross entropy with the labels, at its plan's resolution."""

    def loss(net: ElasticNet, images: Tensor, labels: Tensor, random: Random) -> Tensor:
        return functional.cross_entropy(run(net, images, net.plan), labels, label_smoothing=settings.label_smoothing)

    return loss


def sandwich_loss(space: ImageSpace, settings: TrainSettings) -> StepLoss:
    """Return the loss of a supernet: largest network on the labels; smallest and a random one on its outputs.

    Source: sandwich rule and in-place distillation, Universally Slimmable Networks (Yu and Huang, ICCV 2019).
    """
    largest, smallest = plan_of(space, space.largest()), plan_of(space, space.smallest())

    def loss(net: ElasticNet, images: Tensor, labels: Tensor, random: Random) -> Tensor:
        teacher = run(net, images, largest)
        total = functional.cross_entropy(teacher, labels, label_smoothing=settings.label_smoothing)
        soft = teacher.detach().softmax(1)
        for plan in (smallest, plan_of(space, sample(space, random))):
            total = total + functional.cross_entropy(run(net, images, plan), soft)
        return total

    return loss


def run(net: ElasticNet, images: Tensor, plan: Plan) -> Tensor:
    """Return the logits of images of any size, brought to the plan's resolution."""
    x = resize(images, plan.resolution).contiguous(memory_format=torch.channels_last)
    logits: Tensor = net(x, plan)
    return logits


def _groups(net: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Biases, normalization and kernel crops are not decayed."""
    decayed = [p for n, p in net.named_parameters() if p.dim() > 1 and ".crops." not in n]
    others = [p for n, p in net.named_parameters() if p.dim() <= 1 or ".crops." in n]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
