"""The recipe `small`: pruned for the time on the target, then trained further."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgec.core.data import load_data
from edgec.core.passes import PassContext
from edgec.core.pipeline import OpenGate, Pipeline
from edgec.core.recipe import load_recipe
from edgec.core.target_files import load_target
from edgec.core.tensor import TensorSpec
from edgec.graph.cost import model_size
from tests.models.builder import GraphBuilder
from tests.passes.comparison import outputs_of

pytest.importorskip("torch", reason="training needs the extra qat")
pytest.importorskip("brevitas", reason="training needs the extra qat")


def test_a_smaller_network_learns_what_the_larger_one_said(tmp_path: Path) -> None:
    g = GraphBuilder("network", 17)
    x = g.node("Relu", g.convolution(g.input("image", (1, 3, 8, 8)), (3, 32), 3))
    x = g.node("Relu", g.convolution(x, (32, 32), 3))
    pooled = g.node("Flatten", g.node("GlobalAveragePool", x))
    g.node("Gemm", pooled, g.weight(32, 4), output="y")
    g.output("y", (1, 4))
    proto = g.model()
    images = np.random.default_rng(0).standard_normal((640, 3, 8, 8)).astype(np.float32)
    images *= np.random.default_rng(1).uniform(0.2, 3, (640, 3, 1, 1)).astype(np.float32)
    labels = np.array([int(outputs_of(proto, {"image": image[None]})[0].argmax()) for image in images[:320]])
    np.savez(tmp_path / "data.npz", x=images[:320], y=labels)
    data = load_data(str(tmp_path / "data.npz"), (TensorSpec(name="image", shape=(1, 3, 8, 8), dtype="float32"),))
    model = ir.serde.deserialize_model(proto)
    context = PassContext(load_target("raspberry-pi-4"), list(data.calibration()), data)
    result = Pipeline(load_recipe("small").passes, OpenGate(), model_size).run(model, context)
    records = {record.name: record for record in result.records}
    assert records["prune-channels"].stats["predicted time left"] <= 0.6
    assert records["fine-tune"].modified
    losses = records["fine-tune"].stats
    assert losses["loss of the last epoch"] < losses["loss of the first epoch"]
    assert records["merge-initializers"].after.macs > model_size(result.model).macs
