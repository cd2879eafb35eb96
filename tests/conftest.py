"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import onnx_ir as ir
import pytest

from tests.models import conv_net


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small convolutional network on the disk."""
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    ir.save(ir.from_proto(conv_net()), path)
    return path


@pytest.fixture(scope="session")
def real_models() -> list[Path]:
    """Real networks, from the folder that EDGEC_MODELS names; the test is skipped without it."""
    folder = os.environ.get("EDGEC_MODELS")
    if not folder:
        pytest.skip("EDGEC_MODELS names no folder with real networks")
    return sorted(Path(folder).glob("*.onnx"))
