"""Pass `insert-exits`: early answers on the way through a classifier, with a confidence that can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from pydantic import Field

from edgec.core.cache import Cache
from edgec.core.codes.split import NO_CUT
from edgec.core.data import LabelledSample
from edgec.core.errors import EdgecError
from edgec.core.passes import Kind, Need, Pass, PassContext, PassOptions, PassResult
from edgec.graph.bottleneck_note import BottleneckNote
from edgec.graph.cost import model_size
from edgec.graph.cut_points import between, cut_points
from edgec.graph.exit_note import EarlyExit, ExitNote
from edgec.graph.shapes import infer_shapes, model_inputs, static_shape
from edgec.passes.insert_exits_layers import add_exit, divide_logits, with_probabilities
from edgec.training.availability import require_training
from edgec.training.options import FitOptions

_THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
_MOST_EVALUATED = 5000


class InsertExitsOptions(FitOptions):
    """Options of `insert-exits`; those of training are of the layers of an exit alone."""

    at: tuple[str, ...] = Field(
        default=(), description="values that exits read; empty: the latent of a bottleneck, else `count` places"
    )
    count: int = Field(default=2, ge=1, le=8, description="exits, evenly spaced by multiply-accumulates")
    channels: int = Field(default=32, ge=1, description="channels of the convolution of an exit")
    threshold: float = Field(
        default=0.9, gt=0, le=1, description="confidence, a probability, from which `split run` takes an early answer"
    )
    most_samples: int = Field(default=20_000, ge=1, description="training samples whose features are kept in memory")
    epochs: int = Field(default=5, ge=1, description="how often every sample is seen")
    learning_rate: float = Field(default=0.05, gt=0, description="the largest learning rate of the schedule")


class InsertExits(Pass):
    """Add outputs with early answers to a classifier, train their layers, and calibrate their confidence.

    The network itself stays as it is: exits learn on the features that it makes. An exit is a convolution, means over
    the halves of each axis, and a dense layer. Its logits are divided by a temperature found on samples that it did not
    learn from, so that the largest probability is the chance of being right (Guo et al., 2017). The report has accuracy
    against expected multiply-accumulates for several thresholds, on the evaluation samples.

    Case 1: a network with a bottleneck gets one exit, behind the latent: what the device sends, it can also read.
    Case 2: other networks get exits at single tensors, evenly spaced by multiply-accumulates.
    Case 3: without labels, exits learn the answers of the network, and are measured by them.
    Case 4: exits of a network that ends in a Softmax end in one too.

    Compiled as one artefact, all exits are computed; work is saved where the network is split, as `edgec split build`
    puts the exits before the cut on the device. Source: Teerapittayanon, McDanel, Kung, "BranchyNet", ICPR 2016;
    Laskaridis et al., "SPINN", MobiCom 2020. Needs the extra `qat`.
    """

    name: ClassVar[str] = "insert-exits"
    kind: ClassVar[Kind] = Kind.TRAINED
    adds_outputs: ClassVar[bool] = True
    needs: ClassVar[tuple[Need, ...]] = (Need.TRAINING, Need.EVALUATION)
    Options: ClassVar[type[PassOptions]] = InsertExitsOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Add and train in place.

        Raises:
            EdgecError: EC0901 without the extra, EC1005, EC1206 where an exit cannot stand.
        """
        require_training()
        from edgec.training.exits import observe, train_exit
        from edgec.training.fit import TrainingRun

        options = self.options if isinstance(self.options, InsertExitsOptions) else InsertExitsOptions()
        data = context.data
        if data is None:
            return PassResult(model, False, assumptions=("there is no data, so nothing was trained",))
        classes, softmax = _classes(model)
        sources = _sources(model, options)
        features = observe(model, sources, islice(data.train(), options.most_samples), data.sha256)
        fitting = FitOptions(**{name: getattr(options, name) for name in FitOptions.model_fields})
        random = np.random.default_rng(context.seed)
        stats: dict[str, int | float | str] = {"exits": len(sources)}
        exits = []
        for number, source in enumerate(sources, start=1):
            output = add_exit(model, source, classes, options.channels, number, random)
            infer_shapes(model)
            run = TrainingRun(f"insert-exits, {output}", context.seed, None, context.progress, Cache())
            trained = train_exit(model, source, output, features, fitting, run)
            divide_logits(model, output, trained.temperature)
            exits.append(EarlyExit(output=output, source=source))
            stats[f"{output}, temperature"] = round(trained.temperature, 3)
        stats |= _measured(model, exits, data.evaluation(), data.sha256)
        if softmax:
            for early in exits:
                with_probabilities(model, early.output)
        ExitNote(exits=tuple(exits), threshold=options.threshold, probabilities=softmax).write(model)
        assumptions = [f"exits read {', '.join(sources)}"]
        if not features.from_data:
            assumptions.append("not all samples have labels, so exits learned the answers of the network")
        return PassResult(model, True, stats, (), tuple(assumptions))


