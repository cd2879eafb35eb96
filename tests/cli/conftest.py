"""The command line in this process, and small files to run it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from in_process import Invoke, Outcome, relu_model, write_artifact

from edgec.cli.main import main


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.setenv("EDGEC_CACHE", str(state / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run a command line in this process."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return Outcome(status, written.out, written.err)

    return run


@pytest.fixture
def scripted_artifact(tmp_path: Path) -> Path:
    """A whole artefact that verifies."""
    return write_artifact(tmp_path / "artifact")


@pytest.fixture
def make_artifact() -> Callable[..., Path]:
    """Makes artefacts with a program of the test's own."""
    return write_artifact


@pytest.fixture
def relu_file(tmp_path: Path) -> Path:
    """The smallest model on the disk."""
    path = tmp_path / "relu.onnx"
    onnx.save(relu_model(), path)
    return path


@pytest.fixture
def inputs_file(tmp_path: Path) -> Path:
    """Inputs of the smallest model."""
    path = tmp_path / "inputs.npz"
    np.savez(path, x=np.array([[-1, 2, -3, 4]], np.float32))
    return path
