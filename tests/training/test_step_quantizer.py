"""Brevitas' quantisers as used here round as ONNX's QuantizeLinear does, and learn their scale."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.graph.quantization import Quantizer

torch = pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

from brevitas.core.function_wrapper import Identity, RoundSte, TensorClamp  # noqa: E402
from brevitas.core.quant import IntQuant  # noqa: E402

from edgec.training.step_quantizer import RoundingFirst, StepQuantizer  # noqa: E402


def halves(scale: float) -> np.ndarray:
    """Numbers of which many lie in the middle of two steps."""
    return (np.arange(-40, 40) / 2 * scale).astype(np.float32)


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("zero", [0, 3])
def test_it_rounds_as_onnx_does(signed: bool, zero: int, power_of_two: bool) -> None:
    start = Quantizer(np.float32(0.25), np.array(zero), 4, signed, False, None)
    numbers = halves(0.25)
    quantizer = StepQuantizer(start, axis=None, power_of_two=power_of_two, one_sample=False)
    assert np.array_equal(quantizer.integers(torch.tensor(numbers)).numpy(), start.quantize(numbers))
    made = quantizer(torch.tensor(numbers)).detach().numpy()
    assert np.array_equal(made, start.dequantize(start.quantize(numbers)))


def test_brevitas_alone_rounds_halves_to_the_other_side_of_an_odd_zero_point() -> None:
    parts = (False, True, Identity(), RoundSte(), TensorClamp())
    arguments = [torch.tensor(given) for given in (1.0, 3.0, 8.0, halves(1.0))]
    theirs, ours = IntQuant(*parts).to_int(*arguments), RoundingFirst(*parts).to_int(*arguments)
    expected = Quantizer(np.float32(1), np.array(3), 8, True, False, None).quantize(halves(1.0))
    assert np.array_equal(ours.numpy(), expected)
    assert not np.array_equal(theirs.numpy(), expected)


def test_scales_of_channels_are_learned() -> None:
    start = Quantizer(np.array([0.5, 0.25], np.float32), np.array([0, 0]), 4, True, True, 0)
    quantizer = StepQuantizer(start, axis=0, rank=2, power_of_two=False, one_sample=False)
    weights = torch.tensor([[0.9, -0.4, 0.3], [0.1, 0.7, -0.2]])

    def error() -> float:
        return float((quantizer(weights) - weights).detach().square().sum())

    before = error()
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=5.0)
    for _ in range(50):
        optimizer.zero_grad()
        (quantizer(weights) - weights).square().sum().backward()
        optimizer.step()
    assert error() < 0.5 * before
    assert quantizer.learned(0).scale.shape == (2,)
