"""The training loop: seeded, deterministic on one thread, resumable after each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from brevitas.backport import fx
from torch import nn

from edgec.core.cache import Cache
from edgec.core.codes.training import TRAINING_DIVERGED
from edgec.core.errors import EdgecError
from edgec.core.progress import Progress, Silent
from edgec.training.batches import Batch, BatchRunner, batches
from edgec.training.checkpoint import Checkpoint, training_key
from edgec.training.losses import Objective
from edgec.training.options import FitOptions, Optimizer, Schedule
from edgec.training.samples import TrainingSamples
from edgec.training.taught import TaughtOutputs

_RISING = 0.2
_FIRST_RATE = 0.04
_MOMENTUM = 0.9
_LARGEST_GRADIENT = 5.0


@dataclass(frozen=True)
class TrainingRun:
    """What one training is given beside network, samples and options.

    Attributes:
        name: of the pass, for progress and errors.
        seed: of the order and augmentation of samples.
        teacher: the network whose outputs are distilled, in eval mode; None without distillation.
        progress: told of every step, with an estimate after every epoch.
        cache: keeps the state after each epoch; None to keep nothing.
        penalty: a further part of the loss of the batch that the network has just been run on; None without one. What
            it depends on beside the network must show in the text of a module, as the key of the cache is made of that.
    """

    name: str = "training"
    seed: int = 0
    teacher: fx.GraphModule | None = None
    progress: Progress = field(default_factory=Silent)
    cache: Cache | None = None
    penalty: Callable[[], torch.Tensor] | None = None


@dataclass(frozen=True)
class FitOutcome:
    """What came out.

    Attributes:
        losses: mean loss of each epoch.
        resumed: epochs that an earlier run had done.
        at_once: whether the network runs whole batches; else samples ran one by one.
        learned_from: `labels`, `distillation` or `labels and distillation`.
    """

    losses: tuple[float, ...]
    resumed: int
    at_once: bool
    learned_from: str


def fit(module: fx.GraphModule, samples: TrainingSamples, options: FitOptions, run: TrainingRun) -> FitOutcome:
    """Train a network in place; it is in eval mode afterwards.

    Raises:
        EdgecError: EC1005 where the loss is no number any more.
        ValueError: distillation without a teacher.
    """
    objective = Objective.of(module, options, labelled=samples.labels is not None)
    if objective.distillation and run.teacher is None:
        raise ValueError("distillation needs a teacher")
    with _threads(options.threads):
        runner = BatchRunner(module, samples)
        trainer = _Trainer(module, samples, options, run, objective, runner)
        checkpoint = _checkpoint(module, samples, options, run)
        losses = checkpoint.restore(module, trainer.optimizer) if checkpoint else []
        resumed = len(losses)
        steps = samples.count // options.batch
        run.progress.start(f"{run.name}: {options.epochs} epochs of {samples.count:,} samples", options.epochs * steps)
        run.progress.advance(resumed * steps)
        if resumed:
            run.progress.note(f"{run.name} goes on after epoch {resumed}, found in the cache")
        for epoch in range(resumed, options.epochs):
            started = time.monotonic()
            losses.append(trainer.epoch(epoch))
            seconds = time.monotonic() - started
            left = (options.epochs - epoch - 1) * seconds
            run.progress.note(f"epoch {epoch + 1} of {options.epochs}: loss {losses[-1]:.4f}, about {left:.0f} s left")
            if checkpoint:
                checkpoint.save(module, trainer.optimizer, losses)
    module.eval()
    parts = [name for name, used in (("labels", objective.labels), ("distillation", objective.distillation)) if used]
    return FitOutcome(tuple(losses), resumed, runner.at_once, " and ".join(parts))


class _Trainer:
    """One network with its optimiser."""

    def __init__(
        self,
        module: fx.GraphModule,
        samples: TrainingSamples,
        options: FitOptions,
        run: TrainingRun,
        objective: Objective,
        runner: BatchRunner,
    ) -> None:
        self._module, self._samples, self._options = module, samples, options
        self._run, self._objective, self._runner = run, objective, runner
        self._teacher = None
        if objective.distillation and run.teacher is not None:
            self._teacher = TaughtOutputs(run.teacher, samples, options, runner)
        self.optimizer = _optimizer(module, options)

    def epoch(self, number: int) -> float:
        """Show every sample once; the mean loss."""
        self._module.train()
        _freeze_statistics(self._module, everywhere=not self._runner.at_once)
        steps = self._samples.count // self._options.batch
        total = 0.0
        for step, batch in enumerate(batches(self._samples, self._options, self._run.seed, number)):
            rate = learning_rate(self._options, number * steps + step, self._options.epochs * steps)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss = self._objective(self._runner(self._module, batch.inputs), batch, self._taught(batch))
            loss = loss if self._run.penalty is None else loss + self._run.penalty()
            if not math.isfinite(value := float(loss.detach())):
                what = f"the loss is {value} in epoch {number + 1}, step {step + 1}"
                where = f"pass {self._run.name}"
                raise EdgecError(TRAINING_DIVERGED, what, where=where, hint=TRAINING_DIVERGED.remedy)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self._module.parameters(), _LARGEST_GRADIENT)
            self.optimizer.step()
            total += value
            self._run.progress.advance()
        return total / steps

    def _taught(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        return self._teacher(batch) if self._teacher is not None else ()


def learning_rate(options: FitOptions, step: int, steps: int) -> float:
    """The learning rate of a step: a function of its number alone, so that a resumed training needs no other state."""
    if options.schedule is Schedule.CONSTANT:
        return options.learning_rate
    rising = _RISING * steps if options.schedule is Schedule.ONE_CYCLE else 0.0
    if step < rising:
        return options.learning_rate * (_FIRST_RATE + (1 - _FIRST_RATE) * step / rising)
    done = (step - rising) / max(steps - rising, 1)
    return options.learning_rate * (1 + math.cos(math.pi * done)) / 2


def _optimizer(module: nn.Module, options: FitOptions) -> torch.optim.Optimizer:
    """Weights decay; biases, normalisations and quantisation scales do not."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if options.optimizer is Optimizer.ADAMW:
        return torch.optim.AdamW(groups, options.learning_rate)
    return torch.optim.SGD(groups, options.learning_rate, momentum=_MOMENTUM, nesterov=True)


def _freeze_statistics(module: nn.Module, *, everywhere: bool) -> None:
    """Normalise by the running statistics: those of one sample say nothing, and layers not trained keep theirs.

    Args:
        module: in training mode.
        everywhere: whether samples run one by one.
    """
    for layer in module.modules():
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm):
            continue
        if everywhere or (layer.affine and not layer.weight.requires_grad):
            layer.eval()


def _checkpoint(
    module: fx.GraphModule, samples: TrainingSamples, options: FitOptions, run: TrainingRun
) -> Checkpoint | None:
    if run.cache is None:
        return None
    return Checkpoint(run.cache, training_key(module, run.teacher, samples, options, run.seed))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
