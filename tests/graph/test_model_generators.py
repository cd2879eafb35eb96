"""The generators of test models build valid, deterministic models in every opset."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from tests.models import ALL_MODELS, OLDEST_OPSET

CASES = [(name, opset) for name in ALL_MODELS for opset in range(OLDEST_OPSET[name], 24)]


@pytest.mark.parametrize(("name", "opset"), CASES)
def test_runs_and_is_deterministic(name: str, opset: int) -> None:
    model = ALL_MODELS[name](opset)
    assert model.SerializeToString() == ALL_MODELS[name](opset).SerializeToString()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {}
    for spec in session.get_inputs():
        shape = [8 if isinstance(extent, str) else extent for extent in spec.shape]
        dtype = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}[spec.type]
        feeds[spec.name] = np.ones(shape, dtype)
    assert all(np.isfinite(output).all() for output in session.run(None, feeds))
