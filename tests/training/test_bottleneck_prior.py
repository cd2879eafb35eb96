"""The learnt distribution of the symbols of a latent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra qat is not installed")


def _fitted(latent: torch.Tensor) -> Any:
    from edgec.training.bottleneck_prior import FactorizedPrior

    prior = FactorizedPrior(tuple(latent.shape[1:]), weight=1.0).train()
    optimizer = torch.optim.Adam(prior.parameters(), 0.03)
    for _ in range(300):
        prior(latent)
        loss = prior.penalty()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return prior.eval()


def test_it_learns_what_the_symbols_cost() -> None:
    random = np.random.default_rng(0)
    channels = [random.normal(0, 3, 4000), random.normal(10, 1, 4000)]
    latent = torch.tensor(np.stack(channels), dtype=torch.float32).T.reshape(1000, 4, 2).transpose(1, 2)
    prior = _fitted(latent)
    symbols = np.rint(np.stack(channels)).astype(int) + 128
    shares = prior.probabilities()
    for share, seen in zip(shares, symbols, strict=True):
        observed = np.bincount(seen, minlength=256) / seen.size
        least = -(observed[observed > 0] * np.log2(observed[observed > 0])).sum()
        assert least <= -np.log2(share[seen]).mean() < least + 0.1
    assert np.array_equal(prior.integers(latent)[:, 0].ravel(), symbols[0] - 128)


@pytest.mark.parametrize(("positions", "distributions"), [(2, 2), (1025, 1)])
def test_few_elements_have_a_distribution_each(positions: int, distributions: int) -> None:
    apart = torch.zeros(1, 1, positions)
    apart[0, 0, ::2] = 20
    prior = _fitted(apart).train()
    assert prior.distributions == distributions
    prior(apart)
    # One distribution for both symbols needs a bit to tell them apart; two need none.
    bits = prior.penalty().item() * 1000 / positions
    assert (bits < 0.5) == (distributions > 1)


def test_what_is_trained_again_draws_the_same_noise() -> None:
    from edgec.training.bottleneck_prior import FactorizedPrior

    latent = torch.zeros(2, 3, 4)
    first, second = FactorizedPrior((3, 4), 1.0).train(), FactorizedPrior((3, 4), 1.0).train()
    first(latent)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(latent), second(latent))


def test_rounding_lets_gradients_pass_and_stays_in_int8() -> None:
    from edgec.training.bottleneck_prior import FactorizedPrior

    prior = FactorizedPrior((1, 3), 1.0).train()
    prior.noise = False
    latent = torch.tensor([[[0.4, 500.0, -500.0]]], requires_grad=True)
    received = prior(latent)
    received.sum().backward()
    assert received.flatten().tolist() == [0, 127, -128]
    assert latent.grad[0, 0, 0] == 1
