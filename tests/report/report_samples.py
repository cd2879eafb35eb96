"""Sample reports: a measured build, a predicted one, and one where nothing could be had."""

from __future__ import annotations

from edgec.core.fidelity import Fidelity
from edgec.core.metric import Metric, Mode, Unavailable, Value, exact
from edgec.core.passes import Kind
from edgec.core.tensor import TensorSpec
from edgec.core.trace import ModelSize, PassRecord, SkippedNode
from edgec.report.schema import (
    BuildSection,
    FallbackRow,
    Layer,
    MemoryByOwner,
    Metrics,
    ModelSection,
    Reconciliation,
    Report,
    TargetSection,
    Unverified,
    Verified,
    fill_metrics,
    reconcile,
    with_shares,
)

ENERGY_REASON = "this machine has no energy counter that edgec can read"
NOT_AN_FPGA = "not a metric of the backend tvm"

KERNELS = (
    ("stem/conv", "Conv", ("stem/conv", "stem/bn", "stem/clip"), 10_838_016, 3_830_784, 1.9),
    ("block1/depthwise", "Conv", ("block1/depthwise", "block1/clip"), 3_612_672, 3_213_696, 0.8),
    ("block1/project", "Conv", ("block1/project",), 6_422_528, 2_409_472, 0.6),
    ("block2/expand", "Conv", ("block2/expand", "block2/clip1"), 19_267_584, 5_623_296, 2.3),
    ("block2/depthwise", "Conv", ("block2/depthwise", "block2/clip2"), 2_709_504, 6_021_504, 1.2),
    ("block2/project", "Conv", ("block2/project",), 7_225_344, 1_505_280, 0.7),
    ("block2/resize", "Resize", ("block2/resize",), 0, 802_816, 0.3),
    ("head/conv", "Conv", ("head/conv", "head/clip"), 20_070_400, 1_906_688, 2.1),
    ("head/pool", "GlobalAveragePool", ("head/pool",), 62_720, 256_000, 0.05),
    ("head/gemm", "Gemm", ("head/gemm",), 1_280_000, 5_133_120, 0.9),
    ("softmax", "Softmax", ("softmax",), 0, 8_000, 0.01),
)


def _latency(milliseconds: float, mode: Mode) -> Value:
    if mode is Mode.MEASURED:
        return Value(
            value=milliseconds,
            low=milliseconds * 0.97,
            high=milliseconds * 1.04,
            mode=mode,
            source="median of 200 runs on this machine",
        )
    return Value(
        value=milliseconds * 3,
        low=milliseconds * 2.1,
        high=milliseconds * 4.2,
        mode=mode,
        source="roofline of raspberry-pi-4.toml",
    )


def sample_layers(mode: Mode | None) -> tuple[Layer, ...]:
    """The kernels; without latencies where `mode` is None."""
    latency: Metric
    layers = []
    for name, op, nodes, macs, size, milliseconds in KERNELS:
        latency = Unavailable(unavailable="no timer") if mode is None else _latency(milliseconds, mode)
        energy = Unavailable(unavailable=ENERGY_REASON)
        layers.append(Layer(name=name, op=op, nodes=nodes, macs=macs, bytes=size, latency_ms=latency, energy_mj=energy))
    return tuple(layers)


def sample_passes() -> tuple[PassRecord, ...]:
    """Three passes: one shrinks the graph, one leaves nodes alone, one changes nothing."""
    start = ModelSize(macs=73_420_800, parameters=4_211_240, bytes=16_844_960)
    folded = ModelSize(macs=71_488_768, parameters=4_152_104, bytes=16_608_416)
    equal = Fidelity(samples=4, bit_exact=True, max_abs_error=0, max_relative_error=0, snr_db=None, agreement=1)
    close = equal.model_copy(
        update={"bit_exact": False, "max_abs_error": 2.4e-7, "max_relative_error": 3.1e-7, "snr_db": 131.2}
    )
    return (
        PassRecord(
            name="fold-constants", kind=Kind.EXACT, seconds=0.41, options={"largest_bytes": 1048576}, modified=True,
            before=start, after=start,
            fidelity=equal,
            gate="passed", stats={"folded": 14}, skipped=(), assumptions=("training mode of `drop` is off",),
        ),
        PassRecord(
            name="fold-batch-norm", kind=Kind.EXACT, seconds=0.12, options={}, modified=True,
            before=start, after=folded,
            fidelity=close, gate="passed", stats={"folded": 1},
            skipped=(
                SkippedNode(node="neck/bn", reason="its input `neck/conv` is also read by `neck/add`"),
                SkippedNode(node="aux/bn", reason="scale is computed at run time"),
            ),
        ),
        PassRecord(
            name="merge-transposes", kind=Kind.EXACT, seconds=0.03, options={}, modified=False,
            before=folded, after=folded,
            fidelity=None, gate="not run: the pass changed nothing", stats={}, skipped=(),
        ),
    )  # fmt: skip


