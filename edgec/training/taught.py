"""What a teacher makes of the samples, made once where every epoch would make the same again."""

from __future__ import annotations

import torch
from brevitas.backport import fx
from torch import Tensor

from edgec.training.batches import Batch, BatchRunner
from edgec.training.options import FitOptions
from edgec.training.samples import TrainingSamples

_MOST_KEPT_BYTES = 2 << 30


class TaughtOutputs:
    """The outputs of a teacher for the samples of a batch.

    They are kept if samples are seen more than once, always the same, and fit in 2 GiB. They are made in an order of
    their own, so that a training that goes on after an interruption gets what it would have got.

    Args:
        teacher: in eval mode.
        samples: all of them.
        options: of the training.
        runner: of the network that is trained.
    """

    def __init__(
        self, teacher: fx.GraphModule, samples: TrainingSamples, options: FitOptions, runner: BatchRunner
    ) -> None:
        self._teacher, self._samples, self._options, self._runner = teacher, samples, options, runner
        self._kept: tuple[Tensor, ...] | None = None
        self._keeps = options.epochs > 1 and not options.flip and not options.shift and self._fit()

    def __call__(self, batch: Batch) -> tuple[Tensor, ...]:
        """The outputs, each [samples, ...]."""
        if not self._keeps:
            return self._made(batch.inputs)
        if self._kept is None:
            self._kept = self._all()
        return tuple(output[batch.rows] for output in self._kept)

    def _fit(self) -> bool:
        one = self._made(tuple(tensor[:1] for tensor in self._samples.inputs))
        return self._samples.count * sum(int(output.nbytes) for output in one) <= _MOST_KEPT_BYTES

    def _all(self) -> tuple[Tensor, ...]:
        step = self._options.batch
        parts = [
            self._made(tuple(tensor[start : start + step] for tensor in self._samples.inputs))
            for start in range(0, self._samples.count, step)
        ]
        return tuple(torch.cat(outputs) for outputs in zip(*parts, strict=True))

    def _made(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return self._runner(self._teacher, inputs)
