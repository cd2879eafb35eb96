from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from edgec.backends.plan import KernelKind, PlannedLayer
from edgec.backends.tvm.backend import TvmBackend
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.measure.prediction_work import Cost, work_of
from tests.models.builder import GraphBuilder


def _network() -> onnx.ModelProto:
    """A dense 3x3, one with stride, a depthwise one, a 1x1, an average over space, a product by a vector, a softmax."""
    g = GraphBuilder("kinds", 17)
    x = g.input("x", [1, 16, 24, 24])
    x = g.node("Conv", x, g.weight(32, 16, 3, 3, name="plain"), pads=[1, 1, 1, 1])
    x = g.node("Conv", x, g.weight(32, 32, 3, 3, name="strided"), pads=[1, 1, 1, 1], strides=[2, 2])
    x = g.node("Conv", x, g.weight(32, 1, 3, 3, name="depthwise"), pads=[1, 1, 1, 1], group=32)
    x = g.node("Conv", x, g.weight(48, 32, 1, 1, name="pointwise"))
    x = g.node("Flatten", g.node("GlobalAveragePool", x))
    x = g.node("Gemm", x, g.weight(48, 10, name="classes"))
    g.node("Softmax", x, output="y")
    g.output("y", [1, 10])
    return g.model()


@pytest.fixture(scope="module")
def layers() -> tuple[PlannedLayer, ...]:
    model = ir.from_proto(onnx.shape_inference.infer_shapes(_network()))
    return TvmBackend().plan(model, load_target("raspberry-pi-4"), name="net", threads=1, progress=Silent()).layers


def test_kernels_of_a_network_are_told_apart(layers: tuple[PlannedLayer, ...]) -> None:
    kinds = [layer.kind for layer in layers if layer.macs]
    assert kinds == [
        KernelKind.DENSE_3X3,
        KernelKind.DENSE,
        KernelKind.DEPTHWISE,
        KernelKind.POINTWISE,
        KernelKind.VECTOR,
    ]
    assert KernelKind.TRANSCENDENTAL in [layer.kind for layer in layers]


def test_the_work_of_the_kernels_is_that_of_the_network(layers: tuple[PlannedLayer, ...]) -> None:
    dense, strided, depthwise, pointwise, classes = (work_of(layer) for layer in layers if layer.macs)
    assert dense[Cost.DENSE_3X3] == pytest.approx(32 * 16 * 9 * 24 * 24 / 1e6)
    assert strided[Cost.DENSE] == pytest.approx(32 * 32 * 9 * 12 * 12 / 1e6)
    assert depthwise[Cost.DEPTHWISE] == pytest.approx(32 * 9 * 12 * 12 / 1e6)
    assert pointwise[Cost.POINTWISE] == pytest.approx(48 * 32 * 12 * 12 / 1e6)
    assert classes[Cost.STREAMED] == pytest.approx((48 * 10) * 4 / 1e6, rel=0.7)
    assert Cost.SHALLOW in dense
    assert Cost.SHALLOW not in strided


def test_integer_contractions_are_a_class_of_their_own() -> None:
    layer = PlannedLayer(
        name="c", op="QLinearConv", nodes=("c",), macs=10**6, bytes=10**4, kind=KernelKind.DENSE_3X3, precision="int8"
    )
    assert work_of(layer)[Cost.INTEGER_3X3] == 1.0
    assert Cost.DENSE_3X3 not in work_of(layer)


def _layer(kind: KernelKind, op: str = "Conv", **changed: int | str) -> PlannedLayer:
    layer = PlannedLayer(name="c", op=op, nodes=("c",), macs=10**6, bytes=500_000, kind=kind, elements=10**6)
    return layer.model_copy(update=changed)


def test_activations_beyond_the_caches_are_farther_for_each_call() -> None:
    near, far = _layer(KernelKind.POINTWISE), _layer(KernelKind.POINTWISE, bytes=3_000_000)
    assert Cost.FAR not in work_of(near)
    assert work_of(far)[Cost.FAR] == work_of(far)[Cost.TRAFFIC] == 3.0
    assert Cost.FAR not in work_of(far.model_copy(update={"calls": 3}))
    assert Cost.FAR not in work_of(far.model_copy(update={"weight_bytes": 2_500_000}))


def test_filtering_moves_its_tiles_beside_the_activations() -> None:
    filtered, plain = work_of(_layer(KernelKind.DENSE_3X3)), work_of(_layer(KernelKind.DENSE))
    assert filtered[Cost.TRAFFIC] == 4 * plain[Cost.TRAFFIC]


def test_a_power_is_more_than_one_function() -> None:
    softmax, norm = (_layer(KernelKind.TRANSCENDENTAL, op, macs=0) for op in ("Softmax", "LRN"))
    assert work_of(norm)[Cost.TRANSCENDENTAL] == 3 * work_of(softmax)[Cost.TRANSCENDENTAL]


def test_depthwise_integers_are_no_depthwise_floats() -> None:
    work = work_of(_layer(KernelKind.DEPTHWISE, precision="int8"))
    assert work[Cost.INTEGER_DEPTHWISE] == 1.0
    assert Cost.DEPTHWISE not in work


def test_weights_of_a_loop_stream_once_where_the_caches_hold_them() -> None:
    held = _layer(KernelKind.VECTOR, weight_bytes=100 * 500_000, calls=100)
    assert work_of(held)[Cost.STREAMED] == pytest.approx(0.5)
    assert work_of(held)[Cost.TRAFFIC] == pytest.approx(49.5)
    large = _layer(KernelKind.VECTOR, weight_bytes=100 * 5_000_000, calls=100)
    assert work_of(large)[Cost.STREAMED] == pytest.approx(500.0)
    assert work_of(_layer(KernelKind.VECTOR, weight_bytes=500_000)).keys() == {Cost.STREAMED, Cost.KERNEL}
