"""Pass `insert-bottleneck`: an encoder, a latent that is cheap to send, and a decoder, for the first layers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import onnx_ir as ir
from pydantic import Field, model_validator

from edgec.core.cache import Cache
from edgec.core.data import DataSource
from edgec.core.passes import Kind, Need, Pass, PassContext, PassOptions, PassResult
from edgec.graph.bottleneck_note import BottleneckNote
from edgec.graph.cut_points import cut_points
from edgec.graph.editing import Names
from edgec.graph.quantization import QuantizationPlan, Quantizer
from edgec.graph.quantization_writer import write_quantization
from edgec.graph.shapes import infer_shapes
from edgec.passes.insert_bottleneck_behind import behind, joined
from edgec.passes.insert_bottleneck_cut import Place, chosen_place
from edgec.passes.insert_bottleneck_layers import InputScale, Layers, Widths, insert_layers
from edgec.passes.insert_bottleneck_projection import insert_projection
from edgec.passes.node_writer import NodeWriter
from edgec.training.availability import require_training
from edgec.training.options import FitOptions, Loss, Optimizer

if TYPE_CHECKING:
    from edgec.training.fit import FitOutcome
    from edgec.training.latent_counts import LatentCounts

_SCALE_SAMPLES = 256


class Coding(StrEnum):
    """What becomes of the latent."""

    LEARNT = "learnt"
    INT8 = "int8"
    FLOAT = "float"


class InsertBottleneckOptions(FitOptions):
    """Options of `insert-bottleneck`; those of training are of the second stage, of the whole network."""

    cut: str = Field(default="", description="value that the decoder makes; empty: few positions, half of the work")
    coding: Coding = Field(
        default=Coding.LEARNT,
        description="learnt (integers whose frequencies are learnt, for entropy coding), int8 (256 even steps over the "
        "range of the latent) or float",
    )
    channels: int = Field(default=12, ge=1, le=512, description="channels of the latent")
    encoder_channels: int = Field(default=16, ge=1, description="channels of the layers of the encoder")
    decoder_channels: int = Field(default=0, ge=0, description="channels of the decoder; 0: twice those of the cut")
    bit_price: float = Field(
        default=0.02, gt=0, description="weight of a thousand bits a sample, with learnt coding: more is fewer bytes"
    )
    distillation_epochs: int = Field(default=5, ge=1, description="how often the first stage sees every sample")
    coding_epochs: int = Field(
        default=4, ge=1, description="how often the first stage sees them again with a price on bits, for learnt coding"
    )
    distillation_rate: float = Field(default=3e-3, gt=0, description="largest learning rate of the first stage (adamw)")
    keep_layers: bool = Field(
        default=False,
        description="whether the layers up to the cut stay, with one convolution behind them and one back",
    )
    stride: int = Field(
        default=1,
        ge=1,
        le=8,
        description="positions of the cut, in each direction, that one of the latent stands for, with keep_layers",
    )
    matched: int = Field(default=1, ge=0, description="values behind the bottleneck that the first stage compares too")
    freeze_encoder: bool = Field(default=True, description="whether the second stage leaves the encoder as it is")
    epochs: int = Field(
        default=2,
        ge=0,
        description="how often the second stage sees every sample; 0: the other layers stay as they are",
    )
    learning_rate: float = Field(default=0.005, gt=0, description="the largest learning rate of the second stage")

    @model_validator(mode="after")
    def _stride_is_of_kept_layers(self) -> Self:
        if self.stride > 1 and not self.keep_layers:
            raise ValueError(
                "stride is for keep_layers: an encoder in place of layers has as many positions as the cut"
            )
        return self


class InsertBottleneck(Pass):
    """Replace the layers up to a cut by an encoder for the device and a decoder for the server, and train them.

    Stage one needs no labels: the new layers learn to make what the given network makes at the cut, and what its frozen
    layers make of that further on. In stage two the network learns its own former outputs, labels, or both (`loss`),
    with the latent rounded as it will travel.

    Case 1: learnt coding. The latent is rounded to integers, and the bits that a learnt distribution of each channel,
        or of each element where they are few, gives them are part of the loss. The frequencies go with the model to the
        entropy coder; the head clips what would be outside of those seen, and four more on either side. Entropic
        Student (Matsubara et al., WACV 2022), with ReLU for its divisive normalisation, which few devices have kernels
        for.
    Case 2: int8. BottleFit (Matsubara et al., 2022): few channels, and even steps over the range of the latent.
    Case 3: float: a pair of convolutions, to be quantized by whoever cuts the model there.
    Case 4: `keep_layers`: the layers up to the cut stay as they are, and encoder and decoder behind them are a
        convolution each, which begin as a projection on principal components: more work on the device, and far less to
        learn; with a `stride`, on those of squares of positions. The unit of BottleNet (Eshratifar et al., ISLPED
        2019), without its JPEG.
    Case 5: inputs whose numbers are large or far from 0 get a scale, measured on the data, in front of the encoder.

    `edgec split build` cuts the network at the latent by itself. The pass follows those of the default recipe; it wants
    a model with one input. Needs the extra `qat`.
    """

    name: ClassVar[str] = "insert-bottleneck"
    kind: ClassVar[Kind] = Kind.TRAINED
    needs: ClassVar[tuple[Need, ...]] = (Need.TRAINING,)
    Options: ClassVar[type[PassOptions]] = InsertBottleneckOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Insert and train; the model is a new one.

        Raises:
            EdgecError: EC0901 without the extra, EC1001 to EC1005, EC1206 where no bottleneck can stand.
        """
        require_training()
        from edgec.training.bottleneck import Bottleneck, LatentCoding, train_bottleneck

        options = self.options if isinstance(self.options, InsertBottleneckOptions) else InsertBottleneckOptions()
        if context.data is None:
            return PassResult(model, False, assumptions=("there is no data, so nothing was trained",))
        place, data, kept = chosen_place(model, options.cut), context.data, None
        said = [] if options.cut else [f"the bottleneck stands at `{place.value}`: the fewest positions travel"]
        if options.keep_layers:
            parts = behind(model, place, data)
            kept, model, place, data = parts.kept, parts.model, parts.place, parts.data
        changed = model.clone()
        layers = _inserted(changed, place, data, options, context.seed)
        bottleneck = Bottleneck(
            *(place.value, layers.made, layers.latent, layers.encoder, layers.decoder),
            matched=_matched(model, place, options),
            projects=options.keep_layers,
        )
        trained = train_bottleneck(
            *(model, changed, bottleneck),
            LatentCoding(
                options.coding is not Coding.FLOAT,
                options.bit_price if options.coding is Coding.LEARNT else None,
                options.coding_epochs,
                options.freeze_encoder,
            ),
            *(data, _stages(options)),
            seed=context.seed,
            progress=context.progress,
            cache=Cache(),
        )
        if kept is not None:
            changed = joined(kept, changed)
        written = _written(changed, layers.latent, trained.quantizer, trained.symbols)
        stats = _sizes(written, place, layers, options) | trained.figures()
        return PassResult(written, True, stats, (), (*said, *_said_of(trained.tuning or trained.distillation)))


