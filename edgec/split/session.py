"""Inferences of a split network: the head here, the tail on a server, the whole network here when that fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgec.core.codes.split import SERVER_UNREACHABLE
from edgec.core.errors import EdgecError
from edgec.core.tensor import Sample
from edgec.split.client import LinkError, SplitClient
from edgec.split.manifest import SplitManifest
from edgec.split.policy import FallbackPolicy, Where
from edgec.split.tensors import PayloadCoding, unpack_tensors
from edgec.split.wire import FrameError

Network = Callable[[Sample], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Inference:
    """One inference.

    Attributes:
        outputs: by name.
        where: who computed them.
        reason: why there.
        payload_bytes: what was sent; 0 where nothing was.
        elapsed_ms: head, link and tail, or the local network; with whatever was tried in vain before it.
    """

    outputs: dict[str, np.ndarray]
    where: Where
    reason: str
    payload_bytes: int
    elapsed_ms: float


class SplitSession:
    """Runs a split network.

    Args:
        manifest: of the split network.
        head: makes what is sent.
        client: to the server.
        policy: decides where to compute.
        local: the whole network on the device; None without one.

    Where the manifest has an early answer, the head gives it: one that is sure enough is taken at once, and without a
    local network it is the answer when the server gives none.
    """

    def __init__(
        self, manifest: SplitManifest, head: Network, client: SplitClient, policy: FallbackPolicy, local: Network | None
    ) -> None:
        self._manifest = manifest
        self._head = head
        self._client = client
        self._policy = policy
        self._local = local
        self._coding = PayloadCoding(manifest)
        self._typical_bytes = self._coding.most_bytes

    def run(self, inputs: Sample) -> Inference:
        """The outputs for one set of inputs.

        Raises:
            EdgecError: EC1204 where the server gave no answer and the device has none.
        """
        started = time.perf_counter()
        choice = self._policy.choose(self._typical_bytes, self._manifest.returned_bytes)
        if choice.where is Where.DEVICE and self._local is not None:
            return _timed(started, self._local(inputs), Where.DEVICE, choice.reason, 0)
        made = self._head(inputs)
        early = self._manifest.early
        if early is not None:
            confidence = confidence_of(made[early.output], probabilities=early.probabilities)
            if confidence >= early.threshold:
                reason = f"the early answer is {confidence:.0%} sure, {early.threshold:.0%} are asked for"
                return _timed(started, self._early(made), Where.EARLY, reason, 0)
            if choice.where is Where.DEVICE:
                return _timed(started, self._early(made), Where.EARLY, choice.reason, 0)
        payload = self._coding.pack(made)
        self._typical_bytes = len(payload)
        deadline = self._client.deadline()
        try:
            if choice.remote_ms is None:
                self._policy.probed(self._client.probe(deadline))
            reply = self._client.ask(payload, self._coding.coding, self._coding.shape, deadline)
            outputs = unpack_tensors(reply.payload, self._manifest.returned)
        except (LinkError, FrameError) as error:
            self._policy.failed()
            if self._local is not None:
                return _timed(started, self._local(inputs), Where.DEVICE, error.reason, len(payload))
            if early is not None:
                return _timed(started, self._early(made), Where.EARLY, error.reason, len(payload))
            raise EdgecError(SERVER_UNREACHABLE, error.reason, hint=SERVER_UNREACHABLE.remedy) from error
        self._policy.answered(reply)
        return _timed(started, outputs, Where.SERVER, choice.reason, len(payload))

    def _early(self, made: Sample) -> dict[str, np.ndarray]:
        """The early answer under the name of the answer that it stands for."""
        early = self._manifest.early
        return {} if early is None else {self._manifest.returned[0].name: made[early.output]}


def confidence_of(scores: np.ndarray, *, probabilities: bool) -> float:
    """The largest probability of a class.

    Args:
        scores: one a class.
        probabilities: whether they are probabilities; else logits.
    """
    if probabilities:
        return float(scores.max())
    return float(1 / np.exp(scores.astype(np.float64) - scores.max()).sum())


def _timed(started: float, outputs: dict[str, np.ndarray], where: Where, reason: str, payload_bytes: int) -> Inference:
    return Inference(outputs, where, reason, payload_bytes, (time.perf_counter() - started) * 1e3)
