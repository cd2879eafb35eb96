"""`edgec build` with a recipe that trains: unfit data end it before the first step, and the hint says how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from in_process import Invoke

from tests.training.pictures_task import CLASSES, quarters, quarters_net

pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

RECIPE = """
[[pass]]
name = "train-quantized"
epochs = 1
batch = 16
loss = "labels"
"""
Arrays = dict[str, np.ndarray]


def arrays(count: int = 64) -> Arrays:
    pictures, labels = quarters(count)
    return {"x": pictures, "y": labels}


def with_a_hole(row: int) -> Arrays:
    made = arrays()
    made["x"][row, 0, 3, 3] = np.nan
    return made


FAULTS: dict[str, tuple[Callable[[], Arrays], str, str]] = {
    "bytes for floats": (
        lambda: arrays() | {"x": (40 * arrays()["x"] + 100).clip(0, 255).astype(np.uint8)},
        "EC0705",
        "(x / 255).astype('float32')",
    ),
    "channels last": (
        lambda: arrays() | {"x": arrays()["x"].transpose(0, 2, 3, 1)},
        "EC0705",
        "x.transpose(0, 3, 1, 2)",
    ),
    "NaN in the first sample": (lambda: with_a_hole(0), "EC0705", "np.isfinite(x).all()"),
    "NaN in the middle": (lambda: with_a_hole(31), "EC0705", "np.isfinite(x).all()"),
    "NaN in the last sample": (lambda: with_a_hole(63), "EC0705", "np.isfinite(x).all()"),
    "labels from one": (lambda: arrays() | {"y": arrays()["y"] + 1}, "EC1003", "begin at 0: y - 1"),
    "labels of other classes": (lambda: arrays() | {"y": arrays()["y"] + 7}, "EC1003", "from 0 in the order"),
    "negative labels": (lambda: arrays() | {"y": arrays()["y"] - 1}, "EC1003", "from 0 in the order"),
    "one-hot labels": (lambda: arrays() | {"y": np.eye(CLASSES)[arrays()["y"]]}, "EC1003", "y.argmax(1)"),
    "no labels": (lambda: {"x": arrays()["x"]}, "EC1002", 'loss = "distillation"'),
    "too few samples": (lambda: arrays(6), "EC1004", "Give more samples, or a smaller `batch`"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_unfit_data_are_refused_before_training(invoke: Invoke, tmp_path: Path, fault: str) -> None:
    make, code, hint = FAULTS[fault]
    ir.save(quarters_net(), tmp_path / "net.onnx")
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    np.savez(tmp_path / "data.npz", **make())
    options = ("--target", "host", "--recipe", tmp_path / "recipe.toml", "--data", tmp_path / "data.npz")
    outcome = invoke("build", tmp_path / "net.onnx", *options, "--out", tmp_path / "out")
    assert outcome.status == 2
    assert f"error[{code}]" in outcome.err
    assert "data.npz" in outcome.err
    assert hint in outcome.err
    assert "epoch" not in outcome.err
    assert not (tmp_path / "out").exists()
