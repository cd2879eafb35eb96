"""Networks to be made binary: VGG-small-like (Hubara 2016) and ResNet-18-like (He 2016), for 28×28 pictures."""

from __future__ import annotations

from networks import CLASSES, Classifier, ResidualBlock
from torch import Tensor, nn


class FlatClassifier(nn.Module):
    """Features and one dense layer that sees every place; [batch, 1, 28, 28] to [batch, 10] logits."""

    def __init__(self, features: nn.Sequential, values: int) -> None:
        super().__init__()
        self.features = features
        self.dense = nn.Linear(values, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of pictures."""
        logits: Tensor = self.dense(self.features(x).flatten(1))
        return logits


def _layer(channels: int, out: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def vgg_small() -> FlatClassifier:
    """Six convolutions of 32 to 128 channels with pooling between; the stem halves the picture."""
    return FlatClassifier(
        nn.Sequential(
            *(*_layer(1, 32, 2), *_layer(32, 32), nn.MaxPool2d(2)),
            *(*_layer(32, 64), *_layer(64, 64), nn.MaxPool2d(2)),
            *(*_layer(64, 128), *_layer(128, 128)),
        ),
        128 * 9,
    )


def resnet18() -> Classifier:
    """Seventeen convolutions in eight blocks of 32, 32, 64 and 128 channels; the stem leaves 7×7 places."""
    blocks, channels = [], 32
    for out, stride in ((32, 1), (32, 1), (64, 2), (128, 2)):
        blocks += [ResidualBlock(channels, out, stride), ResidualBlock(out, out, 1)]
        channels = out
    return Classifier(nn.Sequential(*_layer(1, 32, 2), nn.MaxPool2d(2), *blocks), channels)


BINARY_NETWORKS = {"vgg-small": vgg_small, "resnet18": resnet18}
