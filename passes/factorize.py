"""Pass `factorize`: layers are replaced by two smaller ones where that is faster on the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import onnx_ir as ir
from pydantic import Field, model_validator

from edgec.core.passes import Kind, Pass, PassContext, PassOptions, PassResult, Skip
from edgec.graph.channels_cost import KernelRate
from edgec.graph.cost import model_size
from edgec.passes.factorize_candidates import DenseLayer, Factors, candidates, dense_layer
from edgec.passes.factorize_rewrite import replace_by_factors
from edgec.passes.graph_edit import Names, nodes_of


class FactorizeOptions(PassOptions):
    """Options of `factorize`."""

    target_macs: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of the multiply-accumulates to be left; 0.7 if no goal is given",
    )
    target_time: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of the time predicted for the target to be left, of the layers that could be factorized",
    )
    largest_error: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="no layer's weights change by more than this share, in the operator norm, whatever the goal",
    )

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        if self.target_macs is not None and self.target_time is not None:
            raise ValueError("give one of target_macs and target_time")
        return self


class Factorize(Pass):
    """Replace convolutions and dense layers by two smaller ones of low rank, without training.

    The largest relative error of all layers is made as small as the goal allows. It is found by bisection: for a given
    error every layer takes the cheapest number of groups and rank that stays below it, or stays as it is.

    Case 1: a k x k convolution becomes k x k in groups of input channels, then 1 x 1.
    Case 2: or 1 x 1, then k x k on fewer channels, if that is cheaper.
    Case 3: a dense layer becomes two.
    Case 4: a layer that would not be faster on the target stays, and so does one whose loss the goal does not need.

    Source: Liebenwein et al., Compressing Neural Networks: Towards Determining the Optimal Layer-wise Decomposition
    (ALDS), 2021; the cost is the predicted time instead of the number of parameters, and as layers do not depend on one
    another for a given error, the search is exact where the paper alternates. Fine-tune afterwards.
    """

    name: ClassVar[str] = "factorize"
    kind: ClassVar[Kind] = Kind.LOSSY
    Options: ClassVar[type[PassOptions]] = FactorizeOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Factorize in place."""
        options = self.options if isinstance(self.options, FactorizeOptions) else FactorizeOptions()
        rate = KernelRate.of(context.target)
        choices, skipped = _choices(model, rate, options.largest_error)
        total = model_size(model).macs
        if options.target_time is not None:
            everything = sum(choice.layer.seconds(rate) for choice in choices)
            chosen = _smallest_error(choices, lambda picked: picked.seconds, options.target_time * everything)
        else:
            others = total - sum(choice.layer.macs for choice in choices)
            most = (options.target_macs or 0.7) * total - others
            chosen = _smallest_error(choices, lambda picked: picked.macs, most)
        names = Names(model)
        stats: dict[str, int | float | str] = {}
        for choice, factors in zip(choices, chosen, strict=True):
            name = str(choice.layer.node.name)
            if isinstance(factors, _Whole):
                skipped.append(Skip(name, choice.reason))
                continue
            stats[f"factors of {name}"] = _described(factors, choice.whole)
            replace_by_factors(model, choice.layer, factors, names)
        before, after = sum(c.whole.seconds for c in choices), sum(picked.seconds for picked in chosen)
        left = total - sum(c.whole.macs - picked.macs for c, picked in zip(choices, chosen, strict=True))
        summary: dict[str, int | float | str] = {
            "multiply-accumulates left": round(left / max(total, 1), 4),
            "predicted time left of layers that could be factorized": round(after / before, 4) if before else 1.0,
            "layers factorized": len(stats),
            "largest error": round(max((picked.error for picked in chosen), default=0.0), 4),
        }
        return PassResult(model, bool(stats), summary | stats, tuple(skipped), _assumptions(rate, options, left, total))


@dataclass(frozen=True)
class _Whole:
    """A layer as it is, with the cost that factors have."""

    macs: int
    seconds: float
    error: float = 0.0


@dataclass(frozen=True, eq=False)
class _Choice:
    """A layer, and what could stand in its place."""

    layer: DenseLayer
    whole: _Whole
    factors: tuple[Factors, ...]

    @property
    def reason(self) -> str:
        """Why the layer stays, if it does."""
        if not self.factors:
            return "no rank makes it faster on the target within the largest error"
        return "what it would lose is more than the goal needs"


_Picked = Factors | _Whole


def _choices(model: ir.Model, rate: KernelRate, largest_error: float) -> tuple[list[_Choice], list[Skip]]:
    choices, skipped = [], []
    for node in nodes_of(model, "Conv", "Gemm", "MatMul"):
        layer = dense_layer(node)
        if isinstance(layer, str):
            skipped.append(Skip(str(node.name), layer))
            continue
        found = tuple(f for f in candidates(layer, rate) if f.error <= largest_error)
        choices.append(_Choice(layer, _Whole(layer.macs, layer.seconds(rate)), found))
    return choices, skipped


def _smallest_error(choices: Sequence[_Choice], cost: Callable[[_Picked], float], most: float) -> list[_Picked]:
    """The cheapest choices for the smallest error at which they cost no more than `most`; else for the largest."""
    errors = sorted({0.0, *(f.error for choice in choices for f in choice.factors)})

    def cheapest(error: float) -> list[_Picked]:
        return [_cheapest(choice, error, cost) for choice in choices]

    low, high = 0, len(errors) - 1
    while low < high:
        middle = (low + high) // 2
        if sum(map(cost, cheapest(errors[middle]))) <= most:
            high = middle
        else:
            low = middle + 1
    return cheapest(errors[low])


def _cheapest(choice: _Choice, error: float, cost: Callable[[_Picked], float]) -> _Picked:
    allowed: list[_Picked] = [choice.whole, *(factors for factors in choice.factors if factors.error <= error)]
    return min(allowed, key=cost)


def _described(factors: Factors, whole: _Whole) -> str:
    return (
        f"{factors.order.value}, {factors.groups} groups of rank {factors.rank}, "
        f"{factors.macs / max(whole.macs, 1):.0%} of the multiply-accumulates, "
        f"{factors.seconds / whole.seconds:.0%} of the predicted time, error at most {factors.error:.2f}"
    )


def _assumptions(rate: KernelRate, options: FactorizeOptions, left: int, total: int) -> tuple[str, ...]:
    told = [f"time is predicted from {rate.basis}; ranks are multiples of {rate.lanes}"]
    if options.target_time is None and left > (options.target_macs or 0.7) * total:
        told.append(f"the goal is out of reach: {left / max(total, 1):.0%} of the multiply-accumulates are left")
    return tuple(told)
