"""A project of one network that is built for a Raspberry Pi 4 within a budget."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

emulates_arm = [
    pytest.mark.emulator,
    pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed"),
]
BUDGET_OF_NET = """\
[models]
net = "model.onnx"

[budget.raspberry-pi-4.net]
"""
"""A project file up to where its budget begins."""


def write_project(folder: Path, model: Path, text: str) -> Path:
    """The project file with this text, beside a copy of the network."""
    (folder / "model.onnx").write_bytes(model.read_bytes())
    (folder / "edgec.toml").write_text(text)
    return folder / "edgec.toml"
