"""Every operator against the node cases of the ONNX package: right numbers, or refused for a stated reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from kernel_graph_evaluator import Evaluation, Kernels
from node_cases import NodeCase, load_node_cases, lowered

from edgec.backends.tvm.kernel_graph import KernelGraph

pytest.importorskip("tvm")

REFUSED = Path(__file__).with_name("refused_node_cases.txt")
"""Name and reason of each refused case, one a line; a change of behaviour is a change of this file."""

PARTS = 12


def _cases(part: int) -> list[NodeCase]:
    return [case for case in load_node_cases() if "_expanded" not in case.name][part::PARTS]


def _refused() -> Mapping[str, str]:
    lines = REFUSED.read_text(encoding="utf-8").splitlines()
    return dict(line.split(": ", 1) for line in lines if line)


@pytest.mark.parametrize("part", range(PARTS))
def test_node_cases_give_the_expected_numbers_or_are_refused(part: int) -> None:
    known = _refused()
    graphs: list[tuple[NodeCase, KernelGraph]] = []
    refused: dict[str, str] = {}
    cases = _cases(part)
    for case in cases:
        prepared, result = lowered(case)
        if isinstance(result, KernelGraph):
            graphs.append((prepared, result))
        else:
            refused[case.name] = result[0].reason
    kernels = Kernels([graph for _, graph in graphs])
    wrong = {case.name: found for case, graph in graphs if (found := _difference(case, graph, kernels))}
    assert not wrong
    assert refused == {case.name: known[case.name] for case in cases if case.name in known}


def _difference(case: NodeCase, graph: KernelGraph, kernels: Kernels) -> str:
    outputs = Evaluation(kernels).run(graph, case.inputs)
    for made, expected in zip(outputs, case.outputs, strict=True):
        wanted = np.asarray(expected)
        if (made.shape, made.dtype) != (wanted.shape, wanted.dtype):
            return f"{made.dtype}{made.shape} in place of {wanted.dtype}{wanted.shape}"
        if not np.allclose(made, wanted, rtol=case.relative, atol=_tolerance(case, wanted), equal_nan=True):
            return f"{made} in place of {wanted}"
    return ""


def _tolerance(case: NodeCase, expected: np.ndarray) -> float:
    """Four units in the last place of the largest number: the expected outputs are rounded themselves."""
    if expected.dtype.kind != "f" or not np.isfinite(expected).any():
        return case.absolute
    largest = float(np.abs(expected[np.isfinite(expected)]).max())
    return max(case.absolute, 4 * float(np.finfo(expected.dtype).eps) * largest)
