"""One model as a head and a tail: what travels between them as int8, how often each symbol occurs, batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.core.errors import EdgecError
from edgec.core.tensor import Sample
from edgec.graph.cut_points import between, cut
from edgec.graph.editing import Names, add_constant
from edgec.graph.exit_note import ExitNote, without_exits
from edgec.graph.quantization import QuantizationPlan, Quantizer
from edgec.graph.quantization_writer import write_quantization
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes, model_inputs
from edgec.split.frequency_tables import FrequencyTables, tables_from_counts

_LOWEST, _SYMBOLS = -128, 256
_BATCH = "batch"


@dataclass(frozen=True)
class TwoParts:
    """Head and tail.

    Attributes:
        head: makes what is sent, and perhaps an early answer.
        tail: takes what is sent.
        sent: names of the values that go from the one to the other.
    """

    head: ir.Model
    tail: ir.Model
    sent: tuple[str, ...]


def in_two(model: ir.Model, values: Sequence[str], early: str | None = None) -> TwoParts:
    """Head and tail of a model.

    Args:
        model: with static shapes; not changed.
        values: that cut the model, early answers left aside.
        early: the output that the head makes beside them; None for none.

    Raises:
        EdgecError: EC0212 where the values do not cut the model.
    """
    whole = without_exits(model, ExitNote.read(model))
    head, tail = cut(whole, values)
    if early is not None:
        head = between(model, [str(value.name) for value in model_inputs(model)], [*values, early])
    return TwoParts(head, tail, tuple(values))


def early_answer(model: ir.Model, values: Sequence[str]) -> str | None:
    """The last early answer that is there when some values are: it reads what the head makes, or those values.

    Args:
        model: perhaps with early exits.
        values: that cut the model, early answers left aside.
    """
    note = ExitNote.read(model)
    if note is None:
        return None
    head, _ = cut(without_exits(model, note), values)
    known = {str(value.name) for node in head.graph for value in node.outputs}
    readers = [node for node in model.graph if any(v is not None and v.name in values for v in node.inputs)]
    known |= {str(node.outputs[0].name) for node in readers if node.op_type == "DequantizeLinear"}
    near = [exit_.output for exit_ in note.exits if exit_.source in known]
    return near[-1] if near else None


def quantized_at(model: ir.Model, value: str, samples: Sequence[Sample]) -> tuple[ir.Model, str]:
    """A model with a value in int8 steps that span what is seen in the samples, and the name of the int8 tensor.

    Args:
        model: with static shapes; not changed.
        value: a float tensor that cuts the model, early answers left aside.
        samples: inputs to find its range on.
    """
    head, _ = cut(without_exits(model, ExitNote.read(model)), [value])
    seen = [made[value] for made in _outputs(head, samples)]
    low, high = min(float(array.min()) for array in seen), max(float(array.max()) for array in seen)
    plan = QuantizationPlan(values={value: Quantizer.asymmetric(low, high, signed=True)})
    quantized = write_quantization(model.clone(), plan)
    infer_shapes(quantized)
    integers = next(
        str(node.outputs[0].name)
        for node in quantized.graph
        if node.op_type == "QuantizeLinear" and node.inputs[0] is not None and node.inputs[0].name == value
    )
    return quantized, integers


def symbol_tables(parts: TwoParts, samples: Sequence[Sample]) -> FrequencyTables | None:
    """How often each symbol occurs in each channel of what the head makes; None where that cannot be coded.

    Every int8 keeps a place in the tables, so that no input can make a latent that cannot be sent.

    Args:
        parts: what travels must be one int8 tensor [1, channels, …] to be coded.
        samples: inputs to count on.
    """
    sent = [value for value in parts.head.graph.outputs if value.name in parts.sent]
    if len(sent) != 1 or sent[0].dtype != ir.DataType.INT8 or sent[0].shape is None or len(sent[0].shape) < 2:
        return None
    latents = [made[str(sent[0].name)][0] for made in _outputs(parts.head, samples)]
    counts = [
        sum(np.bincount(latent[channel].ravel().astype(np.int64) - _LOWEST, minlength=_SYMBOLS) for latent in latents)
        for channel in range(latents[0].shape[0])
    ]
    return tables_from_counts(np.full(len(counts), _LOWEST), [np.asarray(count) for count in counts])


def with_open_batch(tail: ir.Model, given: Sequence[Sample]) -> ir.Model:
    """The tail with a first axis of any extent, if it then treats the samples of a batch as it treats each alone.

    Args:
        tail: for one sample.
        given: at least two samples of what it takes.
    """
    opened = tail.clone()
    for value in (*opened.graph.inputs, *opened.graph.outputs):
        if value.shape is None or not len(value.shape) or value.shape[0] != 1:
            return tail
        value.shape = ir.Shape([_BATCH, *list(value.shape)[1:]])
    for node in opened.graph:
        for value in node.outputs:
            if value not in opened.graph.outputs:
                value.shape = None
    _free_reshapes(opened)
    together = {name: np.concatenate([sample[name] for sample in given]) for name in given[0]}
    return opened if _batch_is_free(opened, together, _outputs(tail, given)) else tail


def _free_reshapes(opened: ir.Model) -> None:
    """Let each Reshape to a constant batch of one keep the batch it is given; whether that is right shows later."""
    names = Names(opened)
    for node in opened.graph:
        before = node.inputs[1] if node.op_type == "Reshape" else None
        shape = ir.convenience.get_const_tensor(before) if before is not None else None
        extents = shape.numpy() if shape is not None else np.zeros(0, np.int64)
        if before is None or len(extents) < 2 or extents[0] != 1 or 0 in extents:
            continue
        kept = add_constant(opened.graph, names.fresh(f"{node.name}.shape"), np.array([0, *extents[1:]], np.int64))
        node.replace_input_with(1, kept)
        node.attributes.pop("allowzero", None)
        if not before.uses():
            opened.graph.initializers.pop(str(before.name), None)


def _batch_is_free(opened: ir.Model, together: Sample, alone: Sequence[Sample]) -> bool:
    try:
        made = ReferenceSession(opened).run(together)
    except EdgecError:
        # A layer that only one sample fits: the tail takes one sample at a time, which `Tail` copes with.
        return False
    return all(
        made[name].shape == (len(alone), *array.shape[1:])
        and all(np.allclose(made[name][number], one[name][0], rtol=1e-4, atol=1e-5) for number, one in enumerate(alone))
        for name, array in alone[0].items()
    )


def _outputs(model: ir.Model, samples: Sequence[Sample]) -> list[dict[str, np.ndarray]]:
    session = ReferenceSession(model)
    names = [str(value.name) for value in model.graph.inputs]
    return [session.run({name: sample[name] for name in names}) for sample in samples]
