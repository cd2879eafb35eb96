"""Post-training quantization of real networks: agreement with float, and speed, against ONNX Runtime's own tool.

Usage: python benchmarks/quantization_models.py MODEL.onnx DATA.npz [INPUT=1,3,48,192]

DATA.npz comes from `quantization_data.py`. Everything runs on one thread of this machine; one row of figures a variant:
the share of evaluation samples with the arg-max of float, and the shortest of 60 inferences in milliseconds, the
variants in turns.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as runtime
from engines import edgec as edgec_engine

ROUNDS, RUNS = 10, 6
Array = np.ndarray


def session(path: Path) -> runtime.InferenceSession:
    """ONNX Runtime with its optimizations, on one thread."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return runtime.InferenceSession(str(path), options)


def scores(path: Path, name: str, samples: Array) -> Array:
    """The first output for each sample, flat."""
    loaded = session(path)
    return np.stack([loaded.run(None, {name: x[None]})[0].ravel() for x in samples])


def by_onnx_runtime(model: Path, name: str, samples: Array, path: Path) -> None:
    """As ONNX Runtime's tool quantizes: uint8 activations, int8 weights by channel, ranges by minimum and maximum."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(samples)

        def get_next(self) -> dict[str, Array] | None:
            x = next(self._left, None)
            return None if x is None else {name: x[None]}

    ready = path.with_suffix(".ready.onnx")
    quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)
    quantize_static(
        str(ready),
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def edgec_models(model: Path, name: str, samples: Array, shapes: dict[str, tuple[int, ...]], folder: Path) -> None:
    """The network after the exact passes, and after `quantize` for this machine."""
    import onnx_ir as ir

    from edgec.core.passes import PassContext
    from edgec.core.target_files import load_target
    from edgec.graph.load import load_model
    from edgec.pass_list import pass_list

    loaded = load_model(model).model
    context = PassContext(load_target("host"), [{name: x[None]} for x in samples])
    for step in pass_list("int8", shapes, ()):
        if step.name == "quantize":
            ir.save(loaded, folder / "float.onnx")
        result = step.run(loaded, dataclasses.replace(context))
        loaded = result.model
    for skip in result.skipped:
        print(f"  {skip.node}: {skip.reason}")
    ir.save(loaded, folder / "edgec.onnx")


def fastest(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The shortest run of each in milliseconds, in turns."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for label, run in runs.items():
            for _ in range(RUNS):
                started = time.perf_counter()
                run()
                best[label] = min(best[label], 1e3 * (time.perf_counter() - started))
    return best


def main() -> None:
    model, data = Path(sys.argv[1]), np.load(sys.argv[2])
    calibration, evaluation = data["calibration/x"], data["evaluation/x"]
    name = session(model).get_inputs()[0].name
    shapes = {name: (1, *evaluation.shape[1:])}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        edgec_models(model, name, calibration, shapes, folder)
        by_onnx_runtime(folder / "float.onnx", name, calibration, folder / "runtime.onnx")
        real = scores(folder / "float.onnx", name, evaluation).argmax(1)
        sample = {name: evaluation[:1]}
        runs: dict[str, Callable[[], object]] = {}
        for label in ("float", "edgec", "runtime"):
            path = folder / f"{label}.onnx"
            if label != "float":
                print(f"{label:8} agreement {np.mean(scores(path, name, evaluation).argmax(1) == real):.4f}")
            loaded = session(path)
            runs[f"{label}.onnx in ONNX Runtime"] = lambda loaded=loaded: loaded.run(None, sample)
            (folder / label).mkdir()
            if label != "runtime":
                runs[f"{label}.onnx in edgec"] = edgec_engine(path, 1, sample, folder / label)
        for label, milliseconds in fastest(runs).items():
            print(f"{label:32} {milliseconds:8.3f} ms")


if __name__ == "__main__":
    main()
