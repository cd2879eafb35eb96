"""Export the networks that the benchmarks compare engines on: well-known architectures with seeded weights.

Weights are random: speed does not depend on them, and nothing can be downloaded. The statistics of the normalization
layers are measured on seeded inputs, so that activations keep a sane range and numerical errors mean something.

Usage: python benchmarks/networks.py FOLDER [NAME …]   (needs torch, torchvision and timm)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

# torchvision's compiled operators do not load beside PyPI's CPU build of torch; its Python part needs their names only,
# and no network here uses them.
_DECLARED = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    _DECLARED.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm  # noqa: E402
import torchvision.models as vision  # noqa: E402

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": vision.resnet18,
    "resnet50": vision.resnet50,
    "mobilenetv1": lambda: timm.create_model("mobilenetv1_100"),
    "mobilenetv2": vision.mobilenet_v2,
    "mobilenetv3_small": vision.mobilenet_v3_small,
    "mobilenetv3_large": vision.mobilenet_v3_large,
    "efficientnet_b0": vision.efficientnet_b0,
    "densenet121": vision.densenet121,
    "shufflenetv2": vision.shufflenet_v2_x1_0,
    "vit_tiny": lambda: timm.create_model("vit_tiny_patch16_224"),
}
INPUT_SHAPE = (1, 3, 224, 224)


def network(name: str) -> nn.Module:
    """The network with seeded weights and measured statistics, in inference mode."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(4, 3, 96, 96) if name != "vit_tiny" else torch.randn(2, *INPUT_SHAPE[1:]))
    return model.eval()


def export(name: str, folder: Path) -> Path:
    """Write `folder/name.onnx` at opset 18, input `x` of shape (1, 3, 224, 224)."""
    path = folder / f"{name}.onnx"
    torch.onnx.export(
        network(name),
        (torch.randn(INPUT_SHAPE),),
        str(path),
        input_names=["x"],
        output_names=["y"],
        opset_version=18,
        dynamo=True,
        external_data=False,
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=sorted(NETWORKS))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        print(export(name, arguments.folder), flush=True)


if __name__ == "__main__":
    main()
