"""Projects for the vendors' tools: types, bytes, unsupported nodes, and the C simulation bit for bit."""

from __future__ import annotations

import re
import time
from functools import cache
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from benchmarks import hls_networks
from benchmarks.hls_exactness import samples_of, target_with
from edgec.backends.executor import execute
from edgec.backends.hls4ml.backend import HlsBackend
from edgec.backends.hls4ml.recognition import translate
from edgec.backends.plan import BuildPlan
from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from edgec.core.target import Target
from edgec.core.target_hls import HlsTool
from edgec.graph.reference import ReferenceSession
from edgec.measure.hls_simulation import raise_for_layer, simulate
from edgec.passes.calibration import Observed
from edgec.passes.calibration_ranges import Method
from edgec.passes.quantize_plan import Scheme, Signedness
from tests.rtl import quantised_networks

pytest.importorskip("hls4ml")


def planned(model: ir.Model, target: Target | None = None) -> BuildPlan:
    return HlsBackend().plan(model, target or target_with(HlsTool.VITIS), name="net", threads=1, progress=Silent())


def with_hls(**changes: object) -> Target:
    target = target_with(HlsTool.VITIS)
    assert target.hls is not None
    return target.model_copy(update={"hls": target.hls.model_copy(update=changes)})


def small_residual() -> ir.Model:
    return hls_networks.residual(channels=2)


NETWORKS = {
    "mlp": lambda: hls_networks.mlp((4, 6, 3)),
    "residual": small_residual,
    "binary": hls_networks.binary,
    "qdq": lambda: ir.from_proto(quantised_networks.mlp()),
}


@cache
def layers_of(name: str) -> list[tuple[str, str, str]]:
    network = translate(NETWORKS[name]()).network
    assert network is not None
    return [(layer.op, layer.kind, str(layer.result)) for layer in network.layers]


@pytest.mark.parametrize("name", ["mlp", "residual", "binary", "qdq"])
def test_c_simulation_equals_onnx_runtime_bit_for_bit(name: str, tmp_path: Path) -> None:
    model = NETWORKS[name]()
    plan = planned(model)
    execute(plan, tmp_path, Silent())
    samples = samples_of(model, 300)
    made = simulate(tmp_path, plan.interface, samples).outputs
    session = ReferenceSession(model)
    wanted = [session.run(sample) for sample in samples]
    for one, other in zip(made, wanted, strict=True):
        for key, array in other.items():
            assert one[key].tobytes() == array.tobytes()
    assert len({next(iter(one.values())).tobytes() for one in made}) > 50


def test_a_stream_and_shared_multipliers_compute_the_same(tmp_path: Path) -> None:
    model = small_residual()
    plan = planned(model, with_hls(io="stream", strategy="resource", reuse_factor=4))
    execute(plan, tmp_path, Silent())
    samples = samples_of(model, 50)
    made = simulate(tmp_path, plan.interface, samples).outputs
    session = ReferenceSession(model)
    for sample, one in zip(samples, made, strict=True):
        for key, array in session.run(sample).items():
            np.testing.assert_array_equal(one[key], array)


def test_every_quantiser_is_the_type_of_a_layer() -> None:
    kinds = layers_of("mlp")
    assert kinds == [
        ("Input", "InputLayer", "fixed<8,3,TRN,WRAP>"),
        ("Gemm", "Dense", kinds[1][2]),
        ("Relu", "Activation", "ufixed<6,3,RND_CONV,SAT>"),
        ("Gemm", "Dense", kinds[3][2]),
    ]
    assert ("BipolarQuant", "Activation", "fixed<2,2,TRN,WRAP>") in layers_of("binary")


def test_the_types_of_the_files_are_those_that_were_derived() -> None:
    plan = planned(NETWORKS["mlp"]())
    text = plan.files["project/firmware/defines.h"].decode()
    types = set(re.findall(r"ap_u?fixed<[^>]*>", text))
    assert "ap_ufixed<6,3,AP_RND_CONV,AP_SAT,0>" in types
    assert not any(kind.startswith(("ap_fixed<16,6", "ap_fixed<61")) for kind in types)


