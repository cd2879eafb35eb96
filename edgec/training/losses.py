"""What training makes small."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from brevitas.backport import fx
from torch import Tensor
from torch.nn import functional

from edgec.training.batches import Batch
from edgec.training.options import FitOptions, Loss

_SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Objective:
    """The loss of a batch of outputs.

    Attributes:
        labels: whether cross-entropy with the labels is part of it.
        distillation: whether the distance from the teacher's outputs is part of it.
        temperature: softens the outputs of classifiers that are distilled.
        probabilities: whether the first output went through a Softmax already.
    """

    labels: bool
    distillation: bool
    temperature: float
    probabilities: bool

    @classmethod
    def of(cls, module: fx.GraphModule, options: FitOptions, *, labelled: bool) -> Objective:
        """What the options ask for, for a network and data that may have labels."""
        distils = options.loss in {Loss.DISTILLATION, Loss.BOTH} or not labelled
        uses_labels = labelled and options.loss is not Loss.DISTILLATION
        return cls(uses_labels, distils, options.temperature, _ends_in_softmax(module))

    def __call__(self, outputs: tuple[Tensor, ...], batch: Batch, teacher: tuple[Tensor, ...]) -> Tensor:
        """The mean over the samples; the mean of both parts where both are asked for."""
        parts = []
        if self.labels and batch.labels is not None:
            logits = self._logits(outputs[0])
            parts.append(functional.cross_entropy(logits.reshape(len(batch.labels), -1), batch.labels))
        if self.distillation:
            parts.append(self._distance(outputs, teacher))
        return torch.stack(parts).mean()

    def _distance(self, outputs: tuple[Tensor, ...], teacher: tuple[Tensor, ...]) -> Tensor:
        """Kullback-Leibler divergence of softened classes (Hinton et al., 2015, section 2), or relative squared error.

        Classes are an only output of two axes. The divergence is times the squared temperature, so that its gradient
        keeps its size; the squared error of every output is over the variance of the teacher's.
        """
        if len(outputs) == 1 and outputs[0].dim() == 2:
            mine, theirs = self._logits(outputs[0]) / self.temperature, self._logits(teacher[0]) / self.temperature
            targets = functional.log_softmax(theirs, -1)
            divergence = functional.kl_div(
                functional.log_softmax(mine, -1), targets, reduction="batchmean", log_target=True
            )
            return divergence * self.temperature**2
        errors = [
            functional.mse_loss(mine, theirs) / (theirs.var(unbiased=False) + 1e-6)
            for mine, theirs in zip(outputs, teacher, strict=True)
            if theirs.is_floating_point()
        ]
        return torch.stack(errors).mean()

    def _logits(self, output: Tensor) -> Tensor:
        return torch.log(output.clamp_min(_SMALLEST_PROBABILITY)) if self.probabilities else output


def _ends_in_softmax(module: fx.GraphModule) -> bool:
    result = next(node for node in module.graph.nodes if node.op == "output").args[0]
    first = result[0] if isinstance(result, tuple | list) else result
    return first.op == "call_function" and first.target is torch.softmax
