"""The gate tells passes that keep their promise from those that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgec.core.codes.passes import PASS_CHANGED_OUTPUTS
from edgec.core.errors import EdgecError
from edgec.core.passes import Kind, Pass, PassContext, PassResult
from edgec.core.pipeline import Pipeline
from edgec.core.trace import PassRecord
from edgec.graph.cost import model_size
from edgec.graph.gate import ReferenceGate
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes
from tests.models import conv_net, detector_net, gru_net, quantized_net

Edit = Callable[[ir.Model], object]


def a_pass(edit: Edit, kind: Kind = Kind.EXACT, name: str = "edit") -> Pass:
    class Edited(Pass):
        def run(self, model: ir.Model, context: PassContext) -> PassResult:
            edit(model)
            return PassResult(model, modified=True)

    Edited.name, Edited.kind = name, kind
    return Edited()


def model_of(proto: onnx.ModelProto) -> ir.Model:
    model = ir.from_proto(proto)
    infer_shapes(model)
    return model


def check(proto: onnx.ModelProto, *passes: Pass, gate: ReferenceGate | None = None) -> tuple[PassRecord, ...]:
    return Pipeline(passes, gate or ReferenceGate(), model_size).run(model_of(proto), PassContext()).records


def scale_weights(factor: float) -> Edit:
    def edit(model: ir.Model) -> None:
        for value in model.graph.initializers.values():
            array = value.const_value.numpy()
            if array.dtype == np.float32:
                value.const_value = ir.tensor(array * np.float32(factor), name=value.name)

    return edit


def rename_node(model: ir.Model) -> None:
    model.graph.node(0).name = "renamed"


def fix_size(model: ir.Model) -> None:
    model.graph.inputs[0].shape = ir.Shape([1, 3, 8, 8])
    infer_shapes(model)


def test_a_faithful_pass_goes_through() -> None:
    (record,) = check(conv_net(), a_pass(rename_node))
    assert record.gate == "passed"
    assert record.fidelity is not None
    assert record.fidelity.bit_exact
    assert record.fidelity.samples == 2


def test_an_exact_pass_that_changes_outputs_is_stopped() -> None:
    with pytest.raises(EdgecError) as caught:
        check(conv_net(), a_pass(scale_weights(1.01), name="scale"))
    assert caught.value.code is PASS_CHANGED_OUTPUTS
    assert "scale" in caught.value.what


def test_rounding_is_exact_but_not_binary_exact() -> None:
    tiny = scale_weights(1 + 2**-23)
    (record,) = check(gru_net(), a_pass(tiny))
    assert record.gate == "passed"
    with pytest.raises(EdgecError):
        check(gru_net(), a_pass(tiny, Kind.BINARY_EXACT))


@pytest.mark.parametrize("kind", [Kind.LOSSY, Kind.TRAINED])
def test_a_lossy_pass_is_measured(kind: Kind) -> None:
    (record,) = check(gru_net(), a_pass(scale_weights(1.1), kind))
    assert record.gate == "passed"
    assert record.fidelity is not None
    assert 0.001 < record.fidelity.max_relative_error < 1


def test_a_pass_that_breaks_the_model_is_stopped() -> None:
    def cut(model: ir.Model) -> None:
        model.graph.node(0).op_type = "Nonsense"

    with pytest.raises(EdgecError) as caught:
        check(conv_net(), a_pass(cut))
    assert caught.value.code is PASS_CHANGED_OUTPUTS
    assert "does not run any more" in caught.value.what


def test_a_pass_that_renames_outputs_is_stopped() -> None:
    def rename(model: ir.Model) -> None:
        model.graph.outputs[0].name = "other"

    with pytest.raises(EdgecError) as caught:
        check(conv_net(), a_pass(rename))
    assert "other" in caught.value.what


def test_open_shapes_are_no_excuse_once_they_are_fixed() -> None:
    records = check(detector_net(), a_pass(rename_node), a_pass(fix_size), a_pass(rename_node))
    assert [record.gate == "passed" for record in records] == [False, True, True]
    assert "`image` is open" in records[0].gate


def test_an_open_batch_is_run_with_one() -> None:
    (record,) = check(conv_net(batch="N"), a_pass(rename_node))
    assert record.gate == "passed"


def test_every_model_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    original = ReferenceSession.run

    def counted(self: ReferenceSession, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        runs.append(1)
        return original(self, sample)

    monkeypatch.setattr(ReferenceSession, "run", counted)
    check(conv_net(), *[a_pass(rename_node) for _ in range(3)], gate=ReferenceGate(count=1))
    assert len(runs) == 4


def test_a_quantised_model_may_flip_a_rounding_step_and_no_more() -> None:
    check(quantized_net(), a_pass(scale_weights(1 + 1e-6)))
    with pytest.raises(EdgecError):
        check(quantized_net(), a_pass(scale_weights(1.2)))


class KeepsNothing(Pass):
    """Says that it changed nothing."""

    name: ClassVar[str] = "nothing"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        return PassResult(model, modified=False)


def test_what_did_nothing_is_not_run() -> None:
    (record,) = check(conv_net(), KeepsNothing())
    assert (record.gate, record.fidelity) == ("unchanged", None)