def test_quartus_refuses_signs_with_the_reason_and_every_node() -> None:
    with pytest.raises(EdgecError) as caught:
        planned(NETWORKS["binary"](), target_with(HlsTool.QUARTUS))
    assert caught.value.code.status == 4
    assert len(caught.value.details) == 2
    assert all("BipolarQuant" in line and "sign of 0 as negative" in line for line in caught.value.details)


@pytest.mark.parametrize("tool", list(HlsTool))
@pytest.mark.parametrize("network", ["mlp", "residual"])
def test_a_project_is_written_within_seconds(tool: HlsTool, network: str) -> None:
    begin = time.process_time()
    plan = planned(NETWORKS[network](), target_with(tool))
    assert time.process_time() - begin < 20
    assert any(path.startswith("project/") and "/firmware/" in path for path in plan.files)
    assert b"synthesis:" in plan.files["Makefile"]
    assert b"edgec report . --import project/" in plan.files["Makefile"]


@pytest.mark.parametrize("tool", list(HlsTool))
def test_every_tool_gets_a_project_with_the_same_bytes_each_time(tool: HlsTool) -> None:
    model = NETWORKS["mlp"]()
    first, second = (planned(model, target_with(tool)) for _ in range(2))
    assert first.digest() == second.digest()
    assert "project/tb_data/tb_input_features.dat" in first.files
    assert first.files["Makefile"].startswith(f"# Needs {tool.value}".encode())
    assert not any(b"/tmp/" in content for path, content in first.files.items() if "ap_types" not in path)


def test_every_unsupported_node_is_named_with_its_reason() -> None:
    net = hls_networks.QonnxNetwork((1, 4))
    net.quant(8, -5, signed=True)
    net.node("Sigmoid")
    with pytest.raises(EdgecError) as caught:
        planned(net.model())
    assert caught.value.code.status == 4
    assert any("sigmoid" in line and "Sigmoid" in line for line in caught.value.details)


def test_scales_that_are_no_powers_of_two_are_refused() -> None:
    rows = HlsBackend().unsupported(
        ir.from_proto(quantised_networks.mlp(power_of_two=False)), target_with(HlsTool.VITIS)
    )
    assert rows
    assert all("power of two" in row.reason for row in rows)
    assert rows[0].hint == "quantise with power_of_two = true"


def test_values_get_no_zero_points_for_this_backend() -> None:
    centred = Signedness.TARGET.for_target(target_with(HlsTool.VITIS))
    scheme = Scheme(Method.MIN_MAX, 99.9, 6, centred, power_of_two=True)
    for low, high, signed in ((-1.0, 3.0, True), (0.0, 3.0, False)):
        quantizer = scheme.quantizer([Observed(low, high, np.zeros(0, np.int64), np.zeros(0))])
        assert quantizer.signed is signed
        assert not quantizer.zero_point.any()


def test_an_overflow_is_found_and_its_layer_named(tmp_path: Path) -> None:
    model = NETWORKS["mlp"]()
    names = [node.name for node in model.graph if node.op_type == "Gemm"]
    plan = planned(model, with_hls(types={names[1]: "fixed<9,2>"}))
    execute(plan, tmp_path, Silent())
    with pytest.raises(EdgecError) as caught:
        raise_for_layer(tmp_path, plan.interface, model, samples_of(model, 40))
    assert caught.value.code.code == "EC1302"
    assert names[1] in str(caught.value.where)
    assert "fixed<9,2" in caught.value.what


def test_a_type_for_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(EdgecError) as caught:
        planned(NETWORKS["mlp"](), with_hls(types={"nothing": "fixed<8,2>"}))
    assert caught.value.code.code == "EC1304"
    assert "gemm" in str(caught.value.hint)


def test_a_missing_compiler_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(NETWORKS["mlp"]())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgecError) as caught:
        execute(plan, tmp_path / "out", Silent())
    assert caught.value.code.status == 3
    assert caught.value.hint == "apt install g++"
