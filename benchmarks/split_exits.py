"""Accuracy against expected multiply-accumulates of networks with early answers, on Fashion-MNIST.

    python examples/fashion_mnist/train.py --network resnet --out out/fashion
    python benchmarks/split_exits.py out/fashion

Networks are those that are found, of seed 0. The pass `insert-exits` trains two exits in each, calibrates them, and
measures them on the first 5,000 test pictures; what its report says is kept as it is.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from pruning_cells import Results, prepared

from edgec.core.data import load_data
from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.core.tensor import TensorSpec
from edgec.graph.shapes import model_inputs, static_shape

NETWORKS = ("resnet", "mobilenet", "densenet")
_OPTIONS: dict[str, object] = {"count": 2, "most_samples": 6_000, "epochs": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "split-exits.json")
    options = parser.parse_args()
    results = Results(options.out)
    for name in NETWORKS:
        file = options.folder / f"{name}-seed0.onnx"
        if not file.exists() or not results.lacks(name, "exits"):
            continue
        began, model = time.monotonic(), prepared(file)
        (image,) = model_inputs(model)
        spec = TensorSpec(name=str(image.name), dtype="float32", shape=static_shape(image) or ())
        data = load_data(str(options.folder / "data.npz"), (spec,))
        stats = make_pass("insert-exits", _OPTIONS).run(model, PassContext(data=data)).stats
        results.put(name, **stats)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
