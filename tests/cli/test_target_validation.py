"""`targets validate` compiles for a target and looks at what came out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from in_process import Invoke

from edgec.core.target_files import target_path
from edgec.validate import expected_machine


@pytest.mark.parametrize(
    ("name", "machine"), [("raspberry-pi-4", "aarch64"), ("cortex-m7", "arm"), ("visionfive2", "riscv")]
)
def test_the_produced_file_is_of_the_targets_architecture(invoke: Invoke, name: str, machine: str) -> None:
    (row,) = json.loads(invoke("targets", "validate", name, "--json").out)
    assert row["target"] == name
    assert f"lib/libprobe.a: {machine}" in row["produced"]


def test_a_datasheet_whose_tool_chain_makes_something_else(invoke: Invoke, tmp_path: Path) -> None:
    text = target_path("raspberry-pi-4").read_text()
    (tmp_path / "board.toml").write_text(text.replace("aarch64-linux-musl", "riscv64-linux-musl"))
    outcome = invoke("targets", "validate", tmp_path / "board.toml")
    assert outcome.status != 0
    assert "hint: " in outcome.err
    assert "EC0999" not in outcome.err


@pytest.mark.parametrize(
    ("triple", "machine"),
    [
        ("aarch64-linux-gnu", "aarch64"),
        ("arm64-linux-android", "aarch64"),
        ("thumbv7em-none-eabihf", "arm"),
        ("armv7a-linux-gnueabihf", "arm"),
        ("riscv64-linux-gnu", "riscv"),
        ("x86_64-linux-gnu", "x86_64"),
    ],
)
def test_machines_of_triples(triple: str, machine: str) -> None:
    assert expected_machine(triple) == machine
