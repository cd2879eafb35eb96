"""The pipeline does for every pass what is common to all of them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest
from pydantic import Field

from edgec.core.codes.passes import PASS_FAILED, PASS_NEEDS_DATA
from edgec.core.errors import EdgecError
from edgec.core.passes import Kind, Need, Pass, PassContext, PassOptions, PassResult, Skip
from edgec.core.pipeline import OpenGate, Pipeline
from edgec.core.trace import ModelSize
from tests.models import conv_net


def count_nodes(model: ir.Model) -> ModelSize:
    return ModelSize(macs=0, parameters=0, bytes=len(model.graph))


class RenameOptions(PassOptions):
    suffix: str = Field(default="_new", description="what is appended to names")


class Rename(Pass):
    """Renames every node, in place."""

    name: ClassVar[str] = "rename"
    kind: ClassVar[Kind] = Kind.EXACT
    Options: ClassVar[type[PassOptions]] = RenameOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        assert isinstance(self.options, RenameOptions)
        for node in model.graph:
            node.name = f"{node.name}{self.options.suffix}"
        return PassResult(model, True, {"renamed": len(model.graph)}, (Skip("a", "was in the way"),))


class Nothing(Pass):
    """Leaves the model alone."""

    name: ClassVar[str] = "nothing"
    kind: ClassVar[Kind] = Kind.LOSSY

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        return PassResult(model, False)


class Crash(Nothing):
    """Stops with an exception of its own."""

    name: ClassVar[str] = "crash"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        raise ZeroDivisionError("by nought")


class Calibrate(Nothing):
    """Cannot work without samples."""

    name: ClassVar[str] = "calibrate"
    needs: ClassVar[tuple[Need, ...]] = (Need.CALIBRATION,)


def model() -> ir.Model:
    return ir.from_proto(conv_net())


def test_the_record_tells_what_was_done() -> None:
    result = Pipeline([Rename(RenameOptions(suffix="!")), Nothing()], OpenGate(), count_nodes).run(
        model(), PassContext()
    )
    first, second = result.records
    assert (first.name, first.kind, first.modified, first.gate) == ("rename", Kind.EXACT, True, "not asked for")
    assert first.options == {"suffix": "!"}
    assert first.stats == {"renamed": 11}
    assert [(skip.node, skip.reason) for skip in first.skipped] == [("a", "was in the way")]
    assert first.seconds >= 0
    assert first.before == first.after == second.before
    assert (second.modified, second.gate) == (False, "unchanged")


def test_the_model_that_is_given_stays_as_it_is() -> None:
    given = model()
    names = [node.name for node in given.graph]
    result = Pipeline([Rename()], OpenGate(), count_nodes).run(given, PassContext())
    assert [node.name for node in given.graph] == names
    assert [node.name for node in result.model.graph] == [f"{name}_new" for name in names]


def test_weights_are_shared_and_not_copied() -> None:
    given = model()
    result = Pipeline([Rename()], OpenGate(), count_nodes).run(given, PassContext())
    for name, value in given.graph.initializers.items():
        assert result.model.graph.initializers[name].const_value is value.const_value


def test_steps_are_kept_in_order() -> None:
    steps: list[tuple[int, str, str | None]] = []
    Pipeline([Rename(), Nothing(), Rename()], OpenGate(), count_nodes).run(
        model(),
        PassContext(),
        keep_step=lambda number, name, after: steps.append((number, name, after.graph.node(0).name)),
    )
    assert steps == [
        (1, "rename", "Conv_0_new"),
        (2, "nothing", "Conv_0_new"),
        (3, "rename", "Conv_0_new_new"),
    ]


def test_missing_data_are_found_before_any_work() -> None:
    steps: list[str] = []
    pipeline = Pipeline([Rename(), Calibrate()], OpenGate(), count_nodes)
    with pytest.raises(EdgecError) as caught:
        pipeline.run(model(), PassContext(), keep_step=lambda number, name, after: steps.append(name))
    assert caught.value.code is PASS_NEEDS_DATA
    assert "calibrate" in caught.value.what
    assert steps == []
    sample = {"image": np.zeros((1, 3, 16, 16), np.float32)}
    pipeline.run(model(), PassContext(calibration=[sample]))
    pipeline.run(model(), PassContext(calibration=iter([sample])))


def test_an_exception_of_a_pass_gets_its_name_and_its_forerunners() -> None:
    with pytest.raises(EdgecError) as caught:
        Pipeline([Rename(), Nothing(), Crash()], OpenGate(), count_nodes).run(model(), PassContext())
    assert caught.value.code is PASS_FAILED
    for part in ("crash", "rename, nothing", "ZeroDivisionError", "by nought"):
        assert part in caught.value.what


class LossyRename(Rename):
    """Renames every node, and says that it lost something."""

    name: ClassVar[str] = "lossy-rename"
    kind: ClassVar[Kind] = Kind.LOSSY


class LookBack(Nothing):
    """Tells what the nodes were called before anything was lost."""

    name: ClassVar[str] = "look-back"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        before = "nothing" if context.original is None else str(next(iter(context.original.graph)).name)
        return PassResult(model, False, {"before": before})


def test_passes_see_the_model_before_the_first_that_lost_something() -> None:
    steps = [Rename(), LookBack(), LossyRename(), LossyRename(), LookBack()]
    records = Pipeline(steps, OpenGate(), count_nodes).run(model(), PassContext()).records
    first = str(next(iter(model().graph)).name)
    assert [record.stats["before"] for record in records if record.name == "look-back"] == ["nothing", f"{first}_new"]
