"""A network in two parts, from the ONNX file to the answers of a server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgec.graph.load import load_model
from edgec.graph.reference import ReferenceSession
from edgec.split.manifest import read_split
from tests.models import conv_net

pytest.importorskip("tvm")
pytest.importorskip("constriction")

SAMPLES = 6


def _edgec(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "edgec", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, data for it, and the network split for this machine."""
    place = tmp_path_factory.mktemp("split")
    onnx.save(conv_net(size=32), place / "net.onnx")
    rng = np.random.default_rng(0)
    np.savez(place / "data.npz", x=rng.standard_normal((40, 3, 32, 32)).astype(np.float32))
    np.savez(place / "x.npz", image=rng.standard_normal((SAMPLES, 3, 32, 32)).astype(np.float32))
    command = ["split", "build", str(place / "net.onnx"), "--target", "host", "--data", str(place / "data.npz")]
    built = _edgec(*command, "--out", str(place / "split"), "--json")
    assert built.returncode == 0, built.stderr
    (place / "report.json").write_text(built.stdout, encoding="utf-8")
    return place


@contextmanager
def _served(folder: Path, *options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "edgec", "split", "serve", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def _expected(place: Path) -> np.ndarray:
    session = ReferenceSession(load_model(place / "net.onnx").model)
    images = np.load(place / "x.npz")["image"]
    return np.concatenate([session.run({"image": image[np.newaxis]})["probabilities"] for image in images])


def test_the_report_says_what_travels(workplace: Path) -> None:
    report = json.loads((workplace / "report.json").read_text())
    assert 0 < report["payload_bytes"] < report["raw_bytes"] < report["input_bytes"]
    assert report["head_macs"] + report["tail_macs"] == 3 * 8 * 9 * 32 * 32 + 8 * 16 * 9 * 8 * 8 + 16 * 10
    assert report["fidelity"]["max_relative_error"] < 0.02
    assert read_split(workplace / "split").sent[0].dtype == "int8"


def test_answers_over_the_link_are_those_of_the_network(workplace: Path) -> None:
    with _served(workplace / "split") as address:
        command = ["split", "run", str(workplace / "split"), "--connect", address, "--input", str(workplace / "x.npz")]
        done = _edgec(*command, "--output", str(workplace / "y.npz"), "--deadline", "1e6", "--timeout", "20", "--json")
    assert done.returncode == 0, done.stderr
    assert "server" in json.loads(done.stdout)["where"]
    assert np.abs(np.load(workplace / "y.npz")["probabilities"] - _expected(workplace)).max() < 0.02


def test_without_a_server_the_device_computes(workplace: Path) -> None:
    command = [
        "split",
        "run",
        str(workplace / "split"),
        "--connect",
        "127.0.0.1:9",
        "--input",
        str(workplace / "x.npz"),
    ]
    done = _edgec(*command, "--output", str(workplace / "z.npz"), "--timeout", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["where"]) == {"device"}
    assert np.abs(np.load(workplace / "z.npz")["probabilities"] - _expected(workplace)).max() < 1e-4


def test_a_wrong_token_is_told_and_the_device_computes(workplace: Path) -> None:
    (workplace / "token").write_text("secret\n")
    (workplace / "guess").write_text("guess\n")
    with _served(workplace / "split", "--token-file", str(workplace / "token")) as address:
        command = ["split", "run", str(workplace / "split"), "--connect", address, "--input", str(workplace / "x.npz")]
        command += ["--output", str(workplace / "z.npz"), "--token-file", str(workplace / "guess"), "--json"]
        done = _edgec(*command)
    assert "server's token" in json.loads(done.stdout)["reasons"][0]


def test_the_tail_is_a_triton_repository(workplace: Path) -> None:
    configuration = next((workplace / "split" / "server").glob("*/config.pbtxt")).read_text()
    assert 'backend: "onnxruntime"' in configuration
    assert "TYPE_INT8" in configuration
    assert "max_batch_size: 16" in configuration


def test_a_head_of_another_machine_talks_to_the_server(workplace: Path) -> None:
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not on PATH")
    command = ["split", "build", str(workplace / "net.onnx"), "--target", "raspberry-pi-4", "--no-local"]
    built = _edgec(*command, "--data", str(workplace / "data.npz"), "--out", str(workplace / "pi"), "--json")
    assert built.returncode == 0, built.stderr
    with _served(workplace / "pi") as address:
        command = ["split", "run", str(workplace / "pi"), "--connect", address, "--input", str(workplace / "x.npz")]
        done = _edgec(*command, "--output", str(workplace / "p.npz"), "--timeout", "20", "--json")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["where"]) == {"server"}
    assert np.abs(np.load(workplace / "p.npz")["probabilities"] - _expected(workplace)).max() < 0.02


def test_a_value_that_does_not_cut_is_refused_with_those_that_do(workplace: Path) -> None:
    command = ["split", "build", str(workplace / "net.onnx"), "--target", "host", "--cut", "nothing"]
    refused = _edgec(*command, "--out", str(workplace / "none"))
    assert refused.returncode == 2
    assert "EC1206" in refused.stderr
    assert not (workplace / "none").exists()
