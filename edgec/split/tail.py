"""The tail of a split network, in ONNX Runtime on the server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgec.core.tensor import Sample
from edgec.split.manifest import SplitManifest


class Tail:
    """The second part of a split network, many requests at once where its model leaves the batch open.

    Args:
        folder: of the split network.
        manifest: of the split network.
        threads: that one run may use.
    """

    def __init__(self, folder: Path, manifest: SplitManifest, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(str(folder / manifest.tail), options, providers=providers)
        self._returned = [spec.name for spec in manifest.returned]
        self.takes_batches = all(spec.shape[:1] == (1,) for spec in (*manifest.sent, *manifest.returned)) and not any(
            isinstance(value.shape[0], int) for value in self._session.get_inputs()
        )

    def run(self, requests: Sequence[Sample]) -> list[dict[str, np.ndarray]]:
        """The outputs of each request, by name."""
        if len(requests) == 1 or not self.takes_batches:
            return [self._outputs(request) for request in requests]
        together = {name: np.concatenate([request[name] for request in requests]) for name in requests[0]}
        made = self._outputs(together)
        return [{name: array[index : index + 1] for name, array in made.items()} for index in range(len(requests))]

    def _outputs(self, inputs: Sample) -> dict[str, np.ndarray]:
        made = self._session.run(self._returned, dict(inputs))
        return dict(zip(self._returned, (np.asarray(array) for array in made), strict=True))
