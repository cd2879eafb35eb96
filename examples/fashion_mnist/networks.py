"""Small networks for 28×28 pictures: residual (He 2016), inverted residual (MobileNetV2, 2018), DenseNet (2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = 10


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        same = stride == 1 and channels == out
        projection = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.shortcut = nn.Identity() if same else projection

    def forward(self, x: Tensor) -> Tensor:
        """Features of half the size where the stride is 2."""
        y = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class InvertedResidual(nn.Module):
    """1×1 expansion, 3×3 depthwise convolution, 1×1 projection; a shortcut where the shapes agree."""

    def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()),
            *(nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()),
            *(nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)),
        )
        self.has_shortcut = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Features of half the size where the stride is 2."""
        y = self.layers(x)
        return x + y if self.has_shortcut else y


class DenseLayer(nn.Module):
    """1×1 and 3×3 convolution of all features so far, whose result is put beside them."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 4 * growth, 1, bias=False)),
            *(nn.BatchNorm2d(4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`growth` more features."""
        return torch.cat([x, self.layers(x)], 1)


class Classifier(nn.Module):
    """Features, their mean over the picture, and one dense layer; [batch, 1, 28, 28] to [batch, 10] logits."""

    def __init__(self, features: nn.Sequential, channels: int) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dense = nn.Linear(channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of pictures."""
        return self.dense(self.pool(self.features(x)).flatten(1))


def resnet() -> Classifier:
    """Eleven convolutions in five blocks of 16, 32 and 64 channels; the stem halves the picture."""
    return Classifier(
        nn.Sequential(
            *(nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(ResidualBlock(16, 16, 1), ResidualBlock(16, 32, 2), ResidualBlock(32, 32, 1)),
            *(ResidualBlock(32, 64, 2), ResidualBlock(64, 64, 1)),
        ),
        64,
    )


def mobilenet() -> Classifier:
    """Six inverted residuals of 16, 24 and 40 channels with ReLU6; the stem halves the picture."""
    return Classifier(
        nn.Sequential(
            *(nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()),
            *(InvertedResidual(16, 16, 1, 3), InvertedResidual(16, 24, 2, 4), InvertedResidual(24, 24, 1, 4)),
            *(InvertedResidual(24, 40, 2, 4), InvertedResidual(40, 40, 1, 4), InvertedResidual(40, 40, 1, 4)),
            *(nn.Conv2d(40, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU6()),
        ),
        128,
    )


def densenet() -> Classifier:
    """Three blocks of four dense layers, eight features each, with transitions that halve channels and size."""
    growth, channels = 8, 24
    layers: list[nn.Module] = [nn.Conv2d(1, channels, 3, 2, 1, bias=False)]
    for block in range(3):
        if block:
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1, bias=False)]
            layers.append(nn.AvgPool2d(2))
            channels //= 2
        layers += [DenseLayer(channels + growth * number, growth) for number in range(4)]
        channels += 4 * growth
    return Classifier(nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU()), channels)


NETWORKS = {"resnet": resnet, "mobilenet": mobilenet, "densenet": densenet}
