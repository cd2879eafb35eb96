"""Trained networks load, have costs, and run on made-up inputs. Their folder is named by `EDGEC_MODELS`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgec.core.passes import PassContext
from edgec.core.pipeline import Pipeline
from edgec.core.recipe import load_recipe, make_pass
from edgec.graph.cost import model_size, node_costs, peak_activation_memory
from edgec.graph.gate import ReferenceGate
from edgec.graph.inputs import sample_inputs
from edgec.graph.load import load_model
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes, open_dimensions

FOLDER = os.environ.get("EDGEC_MODELS", "")
MODELS = sorted(Path(FOLDER).glob("*.onnx")) if FOLDER else []
EXTENT = {"sequence": 512, "batch": 1}
"""Extents of open dimensions by name; others are 1 on the first axis and 48 elsewhere."""


@pytest.mark.skipif(not MODELS, reason="EDGEC_MODELS names no folder with models")
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_trained_network(path: Path) -> None:
    model = load_model(path).model
    shapes: dict[str, list[int]] = {}
    for dimension in open_dimensions(model):
        declared = next(value.shape for value in model.graph.inputs if value.name == dimension.input)
        assert declared is not None
        shape = shapes.setdefault(dimension.input, [e if isinstance(e, int) else 0 for e in declared])
        shape[dimension.axis] = EXTENT.get(dimension.symbol, 48 if dimension.axis else 1)
    fixed = {name: shape for name, shape in shapes.items() if 0 not in shape}
    recipe = [step for step in load_recipe("exact").passes if step.name != "static-shapes"]
    passes = [make_pass("static-shapes", {"shapes": fixed}), *recipe]
    result = Pipeline(passes, ReferenceGate(), model_size).run(model, PassContext())
    assert all(record.gate in ("passed", "unchanged") for record in result.records)
    infer_shapes(result.model)
    costs = node_costs(result.model)
    assert sum(cost.macs or 0 for cost in costs) > 0
    assert peak_activation_memory(result.model).bytes
    for sample in sample_inputs(result.model, 2, seed=0):
        assert all(np.isfinite(output).all() for output in ReferenceSession(result.model).run(sample).values())
