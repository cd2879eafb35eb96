"""Tuning: what is measured, what is taken, and what is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.selection import backend_for
from edgec.backends.tuning import Samples, TuningRequest
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.implementation import Algorithm, Contraction, ContractionKind, Implementation
from edgec.backends.tvm.tuning.candidates import candidates, is_possible
from edgec.backends.tvm.tuning.comparison import Comparison, compare
from edgec.backends.tvm.tuning.database import TuningRecord, merged, read_records, write_records
from edgec.backends.tvm.tuning.search import Pair, Site, search
from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.measure.boards import boards_for

CORE = CoreDescription(float_lanes=4, vector_registers=32, dot_product="none", l1_data_bytes=32768, l2_bytes=1 << 20)
FILTERABLE = Contraction(
    kind=ContractionKind.CONVOLUTION,
    dtype="float32",
    result="float32",
    extents=(1, 28, 28),
    channels=64,
    inputs=32,
    kernel=(3, 3),
    strides=(1, 1),
    dilations=(1, 1),
    pads=(1, 1, 1, 1),
)


def record(cost: float = 90.0, tried: int = 3, channels: int = 64) -> TuningRecord:
    return TuningRecord(
        context="0" * 64,
        core="a core",
        contraction=FILTERABLE.model_copy(update={"channels": channels}),
        implementation=Implementation(row_axis=2, rows=4, vectors=2, lanes=4),
        cost=cost,
        default_cost=100.0,
        unit="nanoseconds",
        machine="a machine",
        tried=tried,
    )


def small_network() -> ir.Model:
    """Two convolutions and a matrix product."""
    numbers = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(numbers.standard_normal(shape).astype(np.float32) / 8, name)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], "second"),
        helper.make_node("GlobalAveragePool", ["c"], ["d"], "pool"),
        helper.make_node("Flatten", ["d"], ["e"], "flat"),
        helper.make_node("MatMul", ["e", "w3"], ["y"], "last"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [weights("w1", 32, 16, 3, 3), weights("w2", 16, 32, 1, 1), weights("w3", 16, 10)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return ir.from_proto(onnx.shape_inference.infer_shapes(model))


class CountingBoard:
    """A board that finds every second kernel of a program slow: the ways win over what they are compared with."""

    unit = "nanoseconds"

    def __init__(self, name: str) -> None:
        self.name = name
        self.kernels = 0

    def run(self, program: bytes, kernels: int) -> Samples:
        assert program.startswith(b"\x7fELF")
        self.kernels += kernels
        half = kernels // 2
        return tuple((80.0, 81.0, 80.0) if place < half else (100.0, 101.0, 100.0) for place in range(kernels))


def test_candidates_include_filtering_and_both_orders_best_first() -> None:
    found = candidates(FILTERABLE, CORE)
    assert len(found) == len(set(found)) > 8
    assert {way.algorithm for way in found} >= {Algorithm.DIRECT, Algorithm.FILTERING_4}
    assert len({way.order for way in found}) == 2
    assert all(is_possible(FILTERABLE, way, CORE) for way in found)
    assert not is_possible(FILTERABLE, Implementation(row_axis=2, rows=40, vectors=8, lanes=4), CORE)
    assert not is_possible(FILTERABLE, Implementation(row_axis=9, rows=1, vectors=1, lanes=4), CORE)


def test_a_difference_within_the_noise_is_no_gain() -> None:
    noisy = [100.0, 130.0, 90.0, 120.0, 95.0, 110.0]
    assert not compare([(noisy, list(reversed(noisy)))]).is_gain
    assert compare([([80.0, 81.0, 80.0], [100.0, 100.0, 101.0])] * 2).is_gain


def test_a_gain_in_one_process_only_is_no_gain() -> None:
    faster, slower = ([80.0] * 5, [100.0] * 5), ([115.0] * 5, [100.0] * 5)
    assert compare([faster, faster]).is_gain
    assert not compare([faster, slower]).is_gain


def test_what_is_not_confirmed_is_not_taken() -> None:
    default = Implementation(row_axis=2, rows=1, vectors=1, lanes=4)
    ways = [way for way in candidates(FILTERABLE, CORE) if way != default][:4]
    site = Site(FILTERABLE, 1, default, list(ways), 0, 100.0, default)
    asked: list[Implementation] = []

    def measure(pairs: Sequence[Pair], others: Mapping[Contraction, Implementation]) -> list[Comparison | None]:
        again = [way in asked for _, way in pairs]
        asked.extend(way for _, way in pairs)
        assert all(others[contraction] == default for contraction, _ in pairs)
        return [Comparison(99.0, 100.0, 1.0 if seen else 0.5, 0.01) for seen in again]

    search([site], 20, 2, measure, lambda _: None)
    assert site.best == default
    assert site.tried == 4
    assert len(asked) == 5


def test_records_are_sorted_and_merge(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "records.jsonl"
    write_records(path, {each.key: each for each in (record(channels=96), record(channels=32))})
    first = path.read_bytes()
    write_records(path, {each.key: each for each in (record(channels=32),)})
    assert path.read_bytes() == first
    better = record(cost=70.0, channels=32, tried=5)
    write_records(path, {better.key: better})
    found = read_records(path)
    assert len(found) == 2
    assert found[better.key].cost == 70.0
    assert merged(found, [record(channels=32)]) == found


@pytest.mark.parametrize("line", ["{", '{"format": 2}', record().line().replace('"rows": 4', '"rows": 4000')])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(f"{record().line()}\n{line}\n")
    with pytest.raises(EdgecError) as found:
        read_records(path)
    assert found.value.code.code == "EC0404"
    assert "line 2" in found.value.details[0]


def test_boards_share_the_work_and_a_later_build_takes_the_records(tmp_path: Path) -> None:
    target = load_target("raspberry-pi-4")
    boards = CountingBoard("left"), CountingBoard("right")
    path = tmp_path / "records.jsonl"
    tuner = backend_for(target).tuned_by(TuningRequest(12, path, boards))
    tuned = tuner.plan(small_network(), target, name="net", threads=1, progress=Silent())
    assert tuned.tuning is not None
    assert tuned.tuning.tuned > 0
    assert boards[0].kernels > 0
    assert boards[1].kernels > 0
    again = backend_for(target).tuned_by(TuningRequest(0, path, ()))
    reused = again.plan(small_network(), target, name="net", threads=1, progress=Silent())
    assert reused.digest() == tuned.digest()
    assert reused.tuning == tuned.tuning
    plain = backend_for(target).plan(small_network(), target, name="net", threads=1, progress=Silent())
    assert plain.digest() != tuned.digest()
    assert plain.tuning is None


def test_this_machine_measures_its_own_kernels(tmp_path: Path) -> None:
    target = load_target("host")
    path = tmp_path / "records.jsonl"
    tuner = backend_for(target).tuned_by(TuningRequest(6, path, boards_for(target, ())))
    plan = tuner.plan(small_network(), target, name="net", threads=1, progress=Silent())
    assert plan.tuning is not None
    assert plan.tuning.kernels == 3
    assert sum(each.tried for each in read_records(path).values()) > 0


@pytest.mark.parametrize("text", ["", "ssh://", "ssh://-oProxyCommand=x", "'unclosed"])
def test_a_text_that_names_no_board_is_refused(text: str) -> None:
    with pytest.raises(EdgecError):
        boards_for(load_target("raspberry-pi-4"), (text,))