def sample_metrics(latency: Metric) -> Metrics:
    """Totals with the given latency."""
    return fill_metrics(
        {
            "latency_ms": latency,
            "energy_mj": Unavailable(unavailable=ENERGY_REASON),
            "peak_memory_bytes": exact(2_912_256, Mode.PREDICTED, "size of the arena"),
            "artifact_bytes": exact(16_933_120, Mode.MEASURED, "size of the files"),
            "accuracy": Unavailable(unavailable="no evaluation data was given (--data)"),
            "accuracy_original": Unavailable(unavailable="no evaluation data was given (--data)"),
        },
        otherwise=NOT_AN_FPGA,
    )


def sample_report(mode: Mode | None = Mode.MEASURED, *, model_name: str = "tinynet") -> Report:
    """A complete report: timed on the host, predicted for another device, or (`None`) with no latency at all."""
    layers = sample_layers(mode)
    spent = sum(layer.latency_ms.value for layer in layers if isinstance(layer.latency_ms, Value))
    latency: Metric = Unavailable(unavailable="no timing model for the core `cortex-m7`")
    reconciliation: Reconciliation | None = None
    if mode is not None:
        latency = Value(value=spent + 0.4, low=spent * 0.9, high=spent * 1.2 + 0.4, mode=mode, source="whole inference")
        layers = with_shares(latency, layers)
        reconciliation = reconcile(latency, layers, overhead_ms=0.1, explanation="thread start and layout copies")
    verification: Verified | Unverified = Verified(
        reference="onnxruntime", where="host" if mode is Mode.MEASURED else "qemu-aarch64", samples=8, bit_exact=False,
        max_abs_error=1.9e-6, max_relative_error=2.3e-6, agreement=1.0, tolerance=1e-4,
    )  # fmt: skip
    if mode is None:
        verification = Unverified(reason="no emulator runs bare-metal programs for cortex-m7")
    name = {Mode.MEASURED: "host", None: "cortex-m7"}.get(mode, "raspberry-pi-4")
    return Report(
        edgec="0.1.0",
        model=ModelSection(
            name=model_name, sha256="a1" * 32,
            inputs=(TensorSpec(name="input", dtype="float32", shape=(1, 3, 224, 224)),),
            outputs=(TensorSpec(name="probabilities", dtype="float32", shape=(1, 1000)),),
            macs=73_420_800, parameters=4_211_240, bytes=16_844_960,
        ),
        target=TargetSection(name=name, backend="tvm", sha256="b2" * 32),
        build=BuildSection(
            recipe="exact", seed=0, threads=1, options={"shape": {"input": [1, 3, 224, 224]}},
            tools={"apache-tvm": "0.27.0.post1", "onnxruntime": "1.23.2"},
        ),
        assumptions=("batch of `input` set to 1",),
        passes=sample_passes(),
        verification=verification,
        metrics=sample_metrics(latency),
        memory=MemoryByOwner(
            weights_bytes=16_608_416, activations_bytes=2_809_856, scratch_bytes=102_400, code_bytes=324_704
        ),
        layers=layers,
        reconciliation=reconciliation,
        fallbacks=(
            FallbackRow(
                node="block2/resize", reason="cubic Resize runs as a plain loop, one element at a time",
                hint="export the model with linear or nearest interpolation",
            ),
        ),
    )  # fmt: skip
