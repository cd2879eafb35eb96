"""Damaged and hostile inputs at every entry point: status 2 or 4, a hint, no traceback, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from damage import (
    Mutation,
    flipped,
    hostile_arrays,
    hostile_documents,
    hostile_models,
    json_value_replaced,
    shuffled,
    truncated,
)
from in_process import Invoke, Outcome, relu_model

from tests.models import conv_net, gru_net, if_net

SEEDS = range(30)
REFUSED = (2, 4)
HARMLESS_TOO = (0, 2, 4)
"""A flipped bit in a weight or a name is not damage that anybody could see."""

_MODELS = tuple(make().SerializeToString() for make in (conv_net, gru_net, if_net))


def snapshot_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def check(outcome: Outcome, allowed: tuple[int, ...]) -> None:
    shown = outcome.err[-2000:]
    assert outcome.status in allowed, shown
    assert "Traceback" not in shown
    assert "EC0999" not in shown
    if outcome.status:
        assert shown.count("error[EC") == 1, shown
        assert "\nhint: " in shown
        assert outcome.out == ""


@pytest.fixture
def refuses(invoke: Invoke, tmp_path: Path) -> Callable[..., None]:
    """Runs a command on damaged input and checks how it ends, and that the folder is as it was."""

    def run(*arguments: str | Path, allowed: tuple[int, ...] = REFUSED) -> None:
        before = snapshot_of(tmp_path)
        check(invoke(*arguments), allowed)
        assert snapshot_of(tmp_path) == before

    return run


@pytest.mark.parametrize("name", hostile_models())
def test_hostile_models(refuses: Callable[..., None], tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(hostile_models()[name])
    refuses("analyze", path)
    refuses("build", path, "--target", "host", "--out", tmp_path / "out")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("damage", [truncated, flipped, shuffled])
def test_damaged_models(
    refuses: Callable[..., None], tmp_path: Path, damage: Callable[[int], Mutation], seed: int
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(damage(seed)(_MODELS[seed % len(_MODELS)]))
    refuses("analyze", path, allowed=REFUSED if damage is truncated else HARMLESS_TOO)


@pytest.mark.parametrize("kind", ["folder", "absent", "dangling link", "device", "long name", "NUL in name"])
def test_paths_that_are_no_model(refuses: Callable[..., None], tmp_path: Path, kind: str) -> None:
    paths = {
        "folder": tmp_path,
        "absent": tmp_path / "absent.onnx",
        "dangling link": tmp_path / "link.onnx",
        "device": Path("/dev/null"),
        "long name": tmp_path / ("x" * 5000),
        "NUL in name": tmp_path / "a\0b.onnx",
    }
    (tmp_path / "link.onnx").symlink_to(tmp_path / "nowhere")
    refuses("analyze", paths[kind])
    refuses("verify", paths[kind])
    refuses("report", paths[kind])


@pytest.mark.parametrize("name", hostile_arrays())
def test_hostile_arrays(refuses: Callable[..., None], scripted_artifact: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(hostile_arrays()[name])
    refuses("run", scripted_artifact, "-i", path, "-o", tmp_path / "y.npz")


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_arrays(refuses: Callable[..., None], scripted_artifact: Path, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.ones((1, 4), np.float32))
    path.write_bytes((truncated if seed % 2 else flipped)(seed)(path.read_bytes()))
    outcome_folder = tmp_path / "outputs"
    outcome_folder.mkdir()
    refuses("run", scripted_artifact, "-i", path, "-o", "/dev/null", allowed=REFUSED if seed % 2 else HARMLESS_TOO)
    assert list(outcome_folder.iterdir()) == []


@pytest.mark.parametrize("name", hostile_documents())
def test_hostile_manifests(refuses: Callable[..., None], scripted_artifact: Path, name: str) -> None:
    (scripted_artifact / "manifest.json").write_bytes(hostile_documents()[name])
    refuses("verify", scripted_artifact)
    refuses("build", "m.onnx", "--target", "host", "--out", scripted_artifact)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("damage", [truncated, flipped, json_value_replaced])
def test_damaged_manifests(
    refuses: Callable[..., None], scripted_artifact: Path, damage: Callable[[int], Mutation], seed: int
) -> None:
    path = scripted_artifact / "manifest.json"
    path.write_bytes(damage(seed)(path.read_bytes().rstrip()))
    refuses("verify", scripted_artifact)


@pytest.mark.parametrize("name", hostile_documents())
def test_hostile_reports(refuses: Callable[..., None], tmp_path: Path, name: str) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(hostile_documents()[name])
    refuses("report", path)
    refuses("diff", path, path)


@pytest.mark.parametrize("name", [name for name in hostile_documents() if name != "empty"])
def test_hostile_configuration(refuses: Callable[..., None], relu_file: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(hostile_documents()[name])
    refuses("build", relu_file, "--target", "host", "--project", path, "--out", tmp_path / "out")
    refuses("build", relu_file, "--target", "host", "--recipe", path, "--out", tmp_path / "out")
    refuses("build", relu_file, "--target", path, "--out", tmp_path / "out")
    refuses("targets", "show", path)


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_datasheets(refuses: Callable[..., None], tmp_path: Path, seed: int) -> None:
    import edgec.targets

    whole = (Path(next(iter(edgec.targets.__path__))) / "raspberry-pi-4.toml").read_bytes()
    path = tmp_path / "board.toml"
    path.write_bytes((truncated if seed % 2 else flipped)(seed)(whole))
    refuses("targets", "show", path, allowed=HARMLESS_TOO)


@pytest.mark.parametrize("name", [*hostile_arrays(), "absent", "module", "folder"])
def test_hostile_data(refuses: Callable[..., None], relu_file: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "data.npz"
    specification: str | Path = path
    if name == "module":
        specification = "no_such_module_anywhere:function"
    elif name == "folder":
        specification = tmp_path
    elif name != "absent":
        path.write_bytes(hostile_arrays()[name])
    refuses("build", relu_file, "--target", "host", "--data", specification, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    "place", ["/proc/edgec", "/dev/null", "/dev/null/out", "/", "{folder}", "{file}", "{file}/below", "/sys/out"]
)
def test_places_that_cannot_hold_an_artefact(
    refuses: Callable[..., None], relu_file: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    out = place.format(folder=tmp_path / "folder", file=tmp_path / "file")
    refuses("build", relu_file, "--target", "host", "--out", out)


def _process(*arguments: str | Path, environment: dict[str, str] | None = None) -> Outcome:
    ended = subprocess.run(
        [sys.executable, "-m", "edgec", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | (environment or {}),
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize("name", ["empty", "cycle", "path traversal", "short weight", "text", "wrong types"])
def test_hostile_models_in_a_process_of_their_own(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(hostile_models()[name])
    check(_process("build", path, "--target", "host", "--out", tmp_path / "out"), REFUSED)
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["bomb", "objects", "huge shape", "deep header"])
def test_hostile_arrays_in_a_process_of_their_own(scripted_artifact: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(hostile_arrays()[name])
    check(_process("run", scripted_artifact, "-i", path, "-o", tmp_path / "y.npz"), REFUSED)
    assert sorted(tmp_path.iterdir()) == sorted([path, scripted_artifact])


def test_an_unreadable_file_in_a_process_without_rights(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        path = tmp_path / "model.onnx"
        onnx.save(relu_model(), path)
        path.chmod(0)
        check(_process("analyze", path), REFUSED)
    check(_process("analyze", "/proc/self/mem"), REFUSED)


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    environment = {"HOME": "/proc", "XDG_STATE_HOME": "/proc/x", "XDG_CACHE_HOME": "/proc/x", "EDGEC_CACHE": "/proc/x"}
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing")
    check(_process("analyze", path, environment=environment), REFUSED)


def test_the_errors_of_json_calls_leave_stdout_empty(invoke: Invoke, tmp_path: Path) -> None:
    outcome = invoke("analyze", tmp_path / "absent.onnx", "--json")
    assert outcome.out == ""
    code = outcome.err.partition("error[")[2][:6]
    assert json.loads(invoke("explain", code, "--json").out)[0]["exit_status"] == outcome.status