def _said_of(learned: FitOutcome) -> Iterator[str]:
    yield f"the network learned from {learned.learned_from}"
    if not learned.at_once:
        yield "the network takes one sample at a time, so they ran one by one"


def _stages(options: InsertBottleneckOptions) -> tuple[FitOptions, FitOptions | None]:
    given = {name: getattr(options, name) for name in FitOptions.model_fields}
    tuning = FitOptions(**given | {"epochs": max(1, options.epochs)})
    first = {
        "epochs": options.distillation_epochs,
        "learning_rate": options.distillation_rate,
        "optimizer": Optimizer.ADAMW,
        "loss": Loss.DISTILLATION,
    }
    return tuning.model_copy(update=first), tuning if options.epochs else None


def _inserted(changed: ir.Model, place: Place, data: DataSource, options: InsertBottleneckOptions, seed: int) -> Layers:
    """The layers of the bottleneck, put in; they fit what some training samples are there."""
    samples = [sample.inputs[place.source] for sample in islice(data.train(), _SCALE_SAMPLES)]
    if options.keep_layers:
        return insert_projection(changed, place, samples, options.channels, options.stride)
    widths = Widths(options.encoder_channels, options.channels, options.decoder_channels)
    return insert_layers(changed, place, widths, _input_scale(samples, place), seed)


