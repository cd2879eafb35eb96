"""A bottleneck and an early exit, from the recipe to bytes on a link."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.core.manifest import read_manifest, write_manifest
from edgec.core.recipe import load_recipe
from edgec.graph.save import save_model
from edgec.split.manifest import FILE, EarlyAnswer, read_split
from edgec.split.session import confidence_of
from tests.training.pictures_task import quarters, quarters_net

pytest.importorskip("tvm")
pytest.importorskip("constriction")
pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

SAMPLES = 24
BUILT_THRESHOLD = 0.9
"""What `insert-exits` takes unless told otherwise."""
_TRAINED = """
[[pass]]
name = "fine-tune"
epochs = 4
batch = 32

[[pass]]
name = "insert-bottleneck"
channels = 2
batch = 32
distillation_epochs = 4
coding_epochs = 2
distillation_rate = 0.01
epochs = 2
bit_price = 0.5

[[pass]]
name = "insert-exits"
channels = 8
batch = 32
"""


def _edgec(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "edgec", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained network, its data, and the network split at its bottleneck."""
    place = tmp_path_factory.mktemp("bottleneck")
    save_model(quarters_net(), place / "net.onnx")
    pictures, labels = quarters(500)
    np.savez(place / "data.npz", x=pictures, y=labels)
    np.savez(place / "x.npz", image=quarters(SAMPLES, seed=9)[0])
    exact = "".join(f'[[pass]]\nname = "{step.name}"\n' for step in load_recipe("exact").passes)
    (place / "recipe.toml").write_text(exact + _TRAINED, encoding="utf-8")
    command = ["split", "build", str(place / "net.onnx"), "--target", "host", "--data", str(place / "data.npz")]
    built = _edgec(
        *command, "--recipe", str(place / "recipe.toml"), "--no-local", "--out", str(place / "split"), "--json"
    )
    assert built.returncode == 0, built.stderr
    (place / "report.json").write_text(built.stdout, encoding="utf-8")
    return place


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "edgec", "split", "serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def _run(place: Path, address: str, threshold: float | None) -> tuple[dict[str, list[Any]], np.ndarray]:
    """What `split run` says and answers with another threshold for early answers; None for no such answers."""
    _set_threshold(place / "split", threshold)
    command = ["split", "run", str(place / "split"), "--connect", address, "--input", str(place / "x.npz")]
    done = _edgec(*command, "--output", str(place / "y.npz"), "--deadline", "1e6", "--timeout", "20", "--json")
    _set_threshold(place / "split", BUILT_THRESHOLD)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), np.load(place / "y.npz")["scores"]


def _set_threshold(folder: Path, threshold: float | None) -> None:
    """Early answers are the device's own affair: the server, which serves the same folder, does not mind."""
    manifest = read_split(folder)
    early = EarlyAnswer(output="exit_1", threshold=threshold, probabilities=False) if threshold else None
    changed = manifest.model_copy(update={"early": early})
    (folder / FILE).write_text(changed.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    built = read_manifest(folder)
    write_manifest(folder, edgec=built.edgec, provenance=built.provenance, interface=built.interface)


def test_the_latent_travels_in_the_bytes_that_were_counted(workplace: Path) -> None:
    manifest = read_split(workplace / "split")
    report = json.loads((workplace / "report.json").read_text())
    assert manifest.early == EarlyAnswer(output="exit_1", threshold=BUILT_THRESHOLD, probabilities=False)
    assert manifest.sent[0].shape[:2] == (1, 2)
    assert manifest.sent[0].dtype == "int8"
    with _served(workplace / "split") as address:
        answer, scores = _run(workplace, address, threshold=None)
    assert answer["where"] == ["server"] * SAMPLES
    assert np.mean(answer["payload_bytes"]) < 0.75 * manifest.sent_bytes < report["input_bytes"]
    assert np.mean(np.argmax(scores, 1) == quarters(SAMPLES, seed=9)[1]) > 0.8


def test_an_answer_that_is_sure_enough_sends_nothing(workplace: Path) -> None:
    with _served(workplace / "split") as address:
        everywhere, early_scores = _run(workplace, address, threshold=0.01)
        typical = np.median([confidence_of(row, probabilities=False) for row in early_scores])
        answer, scores = _run(workplace, address, threshold=float(typical))
    assert set(everywhere["where"]) == {"early"}
    early = [where == "early" for where in answer["where"]]
    assert any(early)
    assert not all(early)
    assert all((size == 0) == left for size, left in zip(answer["payload_bytes"], early, strict=True))
    assert np.mean(np.argmax(scores, 1) == quarters(SAMPLES, seed=9)[1]) > 0.8


def test_without_a_server_the_exit_answers(workplace: Path) -> None:
    answer, scores = _run(workplace, "127.0.0.1:9", threshold=1.0)
    assert set(answer["where"]) == {"early"}
    assert np.mean(np.argmax(scores, 1) == quarters(SAMPLES, seed=9)[1]) > 0.8
