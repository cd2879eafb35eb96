"""A small task for tests of training: which quarter of a noisy picture is bright."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgec.core.data import DataSource, LabelledSample, Split
from edgec.core.tensor import TensorSpec
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes
from tests.models import GraphBuilder

INPUT = TensorSpec(name="image", dtype="float32", shape=(1, 1, 8, 8))
CLASSES = 4


def quarters_net(*, softmax: bool = False) -> ir.Model:
    """Two convolutions and a dense layer with random weights; input `image` (1, 1, 8, 8), output `scores` (1, 4)."""
    g = GraphBuilder("quarters", 17)
    x = g.input("image", [1, 1, 8, 8])
    x = g.node("Relu", g.convolution(x, (1, 8), 3))
    x = g.node("Relu", g.convolution(x, (8, 8), 3, stride=2))
    x = g.node("Flatten", x)
    last = "logits" if softmax else "scores"
    x = g.node("Gemm", x, g.weight(CLASSES, 8 * 16), g.weight(CLASSES, scale=0.1), transB=1, output=last)
    if softmax:
        g.node("Softmax", x, output="scores", axis=-1)
    g.output("scores", [1, CLASSES])
    model = ir.from_proto(g.model())
    infer_shapes(model)
    return model


def quarters(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (count, 1, 8, 8) and labels (count,)."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    pictures = random.standard_normal((count, 1, 8, 8)).astype(np.float32)
    for picture, label in zip(pictures, labels, strict=True):
        top, left = 4 * (label // 2), 4 * (label % 2)
        picture[0, top : top + 4, left : left + 4] += 1.0
    return pictures, labels


class Quarters(DataSource):
    """Training samples of the task, perhaps without labels, perhaps with others."""

    def __init__(self, count: int = 512, *, labels: np.ndarray | None = None, labelled: bool = True) -> None:
        super().__init__("quarters", (INPUT,))
        self._pictures, found = quarters(count)
        self._labels = found if labels is None else labels
        self._labelled = labelled

    @property
    def sha256(self) -> str:
        return f"quarters {len(self._labels)} {self._labelled}"

    def _samples(self, split: Split) -> Iterator[LabelledSample]:
        for picture, label in zip(self._pictures, self._labels, strict=True):
            yield LabelledSample({"image": picture[None]}, label if self._labelled else None)


def accuracy(model: ir.Model, count: int = 256) -> float:
    """Share of new pictures that the model gets right."""
    session = ReferenceSession(model)
    pictures, labels = quarters(count, seed=99)
    answers = [int(session.run({"image": picture[None]})["scores"].argmax()) for picture in pictures]
    return float(np.mean(np.array(answers) == labels))
