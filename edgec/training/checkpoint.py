"""Training that was interrupted goes on: the state after each epoch, in the cache, as plain arrays."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from brevitas.backport import fx

from edgec.core.cache import Cache, key_of
from edgec.training.options import FitOptions
from edgec.training.samples import TrainingSamples

_FORMAT = "edgec-training-1"
_MODULE, _OPTIMIZER, _LOSSES = "module/", "optimizer/", "losses"


def training_key(
    module: fx.GraphModule,
    teacher: fx.GraphModule | None,
    samples: TrainingSamples,
    options: FitOptions,
    seed: int,
) -> str:
    """The key of everything that decides the outcome of a training: networks, weights, data, options, seed, torch."""
    parts: list[str | bytes] = [_FORMAT, torch.__version__, samples.sha256, options.model_dump_json(), str(seed)]
    parts.append(f"{samples.count} {samples.labels is None}")
    for network in (module, teacher):
        if network is not None:
            # The text of the modules tells what their code does not: strides, bits of quantizers.
            parts += [network.code, str(network)]
            parts += [
                part for name, tensor in network.state_dict().items() for part in (name, tensor.numpy().tobytes())
            ]
    return key_of(*parts)


@dataclass(frozen=True)
class Checkpoint:
    """The place of one training in the cache.

    Attributes:
        cache: where states are kept; one that stores nothing only means that training cannot be resumed.
        key: see `training_key`.
    """

    cache: Cache
    key: str

    def save(self, module: fx.GraphModule, optimizer: torch.optim.Optimizer, losses: list[float]) -> None:
        """Store the state after an epoch, in place of that of the epoch before."""
        arrays = {f"{_MODULE}{name}": tensor.numpy() for name, tensor in module.state_dict().items()}
        for number, state in optimizer.state_dict()["state"].items():
            arrays |= {f"{_OPTIMIZER}{number}/{name}": np.asarray(tensor) for name, tensor in state.items()}
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays, **{_LOSSES: np.asarray(losses)})
        self.cache.put(self.key, content.getvalue())

    def restore(self, module: fx.GraphModule, optimizer: torch.optim.Optimizer) -> list[float]:
        """Put the stored state back; the losses of the epochs that are done, none if nothing is stored."""
        content = self.cache.get(self.key)
        if content is None:
            return []
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            stored = {name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}
        module.load_state_dict(
            {name.removeprefix(_MODULE): t for name, t in stored.items() if name.startswith(_MODULE)}
        )
        states: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in stored.items():
            if name.startswith(_OPTIMIZER):
                number, _, field = name.removeprefix(_OPTIMIZER).partition("/")
                states.setdefault(int(number), {})[field] = tensor
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
        return [float(loss) for loss in stored[_LOSSES]]
