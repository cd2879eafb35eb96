"""What a user of `prune-channels` asks for and is told."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgec.core.errors import EdgecError
from edgec.core.passes import Kind, PassContext
from edgec.core.pipeline import Pipeline
from edgec.core.recipe import load_recipe, make_pass
from edgec.core.target_files import load_target
from edgec.graph.channels import trace_channels
from edgec.graph.channels_cost import KernelRate, PrunedCost
from edgec.graph.cost import model_size
from edgec.graph.gate import ReferenceGate
from edgec.graph.inputs import sample_inputs
from edgec.passes.channel_allocation import Allocation, allocate, levels_of
from edgec.passes.channel_importance import class_importance
from edgec.passes.channel_options import PruneChannelsOptions
from edgec.passes.prune_channels import PruneChannels
from tests.models.builder import GraphBuilder
from tests.passes.channel_masking import assert_pruned_is_masked
from tests.passes.comparison import outputs_of, prepared, random_feeds

MODELS = sorted(Path(os.environ.get("EDGEC_MODELS", "")).glob("*.onnx")) if os.environ.get("EDGEC_MODELS") else []


def network(width: int = 32) -> onnx.ModelProto:
    """A residual network with an inverted bottleneck and a classifier."""
    g = GraphBuilder("network", 17)
    x = g.node("Relu", g.convolution(g.input("image", (1, 3, 16, 16)), (3, width), 3))
    x = g.node("Relu", g.node("Add", x, g.convolution(x, (width, width), 3)))
    wide = g.node("Relu", g.convolution(x, (width, 4 * width), 1))
    wide = g.node("Relu", g.convolution(wide, (4 * width, 4 * width), 3, group=4 * width))
    x = g.node("Add", x, g.convolution(wide, (4 * width, width), 1))
    g.node("Gemm", g.node("Flatten", g.node("GlobalAveragePool", x)), g.weight(width, 10), output="y")
    g.output("y", (1, 10))
    return g.model()


@pytest.mark.parametrize("criterion", ["l1", "l2", "lamp", "geometric-median", "random"])
@pytest.mark.parametrize("allocation", Allocation)
def test_every_way_to_choose_reaches_the_goal(allocation: Allocation, criterion: str) -> None:
    proto = network()
    model = prepared(proto)
    before = model_size(model).macs
    options = PruneChannelsOptions(target_macs=0.6, allocation=allocation, criterion=criterion, round_to=1)
    result = PruneChannels(options).run(model, PassContext())
    left = model_size(result.model).macs / before
    assert 0.5 < left <= 0.6
    assert result.stats["multiply-accumulates left"] == pytest.approx(left, abs=1e-4)
    assert outputs_of(result.model, random_feeds(proto))[0].shape == (1, 10)


@pytest.mark.parametrize(("target", "lanes"), [("raspberry-pi-4", 4), ("cortex-m7", 1)])
def test_layers_keep_whole_vectors_of_the_target(target: str, lanes: int) -> None:
    model = prepared(network())
    result = PruneChannels().run(model, PassContext(target=load_target(target)))
    widths = [w.const_value.shape[0] for n, w in model.graph.initializers.items() if w.const_value.shape.rank() == 4]
    assert all(width % lanes == 0 for width in widths)
    assert any(width % (2 * lanes) for width in widths)
    assert f"multiple of {lanes} channels" in result.assumptions[0]
    assert result.stats["predicted time left"] < 0.7


def test_the_report_tells_what_each_layer_keeps_and_what_was_refused() -> None:
    result = PruneChannels(PruneChannelsOptions(ratio=0.5, allocation="uniform", round_to=8)).run(
        prepared(network()), PassContext()
    )
    assert result.stats["channels of Conv_0 and 2 more"] == "16 of 32"
    assert result.stats["channels of Conv_5 and 1 more"] == "64 of 128"
    assert [(skip.node, skip.reason) for skip in result.skipped] == [("Gemm_13", "`y` is an output of the model")]


def test_a_layer_too_narrow_for_the_vector_is_refused_with_the_reason() -> None:
    result = PruneChannels(PruneChannelsOptions(round_to=32)).run(prepared(network()), PassContext())
    reasons = {skip.node: skip.reason for skip in result.skipped}
    assert reasons["Conv_0 and 2 more"] == "no multiple of 32 channels lies between 0.25 of its 32 and all"


def test_the_least_important_filters_go() -> None:
    proto = network()
    weights = next(t for t in proto.graph.initializer if t.name == proto.graph.node[5].input[1])
    values = onnx.numpy_helper.to_array(weights).copy()
    values[::2] *= 1e-3
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    model = prepared(proto)
    wide = next(node for node in model.graph if node.name == "Conv_5")
    PruneChannels(PruneChannelsOptions(ratio=0.4, round_to=8, criterion="l1", allocation="global")).run(
        model, PassContext()
    )
    norms = np.abs(wide.inputs[1].const_value.numpy()).mean(axis=(1, 2, 3))
    assert norms.min() > 0.01


def test_a_time_goal_is_met_in_prediction() -> None:
    target = load_target("raspberry-pi-4")
    result = PruneChannels(PruneChannelsOptions(target_time=0.7)).run(prepared(network()), PassContext(target=target))
    assert 0.5 < result.stats["predicted time left"] <= 0.7


def test_no_more_is_removed_than_the_goal_needs() -> None:
    """No group can be given back its last step without missing the goal."""
    options = PruneChannelsOptions(target_macs=0.5, round_to=8)
    model = prepared(network())
    channels = trace_channels(model)
    cost = PrunedCost(model, channels, KernelRate.of(None))
    importance = class_importance(channels, options.criterion, 0)
    levels = levels_of(channels, importance, round_to=8, keep_at_least=0.25)
    most = cost.total_macs // 2
    kept = allocate(Allocation.TARGET, levels, importance, cost, lambda kept: cost.macs(kept) <= most)
    assert cost.macs(kept) <= most
    for own in levels:
        fuller = kept.copy()
        fuller[own.ranked[: int(kept[own.ranked].sum()) + 8]] = True
        assert (fuller == kept).all() or cost.macs(fuller) > most


@pytest.mark.parametrize("goal", [{"target_macs": 0.5}, {"target_time": 0.6}, {"ratio": 0.4, "allocation": "uniform"}])
def test_steps_end_where_one_step_does(goal: dict[str, float]) -> None:
    target = load_target("raspberry-pi-4")
    left = []
    for steps in (1, 3):
        model = prepared(network())
        before = model_size(model).macs
        options = PruneChannelsOptions.model_validate(goal | {"steps": steps, "round_to": 4})
        result = PruneChannels(options).run(model, PassContext(target=target))
        assert result.stats["multiply-accumulates left"] == pytest.approx(model_size(model).macs / before, abs=1e-4)
        left.append(result.stats["predicted time left" if "target_time" in goal else "multiply-accumulates left"])
        assert result.stats["channels of Conv_5 and 1 more"].endswith("of 128")
    assert left[1] == pytest.approx(left[0], abs=0.1)
    assert all(share <= next(iter(goal.values())) for share in left if "ratio" not in goal)


def test_steps_keep_the_smallest_share_of_the_original() -> None:
    model = prepared(network())
    options = PruneChannelsOptions(target_macs=0.01, steps=4, keep_at_least=0.5, round_to=1)
    result = PruneChannels(options).run(model, PassContext())
    assert result.stats["channels of Conv_5 and 1 more"] == "64 of 128"
    assert "out of reach" in result.assumptions[1]


def test_each_group_says_what_it_gains_and_costs() -> None:
    model = prepared(network())
    samples = sample_inputs(model, 4, 0)
    options = PruneChannelsOptions(ratio=0.5, allocation="uniform", round_to=8, measure_groups=True)
    result = PruneChannels(options).run(model, PassContext(calibration=samples))
    name = "Conv_5 and 1 more"
    assert "of the model's multiply-accumulates" in result.stats[f"gain of {name}"]
    assert float(result.stats[f"cost of {name}"].removeprefix("outputs change by ").partition("%")[0]) > 0
    untouched = {skip.node for skip in result.skipped}
    assert not any(f"gain of {group}" in result.stats or f"cost of {group}" in result.stats for group in untouched)


def test_a_goal_out_of_reach_is_said() -> None:
    options = PruneChannelsOptions(target_macs=0.01, keep_at_least=0.5)
    result = PruneChannels(options).run(prepared(network()), PassContext())
    assert any("out of reach" in text for text in result.assumptions)


def test_no_goal_of_its_own_changes_nothing() -> None:
    result = PruneChannels(PruneChannelsOptions(ratio=0)).run(prepared(network()), PassContext())
    assert not result.modified


def test_two_goals_are_a_mistake_in_the_recipe() -> None:
    with pytest.raises(EdgecError) as caught:
        make_pass("prune-channels", {"ratio": 0.5, "target_macs": 0.5})
    assert caught.value.code.code == "EC0302"


def test_the_same_model_gives_the_same_bytes() -> None:
    models = [prepared(network()) for _ in range(2)]
    for model in models:
        PruneChannels(PruneChannelsOptions(criterion="random")).run(model, PassContext(seed=7))
    first, second = (ir.to_proto(model).SerializeToString(deterministic=True) for model in models)
    assert first == second


def test_the_pipeline_measures_what_is_lost() -> None:
    model = prepared(network())
    step = PruneChannels(PruneChannelsOptions(target_macs=0.9, round_to=1))
    (record,) = Pipeline([step], ReferenceGate(), model_size).run(model, PassContext()).records
    assert record.kind is Kind.LOSSY
    assert record.gate == "passed"
    assert record.fidelity is not None
    assert record.fidelity.max_relative_error > 1e-5
    assert record.after.macs <= 0.9 * record.before.macs
    assert record.after.bytes < record.before.bytes


def test_unused_weights_and_stale_shapes_are_gone() -> None:
    model = prepared(network())
    PruneChannels().run(model, PassContext())
    assert all(value.uses() for value in model.graph.initializers.values())
    proto = ir.to_proto(model)
    onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)


@pytest.mark.skipif(not MODELS, reason="EDGEC_MODELS names no folder with models")
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_trained_networks(path: Path) -> None:
    model = ir.load(path)
    try:
        for step in load_recipe("exact").passes:
            model = step.run(model, PassContext()).model
    except EdgecError as error:
        pytest.skip(error.what)
    assert_pruned_is_masked(model, sample_inputs(model, 1, 0)[0], share=0.5, seed=1)
