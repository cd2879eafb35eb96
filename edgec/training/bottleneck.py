"""Training of a bottleneck: first its layers imitate what they replace, then the whole network learns to live with it.

Both stages are those of Matsubara et al.: head distillation of BottleFit ("BottleFit: Learning Compressed
Representations in Deep Neural Networks for Effective and Efficient Split Computing", 2022, section III), with a price
on the bits of the latent as in Entropic Student ("Supervised Compression for Resource-Constrained Edge Computing
Systems", WACV 2022, section 3).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import onnx_ir as ir
import torch
from brevitas.backport import fx
from torch import Tensor, nn

from edgec.core.cache import Cache
from edgec.core.data import DataSource
from edgec.core.progress import Progress
from edgec.graph.cut_points import between, take_weights
from edgec.graph.quantization import Quantizer
from edgec.graph.shapes import static_shape
from edgec.training.batch_norm import fold_batch_norms, insert_batch_norms
from edgec.training.bottleneck_prior import FactorizedPrior
from edgec.training.fit import FitOutcome, TrainingRun, fit
from edgec.training.importer import TrainableNetwork, import_network
from edgec.training.latent_counts import LatentCounts, count_symbols
from edgec.training.options import FitOptions
from edgec.training.samples import TrainingSamples, read_samples
from edgec.training.step_quantizer import StepQuantizer
from edgec.training.write_back import write_back

_LATENT = "bottleneck_latent"
_MEASURED_SAMPLES, _COUNTED_SAMPLES = 512, 4096
_AT_ONCE = 128
_FIRST_DEVIATION = 4.0


@dataclass(frozen=True)
class Bottleneck:
    """Where the new layers of a network are.

    Attributes:
        imitated: the value of the given network that the new layers are to make.
        made: the value that they make of it, in the network with them.
        latent: the value between encoder and decoder.
        encoder: names of the convolutions before it; the last one makes it.
        decoder: names of those behind it.
        matched: values behind the bottleneck, of both networks, that are compared too.
        projects: whether the encoder begins as a projection that turns the channels and keeps their sizes.
    """

    imitated: str
    made: str
    latent: str
    encoder: tuple[str, ...]
    decoder: tuple[str, ...]
    matched: tuple[str, ...]
    projects: bool = False


@dataclass(frozen=True)
class LatentCoding:
    """What becomes of the latent.

    Attributes:
        rounded: whether it is rounded to int8; else it stays float.
        bit_price: of a thousand bits a sample, in the loss of learnt symbols; None for evenly spaced steps over the
            range of a latent that was trained without rounding.
        epochs: of the new layers with that price, after those without it.
        frozen: whether encoder and coding stay as the first stage left them.
    """

    rounded: bool
    bit_price: float | None
    epochs: int
    frozen: bool


@dataclass(frozen=True)
class BottleneckTraining:
    """What came out; the weights are in the network already.

    Attributes:
        distillation: of the first stage.
        priced: of its second half, in which bits have a price; None without one.
        tuning: of the second stage; None without one.
        quantizer: of the latent; None where it stays float.
        symbols: how often each int8 is expected where, on some training samples; None where nothing was learnt of it.
    """

    distillation: FitOutcome
    priced: FitOutcome | None
    tuning: FitOutcome | None
    quantizer: Quantizer | None
    symbols: LatentCounts | None

    def figures(self) -> dict[str, int | float | str]:
        """What a report says of it."""
        found: dict[str, int | float | str] = {}
        if self.symbols is not None:
            found["bytes a sample, entropy-coded"] = round(self.symbols.bits / 8, 1)
        stages = {"layers": self.distillation, "layers, priced": self.priced, "network": self.tuning}
        for name, outcome in stages.items():
            if outcome is not None:
                found[f"loss of the first epoch, {name}"] = round(outcome.losses[0], 5)
                found[f"loss of the last epoch, {name}"] = round(outcome.losses[-1], 5)
                found[f"epochs found in the cache, {name}"] = outcome.resumed
        return found


def train_bottleneck(
    given: ir.Model,
    changed: ir.Model,
    bottleneck: Bottleneck,
    coding: LatentCoding,
    data: DataSource,
    stages: tuple[FitOptions, FitOptions | None],
    *,
    seed: int,
    progress: Progress,
    cache: Cache | None = None,
) -> BottleneckTraining:
    """Train the layers of a bottleneck in place.

    Args:
        given: the network without it, which teaches.
        changed: the network with it.
        bottleneck: where it is.
        coding: what becomes of the latent.
        data: its `train` split is used; labels only where the second stage asks for them.
        stages: how to train the new layers, and then the network; None: it stays as it is.
        seed: of order and augmentation.
        progress: told of every step.
        cache: keeps the state after each epoch, so that an interrupted training goes on.

    Raises:
        EdgecError: EC1001 to EC1005, and EC07xx for the data.
    """
    samples = read_samples(data, changed, stages[1] or stages[0])
    unlabelled = replace(samples, labels=None)
    prior = None
    if coding.bit_price is not None:
        prior = FactorizedPrior(_extents(changed, bottleneck.latent), coding.bit_price)
    run = TrainingRun("insert-bottleneck, layers", seed, None, progress, cache)
    first, priced = _distil(given, changed, bottleneck, coding, prior, unlabelled, stages[0], run)
    run = replace(run, name="insert-bottleneck, network", teacher=import_network(given).module)
    return _tune(changed, bottleneck, coding, prior, samples, stages[1], run, (first, priced))


def _distil(
    given: ir.Model,
    changed: ir.Model,
    bottleneck: Bottleneck,
    coding: LatentCoding,
    prior: FactorizedPrior | None,
    samples: TrainingSamples,
    options: FitOptions,
    run: TrainingRun,
) -> tuple[FitOutcome, FitOutcome | None]:
    """Train the new layers alone to make what the given network makes at its values, the layers behind them frozen.

    Bits get their price only once the layers work: from random layers on, the cheapest latent is one that says nothing.
    """
    inputs = [str(value.name) for value in given.graph.inputs]
    teacher = import_network(between(given, inputs, (bottleneck.imitated, *bottleneck.matched))).module
    part = between(changed, inputs, (bottleneck.made, *bottleneck.matched))
    network = import_network(part)
    new = {*bottleneck.encoder, *bottleneck.decoder}
    old = {str(node.name) for node in part.graph} - new
    # Nothing normalises the latent: its scale decides how fine it is rounded.
    insert_batch_norms(network, samples, leave={*old, bottleneck.encoder[-1]})
    _freeze(network, old)
    run, priced = replace(run, teacher=teacher), None
    outcome = fit(network.module, samples, options, run)
    if prior is not None:
        _spread_latent(network, bottleneck, samples)
        _insert_behind(network, bottleneck.latent, prior)
        again = options.model_copy(update={"epochs": coding.epochs})
        priced = fit(network.module, samples, again, replace(run, penalty=prior.penalty))
        _remove_latent(network)
    write_back(fold_batch_norms(network))
    take_weights(changed, part)
    return outcome, priced


def _spread_latent(network: TrainableNetwork, bottleneck: Bottleneck, samples: TrainingSamples) -> None:
    """Make the deviation of each channel of the latent several steps of rounding, which the layer behind takes back.

    All channels of a projection are rounded in the same steps, so that the large ones get most of the bits.
    """
    latents = _observed(network, bottleneck.latent, samples)
    deviation = latents.transpose(0, 1).flatten(1).std(1).clamp_min(1e-6)
    if bottleneck.projects:
        deviation = deviation.max().expand_as(deviation)
    layers = {node.meta.get("onnx_node"): node.target for node in network.module.graph.nodes}
    before, behind = (
        network.module.get_submodule(layers[name]) for name in (bottleneck.encoder[-1], bottleneck.decoder[0])
    )
    factor = _FIRST_DEVIATION / deviation
    with torch.no_grad():
        before.weight.mul_(factor.reshape(-1, *[1] * (before.weight.dim() - 1)))
        before.bias.mul_(factor)
        behind.weight.div_(factor.reshape(1, -1, *[1] * (behind.weight.dim() - 2)))


def _tune(
    changed: ir.Model,
    bottleneck: Bottleneck,
    coding: LatentCoding,
    prior: FactorizedPrior | None,
    samples: TrainingSamples,
    options: FitOptions | None,
    run: TrainingRun,
    before: tuple[FitOutcome, FitOutcome | None],
) -> BottleneckTraining:
    """Train the whole network, or all behind the latent, with a latent that is really rounded."""
    network = import_network(changed)
    latents = _observed(network, bottleneck.latent, samples)
    if options is not None:
        insert_batch_norms(network, samples, leave=bottleneck.encoder)
    steps = None
    if prior is not None:
        prior.noise = False
        _insert_behind(network, bottleneck.latent, prior)
    elif coding.rounded:
        start = Quantizer.asymmetric(float(latents.min()), float(latents.max()), signed=True)
        steps = StepQuantizer(start, axis=None, power_of_two=False, one_sample=True)
        _insert_behind(network, bottleneck.latent, steps)
    if coding.frozen:
        _freeze(network, bottleneck.encoder)
        for parameter in (prior or steps or nn.Identity()).parameters():
            parameter.requires_grad_(False)
    if prior is not None:
        prior.priced = not coding.frozen
        run = replace(run, penalty=prior.penalty if prior.priced else None)
    outcome = fit(network.module, samples, options, run) if options is not None else None
    symbols = None
    if prior is not None:
        latents = _observed(network, bottleneck.latent, samples, _COUNTED_SAMPLES)
        symbols = count_symbols(prior.integers(latents), prior.probabilities())
    _remove_latent(network)
    write_back(fold_batch_norms(network))
    return BottleneckTraining(*before, outcome, _quantizer(prior, steps), symbols)


def _quantizer(prior: FactorizedPrior | None, steps: StepQuantizer | None) -> Quantizer | None:
    if prior is not None:
        return Quantizer.symmetric(127.0, narrow=False)
    return None if steps is None else steps.learned(None)


def _extents(model: ir.Model, value: str) -> tuple[int, ...]:
    """Those of a value of one sample, [channels, ...]."""
    shape = static_shape(next(output for node in model.graph for output in node.outputs if output.name == value))
    if shape is None:
        raise ValueError(f"{value} has no static shape")
    return shape[1:]


def _freeze(network: TrainableNetwork, nodes: Collection[str]) -> None:
    """Keep the weights of some ONNX nodes as they are."""
    parameters = dict(network.module.named_parameters())
    for weight in network.weights:
        if weight.path in parameters and str(weight.uses[0][0].name) in nodes:
            parameters[weight.path].requires_grad_(False)


def _insert_behind(network: TrainableNetwork, value: str, layer: nn.Module) -> None:
    module = network.module
    module.add_submodule(_LATENT, layer)
    source = next(node for node in module.graph.nodes if node.meta.get("onnx_value") == value)
    with module.graph.inserting_after(source):
        made = module.graph.call_module(_LATENT, (source,))
    source.replace_all_uses_with(made)
    made.args = (source,)
    module.recompile()


def _remove_latent(network: TrainableNetwork) -> None:
    module = network.module
    for node in list(module.graph.nodes):
        if node.op == "call_module" and node.target == _LATENT:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
            module.delete_submodule(_LATENT)
    module.recompile()


def _observed(
    network: TrainableNetwork, value: str, samples: TrainingSamples, count: int = _MEASURED_SAMPLES
) -> Tensor:
    """What some samples make of a value, before anything that stands behind it: [samples, channels, ...]."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.graph_copy(network.module.graph, copies)
    graph.output(next(copy for node, copy in copies.items() if node.meta.get("onnx_value") == value))
    layers = fx.GraphModule(network.module, graph).eval()
    layers.graph.eliminate_dead_code()
    layers.recompile()
    count = min(count, samples.count)
    with torch.no_grad():
        # Convolutions take any batch, whatever the network behind them does.
        parts = [
            layers(*(tensor[start : min(start + _AT_ONCE, count)].flatten(0, 1) for tensor in samples.inputs))
            for start in range(0, count, _AT_ONCE)
        ]
    return torch.cat(parts)