def _input_scale(samples: list[np.ndarray], place: Place) -> InputScale:
    """Mean and deviation of the channels of the input."""
    numbers = np.moveaxis(np.concatenate(samples).astype(np.float64), 1, 0).reshape(place.source_shape[1], -1)
    return InputScale(numbers.mean(1).astype(np.float32), numbers.std(1).astype(np.float32))


def _matched(model: ir.Model, place: Place, options: InsertBottleneckOptions) -> tuple[str, ...]:
    """Values that lie evenly behind a place, of those that all paths go through."""
    names = [point.values[0] for point in cut_points(model, most_values=1) if point.tail_macs]
    behind = names[names.index(place.value) + 1 :]
    count = min(options.matched, len(behind))
    return tuple(behind[(number + 1) * len(behind) // count - 1] for number in range(count))


def _written(changed: ir.Model, latent: str, quantizer: Quantizer | None, symbols: LatentCounts | None) -> ir.Model:
    """The model with its rounding, which knows where it is to be cut."""
    travels = latent
    if symbols is not None:
        latent = _within(changed, latent, symbols.lowest, symbols.highest)
    if quantizer is not None:
        changed = write_quantization(changed, QuantizationPlan(values={latent: quantizer}))
        infer_shapes(changed)
        travels = next(
            str(node.outputs[0].name)
            for node in changed.graph
            if node.op_type == "QuantizeLinear" and node.inputs[0] is not None and node.inputs[0].name == latent
        )
    note = BottleneckNote(value=travels)
    if symbols is not None:
        note = BottleneckNote(value=travels, lowest=symbols.lowest, counts=symbols.counts, groups=symbols.groups)
    note.write(changed)
    return changed


def _within(model: ir.Model, name: str, low: int, high: int) -> str:
    """Clip a value to the symbols that its tables hold, in place; the name of what comes of it."""
    value = next(output for node in model.graph for output in node.outputs if output.name == name)
    readers, producer = list(value.uses()), value.producer()
    writer = NodeWriter(model, Names(model), "bottleneck")
    bounds = (
        writer.constant(role, np.array(bound, np.float32)) for role, bound in (("lowest", low), ("highest", high))
    )
    clipped = writer.one("Clip", value, *bounds)
    clipped.shape, clipped.type = value.shape, value.type
    if producer is not None:
        model.graph.insert_after(producer, writer.nodes)
    for node, index in readers:
        node.replace_input_with(index, clipped)
    return str(clipped.name)


def _sizes(
    model: ir.Model, place: Place, layers: Layers, options: InsertBottleneckOptions
) -> dict[str, int | float | str]:
    point = next(point for point in cut_points(model, most_values=1) if point.values == (layers.latent,))
    elements = math.prod(extent // options.stride for extent in place.shape[2:]) * options.channels
    return {
        "multiply-accumulates replaced": f"{place.replaced:.1%}",
        "multiply-accumulates of the encoder": point.head_macs,
        "weights of the encoder, bytes": point.head_weight_bytes,
        "weights behind it, bytes": point.tail_weight_bytes,
        "bytes a sample": elements * (4 if options.coding is Coding.FLOAT else 1),
    }