def _classes(model: ir.Model) -> tuple[int, bool]:
    """The number of classes of the first output, and whether a Softmax makes it."""
    first = model.graph.outputs[0]
    shape, producer = static_shape(first), first.producer()
    if shape is None or len(shape) != 2 or shape[0] != 1 or shape[1] < 2:
        what = "early exits are for classifiers, whose first output is one score a class, [1, classes]"
        raise EdgecError(NO_CUT, what, where="insert-exits", hint="leave the pass out of the recipe")
    return shape[1], producer is not None and producer.op_type == "Softmax"


def _sources(model: ir.Model, options: InsertExitsOptions) -> tuple[str, ...]:
    """The values that exits read, in the order of the graph."""
    made = {str(value.name): value for node in model.graph for value in node.outputs}
    fitting = {name for name, value in made.items() if _can_be_read(value)}
    if options.at:
        missing = [name for name in options.at if name not in fitting]
        if missing:
            what = f"`{missing[0]}` is no float value [1, features, ...] that an exit could read"
            raise EdgecError(NO_CUT, what, where="insert-exits", hint=NO_CUT.remedy)
        return tuple(name for name in made if name in options.at)
    note = BottleneckNote.read(model)
    if note is not None:
        readers = [node for node in model.graph if note.value in [v.name for v in node.inputs if v is not None]]
        return tuple(str(node.outputs[0].name) for node in readers if node.op_type == "DequantizeLinear") or (
            note.value,
        )
    points = [point for point in cut_points(model, most_values=1) if point.values[0] in fitting and point.head_macs]
    points = [point for point in points if point.tail_macs]
    if not points:
        raise EdgecError(NO_CUT, "no single tensor carries the features", where="insert-exits", hint=NO_CUT.remedy)
    whole = points[0].head_macs + points[0].tail_macs
    goals = [whole * (number + 1) / (options.count + 1) for number in range(options.count)]
    nearest = {min(points, key=lambda point: abs(point.head_macs - goal)).values[0]: None for goal in goals}
    return tuple(nearest)


def _can_be_read(value: ir.Value) -> bool:
    shape = static_shape(value)
    return value.dtype == ir.DataType.FLOAT and shape is not None and len(shape) >= 2 and shape[0] == 1


def _measured(
    model: ir.Model, exits: list[EarlyExit], samples: Iterable[LabelledSample], sha256: str
) -> dict[str, int | float | str]:
    """Accuracy against expected multiply-accumulates, while exits still make logits."""
    from edgec.training.exit_confidence import calibration_error, operations, probabilities
    from edgec.training.exits import observe

    names = [exit_.output for exit_ in exits]
    final = str(model.graph.outputs[0].name)
    seen = observe(model, [*names, final], _some(samples), sha256)
    scores = {name: array.reshape(len(array), -1) for name, array in seen.values.items()}
    likely = [probabilities(scores[name]) for name in names]
    inputs = [str(value.name) for value in model_inputs(model)]
    macs = [model_size(between(model, inputs, names[: index + 1])).macs for index in range(len(names))]
    macs.append(model_size(model).macs)
    word = "accuracy" if seen.from_data else "agreement with the network"
    stats: dict[str, int | float | str] = {f"{word}, whole network": _percent(scores[final], seen.labels)}
    for name, each, cost in zip(names, likely, macs, strict=False):
        stats[f"{name}, {word} alone"] = f"{_percent(each, seen.labels)} at {cost / macs[-1]:.1%} of the work"
        stats[f"{name}, calibration error"] = round(calibration_error(each, seen.labels), 4)
    for way in operations(likely, scores[final], seen.labels, macs, _THRESHOLDS):
        said = f"{word} {way.accuracy:.2%}, {way.macs / macs[-1]:.1%} of the multiply-accumulates"
        stats[f"threshold {way.threshold:g}"] = f"{said}, {way.early:.1%} leave early"
    return stats


def _some(samples: Iterable[LabelledSample]) -> Iterator[LabelledSample]:
    return islice(samples, _MOST_EVALUATED)


def _percent(scores: np.ndarray, labels: np.ndarray) -> str:
    return f"{float((scores.argmax(1) == labels).mean()):.2%}"
