"""Batches of samples: their order, their augmentation, and running a network on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgec.training.options import FitOptions
from edgec.training.samples import TrainingSamples

_PICTURE_AXES = 5
"""Samples, batch of one, channels, height, width."""
_SAME = 1e-3


@dataclass(frozen=True, eq=False)
class Batch:
    """Some samples: inputs as in `TrainingSamples`, labels if there are any, and their numbers among all samples."""

    inputs: tuple[Tensor, ...]
    labels: Tensor | None
    rows: Tensor


class BatchRunner:
    """Runs a network on several samples: at once where its first axis is a batch, else one after another.

    Args:
        module: takes one sample; it is in eval mode while this is found out.
        samples: two of them are tried.
    """

    def __init__(self, module: nn.Module, samples: TrainingSamples) -> None:
        self.at_once = _takes_batches(module, samples)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The outputs, each [samples, ...]: the sample's own first axis of 1 is left out where samples run at once."""
        if self.at_once:
            return _outputs(module(*(tensor.flatten(0, 1) for tensor in inputs)))
        single = [_outputs(module(*(tensor[row] for tensor in inputs))) for row in range(len(inputs[0]))]
        return tuple(torch.stack(parts) for parts in zip(*single, strict=True))


def batches(samples: TrainingSamples, options: FitOptions, seed: int, epoch: int) -> Iterator[Batch]:
    """Whole batches of all samples in the random order of an epoch; what is left over waits for another epoch."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(samples.count, generator=generator)
    for start in range(0, samples.count - options.batch + 1, options.batch):
        rows = order[start : start + options.batch]
        inputs = tuple(_augmented(tensor[rows], options, generator) for tensor in samples.inputs)
        yield Batch(inputs, None if samples.labels is None else samples.labels[rows], rows)


def _augmented(inputs: Tensor, options: FitOptions, generator: torch.Generator) -> Tensor:
    """Pictures mirrored and moved, all of a batch alike; other inputs as they are."""
    if inputs.dim() != _PICTURE_AXES or not inputs.is_floating_point():
        return inputs
    if options.flip and torch.rand((), generator=generator) < 0.5:
        inputs = inputs.flip(-1)
    if options.shift:
        height, width = inputs.shape[-2:]
        down, right = torch.randint(0, 2 * options.shift + 1, (2,), generator=generator).tolist()
        padded = functional.pad(inputs, [options.shift] * 4, value=float(inputs.min()))
        inputs = padded[..., down : down + height, right : right + width]
    return inputs


def _takes_batches(module: nn.Module, samples: TrainingSamples) -> bool:
    """Whether two samples at once give what each gives alone."""
    if any(tensor.dim() < 2 or tensor.shape[1] != 1 for tensor in samples.inputs) or samples.count < 2:
        return False
    pair = tuple(tensor[:2] for tensor in samples.inputs)
    module.eval()
    with torch.no_grad():
        single = [_outputs(module(*(tensor[row] for tensor in pair))) for row in range(2)]
        try:
            together = _outputs(module(*(tensor.flatten(0, 1) for tensor in pair)))
        # Whatever torch raises here, it says that the network has its batch of one written into it.
        except (RuntimeError, IndexError, ValueError):
            return False
    for position, both in enumerate(together):
        alone = torch.cat([outputs[position] for outputs in single]) if single[0][position].dim() else None
        if alone is None or alone.shape != both.shape:
            return False
        spread = max(float(alone.abs().max()), 1.0) if alone.numel() else 1.0
        if alone.numel() and float((alone - both).abs().max()) > _SAME * spread:
            return False
    return True


def _outputs(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)
