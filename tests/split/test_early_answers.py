"""When a session takes the early answer of its head."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.core.errors import EdgecError
from edgec.core.tensor import Sample
from edgec.split.client import Server, SplitClient
from edgec.split.manifest import EarlyAnswer, SplitManifest
from edgec.split.policy import FallbackPolicy, Where
from edgec.split.session import Inference, Network, SplitSession, confidence_of
from tests.split import links

pytest.importorskip("constriction")

SURE, UNSURE = np.array([[9.0, 0, 0, 0]], np.float32), np.array([[0.1, 0, 0, 0]], np.float32)


def _manifest(*, early: bool = True) -> SplitManifest:
    answer = EarlyAnswer(output="exit_1", threshold=0.9, probabilities=False)
    return links.manifest().model_copy(update={"early": answer if early else None})


def _answer(
    port: int, scores: np.ndarray, *, early: bool = True, local: Network | None = None, deadline_ms: float = 1e9
) -> Inference:
    description = _manifest(early=early)

    def head(inputs: Sample) -> dict[str, np.ndarray]:
        return {"latent": links.latent(1), "exit_1": scores}

    policy = FallbackPolicy(local_ms=float("inf"), deadline_ms=deadline_ms)
    client = SplitClient(Server("127.0.0.1", port), description, 1.0)
    session = SplitSession(description, head, client, policy, local)
    session.run({})
    done = session.run({})
    client.close()
    return done


def test_a_sure_answer_sends_nothing() -> None:
    with links.serving(_manifest()) as (_, port):
        done = _answer(port, SURE)
    assert (done.where, done.payload_bytes) == (Where.EARLY, 0)
    np.testing.assert_array_equal(done.outputs["scores"], SURE)


def test_an_unsure_answer_gives_way_to_the_server() -> None:
    with links.serving(_manifest()) as (_, port):
        done = _answer(port, UNSURE)
    assert done.where is Where.SERVER
    np.testing.assert_array_equal(done.outputs["scores"], links.scores(links.latent(1)))


def test_an_unsure_answer_is_better_than_none() -> None:
    done = _answer(9, UNSURE)
    assert done.where is Where.EARLY
    assert "asked again" in done.reason


def test_a_local_network_is_better_than_an_unsure_answer() -> None:
    done = _answer(9, UNSURE, local=lambda inputs: {"scores": SURE})
    assert done.where is Where.DEVICE


def test_a_deadline_that_the_server_misses_is_kept_by_the_early_answer() -> None:
    with links.serving(_manifest()) as (_, port):
        done = _answer(port, UNSURE, deadline_ms=1e-6)
    assert done.where is Where.EARLY


def test_without_any_answer_of_its_own_the_device_says_so() -> None:
    with pytest.raises(EdgecError, match="EC1204"):
        _answer(9, UNSURE, early=False)


def test_what_the_device_answers_by_itself_is_no_matter_of_the_server() -> None:
    assert _manifest().identity == links.manifest().identity


@pytest.mark.parametrize("scores", [SURE, UNSURE, np.array([[-3.0, 700, 2, 699.5]], np.float32)])
def test_confidence_is_the_largest_probability(scores: np.ndarray) -> None:
    powers = np.exp(scores.astype(np.float64) - scores.max())
    likely = powers / powers.sum()
    assert confidence_of(scores, probabilities=False) == pytest.approx(likely.max())
    assert confidence_of(likely, probabilities=True) == pytest.approx(likely.max())
