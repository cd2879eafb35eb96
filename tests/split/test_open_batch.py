"""A tail takes a batch wherever it treats each sample of one as it treats that sample alone."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes
from edgec.split.two_parts import with_open_batch
from tests.models import GraphBuilder


def _tail(*, mixes: bool) -> ir.Model:
    """A Reshape whose batch is written into it; perhaps rows of different samples get mixed by a second one."""
    g = GraphBuilder("tail", 17)
    x = g.node("Reshape", g.input("latent", [1, 4, 2, 2]), g.integers(1, 16))
    x = g.node("Gemm", x, g.weight(6, 16), transB=1)
    if mixes:
        x = g.node("Transpose", g.node("Reshape", x, g.integers(6, -1)), perm=[1, 0])
        x = g.node("Reshape", x, g.integers(1, 6))
    g.node("Relu", x, output="scores")
    g.output("scores", [1, 6])
    model = ir.from_proto(g.model())
    infer_shapes(model)
    return model


@pytest.mark.parametrize("mixes", [False, True])
def test_a_reshape_keeps_the_batch_where_that_is_right(mixes: bool) -> None:
    random = np.random.default_rng(0)
    tail = _tail(mixes=mixes)
    samples = [{"latent": random.standard_normal((1, 4, 2, 2)).astype(np.float32)} for _ in range(3)]
    opened = with_open_batch(tail, samples)
    assert isinstance(opened.graph.inputs[0].shape[0], int) == mixes
    if not mixes:
        together = {"latent": np.concatenate([sample["latent"] for sample in samples])}
        alone = np.concatenate([ReferenceSession(tail).run(sample)["scores"] for sample in samples])
        np.testing.assert_allclose(ReferenceSession(opened).run(together)["scores"], alone, rtol=1e-5)
